//! Progress of a notebook, as the `results` sidecar tells it over its own log while the test runs: one JSON object a line.
//!
//! Each line holds all there is to say, so that one that is lost or passed over costs nothing. It is shown and never judged:
//! the verdict comes from elsewhere.

use serde::{Deserialize, Serialize};

/// Version of [`Progress`]' format.
pub const SCHEMA_VERSION: i32 = 1;

/// Longest line, in bytes: what is longer is no progress.
pub const MAX_LINE: usize = 256;

/// Where a notebook is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Progress {
    /// [`SCHEMA_VERSION`]; the name tells progress from other lines of a log.
    pub kfe2e_progress: i32,
    /// Code cells that ended without an exception.
    pub passed: i32,
    /// Code cells that raised.
    pub failed: i32,
    /// All code cells that are not empty.
    pub total: i32,
    /// Number of the cell that runs, counted as in messages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<i32>,
}

impl Progress {
    /// So many cells passed of so many, and this one runs.
    pub const fn of(passed: i32, total: i32, current: Option<i32>) -> Self {
        Self { kfe2e_progress: SCHEMA_VERSION, passed, failed: 0, total, current }
    }

    /// The line, without its end.
    pub fn to_line(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }

    /// The progress that a line tells; `None` for any other line, and for numbers that cannot be.
    pub fn from_line(line: &[u8]) -> Option<Self> {
        if line.len() > MAX_LINE {
            return None;
        }
        let progress: Self = serde_json::from_slice(line).ok()?;
        let Self { kfe2e_progress, passed, failed, total, current } = progress;
        let counts =
            passed >= 0 && failed >= 0 && passed.checked_add(failed).is_some_and(|done| done <= total);
        let known = kfe2e_progress == SCHEMA_VERSION;
        (known && counts && current.is_none_or(|current| (1..=total).contains(&current))).then_some(progress)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn progress_round_trips_on_one_short_line() {
        for progress in [Progress::of(0, 5, Some(1)), Progress::of(i32::MAX, i32::MAX, None)] {
            let line = progress.to_line().unwrap();
            assert!(line.len() <= MAX_LINE && !line.contains('\n'));
            assert_eq!(Progress::from_line(line.as_bytes()), Some(progress));
        }
    }

    #[test]
    fn what_cannot_be_is_no_progress() {
        for line in [
            "",
            "waiting",
            "{}",
            r#"{"kfe2eProgress":2,"passed":0,"failed":0,"total":1}"#,
            r#"{"kfe2eProgress":1,"passed":2,"failed":0,"total":1}"#,
            r#"{"kfe2eProgress":1,"passed":2147483647,"failed":1,"total":1}"#,
            r#"{"kfe2eProgress":1,"passed":-1,"failed":0,"total":1}"#,
            r#"{"kfe2eProgress":1,"passed":0,"failed":0,"total":1,"current":2}"#,
            r#"{"kfe2eProgress":1,"passed":0,"failed":0,"total":1,"more":1}"#,
        ] {
            assert_eq!(Progress::from_line(line.as_bytes()), None, "{line}");
        }
        let long =
            format!(r#"{{"kfe2eProgress":1,"passed":0,"failed":0,"total":1{}}}"#, " ".repeat(MAX_LINE));
        assert_eq!(Progress::from_line(long.as_bytes()), None);
    }

    proptest! {
        #[test]
        fn no_line_makes_it_panic(line in prop::collection::vec(any::<u8>(), 0..300)) {
            Progress::from_line(&line);
        }
    }
}
