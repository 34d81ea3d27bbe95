//! What all formats have in common: a version that a reader knows, or refuses with a sentence.

use serde::de::DeserializeOwned;
use serde_json::Value;

/// Why a text cannot be read as one of our formats.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// It is none.
    #[error("no {what}: {source}")]
    Malformed {
        /// What it should be.
        what: &'static str,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// It has no version.
    #[error("no {what}: it has no schemaVersion")]
    NoVersion {
        /// What it should be.
        what: &'static str,
    },
    /// It was written by another version of this project.
    #[error("a {what} of schema version {found}, and only {known} is known: use the kfe2e that wrote it")]
    UnknownVersion {
        /// What it is.
        what: &'static str,
        /// Its version.
        found: i64,
        /// The one that can be read.
        known: i32,
    },
}

/// Reads a text whose `schemaVersion` is `known`. The version comes first: of another one nothing else can be judged.
pub(crate) fn read<T: DeserializeOwned>(
    text: &str,
    what: &'static str,
    known: i32,
) -> Result<T, FormatError> {
    let malformed = |source| FormatError::Malformed { what, source };
    let value: Value = serde_json::from_str(text).map_err(malformed)?;
    match value.get("schemaVersion").and_then(Value::as_i64) {
        None => Err(FormatError::NoVersion { what }),
        Some(found) if found != i64::from(known) => Err(FormatError::UnknownVersion { what, found, known }),
        Some(_) => serde_json::from_value(value).map_err(malformed),
    }
}
