//! A run as it should be, and one breach of each invariant planted into it: what would not be noticed here, nobody would
//! notice.

use std::{collections::BTreeMap, sync::Arc, time::Duration, time::Instant};

use crds::verdict::Verdict;
use hyper::{Method, Uri};
use serde_json::{Value, json};

use super::{history::Change, invariants::Evidence, outcome::Outcome};
use crate::proxy::{Call, Entry};

/// What the operator and the cluster did.
#[derive(Clone)]
struct Facts {
    outcome: Outcome,
    objects: Vec<Value>,
    calls: Vec<(Method, &'static str)>,
}

/// Plants each breach; fails the test where it is not found, or where the run as it should be has one.
pub fn check() {
    assert_eq!(right().violations(), Vec::<String>::new());
    for (number, what, plant) in BREACHES {
        let mut facts = right();
        plant(&mut facts);
        let found = facts.violations();
        assert!(found.iter().any(|violation| violation.starts_with(number)), "{number} {what}: {found:?}");
    }
}

type Plant = fn(&mut Facts);

const BREACHES: [(&str, &str, Plant); 13] = [
    ("I-1", "a second Job for an attempt", |facts| facts.again(0, "/metadata/uid", json!("other"))),
    ("I-1", "a second pod for a Job", |facts| facts.again(1, "/metadata/uid", json!("other"))),
    ("I-2", "a pass that the world did not say", |facts| facts.outcome = Outcome::Fail),
    ("I-2", "a pass of an earlier generation", |facts| facts.set(2, "/metadata/generation", json!(2))),
    ("I-2", "a pass without a complete Job", |facts| {
        facts.set(0, "/status/conditions/0/status", json!("False"));
    }),
    ("I-2", "a pass before the Job was complete", |facts| {
        facts.set(0, "/metadata/resourceVersion", json!("9"));
    }),
    ("I-2", "a pass without the runner's word", |facts| facts.set(1, "/status/containerStatuses", json!([]))),
    ("I-3", "a verdict that changes", |facts| {
        facts.again(2, "/status/conditions/1/reason", json!("TestsFailed"));
    }),
    ("I-4", "a child without an owner", |facts| facts.set(0, "/metadata/ownerReferences", json!([]))),
    ("I-4", "a finalizer", |facts| facts.set(2, "/metadata/finalizers", json!(["e2e.kubeflow.org/any"]))),
    ("I-5", "a child elsewhere", |facts| facts.set(0, "/metadata/namespace", json!("default"))),
    ("I-5", "a write elsewhere", |facts| {
        facts.calls.push((Method::PATCH, "/api/v1/namespaces/other/configmaps/any"));
    }),
    ("I-7", "a storm of writes", |facts| {
        facts.calls.extend(vec![(Method::PATCH, "/apis/e2e.kubeflow.org/v1alpha1/e2etests/run/status"); 12]);
    }),
];

/// A run that passed.
fn right() -> Facts {
    let verdict = Verdict::passed(None).to_termination_message().unwrap();
    let child = |kind: &str, version: &str, owner: (&str, &str)| {
        json!({ "kind": kind, "apiVersion": "any", "metadata": {
            "name": "a", "namespace": "run", "uid": kind, "resourceVersion": version,
            "labels": { "app.kubernetes.io/managed-by": "kubeflow-e2e", "e2e.kubeflow.org/run": "run", "e2e.kubeflow.org/run-uid": "uid" },
            "ownerReferences": [{ "apiVersion": "any", "kind": owner.0, "name": "any", "uid": owner.1, "controller": true }],
        }})
    };
    let mut job = child("Job", "2", ("E2ETest", "E2ETest"));
    job["status"] = json!({ "conditions": [{ "type": "Complete", "status": "True" }] });
    let mut pod = child("Pod", "1", ("Job", "Job"));
    pod["status"] = json!({ "containerStatuses": [{ "name": "test", "state": { "terminated": { "message": verdict } } }] });
    let said = |type_: &str| json!({ "type": type_, "status": "True", "reason": "TestsPassed", "observedGeneration": 1 });
    let run = json!({
        "kind": "E2ETest", "apiVersion": "any",
        "metadata": { "name": "run", "uid": "E2ETest", "resourceVersion": "3", "generation": 1 },
        "status": { "conditions": [said("Finished"), said("Succeeded")], "tests": [{ "name": "a", "job": { "uid": "Job" } }] },
    });
    let calls = vec![
        (Method::POST, "/apis/batch/v1/namespaces/run/jobs"),
        (Method::PATCH, "/apis/e2e.kubeflow.org/v1alpha1/e2etests/run/status"),
        (Method::POST, "/apis/events.k8s.io/v1/namespaces/default/events"),
    ];
    Facts { outcome: Outcome::Pass, objects: vec![job, pod, run], calls }
}

impl Facts {
    /// Changes an object.
    fn set(&mut self, index: usize, path: &str, value: Value) {
        let (parent, key) = path.rsplit_once('/').unwrap();
        let parent = self.objects[index].pointer_mut(parent).unwrap();
        match parent {
            Value::Array(all) => all[key.parse::<usize>().unwrap()] = value,
            other => other[key] = value,
        }
    }

    /// Adds a later version of an object, changed.
    fn again(&mut self, index: usize, path: &str, value: Value) {
        self.objects.push(self.objects[index].clone());
        self.set(self.objects.len() - 1, path, value);
    }

    fn violations(&self) -> Vec<String> {
        let change = |object: &Value| {
            let kind = ["E2ETest", "Job", "Pod"].into_iter().find(|kind| object["kind"] == *kind).unwrap();
            let object = serde_json::from_value(object.clone()).unwrap();
            Arc::new(Change { kind, deleted: false, object, at: Instant::now() })
        };
        let entry = |(method, path): &(Method, &'static str)| Entry {
            call: Call::of(method, &Uri::from_static(path)),
            at: Instant::now(),
            took: Duration::ZERO,
            status: Some(200),
            fault: None,
        };
        let journal: Vec<Entry> = self.calls.iter().map(entry).collect();
        let evidence = Evidence {
            run: "run",
            outcome: self.outcome,
            changes: self.objects.iter().map(change).collect(),
            journal: &journal,
            clean: &BTreeMap::from([("patch e2etests/status".to_owned(), 1)]),
            lasting: 0,
        };
        evidence.violations()
    }
}
