//! Reasons: closed sets, because people and scripts match on them.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An enum whose variants are their own wire names, with the list of all of them.
macro_rules! reasons {
    ($(#[$meta:meta])* $name:ident { $($(#[$variant_meta:meta])* $variant:ident,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, JsonSchema, Ord, PartialEq, PartialOrd, Serialize)]
        pub enum $name {
            $($(#[$variant_meta])* $variant,)+
        }

        impl $name {
            /// Every reason, in the order of the documentation.
            pub const ALL: [Self; [$(Self::$variant),+].len()] = [$(Self::$variant),+];

            /// The reason as it stands in conditions and status.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => stringify!($variant),)+
                }
            }

            /// The reason of that name.
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.into_iter().find(|reason| reason.as_str() == name)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(self.as_str())
            }
        }
    };
}

reasons! {
    /// Reason of the conditions `Finished` and `Succeeded`.
    RunReason {
        /// The gate is closed.
        WaitingForKubeflow,
        /// Tests are being started or run.
        Running,
        /// Every test passed.
        TestsPassed,
        /// A test failed.
        TestsFailed,
        /// Kubeflow was not ready within the gate's timeout.
        KubeflowNotReady,
        /// The run's own timeout passed.
        TimedOut,
        /// A person set `spec.cancel`.
        Cancelled,
        /// The spec passed the API server's rules and still cannot be run; the message says which field.
        InvalidSpec,
        /// A test ended with neither a pass nor a failure.
        Inconclusive,
        /// The cluster kept a test from running.
        InfrastructureError,
    }
}

reasons! {
    /// Reason of the condition `KubeflowReady`.
    GateReason {
        /// Everything under the gate has been ready for `stableFor`.
        Ready,
        /// Something is not ready yet.
        Waiting,
        /// It was ready and is not any more.
        Lapsed,
        /// It was not ready within the gate's timeout.
        TimedOut,
        /// The spec has no gate.
        NotRequested,
    }
}

reasons! {
    /// Why a test did not pass.
    TestReason {
        /// A cell of the notebook raised.
        CellFailed,
        /// The script or program ended with an exit code other than 0.
        NonZeroExit,
        /// The kernel ended a container of the test for its memory limit.
        OOMKilled,
        /// The notebook's kernel ended, could not be started, or is not in the image.
        KernelDied,
        /// The test's own timeout passed.
        TimedOut,
        /// The receipt says that a check failed.
        ReceiptFailed,
        /// An image of the test's pod cannot be had.
        ImagePullFailed,
        /// No node takes the pod.
        Unschedulable,
        /// The API server, a quota or a webhook refuses the pod.
        PodCreationRefused,
        /// The pod did not start within `startTimeout`, for no more precise reason.
        StartTimedOut,
        /// The PodDefault did not reach the pod as it should have.
        PodDefaultNotInjected,
        /// The node evicted or lost the pod.
        Evicted,
        /// The Job or its pod was deleted by someone else.
        JobVanished,
        /// A receipt is required and there is none.
        NoReceipt,
        /// The container ended with exit code 0 and without a readable verdict.
        NoVerdict,
    }
}

impl RunReason {
    /// What a person does about it.
    pub const fn advice(self) -> &'static str {
        match self {
            Self::WaitingForKubeflow => "Wait, or look at `status.kubeflow.components` for what blocks.",
            Self::Running => "Wait, or look at `status.tests`.",
            Self::TestsPassed => "Nothing.",
            Self::TestsFailed => "Look at the reason and message of the tests in `status.tests` that failed.",
            Self::KubeflowNotReady => {
                "Repair what `status.kubeflow.components` says is blocking, or give the gate a longer `timeout`."
            }
            Self::TimedOut => "Give `spec.timeout` more time, or `maxParallel` more tests at once.",
            Self::Cancelled => "Create a new E2ETest to run the tests again.",
            Self::InvalidSpec => "Correct the field that the message names, in a new E2ETest.",
            Self::Inconclusive => {
                "Look at the tests in `status.tests` that are Inconclusive: nobody knows whether they passed."
            }
            Self::InfrastructureError => {
                "Repair what kept the tests from running: see the tests in `status.tests` whose state is Error."
            }
        }
    }

    /// Whether the run is over with this reason.
    pub const fn is_verdict(self) -> bool {
        !matches!(self, Self::WaitingForKubeflow | Self::Running)
    }
}

