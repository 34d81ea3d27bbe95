//! A mark of ours in the data of the snap, by which its installation is known.
//!
//! Revision and date of an installed snap change when snapd refreshes it, and snapd forgets its changes after about a day.
//! The data that all revisions of a snap share survives a refresh, a revert and a restart, and goes when the last revision
//! is removed, with or without `--purge`: the mark is there exactly as long as the installation that it was put into.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

use crate::tool::ToolError;

/// snapd's own variable for another root of all its folders.
const SNAPD_ROOT: &str = "SNAPPY_GLOBAL_ROOT";

/// The mark, below that root: one file in the data that all revisions share.
const MARK: &str = "var/snap/microk8s/common/kfe2e-attempt";

fn place() -> PathBuf {
    env::var_os(SNAPD_ROOT).map_or_else(|| PathBuf::from("/"), PathBuf::from).join(MARK)
}

/// What the mark says; `None` where there is none.
pub(super) fn read() -> Result<Option<String>, ToolError> {
    match fs::read_to_string(place()) {
        Ok(text) => Ok(Some(text.trim().to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("reading", &place(), &error)),
    }
}

/// Marks the installed snap.
pub(super) fn write(attempt: &str) -> Result<(), ToolError> {
    // Half a mark would be somebody else's.
    let (place, partial) = (place(), place().with_extension("partial"));
    let written = fs::write(&partial, attempt).and_then(|()| fs::rename(&partial, &place));
    written.map_err(|error| failed("writing", &place, &error))
}

fn failed(doing: &str, place: &Path, error: &io::Error) -> ToolError {
    ToolError::Io { line: format!("{doing} {}", place.display()), reason: error.to_string() }
}
