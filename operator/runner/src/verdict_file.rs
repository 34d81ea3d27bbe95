//! Writes the verdict: as termination message for the operator, as file for the report.

use std::{
    fs::OpenOptions,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use crds::{
    names::pod,
    verdict::{Cells, Verdict},
};

use crate::whole_file;

/// Why a verdict could not be written.
#[derive(Debug, thiserror::Error)]
pub enum VerdictFileError {
    /// It is no JSON.
    #[error("the verdict cannot be put into JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// A file cannot be written; without the termination message the operator counts the test as inconclusive.
    #[error("the verdict cannot be written to {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Writes the termination message, which decides what the test's end counts as.
pub fn tell(verdict: &Verdict, termination_log: &Path) -> Result<(), VerdictFileError> {
    let text = verdict.to_termination_message()?;
    overwrite(termination_log, &text)
        .map_err(|source| VerdictFileError::Write { path: termination_log.to_owned(), source })
}

/// Writes the same into the results, for the report.
pub fn keep(verdict: &Verdict, results: &Path) -> Result<(), VerdictFileError> {
    let text = verdict.to_termination_message()?;
    let path = results.join(pod::VERDICT_FILE);
    whole_file::replace(&path, |writer| writer.write_all(text.as_bytes()))
        .map_err(|source| VerdictFileError::Write { path, source })
}

/// Overwrites in place: Kubernetes mounts the one file, so that it cannot be replaced by a rename.
fn overwrite(path: &Path, text: &str) -> io::Result<()> {
    OpenOptions::new().write(true).create(true).truncate(true).open(path)?.write_all(text.as_bytes())
}

/// The verdict as a person reads it at the end of the log.
pub fn sentence(verdict: &Verdict) -> String {
    let cells = verdict.cells.map_or_else(String::new, |Cells { passed, total, .. }| {
        format!(" ({passed} of {total} cells passed)")
    });
    match verdict.reason {
        None => format!("passed{cells}"),
        Some(reason) => format!("failed: {reason}: {}{cells}", verdict.message),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use crds::v1alpha1::TestReason;

    use super::*;

    #[test]
    fn both_files_hold_the_same_verdict() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("termination-log");
        fs::write(&log, "something longer that was there before, to be overwritten whole".repeat(9)).unwrap();
        let verdict = Verdict::failed(TestReason::NonZeroExit, "exit code 3: no", None);
        tell(&verdict, &log).unwrap();
        keep(&verdict, folder.path()).unwrap();
        for path in [log, folder.path().join(pod::VERDICT_FILE)] {
            assert_eq!(
                Verdict::from_termination_message(&fs::read_to_string(path).unwrap()).unwrap(),
                verdict
            );
        }
    }

    #[test]
    fn a_file_that_cannot_be_written_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("no");
        let verdict = Verdict::passed(None);
        let error = tell(&verdict, &missing.join("log")).unwrap_err();
        assert!(error.to_string().contains("no/log: "), "{error}");
        let error = keep(&verdict, &missing).unwrap_err();
        assert!(error.to_string().contains("no/verdict.json: "), "{error}");
    }

    #[test]
    fn the_sentence_says_it_all() {
        let cells = Some(Cells { passed: 2, failed: 1, total: 4 });
        assert_eq!(
            sentence(&Verdict::failed(TestReason::CellFailed, "cell 3: E: x", cells)),
            "failed: CellFailed: cell 3: E: x (2 of 4 cells passed)"
        );
        assert_eq!(sentence(&Verdict::passed(None)), "passed");
    }
}
