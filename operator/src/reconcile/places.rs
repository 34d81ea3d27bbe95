//! The places under the cap over all runs: counted from the runs' statuses, and handed out one pass at a time.
//!
//! The claims of all runs are kept beside the controller's store, from the same watch and with their sums. So a pass costs
//! what its own run costs; only one that finds fewer free places than are asked for compares the runs.

use std::{
    collections::{HashMap, HashSet},
    num::NonZeroUsize,
};

use crds::v1alpha1::E2ETest;
use kube::{
    Resource as _,
    core::DeserializeGuard,
    runtime::{reflector::ObjectRef, watcher::Event},
};
use operator_core::{Claim, Plan, shares};
use parking_lot::Mutex;

use super::Wake;

/// Who may start how many tests. What a pass has decided counts before it is written, so that two passes under way never
/// take the same place; after a restart the statuses tell it all.
#[derive(Debug)]
pub struct Places {
    cap: Option<NonZeroUsize>,
    wake: Wake,
    claims: Mutex<Claims>,
}

impl Places {
    /// So many places; runs whose turn has come are told through `wake`.
    pub fn new(cap: Option<NonZeroUsize>, wake: Wake) -> Self {
        Self { cap, wake, claims: Mutex::default() }
    }

    /// Takes in what the watch of all runs says, before the controller acts on it.
    pub fn watched(&self, event: &Event<DeserializeGuard<E2ETest>>) {
        if self.cap.is_none() {
            return;
        }
        let mut claims = self.claims.lock();
        match event {
            Event::Init => claims.listed = HashSet::new(),
            Event::InitApply(DeserializeGuard(Ok(run))) => {
                claims.listed.extend(run.metadata.uid.clone());
                claims.seen(run);
            }
            Event::InitDone => claims.keep_listed(),
            Event::Apply(DeserializeGuard(Ok(run))) => claims.seen(run),
            Event::InitApply(_) | Event::Apply(_) => {}
            Event::Delete(run) => claims.gone(run.meta().uid.as_deref().unwrap_or_default()),
        }
    }

    /// Decides on a run with the number of tests that it may start; `None` where any number may.
    pub(super) fn decide(&self, test: &E2ETest, decide: impl FnOnce(Option<usize>) -> Plan) -> Plan {
        let (Some(cap), Some(uid)) = (self.cap, test.metadata.uid.as_ref()) else { return decide(None) };
        let mut claims = self.claims.lock();
        let before = claims.put(uid, Claim::of(test).map(|claim| claim.as_if_open(test)));
        let plan = decide(Some(claims.share(cap.get(), uid)));
        let after = Claim::with(test, &plan.status);
        let changed = before != after;
        claims.put(uid, after);
        claims.looked_at(uid, changed);
        plan
    }

    /// Takes in what a run's status says after a pass, and tells those whose turn has come by it.
    pub(super) fn taken(&self, test: &E2ETest) {
        let (Some(cap), Some(uid)) = (self.cap, test.metadata.uid.as_ref()) else { return };
        let mut claims = self.claims.lock();
        let after = Claim::of(test);
        let changed = claims.put(uid, after.clone()) != after;
        claims.looked_at(uid, changed);
        if claims.is_untold(uid) {
            for run in claims.next(cap.get(), uid) {
                self.wake.up(ObjectRef::new(run));
            }
        }
    }
}

/// The claims of all runs, and their sums.
#[derive(Debug, Default)]
struct Claims {
    runs: HashMap<String, Entry>,
    running: usize,
    waiting: usize,
    /// UIDs of the runs that the list named which is under way.
    listed: HashSet<String>,
    /// UIDs of the runs that got less than they asked for when they were looked at.
    refused: HashSet<String>,
}

/// One run's claim; a run that is over has none.
#[derive(Debug, Default)]
struct Entry {
    claim: Option<Claim>,
    /// Whether a pass of this process decided on it: what that knows is never older than what the watch brings.
    looked_at: bool,
    /// Whether the claim changed since the others were told.
    untold: bool,
}

