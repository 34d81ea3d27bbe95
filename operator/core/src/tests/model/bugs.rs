//! Mistakes that an operator could make, planted into the real decisions: each has to be found.

use crds::v1alpha1::{E2ETest, E2ETestStatus};
use jiff::Timestamp;

use crate::{Effect, Observed, Plan, decide, effect::Target, tests::support::settings};

/// A mistake.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Bug {
    /// None.
    None,
    /// The Job's UID is not written down: a Job that was deleted is made again.
    ForgetsTheJob,
    /// The Job is made in the pass that writes the attempt down.
    ActsBeforeItWrites,
    /// A pod that Succeeded is taken for a pass, whatever the Job says.
    TrustsThePod,
    /// A run that is over is looked at as if it were not.
    ForgetsTheEnd,
    /// Children without an owner.
    LeavesOrphans,
    /// Children in another namespace.
    WritesElsewhere,
    /// An effect that failed once is not tried again.
    GivesUp,
    /// The status says something else every time.
    Chatters,
}

impl Bug {
    /// The decision with the mistake in it.
    pub(super) fn decide(self, test: &E2ETest, observed: &Observed, now: Timestamp) -> Plan {
        let mut test = test.clone();
        let mut observed = observed.clone();
        let status = test.status.get_or_insert_default();
        match self {
            Self::ForgetsTheJob => status.tests.iter_mut().for_each(|entry| entry.job = None),
            Self::ForgetsTheEnd => {
                status.conditions.clear();
                status.completion_time = None;
            }
            Self::ActsBeforeItWrites => {
                test.status = Some(decide(&test, &observed, &settings(), now).status);
            }
            Self::TrustsThePod => observed.attempts.values_mut().for_each(|facts| {
                let ended = facts.pods.iter().any(|pod| {
                    pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Succeeded")
                });
                if let Some(job) = facts.job.as_mut().filter(|_| ended) {
                    job.status =
                        Some(crate::tests::support::yaml("{conditions: [{type: Complete, status: 'True'}]}"));
                }
            }),
            Self::None | Self::LeavesOrphans | Self::WritesElsewhere | Self::GivesUp | Self::Chatters => {}
        }
        let mut plan = decide(&test, &observed, &settings(), now);
        for effect in plan.effects.iter_mut().flat_map(|batch| &mut batch.effects) {
            if let Effect::CreateJob(job) = effect {
                if self == Self::LeavesOrphans {
                    job.metadata.owner_references = None;
                }
                if self == Self::WritesElsewhere {
                    job.metadata.namespace = Some("kube-system".into());
                }
            }
        }
        if self == Self::GivesUp
            && test.status.as_ref().is_some_and(|status| status.tests.iter().any(|test| test.attempt == 2))
        {
            plan.effects.clear();
        }
        plan
    }

    /// The status that is written, with the mistake in it.
    pub(super) fn writes(
        self,
        status: Option<E2ETestStatus>,
        writes: u8,
        stored: &E2ETestStatus,
    ) -> Option<E2ETestStatus> {
        if self != Self::Chatters || crate::is_finished(stored) {
            return status;
        }
        let mut status = status.unwrap_or_else(|| stored.clone());
        status.tests_summary = Some(format!("{writes} writes"));
        Some(status)
    }
}

/// Whether an effect stays within the run: in its namespace, and owned by it.
pub(super) fn stays_within(effect: &Effect) -> (bool, bool) {
    let of = |meta: &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta| {
        let namespace = meta.namespace.as_deref() == Some("profile");
        let free = meta.finalizers.as_ref().is_none_or(Vec::is_empty);
        (namespace, free && crate::build::is_ours(meta, crate::tests::support::RUN_UID))
    };
    match effect {
        Effect::ApplyConfigMap(object) => of(&object.metadata),
        Effect::ApplyPodDefault(object) => of(&object.metadata),
        Effect::CreateJob(job) => of(&job.metadata),
        Effect::StopPod(Target { namespace, .. }) | Effect::SuspendJob(Target { namespace, .. }) => {
            (namespace == "profile", true)
        }
    }
}
