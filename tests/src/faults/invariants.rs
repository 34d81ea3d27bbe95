//! What must hold whatever goes wrong, checked over everything that happened and never from the operator's word.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crds::{
    names::{label, pod::TEST_CONTAINER},
    verdict::Verdict,
};
use kube::ResourceExt as _;
use serde_json::Value;

use super::{history::Change, outcome::Outcome};
use crate::proxy::Entry;

/// Writes to one object that a fault may cost beyond those of a run without one.
const EXTRA_WRITES: usize = 10;

/// What a case leaves to judge.
pub struct Evidence<'a> {
    /// Name of the run, and of its namespace.
    pub run: &'a str,
    /// What the world did to it.
    pub outcome: Outcome,
    /// All changes of its objects, and of all objects in its namespace.
    pub changes: Vec<Arc<Change>>,
    /// All calls of its operators.
    pub journal: &'a [Entry],
    /// How often a run without faults writes each object, by verb and resource.
    pub clean: &'a BTreeMap<String, usize>,
    /// How many writes more than [`EXTRA_WRITES`] are right: one for each second of a fault that lasts.
    pub lasting: usize,
}

/// Whether a change belongs to a run of that name.
pub fn is_of(change: &Change, run: &str) -> bool {
    let object = &change.object;
    object.namespace().as_deref() == Some(run)
        || object.labels().get(label::RUN).is_some_and(|name| name == run)
        || (change.kind == "E2ETest" && object.name_any() == run)
}

/// Whether a container of the pod runs, or has ended.
fn has_run(pod: &Value) -> bool {
    let containers = pod["status"]["containerStatuses"].as_array();
    let states = containers.into_iter().flatten().map(|container| &container["state"]);
    states.into_iter().any(|state| state["running"].is_object() || state["terminated"].is_object())
}