impl Entry {
    /// What counts in the sums.
    fn amounts(&self) -> (usize, usize) {
        self.claim.as_ref().map_or((0, 0), |claim| (claim.running, claim.waiting))
    }
}

impl Claims {
    /// A run as the watch brings it.
    fn seen(&mut self, run: &E2ETest) {
        let Some(uid) = &run.metadata.uid else { return };
        let claim = Claim::of(run);
        // Who is over stays so, whoever says it first.
        if !self.runs.entry(uid.clone()).or_default().looked_at || claim.is_none() {
            self.put(uid, claim);
        }
    }

    /// A run that is gone.
    fn gone(&mut self, uid: &str) {
        self.put(uid, None);
        self.runs.remove(uid);
    }

    /// Those that a whole list did not name are gone.
    fn keep_listed(&mut self) {
        let listed = std::mem::take(&mut self.listed);
        let gone: Vec<_> = self.runs.keys().filter(|uid| !listed.contains(*uid)).cloned().collect();
        for uid in &gone {
            self.gone(uid);
        }
    }

    /// Replaces the claim of a run that the watch knows. A pass may be on its way still when its run is gone already.
    fn put(&mut self, uid: &str, claim: Option<Claim>) -> Option<Claim> {
        let entry = self.runs.get_mut(uid)?;
        let (running, waiting) = entry.amounts();
        let before = std::mem::replace(&mut entry.claim, claim);
        let (now_running, now_waiting) = entry.amounts();
        self.running = self.running - running + now_running;
        self.waiting = self.waiting - waiting + now_waiting;
        if now_waiting == 0 {
            self.refused.remove(uid);
        }
        before
    }

    /// A pass decided on the run.
    fn looked_at(&mut self, uid: &str, changed: bool) {
        let Some(entry) = self.runs.get_mut(uid) else { return };
        entry.looked_at = true;
        entry.untold |= changed;
        if entry.amounts().1 > 0 {
            self.refused.insert(uid.to_owned());
        }
    }

    /// Whether the others are to be told of a change, which they then are.
    fn is_untold(&mut self, uid: &str) -> bool {
        self.runs.get_mut(uid).is_some_and(|entry| std::mem::take(&mut entry.untold))
    }

    /// How many more tests a run may start.
    fn share(&self, cap: usize, uid: &str) -> usize {
        let waiting = self.runs.get(uid).map_or(0, |entry| entry.amounts().1);
        let free = cap.saturating_sub(self.running);
        if waiting == 0 || free == 0 || self.waiting <= free {
            return waiting.min(free);
        }
        self.shares(cap).find(|(claim, _)| claim.uid == uid).map_or(0, |(_, share)| share)
    }

    /// Names of the runs, beside this one, that got less than they asked for and may start more now. Who has not been
    /// looked at yet will be, and takes what is left then.
    fn next(&self, cap: usize, uid: &str) -> Vec<&str> {
        let others = self.refused.len() - usize::from(self.refused.contains(uid));
        if others == 0 || self.running >= cap {
            return Vec::new();
        }
        self.shares(cap)
            .filter(|(claim, share)| *share > 0 && claim.uid != uid && self.refused.contains(&claim.uid))
            .map(|(claim, _)| claim.name.as_str())
            .collect()
    }

    /// What each run that asks for something may start.
    fn shares(&self, cap: usize) -> impl Iterator<Item = (&Claim, usize)> {
        let claims: Vec<&Claim> = self.runs.values().filter_map(|entry| entry.claim.as_ref()).collect();
        let given = shares(cap, &claims);
        claims.into_iter().zip(given)
    }
}

#[cfg(test)]
mod tests {
    use crds::v1alpha1::E2ETestStatus;
    use jiff::Timestamp;
    use operator_core::{Observed, Settings, decide};
    use serde_json::{Value, json};

    use super::{super::Woken, *};

    fn run(name: &str) -> E2ETest {
        let test =
            |name: &str| json!({ "name": name, "image": "i", "script": { "source": { "inline": "x" } } });
        serde_json::from_value(json!({
            "apiVersion": "e2e.kubeflow.org/v1alpha1", "kind": "E2ETest", "metadata": { "name": name, "uid": name },
            "spec": { "targetNamespace": "profile", "tests": [test("a"), test("b")] },
        }))
        .unwrap()
    }

