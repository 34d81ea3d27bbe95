//! The operator under faults: one real API server, a stand-in for its node, an operator process and a proxy for each case,
//! and invariants over everything that happened.

pub mod case;
pub mod control_plane;
pub mod history;
pub mod invariants;
pub mod judge;
pub mod matrix;
pub mod node;
pub mod operator;
pub mod outcome;
pub mod planted;
mod play;
pub mod restored;
pub mod score;
pub mod world;
