//! Runs a script with an interpreter.

pub mod output;
pub mod session;
pub mod verdict;

pub use session::run;
