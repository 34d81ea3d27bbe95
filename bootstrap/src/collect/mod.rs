//! Brings back the evidence: results of tests, logs of every container, objects and events.

pub mod logs;
pub mod objects;
pub mod results;
