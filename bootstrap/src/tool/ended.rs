//! How a program ended: well, or why not.

use std::{process::ExitStatus, time::Duration};

/// Why a program did not do its work.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ToolError {
    /// There is no such program.
    #[error("the program {program} is not installed, or not on the PATH")]
    Missing {
        /// Its name.
        program: String,
    },
    /// It could not be started or waited for.
    #[error("`{line}`: {reason}")]
    Io {
        /// The command line.
        line: String,
        /// What the system says.
        reason: String,
    },
    /// It ended with an error.
    #[error("`{line}` failed: {}", said(.stderr, .status))]
    Failed {
        /// The command line.
        line: String,
        /// How it ended, in words.
        status: String,
        /// What it printed to standard error; where that is nothing, what it printed.
        stderr: String,
    },
    /// It took too long, and was ended.
    #[error("`{line}` did not end within {} s: {}", .limit.as_secs(), said(.stderr, "it printed nothing"))]
    TimedOut {
        /// The command line.
        line: String,
        /// How long it had.
        limit: Duration,
        /// What it printed to standard error until then.
        stderr: String,
    },
    /// The caller asked for its end.
    #[error("`{line}` was cancelled")]
    Cancelled {
        /// The command line.
        line: String,
    },
}

/// The last lines of what a program said, or `nothing`.
fn said(stderr: &str, nothing: &str) -> String {
    let lines: Vec<&str> = stderr.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let last = lines.get(lines.len().saturating_sub(3)..).unwrap_or_default();
    if last.is_empty() { nothing.to_owned() } else { last.join("; ") }
}

/// A program that has ended, well or not.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Ended {
    /// The command line.
    pub line: String,
    /// How it failed, in words; `None` when it succeeded.
    pub failed: Option<String>,
    /// What it printed.
    pub stdout: String,
    /// What it printed to standard error.
    pub stderr: String,
}

impl Ended {
    /// What it printed.
    ///
    /// # Errors
    /// It failed.
    pub fn expect_success(self) -> Result<String, ToolError> {
        let Some(status) = self.failed else { return Ok(self.stdout) };
        // Some programs print their errors like everything else.
        let stderr = if self.stderr.trim().is_empty() { self.stdout } else { self.stderr };
        Err(ToolError::Failed { line: self.line, status, stderr })
    }
}

/// How a program ended.
pub(super) fn in_words(status: ExitStatus) -> String {
    status.code().map_or_else(|| status.to_string(), |code| format!("it exited with code {code}"))
}
