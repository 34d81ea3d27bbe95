//! What people hand to `kfe2e`, checked before anything is done.

pub mod e2etest;
pub mod schema;
pub mod source;
pub mod yaml;
