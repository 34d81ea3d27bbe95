//! Tables over [`crate::decide`], and the convergence property.

mod attempts;
mod children;
mod convergence;
mod gate;
mod gate_objects;
mod gate_property;
mod gate_since;
mod gate_support;
mod model;
mod retries;
mod runs;
mod specs;
mod support;
#[path = "../../../../crds/testdata/specs.rs"]
mod table;
mod world;
