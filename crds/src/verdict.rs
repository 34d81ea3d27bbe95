//! The verdict of one test's pod: JSON that the runner writes to the termination message, for the operator to read.

use serde::{Deserialize, Serialize};

use crate::v1alpha1::TestReason;

/// Version of [`Verdict`]'s format; a reader refuses what it does not know.
pub const SCHEMA_VERSION: i32 = 1;

/// Bytes that Kubernetes keeps of a termination message.
pub const MAX_BYTES: usize = 4096;

/// Longest [`Verdict::message`], in bytes: JSON escapes at most sextuple a byte's length, and the rest of the verdict is small.
pub const MAX_MESSAGE_BYTES: usize = 1024;

/// What the runner found.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    /// [`SCHEMA_VERSION`].
    pub schema_version: i32,
    /// Whether the test passed.
    pub passed: bool,
    /// Why it did not; absent when it passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<TestReason>,
    /// One sentence for people: the cell, the exception and its text, or the exit code.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Counts of a notebook's cells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cells: Option<Cells>,
    /// Counts of the receipt's checks, where there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checks: Option<Checks>,
}

/// How many checks a receipt names, and how many of them are as they should be.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Checks {
    /// As they should be.
    pub passed: i32,
    /// All checks.
    pub total: i32,
}

/// How many code cells a notebook has and what became of them.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Cells {
    /// Ended without an exception.
    pub passed: i32,
    /// Raised, or was running when the kernel died or the time was up: 0 or 1.
    pub failed: i32,
    /// All code cells that are not empty.
    pub total: i32,
}

/// Why a termination message is no verdict.
#[derive(Debug, thiserror::Error)]
pub enum VerdictError {
    /// Not the JSON of a verdict.
    #[error("the termination message is no verdict: {0}")]
    Malformed(#[from] serde_json::Error),
    /// Written by a runner of another version.
    #[error("the verdict has schema version {0}, this operator reads {SCHEMA_VERSION}")]
    UnknownVersion(i32),
    /// Says both that the test passed and why it failed, or neither.
    #[error("the verdict contradicts itself: passed is {passed}, reason is {reason:?}")]
    Contradiction {
        /// What it says of passing.
        passed: bool,
        /// What it says of failing.
        reason: Option<TestReason>,
    },
}

impl Verdict {
    /// The verdict of a test that passed.
    pub const fn passed(cells: Option<Cells>) -> Self {
        Self {
            schema_version: SCHEMA_VERSION,
            passed: true,
            reason: None,
            message: String::new(),
            cells,
            checks: None,
        }
    }

    /// The verdict of a test that did not pass; `message` is cut to [`MAX_MESSAGE_BYTES`].
    pub fn failed(reason: TestReason, message: &str, cells: Option<Cells>) -> Self {
        let message = truncate(message, MAX_MESSAGE_BYTES);
        Self {
            schema_version: SCHEMA_VERSION,
            passed: false,
            reason: Some(reason),
            message,
            cells,
            checks: None,
        }
    }

    /// The JSON to write, within [`MAX_BYTES`]: of a message whose escapes make it too long, less is kept.
    pub fn to_termination_message(&self) -> Result<String, serde_json::Error> {
        let mut shorter = self.clone();
        loop {
            let text = serde_json::to_string(&shorter)?;
            if text.len() <= MAX_BYTES || shorter.message.is_empty() {
                return Ok(text);
            }
            shorter.message = truncate(&shorter.message, shorter.message.len() / 2);
        }
    }

    /// Reads a termination message.
    ///
    /// # Errors
    /// Anything but a whole, known and consistent verdict: a test is never passed by a guess.
    pub fn from_termination_message(text: &str) -> Result<Self, VerdictError> {
        let verdict: Self = serde_json::from_str(text)?;
        if verdict.schema_version != SCHEMA_VERSION {
            return Err(VerdictError::UnknownVersion(verdict.schema_version));
        }
        if verdict.passed == verdict.reason.is_some() {
            return Err(VerdictError::Contradiction { passed: verdict.passed, reason: verdict.reason });
        }
        Ok(verdict)
    }
}

/// The longest prefix of `text` of at most `limit` bytes that ends between characters, marked with `…` where it was cut.
pub fn truncate(text: &str, limit: usize) -> String {
    const MARK: &str = "…";
    if text.len() <= limit {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(limit.saturating_sub(MARK.len()));
    let mut kept = text.get(..end).unwrap_or_default().to_owned();
    if limit >= MARK.len() {
        kept.push_str(MARK);
    }
    kept
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_verdict_round_trips() {
        let cells = Some(Cells { passed: 2, failed: 1, total: 5 });
        for verdict in [
            Verdict::passed(cells),
            Verdict::passed(None),
            Verdict::failed(TestReason::CellFailed, "cell 3: ZeroDivisionError: division by zero", cells),
        ] {
            let text = verdict.to_termination_message().unwrap();
            assert_eq!(Verdict::from_termination_message(&text).unwrap(), verdict);
        }
    }

    #[test]
    fn nothing_else_is_a_verdict() {
        for text in [
            "",
            "ok",
            "{}",
            r#"{"schemaVersion":2,"passed":true}"#,
            r#"{"schemaVersion":1,"passed":true,"reason":"CellFailed"}"#,
            r#"{"schemaVersion":1,"passed":false}"#,
        ] {
            assert!(Verdict::from_termination_message(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_message_fits_and_reads_back(message in "\\PC{0,3000}|[\\x00-\\x1f]{0,3000}") {
            let text = Verdict::failed(TestReason::NonZeroExit, &message, None).to_termination_message().unwrap();
            prop_assert!(text.len() <= MAX_BYTES);
            prop_assert!(Verdict::from_termination_message(&text).is_ok());
        }

        #[test]
        fn truncation_keeps_the_limit(text in "\\PC{0,50}", limit in 0_usize..60) {
            prop_assert!(truncate(&text, limit).len() <= limit);
        }
    }
}
