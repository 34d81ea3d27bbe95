//! The commands beside `run`, one file each.

pub mod assets;
pub mod down;
pub mod image;
pub mod inventory;
pub mod up;