impl GateReason {
    /// What a person does about it.
    pub const fn advice(self) -> &'static str {
        match self {
            Self::Ready | Self::NotRequested => "Nothing.",
            Self::Waiting => "Wait, or repair what the message says is blocking.",
            Self::Lapsed => {
                "Find out what became unready: it does not change the verdict by itself, but may explain it."
            }
            Self::TimedOut => {
                "Repair what the message says is blocking, or give the gate a longer `timeout`."
            }
        }
    }
}

impl TestReason {
    /// What a person does about it.
    pub const fn advice(self) -> &'static str {
        match self {
            Self::CellFailed => {
                "Look at the executed notebook: the message names the cell and the exception."
            }
            Self::NonZeroExit => "Look at the log: the message holds its last line.",
            Self::OOMKilled => "Give the test a higher `resources.limits.memory`, or let it need less.",
            Self::KernelDied => {
                "Install the kernel that the notebook names into the image, or look at the log for why it ended."
            }
            Self::TimedOut => {
                "Give the test a longer `timeout`, or find out where it hangs: the message names the cell or the last line."
            }
            Self::ReceiptFailed => "Look at the check that the message names.",
            Self::ImagePullFailed => "Correct `image`, or give the node access to its registry.",
            Self::Unschedulable => "Make room, or ask for less: the message is the scheduler's.",
            Self::PodCreationRefused => {
                "Do what the message asks for: it is the API server's, the quota's or the webhook's."
            }
            Self::StartTimedOut => {
                "Give the test a longer `startTimeout`, or repair what the message says the pod waits for."
            }
            Self::PodDefaultNotInjected => {
                "Repair Kubeflow's PodDefault webhook, or the label of the namespace by which it selects it."
            }
            Self::Evicted => "Run the test again, with `retries` or on a node that has room.",
            Self::JobVanished => "Find out who deleted the Job or its pod, and run the test again.",
            Self::NoReceipt => {
                "Let the test write a receipt with at least one check to `$E2E_RECEIPT`, or set `receipt: Optional`."
            }
            Self::NoVerdict => {
                "Look at the log: the test's container ended without the runner having judged it."
            }
        }
    }

    /// The verdict that one such test leads a run to.
    pub const fn verdict(self) -> RunReason {
        match self {
            Self::CellFailed
            | Self::NonZeroExit
            | Self::OOMKilled
            | Self::KernelDied
            | Self::TimedOut
            | Self::ReceiptFailed => RunReason::TestsFailed,
            Self::ImagePullFailed
            | Self::Unschedulable
            | Self::PodCreationRefused
            | Self::StartTimedOut
            | Self::PodDefaultNotInjected
            | Self::Evicted
            | Self::JobVanished => RunReason::InfrastructureError,
            Self::NoReceipt | Self::NoVerdict => RunReason::Inconclusive,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lists are API: a reason may be added, none may go or change its name.
    #[test]
    fn the_golden_lists_hold() {
        let names = |all: &[&'static str]| all.join(" ");
        assert_eq!(
            names(&RunReason::ALL.map(RunReason::as_str)),
            "WaitingForKubeflow Running TestsPassed TestsFailed KubeflowNotReady TimedOut Cancelled InvalidSpec \
             Inconclusive InfrastructureError"
        );
        assert_eq!(
            names(&GateReason::ALL.map(GateReason::as_str)),
            "Ready Waiting Lapsed TimedOut NotRequested"
        );
        assert_eq!(
            names(&TestReason::ALL.map(TestReason::as_str)),
            "CellFailed NonZeroExit OOMKilled KernelDied TimedOut ReceiptFailed ImagePullFailed Unschedulable \
             PodCreationRefused StartTimedOut PodDefaultNotInjected Evicted JobVanished NoReceipt NoVerdict"
        );
    }

    #[test]
    fn the_wire_name_is_the_variant() {
        for reason in TestReason::ALL {
            assert_eq!(serde_json::to_string(&reason).unwrap(), format!("\"{reason}\""));
            assert_eq!(TestReason::from_name(reason.as_str()), Some(reason));
        }
    }

    #[test]
    fn no_reason_of_a_test_leads_to_a_pass() {
        for reason in TestReason::ALL {
            assert_ne!(reason.verdict(), RunReason::TestsPassed, "{reason}");
        }
    }
}
