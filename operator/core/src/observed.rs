//! Facts of one pass: what was read, straight from the API server, and nothing that was concluded from it.

use std::collections::{BTreeMap, BTreeSet};

use crds::{
    progress::Progress,
    v1alpha1::{E2ETest, TestStatus},
};
use jiff::Timestamp;
use k8s_openapi::api::{batch::v1::Job, core::v1::Pod};
use kube::core::DynamicObject;
use serde_json::Value;

use crate::{
    decide::is_finished,
    gate::{Sighting, Target},
    names,
    validate::{Program, ValidTest, validate},
};

/// What the world looked like.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// How everything under [`Wanted::gate`] stands, and for how long; `None` while that is not known.
    pub gate: Option<Sighting>,
    /// Labels of the target namespace; none where it does not exist or was not asked for.
    pub target_labels: Option<BTreeMap<String, String>>,
    /// The run's PodDefault.
    pub pod_default: PodDefaultFacts,
    /// Why the target namespace cannot be read: the rest is then empty and says nothing.
    pub unreadable: Option<Unreadable>,
    /// The PodDefaults of [`Wanted::named`], by name.
    pub named: BTreeMap<String, NamedPodDefault>,
    /// How many more tests may start under the cap over all runs; `None` where there is none.
    pub places: Option<usize>,
    /// What is there of the attempts of [`Wanted::attempts`], by the test's name.
    pub attempts: BTreeMap<String, AttemptFacts>,
}

/// Why something cannot be read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Unreadable {
    /// The API server's sentence, or what became of the call.
    pub why: String,
    /// Since when, as far as this operator knows, for an error that may pass by itself; `None` for a clear no, such as a
    /// missing right.
    pub since: Option<Timestamp>,
}

/// What is there of the run's PodDefault.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum PodDefaultFacts {
    /// Nobody looked, or it is not there.
    #[default]
    Absent,
    /// The API server does not know the kind.
    NotServed,
    /// It is there.
    Present {
        /// Its resourceVersion, which the webhook copies into the pods that it changed.
        resource_version: String,
    },
}

/// What is there of a PodDefault that a test names.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum NamedPodDefault {
    /// Nothing.
    Absent,
    /// It is there.
    Present {
        /// Labels that its selector asks for.
        match_labels: BTreeMap<String, String>,
        /// Whether its selector asks for nothing else.
        by_labels_alone: bool,
    },
}

impl From<&DynamicObject> for NamedPodDefault {
    fn from(object: &DynamicObject) -> Self {
        let selector = object.data.pointer("/spec/selector");
        let of = |field: &str| selector.and_then(|selector| selector.get(field));
        let labels = of("matchLabels").and_then(Value::as_object);
        let expressions = of("matchExpressions").and_then(Value::as_array);
        Self::Present {
            match_labels: labels
                .into_iter()
                .flatten()
                .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
                .collect(),
            by_labels_alone: expressions.is_none_or(Vec::is_empty),
        }
    }
}

/// What is there of one attempt.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AttemptFacts {
    /// The Job of that name, whoever made it.
    pub job: Option<Job>,
    /// The run's pods that carry the attempt's labels.
    pub pods: Vec<Pod>,
    /// Warnings about the Job, or about a pod of it that has not started, newest last.
    pub warnings: Vec<Warning>,
    /// What a running notebook told last.
    pub progress: Option<Progress>,
}

/// A Warning event.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Warning {
    /// Reason, such as `FailedCreate`.
    pub reason: String,
    /// What happened.
    pub message: String,
}

/// What [`crate::decide`] needs to be read.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Wanted {
    /// What the gate looks at.
    pub gate: Option<Target>,
    /// Where the children are.
    pub target_namespace: String,
    /// Name of the run's PodDefault, where an attempt that is not over needs it; the labels of the target namespace then
    /// too.
    pub pod_default: Option<String>,
    /// Names of PodDefaults into which pods that are still to be made opt.
    pub named: BTreeSet<String>,
    /// Attempts that are not over.
    pub attempts: Vec<WantedAttempt>,
}

/// An attempt that is not over.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct WantedAttempt {
    /// Its test.
    pub test: String,
    /// The name of its Job.
    pub job: String,
    /// Whether its progress can be followed.
    pub tells_progress: bool,
}

impl Wanted {
    /// What has to be read for a pass over this run; `None` where nothing can change any more.
    pub fn of(test: &E2ETest) -> Option<Self> {
        let status = test.status.clone().unwrap_or_default();
        if is_finished(&status) || test.metadata.deletion_timestamp.is_some() {
            return None;
        }
        // An invalid spec is decided on without a look at the world.
        let Ok(run) = validate(test) else { return Some(Self::default()) };
        let open: Vec<_> =
            status.tests.iter().filter(|entry| entry.attempt > 0 && !entry.state.is_final()).collect();
        let needs_access =
            |test: &ValidTest| test.pipeline_access && open.iter().any(|entry| entry.name == test.name);
        let test_of = |entry: &TestStatus| run.tests.iter().find(|test| test.name == entry.name);
        Some(Self {
            gate: run.gate.map(|gate| gate.target),
            pod_default: run.tests.iter().any(needs_access).then(|| names::pod_default(&run.uid)),
            named: open
                .iter()
                .filter(|entry| entry.job.is_none())
                .filter_map(|entry| test_of(entry))
                .flat_map(|test| test.pod_defaults.iter().cloned())
                .collect(),
            attempts: open
                .iter()
                .map(|entry| WantedAttempt {
                    test: entry.name.clone(),
                    job: names::job(&entry.name, &run.uid, entry.attempt),
                    tells_progress: test_of(entry)
                        .is_some_and(|test| matches!(test.program, Program::Notebook { .. })),
                })
                .collect(),
            target_namespace: run.namespace,
        })
    }
}
