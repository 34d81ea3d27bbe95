//! The kubeflow-e2e operator: the thin shell around [`operator_core`].
//!
//! A pass over one `E2ETest` is observe → decide → act → report; only `reconcile::{observe, act, report}` hold a client
//! in it. Events are published beside the passes.

pub mod backoff;
mod cache;
pub mod clock;
pub mod controller;
pub mod error;
pub mod events;
pub mod gate;
pub mod health;
pub mod metrics;
pub mod reconcile;
pub mod run;
pub mod settings;
pub mod stage;
pub mod telemetry;
mod watch;

pub use run::run;
