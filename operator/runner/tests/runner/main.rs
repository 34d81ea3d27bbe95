//! The real program: notebooks against a real ipykernel, scripts with real interpreters, the pod's other containers.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod asked;
mod harness;
mod notebook;
mod pod;
mod script;
mod stuck;
