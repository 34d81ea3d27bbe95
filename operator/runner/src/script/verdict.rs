//! What a script's end means.

use crds::{
    v1alpha1::TestReason,
    verdict::{Verdict, truncate},
};
use nix::sys::signal::Signal;

use crate::{children::Exit, stop::Stop};

/// Bytes of the last line that the verdict tells.
const LAST_LINE_BYTES: usize = 800;

/// How a script ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum End {
    /// There is nothing to run.
    NotRunnable(String),
    /// The program is not in the image: what it is, and its name.
    NoProgram(String),
    /// The program is there and cannot be run.
    BadProgram(String, String),
    /// It ended.
    Exited {
        /// How.
        exit: Exit,
        /// Whether the container's memory limit was hit meanwhile.
        out_of_memory: bool,
    },
    /// Somebody or the clock stopped it.
    Stopped(Stop),
}

/// The verdict; `last_line` is what the script printed last.
pub fn verdict(end: &End, last_line: Option<&str>) -> Verdict {
    let last = last_line.map_or_else(String::new, |line| format!(": {}", truncate(line, LAST_LINE_BYTES)));
    let (reason, message) = match end {
        End::Exited { exit: Exit::Code(0), .. } => return Verdict::passed(None),
        End::NotRunnable(why) => (TestReason::NonZeroExit, why.clone()),
        // The codes are those of a shell.
        End::NoProgram(name) if name.contains('/') => {
            (TestReason::NonZeroExit, format!("exit code 127: {name} is not in the image"))
        }
        End::NoProgram(name) => {
            (TestReason::NonZeroExit, format!("exit code 127: {name} is not in the image's PATH"))
        }
        End::BadProgram(name, why) => {
            (TestReason::NonZeroExit, format!("exit code 126: {name} cannot be run: {why}"))
        }
        End::Exited { exit: exit @ Exit::Signal(Signal::SIGKILL), out_of_memory: true } => {
            (TestReason::OOMKilled, format!("{exit}: the container's memory limit was hit{last}"))
        }
        End::Exited { exit: exit @ Exit::Signal(Signal::SIGKILL), .. } => {
            (TestReason::NonZeroExit, format!("ended by {exit}, as when memory runs out{last}"))
        }
        End::Exited { exit: exit @ Exit::Signal(_), .. } => {
            (TestReason::NonZeroExit, format!("ended by {exit}{last}"))
        }
        End::Exited { exit, .. } => (TestReason::NonZeroExit, format!("{exit}{last}")),
        End::Stopped(stop) => (
            TestReason::TimedOut,
            format!("{stop}; last line{}", if last.is_empty() { ": none" } else { &last }),
        ),
    };
    Verdict::failed(reason, &message, None)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn exited(exit: Exit) -> End {
        End::Exited { exit, out_of_memory: false }
    }

    #[test]
    fn each_end_has_its_reason_and_sentence() {
        let killed = Exit::Signal(Signal::SIGKILL);
        for (end, last, reason, sentence) in [
            (
                exited(Exit::Code(1)),
                Some("ValueError: no"),
                TestReason::NonZeroExit,
                "exit code 1: ValueError: no",
            ),
            (exited(Exit::Code(3)), None, TestReason::NonZeroExit, "exit code 3"),
            (
                exited(Exit::Signal(Signal::SIGSEGV)),
                None,
                TestReason::NonZeroExit,
                "ended by signal 11 (SIGSEGV)",
            ),
            (
                exited(killed),
                Some("epoch 3"),
                TestReason::NonZeroExit,
                "ended by signal 9 (SIGKILL), as when memory runs out: epoch 3",
            ),
            (
                End::Exited { exit: killed, out_of_memory: true },
                None,
                TestReason::OOMKilled,
                "signal 9 (SIGKILL): the container's memory limit was hit",
            ),
            (
                End::NoProgram("interpreter \"ruby\"".into()),
                None,
                TestReason::NonZeroExit,
                "exit code 127: interpreter \"ruby\" is not in the image's PATH",
            ),
            (
                End::Stopped(Stop::TimedOut(Duration::from_secs(9))),
                Some("waiting"),
                TestReason::TimedOut,
                "not finished within the test's timeout of 9 s; last line: waiting",
            ),
        ] {
            let verdict = verdict(&end, last);
            assert_eq!((verdict.reason, verdict.message.as_str()), (Some(reason), sentence));
        }
    }

    #[test]
    fn only_exit_code_0_passes() {
        assert!(verdict(&exited(Exit::Code(0)), Some("noise")).passed);
        for exit in [Exit::Code(1), Exit::Code(255), Exit::Unknown, Exit::Signal(Signal::SIGTERM)] {
            assert!(!verdict(&exited(exit), None).passed, "{exit}");
        }
    }
}
