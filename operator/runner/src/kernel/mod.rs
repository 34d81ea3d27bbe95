//! A Jupyter kernel: finding, starting, talking to and ending it.

pub mod client;
pub mod connection;
pub mod process;
pub mod search;
pub mod spec;
