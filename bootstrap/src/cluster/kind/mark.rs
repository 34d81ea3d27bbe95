//! The mark of one attempt at a cluster: everything that belongs to it carries it, and nothing else in the world does.
//!
//! `kind` gives no way to label its containers, but it mounts into its nodes what its configuration names. So each node
//! has one mount of nothing at a path with the mark in it, which `inspect` shows, whoever asks and for as long as the
//! container is there. The programs at work carry the mark as a variable.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A mark.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(transparent)]
pub(super) struct Mark(String);

impl Mark {
    /// One that nothing carries yet.
    pub(super) fn fresh() -> Self {
        Self(Uuid::new_v4().to_string())
    }

    /// The mark as it is written.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// Where a marked node has its mount.
    pub(super) fn place(&self) -> String {
        format!("/kfe2e/{}", self.0)
    }
}

#[cfg(test)]
impl From<&str> for Mark {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}
