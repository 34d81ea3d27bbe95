//! Harness of the tests against a real Kubernetes that they start themselves.
//!
//! Each test binary has a `main` of its own, because a cluster that several tests share must be made before the first and
//! removed after the last one, whatever happens between. No test reads the ambient kubeconfig.

pub mod audit;
pub mod cluster;
pub mod docker;
pub mod faults;
pub mod host;
pub mod installed;
pub mod objects;
pub mod operator;
pub mod program;
pub mod proxy;
pub mod runs;
pub mod terminal;
pub mod trials;
