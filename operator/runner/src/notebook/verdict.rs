//! What a notebook's end means.

use crds::{
    v1alpha1::TestReason,
    verdict::{Cells, Verdict, truncate},
};
use nix::sys::signal::Signal;

use super::{document::CodeCell, execute::Raised};
use crate::{ansi::one_line, children::Exit, kernel::process::Death, stop::Stop};

/// Bytes of an exception's text in the verdict, so that there is room for where it was raised.
const VALUE_BYTES: usize = 700;

/// Bytes of a cell's first line.
const FIRST_LINE_BYTES: usize = 100;

/// How the execution of a notebook ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum End {
    /// Every cell passed.
    Finished,
    /// There is nothing to execute, or nothing that is a notebook.
    NotRunnable(String),
    /// What the test asks for cannot be installed.
    NoRequirements(Verdict),
    /// The kernel is missing, cannot be started or be talked to.
    NoKernel(String),
    /// A cell raised.
    Raised(CodeCell, Raised),
    /// The kernel ended.
    Died {
        /// The cell that ran; none while the kernel started.
        cell: Option<CodeCell>,
        /// Its end.
        death: Death,
        /// Whether the container's memory limit was hit meanwhile.
        out_of_memory: bool,
    },
    /// Somebody or the clock stopped it.
    Stopped {
        /// The cell that ran; none while the kernel started.
        cell: Option<CodeCell>,
        /// Why.
        stop: Stop,
    },
}

/// The verdict. `passed` cells had passed by then, of `total`.
pub fn verdict(end: &End, passed: i32, total: i32) -> Verdict {
    let count = |failed: i32| Some(Cells { passed, failed, total });
    match end {
        End::Finished => Verdict::passed(count(0)),
        End::NotRunnable(why) => Verdict::failed(TestReason::NonZeroExit, why, None),
        End::NoRequirements(found) => Verdict { cells: count(0), ..found.clone() },
        End::NoKernel(why) => Verdict::failed(TestReason::KernelDied, why, count(0)),
        End::Raised(cell, raised) => {
            let value = truncate(&one_line(&raised.value), VALUE_BYTES);
            let raised = match (raised.name.as_str(), value.as_str()) {
                (name, "") => name.to_owned(),
                (name, value) => format!("{name}: {value}"),
            };
            let message = format!("cell {}: {raised} ({})", cell.number, begins(cell));
            Verdict::failed(TestReason::CellFailed, &message, count(1))
        }
        End::Died { cell, death, out_of_memory } => {
            let reason = if *out_of_memory { TestReason::OOMKilled } else { TestReason::KernelDied };
            let message = match cell {
                Some(cell) => {
                    format!(
                        "cell {}: the kernel ended with {} ({})",
                        cell.number,
                        how(death, *out_of_memory),
                        begins(cell)
                    )
                }
                None => format!("the kernel ended before it was ready with {}", how(death, *out_of_memory)),
            };
            Verdict::failed(reason, &with_last_words(message, death), count(i32::from(cell.is_some())))
        }
        End::Stopped { cell, stop } => {
            let message = match (cell, stop) {
                (Some(cell), Stop::TimedOut(_)) => format!("cell {}: {stop} ({})", cell.number, begins(cell)),
                (Some(cell), Stop::Terminated) => {
                    format!(
                        "stopped while cell {} ran: the pod was told to end ({})",
                        cell.number,
                        begins(cell)
                    )
                }
                (None, _) => format!("the kernel was not ready: {stop}"),
            };
            Verdict::failed(TestReason::TimedOut, &message, count(i32::from(cell.is_some())))
        }
    }
}

/// A cell's first line, by which people know it.
fn begins(cell: &CodeCell) -> String {
    let first = cell.source.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    format!("the cell begins: {}", truncate(&one_line(first), FIRST_LINE_BYTES))
}