    /// Two places, and these runs.
    fn places(runs: &[&str]) -> (Places, Woken) {
        let (wake, woken) = Wake::channel();
        let places = Places::new(NonZeroUsize::new(2), wake);
        for name in runs {
            places.watched(&Event::Apply(DeserializeGuard(Ok(run(name)))));
        }
        (places, woken)
    }

    /// A pass over a run; how many tests it could start.
    fn pass(places: &Places, test: &mut E2ETest) -> Option<usize> {
        let mut given = None;
        let plan = places.decide(test, |places| {
            given = places;
            let observed = Observed { places, ..Observed::default() };
            decide(test, &observed, &Settings::with_image("i"), Timestamp::UNIX_EPOCH)
        });
        let status = plan.status;
        test.status = Some(status);
        places.taken(test);
        given
    }

    /// The run, over.
    fn over(test: &E2ETest) -> E2ETest {
        let status: Value = json!({ "conditions": [{
            "type": "Finished", "status": "True", "reason": "x", "message": "", "lastTransitionTime": "2026-11-23T12:00:00Z",
        }] });
        let status: E2ETestStatus = serde_json::from_value(status).unwrap();
        E2ETest { status: Some(status), ..test.clone() }
    }

    /// Who was told.
    fn told(woken: &mut Woken) -> Vec<String> {
        std::iter::from_fn(|| woken.try_recv().ok()).map(|run| run.name).collect()
    }

    #[test]
    fn a_place_that_becomes_free_goes_to_who_was_refused() {
        let (places, mut woken) = places(&["a", "b", "c"]);
        let [mut a, mut b] = ["a", "b"].map(run);
        assert_eq!(pass(&places, &mut a), Some(1), "each of three gets one, the oldest first");
        assert_eq!(pass(&places, &mut b), Some(1));
        assert_eq!(pass(&places, &mut a), Some(0));
        assert_eq!(told(&mut woken), [""; 0], "there is nothing to give");
        places.taken(&over(&a));
        assert_eq!(told(&mut woken), [""; 0], "c is due, and nobody has looked at it yet");
        assert_eq!(pass(&places, &mut run("c")), Some(1));
        places.taken(&over(&b));
        assert_eq!(told(&mut woken), ["c"]);
        places.taken(&over(&b));
        assert_eq!(told(&mut woken), [""; 0], "nothing has changed");
    }

    #[test]
    fn a_run_that_is_gone_holds_no_place() {
        let (places, _woken) = places(&["a", "b", "c"]);
        let [mut a, mut b, mut c] = ["a", "b", "c"].map(run);
        for test in [&mut a, &mut b] {
            assert_eq!(pass(&places, test), Some(1));
        }
        assert_eq!(pass(&places, &mut c), Some(0));
        places.watched(&Event::Delete(DeserializeGuard(Ok(a.clone()))));
        assert_eq!(pass(&places, &mut a), Some(0), "a pass that was on its way takes none back");
        assert_eq!(pass(&places, &mut c), Some(1));
        // While the watch was away, b and c were deleted.
        places.watched(&Event::Init);
        places.watched(&Event::InitApply(DeserializeGuard(Ok(run("d")))));
        places.watched(&Event::InitDone);
        assert_eq!(pass(&places, &mut run("d")), Some(2));
        let claims = places.claims.lock();
        assert_eq!((claims.runs.len(), claims.running, claims.waiting), (1, 2, 0));
    }

    #[test]
    fn what_a_pass_decided_counts_more_than_an_older_watch() {
        let (places, _woken) = places(&["a", "b"]);
        assert_eq!(pass(&places, &mut run("a")), Some(1));
        places.watched(&Event::Apply(DeserializeGuard(Ok(run("a")))));
        assert_eq!(pass(&places, &mut run("b")), Some(1));
        assert_eq!(pass(&places, &mut run("b")), Some(1), "its own status was never written");
    }
}
