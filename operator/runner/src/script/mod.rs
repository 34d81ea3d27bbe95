//! Runs a script with an interpreter, or a program of the image.

pub mod output;
pub mod session;
pub mod verdict;

pub use session::{run_program, run_script};
