//! Exit codes of `kfe2e`: what a script or CI can tell apart without reading text.

use serde::{Deserialize, Serialize};

use crate::v1alpha1::RunReason;

/// Exit code of `kfe2e`. Stable: CI depends on it.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub enum ExitCode {
    /// Every test passed.
    Succeeded,
    /// A test failed, its own timeout included.
    TestsFailed,
    /// Wrong flags or files: found before any side effect.
    Usage,
    /// Kubeflow never became ready.
    KubeflowNotReady,
    /// Host, cluster, cloud or disk.
    Infrastructure,
    /// The run's own timeout passed.
    TimedOut,
    /// Neither passed nor failed: a test ended without a verdict.
    Inconclusive,
    /// Interrupted, or cancelled by a person.
    Cancelled,
}

impl ExitCode {
    /// Every code, in the order of the documentation.
    pub const ALL: [Self; 8] = [
        Self::Succeeded,
        Self::TestsFailed,
        Self::Usage,
        Self::KubeflowNotReady,
        Self::Infrastructure,
        Self::TimedOut,
        Self::Inconclusive,
        Self::Cancelled,
    ];

    /// The process's exit code.
    pub const fn code(self) -> u8 {
        match self {
            Self::Succeeded => 0,
            Self::TestsFailed => 1,
            Self::Usage => 2,
            Self::KubeflowNotReady => 3,
            Self::Infrastructure => 4,
            Self::TimedOut => 5,
            Self::Inconclusive => 6,
            Self::Cancelled => 130,
        }
    }

    /// The exit code of a finished run; `None` while the reason is not a verdict.
    pub const fn of_verdict(reason: RunReason) -> Option<Self> {
        match reason {
            RunReason::WaitingForKubeflow | RunReason::Running => None,
            RunReason::TestsPassed => Some(Self::Succeeded),
            RunReason::TestsFailed => Some(Self::TestsFailed),
            RunReason::KubeflowNotReady => Some(Self::KubeflowNotReady),
            RunReason::TimedOut => Some(Self::TimedOut),
            RunReason::Cancelled => Some(Self::Cancelled),
            RunReason::InvalidSpec => Some(Self::Usage),
            RunReason::Inconclusive => Some(Self::Inconclusive),
            RunReason::InfrastructureError => Some(Self::Infrastructure),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_the_documented_ones() {
        let codes: Vec<u8> = ExitCode::ALL.iter().map(|code| code.code()).collect();
        assert_eq!(codes, [0, 1, 2, 3, 4, 5, 6, 130]);
    }

    #[test]
    fn only_a_verdict_has_an_exit_code() {
        for reason in RunReason::ALL {
            assert_eq!(ExitCode::of_verdict(reason).is_some(), reason.is_verdict(), "{reason}");
        }
    }

    #[test]
    fn only_passed_tests_exit_with_zero() {
        for reason in RunReason::ALL {
            let zero = ExitCode::of_verdict(reason).is_some_and(|code| code.code() == 0);
            assert_eq!(zero, reason == RunReason::TestsPassed, "{reason}");
        }
    }
}
