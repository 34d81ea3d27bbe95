//! Runs a notebook: reads it, starts its kernel, executes its cells, judges the end.

pub mod document;
pub mod execute;
pub mod outputs;
pub mod parameters;
pub mod session;
pub mod verdict;

pub use session::run;