impl Evidence<'_> {
    /// Every breach, with the invariant's number.
    pub fn violations(&self) -> Vec<String> {
        let mut all = Vec::new();
        all.extend(self.one_job_per_attempt().into_iter().map(|what| format!("I-1 {what}")));
        all.extend(self.no_false_pass().into_iter().map(|what| format!("I-2 {what}")));
        all.extend(self.verdicts_stay().into_iter().map(|what| format!("I-3 {what}")));
        all.extend(self.no_orphans().into_iter().map(|what| format!("I-4 {what}")));
        all.extend(self.nothing_elsewhere().into_iter().map(|what| format!("I-5 {what}")));
        all.extend(self.no_storm().into_iter().map(|what| format!("I-7 {what}")));
        all
    }

    fn of_kind(&self, kind: &str) -> impl Iterator<Item = &Arc<Change>> {
        self.changes.iter().filter(move |change| change.kind == kind)
    }

    /// I-1: at most one Job for each attempt, and one pod of it that runs. A Job controller that lost the answer to its own
    /// request may make a second pod, and takes it back: that a program may be started twice is what
    /// Kubernetes says of Jobs.
    fn one_job_per_attempt(&self) -> Vec<String> {
        let mut jobs = BTreeMap::<_, BTreeSet<String>>::new();
        for change in self.of_kind("Job") {
            let labels = change.object.labels();
            let of = [label::RUN_UID, label::TEST, label::ATTEMPT].map(|key| labels.get(key).cloned());
            jobs.entry(of).or_default().extend(change.object.uid());
        }
        let mut pods = BTreeMap::<_, BTreeSet<String>>::new();
        for change in self.of_kind("Pod").filter(|change| has_run(&change.object.data)) {
            for owner in change.object.owner_references().iter().filter(|owner| owner.kind == "Job") {
                pods.entry(owner.uid.clone()).or_default().extend(change.object.uid());
            }
        }
        let twice = jobs
            .iter()
            .filter(|(_, uids)| uids.len() > 1)
            .map(|(of, uids)| format!("{of:?} has {} Jobs", uids.len()));
        let pods = pods
            .iter()
            .filter(|(_, uids)| uids.len() > 1)
            .map(|(job, uids)| format!("Job {job} had {} pods that ran", uids.len()));
        twice.chain(pods).collect()
    }

    /// I-2: a run succeeds only where its Jobs are complete and their pods say that the tests passed.
    fn no_false_pass(&self) -> Vec<String> {
        let mut found = Vec::new();
        for change in &self.changes {
            if change.kind != "E2ETest" || condition(&change.object.data, "Succeeded")["status"] != "True" {
                continue;
            }
            if self.outcome != Outcome::Pass {
                found.push(format!("succeeded although the world says {}", self.outcome));
            }
            let generation = &condition(&change.object.data, "Succeeded")["observedGeneration"];
            if generation.as_i64() != change.object.metadata.generation {
                found.push(format!("succeeded for generation {generation}"));
            }
            for test in change.object.data["status"]["tests"].as_array().into_iter().flatten() {
                let uid = test["job"]["uid"].as_str().unwrap_or_default();
                let before = |other: &&Arc<Change>| other.version() < change.version();
                let complete = self.of_kind("Job").filter(before).any(|job| {
                    job.object.uid().as_deref() == Some(uid)
                        && condition(&job.object.data, "Complete")["status"] == "True"
                });
                let says_so = self.of_kind("Pod").filter(before).any(|pod| {
                    pod.object.owner_references().iter().any(|owner| owner.uid == uid)
                        && said_passed(&pod.object.data)
                });
                if !complete || !says_so {
                    found.push(format!(
                        "test {} succeeded with Job {uid}: complete {complete}, passed {says_so}",
                        test["name"]
                    ));
                }
            }
        }
        found
    }

    /// I-3: once a run is finished nothing of its verdict changes.
    fn verdicts_stay(&self) -> Vec<String> {
        let mut first = BTreeMap::<String, &Value>::new();
        let mut found = Vec::new();
        for change in self.of_kind("E2ETest") {
            let (uid, status) = (change.object.uid().unwrap_or_default(), &change.object.data["status"]);
            let Some(before) = first.get(&uid) else {
                if condition(&change.object.data, "Finished")["status"] == "True" {
                    first.insert(uid, status);
                }
                continue;
            };
            if *before != status {
                found.push(format!("a finished status changed from {before} to {status}"));
            }
        }
        found
    }

    /// I-4: every child is owned by the run, and nothing waits for a finalizer of it.
    fn no_orphans(&self) -> Vec<String> {
        let runs: BTreeSet<String> =
            self.of_kind("E2ETest").filter_map(|change| change.object.uid()).collect();
        let mut found = Vec::new();
        for change in self.changes.iter().filter(|change| !change.deleted) {
            let (object, place) = (&change.object, format!("{} {}", change.kind, change.object.name_any()));
            if change.kind == "E2ETest" && !object.finalizers().is_empty() {
                found.push(format!("{place} has finalizers {:?}", object.finalizers()));
            }
            let ours = object.labels().get(label::MANAGED_BY).is_some_and(|by| by == label::MANAGED_BY_VALUE);
            if ours && matches!(change.kind, "Job" | "ConfigMap" | "PodDefault") {
                let owned = object
                    .owner_references()
                    .iter()
                    .any(|owner| owner.controller == Some(true) && runs.contains(&owner.uid));
                if !owned {
                    found.push(format!("{place} is owned by {:?}", object.owner_references()));
                }
            }
        }
        found
    }

    /// I-5: nothing outside the target namespace, and no write but to the children, the status and the events.
    fn nothing_elsewhere(&self) -> Vec<String> {
        let strays = self.changes.iter().filter(|change| {
            change.kind != "E2ETest" && change.object.namespace().as_deref() != Some(self.run)
        });
        let strays =
            strays.map(|change| format!("{} {} is elsewhere", change.kind, change.object.name_any()));
        let allowed = |entry: &&Entry| {
            let call = &entry.call;
            match (call.verb, call.resource.as_str(), call.namespace.as_deref()) {
                ("create" | "patch", "jobs", Some(namespace))
                | ("patch", "pods" | "configmaps" | "poddefaults", Some(namespace)) => namespace == self.run,
                ("patch", "e2etests/status", None) => call.name.as_deref() == Some(self.run),
                ("create" | "patch", "events", Some(namespace)) => namespace == "default",
                _ => false,
            }
        };
        let writes = self.journal.iter().filter(|entry| entry.call.is_write());
        let others = writes.filter(|entry| !allowed(entry)).map(|entry| format!("wrote {}", entry.call));
        strays.chain(others).collect()
    }

    /// I-7: a fault costs few writes.
    fn no_storm(&self) -> Vec<String> {
        let mut counts = BTreeMap::<_, usize>::new();
        for entry in self.journal.iter().filter(|entry| entry.call.is_write()) {
            *counts
                .entry((entry.call.site(), entry.call.namespace.clone(), entry.call.name.clone()))
                .or_default() += 1;
        }
        let most =
            |site: &str| self.clean.get(site).copied().unwrap_or_default() + EXTRA_WRITES + self.lasting;
        let storms = counts.iter().filter(|((site, ..), count)| **count > most(site));
        storms.map(|((site, _, name), count)| format!("{count} times {site} {name:?}")).collect()
    }
}

/// A condition of an object's status; null where there is none.
pub fn condition<'a>(data: &'a Value, type_: &str) -> &'a Value {
    let all = data["status"]["conditions"].as_array();
    all.into_iter().flatten().find(|condition| condition["type"] == type_).unwrap_or(&Value::Null)
}

/// Whether the pod's runner says that the test passed.
fn said_passed(data: &Value) -> bool {
    let containers = data["status"]["containerStatuses"].as_array();
    let test = containers.into_iter().flatten().find(|container| container["name"] == TEST_CONTAINER);
    let message = test.and_then(|test| test["state"]["terminated"]["message"].as_str());
    message
        .is_some_and(|message| Verdict::from_termination_message(message).is_ok_and(|verdict| verdict.passed))
}
