//! The places under the cap over all runs: counted from the runs' statuses, and handed out one pass at a time.

use std::{collections::HashMap, num::NonZeroUsize, sync::OnceLock};

use crds::v1alpha1::E2ETest;
use kube::{
    Resource as _,
    core::DeserializeGuard,
    runtime::reflector::{ObjectRef, Store},
};
use operator_core::{Claim, Plan, shares};
use tokio::sync::Mutex;

use super::Wake;

/// Who may start how many tests. What a pass has decided counts before it is written, so that two passes under way never
/// take the same place; after a restart the statuses tell it all.
#[derive(Debug)]
pub struct Places {
    cap: Option<NonZeroUsize>,
    wake: Wake,
    runs: OnceLock<Store<DeserializeGuard<E2ETest>>>,
    /// Claims of the runs that this process looked at, by UID: never older than what the store holds. No claim is one, too.
    known: Mutex<HashMap<String, Option<Claim>>>,
}

impl Places {
    /// So many places; runs whose turn has come are told through `wake`.
    pub fn new(cap: Option<NonZeroUsize>, wake: Wake) -> Self {
        Self { cap, wake, runs: OnceLock::new(), known: Mutex::default() }
    }

    /// Counts the runs of this store from now on.
    pub fn count(&self, runs: Store<DeserializeGuard<E2ETest>>) {
        // There is one controller, and it says this once.
        let _ = self.runs.set(runs);
    }

    /// Decides on a run with the number of tests that it may start; `None` where any number may.
    pub(super) async fn decide(&self, test: &E2ETest, decide: impl FnOnce(Option<usize>) -> Plan) -> Plan {
        let (Some(cap), Some(uid)) = (self.cap, test.metadata.uid.as_ref()) else { return decide(None) };
        let mut known = self.known.lock().await;
        known.insert(uid.clone(), Claim::of(test).map(|claim| claim.as_if_open(test)));
        let claims = self.claims(&mut known);
        let given = shares(cap.get(), &claims);
        let mine = claims.iter().zip(given).find(|(claim, _)| claim.uid == *uid);
        let plan = decide(Some(mine.map_or(0, |(_, share)| share)));
        known.insert(uid.clone(), Claim::with(test, &plan.status));
        plan
    }

    /// Takes in what a run's status says after a pass, and tells those whose turn has come by it.
    pub(super) async fn taken(&self, test: &E2ETest) {
        let (Some(cap), Some(uid)) = (self.cap, test.metadata.uid.as_ref()) else { return };
        let mut known = self.known.lock().await;
        known.insert(uid.clone(), Claim::of(test));
        let claims = self.claims(&mut known);
        for (claim, share) in claims.iter().zip(shares(cap.get(), &claims)) {
            // Who has not been looked at yet will be, and takes what is left then.
            if share > 0 && claim.uid != *uid && known.contains_key(&claim.uid) {
                self.wake.up(ObjectRef::new(&claim.name));
            }
        }
    }

    /// The claims of all runs there are.
    fn claims(&self, known: &mut HashMap<String, Option<Claim>>) -> Vec<Claim> {
        let stored = self.runs.get().map(Store::state).unwrap_or_default();
        let runs = || stored.iter().filter_map(|run| run.0.as_ref().ok());
        if known.len() > runs().count() {
            let there: std::collections::HashSet<_> =
                runs().filter_map(|run| run.meta().uid.clone()).collect();
            known.retain(|uid, _| there.contains(uid));
        }
        runs()
            .filter_map(|run| match run.meta().uid.as_ref().and_then(|uid| known.get(uid)) {
                Some(claim) => claim.clone(),
                None => Claim::of(run),
            })
            .collect()
    }
}
