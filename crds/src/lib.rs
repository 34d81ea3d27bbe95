//! The `E2ETest` API and every format that crosses a process boundary.
//!
//! Nothing here does I/O: the operator, the runner, `kfe2e` and the tests share these types and agree by construction.

pub mod exit_code;
mod format;
pub mod frame;
pub mod gate_inventory;
pub mod inventory;
pub mod names;
pub mod progress;
pub mod receipt;
pub mod run_event;
pub mod run_result;
pub mod v1alpha1;
pub mod verdict;

pub use exit_code::ExitCode;
pub use format::FormatError;