/// How the kernel ended, with the cause where it is known or likely.
fn how(death: &Death, out_of_memory: bool) -> String {
    let cause = match (death.exit, out_of_memory) {
        (_, true) => ": the container's memory limit was hit",
        (Exit::Signal(Signal::SIGKILL), false) => ", as when memory runs out",
        _ => "",
    };
    format!("{}{cause}", death.exit)
}

/// Adds what the kernel printed last.
fn with_last_words(message: String, death: &Death) -> String {
    if death.last_words.is_empty() { message } else { format!("{message}: {}", one_line(&death.last_words)) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn cell() -> CodeCell {
        CodeCell { index: 4, number: 3, source: "\n# train\nfit()".into(), may_raise: false, skipped: false }
    }

    fn raised(name: &str, value: &str) -> End {
        End::Raised(cell(), Raised { name: name.into(), value: value.into() })
    }

    fn died(exit: Exit, cell: Option<CodeCell>, words: &str, out_of_memory: bool) -> End {
        End::Died { cell, death: Death { exit, last_words: words.into() }, out_of_memory }
    }

    #[test]
    fn each_end_has_its_reason_and_sentence() {
        let minute = Stop::TimedOut(Duration::from_mins(1));
        for (end, reason, sentence, failed) in [
            (
                raised("ZeroDivisionError", "division by zero"),
                TestReason::CellFailed,
                "cell 3: ZeroDivisionError: division by zero (the cell begins: # train)",
                1,
            ),
            (
                raised("AssertionError", ""),
                TestReason::CellFailed,
                "cell 3: AssertionError (the cell begins: # train)",
                1,
            ),
            (
                raised("E", "\u{1b}[31ma\n  b\u{1b}[0m"),
                TestReason::CellFailed,
                "cell 3: E: a b (the cell begins: # train)",
                1,
            ),
            (
                died(Exit::Signal(Signal::SIGKILL), Some(cell()), "", false),
                TestReason::KernelDied,
                "cell 3: the kernel ended with signal 9 (SIGKILL), as when memory runs out (the cell begins: # train)",
                1,
            ),
            (
                died(Exit::Signal(Signal::SIGKILL), Some(cell()), "", true),
                TestReason::OOMKilled,
                "cell 3: the kernel ended with signal 9 (SIGKILL): the container's memory limit was hit (the cell begins: # train)",
                1,
            ),
            (
                died(Exit::Code(1), None, "No module named ipykernel", false),
                TestReason::KernelDied,
                "the kernel ended before it was ready with exit code 1: No module named ipykernel",
                0,
            ),
            (
                End::Stopped { cell: Some(cell()), stop: minute },
                TestReason::TimedOut,
                "cell 3: not finished within the test's timeout of 60 s (the cell begins: # train)",
                1,
            ),
            (
                End::Stopped { cell: Some(cell()), stop: Stop::Terminated },
                TestReason::TimedOut,
                "stopped while cell 3 ran: the pod was told to end (the cell begins: # train)",
                1,
            ),
            (
                End::Stopped { cell: None, stop: minute },
                TestReason::TimedOut,
                "the kernel was not ready: not finished within the test's timeout of 60 s",
                0,
            ),
            (End::NoKernel("no kernel".into()), TestReason::KernelDied, "no kernel", 0),
        ] {
            let verdict = verdict(&end, 2, 5);
            assert_eq!((verdict.reason, verdict.message.as_str()), (Some(reason), sentence));
            assert_eq!(verdict.cells, Some(Cells { passed: 2, failed, total: 5 }), "{sentence}");
        }
    }

    #[test]
    fn only_the_end_of_the_last_cell_is_a_pass() {
        assert!(verdict(&End::Finished, 5, 5).passed);
        assert!(!verdict(&End::NotRunnable("empty".into()), 0, 0).passed);
    }

    #[test]
    fn a_long_exception_leaves_room_for_its_place() {
        let message = verdict(&raised("E", &"x".repeat(5000)), 2, 5).message;
        assert!(message.ends_with("(the cell begins: # train)"), "{message}");
    }
}
