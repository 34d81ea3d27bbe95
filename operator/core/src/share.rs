//! The cap on pods that run at once over all runs: who may start how many more.
//!
//! Free places go one by one to whoever has the fewest: first the namespace, then the run, then the older of two. So a run
//! with many tests cannot keep others waiting, and among equals the first to come is the first served.

use std::{cmp::Reverse, collections::BinaryHeap, collections::HashMap};

use crds::v1alpha1::{ConditionType, E2ETest, E2ETestStatus, TestState, find};
use jiff::Timestamp;

use crate::decide::is_finished;

/// What a run takes up of the places, and would like to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Claim {
    /// UID of the run.
    pub uid: String,
    /// Name of the run.
    pub name: String,
    /// Namespace in which its tests run.
    pub namespace: String,
    /// When it was created.
    pub since: Option<Timestamp>,
    /// Tests with an attempt that is not over.
    pub running: usize,
    /// Tests that it could start at once.
    pub waiting: usize,
}

impl Claim {
    /// The claim of a run as its status tells it; a run that is over has none.
    pub fn of(test: &E2ETest) -> Option<Self> {
        match &test.status {
            Some(status) => Self::with(test, status),
            None => Self::with(test, &E2ETestStatus::default()),
        }
    }

    /// The claim of a run with this status.
    pub fn with(test: &E2ETest, status: &E2ETestStatus) -> Option<Self> {
        if is_finished(status) || test.metadata.deletion_timestamp.is_some() {
            return None;
        }
        let running = status.tests.iter().filter(|entry| entry.state == TestState::Running).count();
        let over = status.tests.iter().filter(|entry| entry.state.is_final()).count();
        let left = test.spec.tests.len().saturating_sub(running + over);
        let at_once = usize::try_from(test.spec.max_parallel).unwrap_or_default().saturating_sub(running);
        let stopped = test.spec.cancel || !may_start(test, status);
        Some(Self {
            uid: test.metadata.uid.clone()?,
            name: test.metadata.name.clone()?,
            namespace: test.spec.target_namespace.clone(),
            since: test.metadata.creation_timestamp.as_ref().map(|time| time.0),
            running,
            waiting: if stopped { 0 } else { left.min(at_once) },
        })
    }

    /// The same claim of a run whose gate is about to be judged: as if it were open.
    #[must_use]
    pub fn as_if_open(self, test: &E2ETest) -> Self {
        let at_once = usize::try_from(test.spec.max_parallel).unwrap_or_default();
        Self {
            waiting: test.spec.tests.len().min(at_once).saturating_sub(self.running).max(self.waiting),
            ..self
        }
    }
}

/// Whether the run's gate let tests start when it was last looked at.
fn may_start(test: &E2ETest, status: &E2ETestStatus) -> bool {
    test.spec.kubeflow.is_none()
        || status.tests.iter().any(|entry| entry.attempt > 0)
        || find(&status.conditions, ConditionType::KubeflowReady)
            .is_some_and(|condition| condition.status == "True")
}

/// How many more tests each run may start under a cap of `cap`, in the order of `claims`.
pub fn shares(cap: usize, claims: &[&Claim]) -> Vec<usize> {
    let running: usize = claims.iter().map(|claim| claim.running).sum();
    let waiting: usize = claims.iter().map(|claim| claim.waiting).sum();
    let mut free = cap.saturating_sub(running);
    if waiting <= free {
        return claims.iter().map(|claim| claim.waiting).collect();
    }
    let mut in_namespace = HashMap::<&str, usize>::new();
    for claim in claims {
        *in_namespace.entry(&claim.namespace).or_default() += claim.running;
    }
    let count =
        |all: &HashMap<&str, usize>, claim: &Claim| all.get(claim.namespace.as_str()).copied().unwrap_or(0);
    let mut given = vec![0; claims.len()];
    let mut queue: BinaryHeap<_> = claims
        .iter()
        .enumerate()
        .filter(|(_, claim)| claim.waiting > 0)
        .map(|(place, claim)| {
            Reverse((count(&in_namespace, claim), claim.running, claim.since, &claim.uid, place))
        })
        .collect();
    while free > 0
        && let Some(Reverse((namespace, running, since, uid, place))) = queue.pop()
    {
        let (Some(claim), Some(share)) = (claims.get(place), given.get_mut(place)) else { continue };
        let now_in_namespace = count(&in_namespace, claim);
        if now_in_namespace == namespace {
            *share += 1;
            free -= 1;
            *in_namespace.entry(&claim.namespace).or_default() += 1;
        }
        if *share < claim.waiting {
            let running = if now_in_namespace == namespace { running + 1 } else { running };
            queue.push(Reverse((count(&in_namespace, claim), running, since, uid, place)));
        }
    }
    given
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn claim(number: usize, namespace: &str, running: usize, waiting: usize) -> Claim {
        Claim {
            uid: format!("uid-{number}"),
            name: format!("run-{number}"),
            namespace: namespace.to_owned(),
            since: Timestamp::from_second(i64::try_from(number).unwrap()).ok(),
            running,
            waiting,
        }
    }

    #[test]
    fn places_go_to_whoever_has_the_fewest() {
        for (what, cap, claims, expected) in [
            ("enough for all", 9, vec![(1, "a", 2, 3), (2, "b", 0, 4)], vec![3, 4]),
            ("the older of two equals", 1, vec![(2, "b", 0, 4), (1, "a", 0, 4)], vec![0, 1]),
            ("nobody is starved by a big one", 5, vec![(1, "a", 3, 9), (2, "b", 0, 2)], vec![0, 2]),
            ("an odd place to the oldest", 3, vec![(1, "a", 0, 9), (2, "b", 0, 9)], vec![2, 1]),
            (
                "namespaces before runs",
                4,
                vec![(1, "a", 0, 9), (2, "a", 0, 9), (3, "a", 0, 9), (4, "b", 0, 9)],
                vec![1, 1, 0, 2],
            ),
            ("none left", 2, vec![(1, "a", 4, 1), (2, "b", 0, 1)], vec![0, 0]),
        ] {
            let claims: Vec<_> = claims
                .iter()
                .map(|&(n, space, running, waiting)| claim(n, space, running, waiting))
                .collect();
            assert_eq!(shares(cap, &claims.iter().collect::<Vec<_>>()), expected, "{what}");
        }
    }

    proptest! {
        #[test]
        fn a_cap_is_used_up_and_never_passed(
            cap in 0_usize..12,
            numbers in prop::collection::vec((0_usize..3, 0_usize..4, 0_usize..5), 0..8),
        ) {
            let claims: Vec<_> = numbers
                .iter()
                .enumerate()
                .map(|(place, &(space, running, waiting))| claim(place, &format!("n{space}"), running, waiting))
                .collect();
            let given = shares(cap, &claims.iter().collect::<Vec<_>>());
            let running: usize = claims.iter().map(|claim| claim.running).sum();
            let waiting: usize = claims.iter().map(|claim| claim.waiting).sum();
            prop_assert_eq!(given.iter().sum::<usize>(), waiting.min(cap.saturating_sub(running)));
            prop_assert!(given.iter().zip(&claims).all(|(given, claim)| *given <= claim.waiting));
        }
    }
}
