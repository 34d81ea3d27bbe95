//! Intended writes, as data, and what became of them.

use std::collections::BTreeMap;

use crds::v1alpha1::JobReference;
use k8s_openapi::api::{batch::v1::Job, core::v1::ConfigMap};
use kube::core::DynamicObject;

/// One intended write.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Server-side apply of the ConfigMap that holds a test's inline source.
    ApplyConfigMap(Box<ConfigMap>),
    /// Server-side apply of the run's PodDefault.
    ApplyPodDefault(Box<DynamicObject>),
    /// POST of an attempt's Job: never applied, so that one that is there is noticed and not changed.
    CreateJob(Box<Job>),
    /// End a pod on a node gracefully and keep its logs: by lowering its `activeDeadlineSeconds` to 1.
    StopPod(Target),
    /// Keep a Job from making a pod, and take back one that no node has: by suspending it.
    SuspendJob(Target),
}

impl Effect {
    /// Verb and kind, for metrics and logs.
    pub const fn verb_and_kind(&self) -> (&'static str, &'static str) {
        match self {
            Self::ApplyConfigMap(_) => ("apply", "ConfigMap"),
            Self::ApplyPodDefault(_) => ("apply", "PodDefault"),
            Self::CreateJob(_) => ("create", "Job"),
            Self::StopPod(_) => ("patch", "Pod"),
            Self::SuspendJob(_) => ("patch", "Job"),
        }
    }
}

/// An object that is there: changed only while it is still the same one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Target {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// Why it is ended, for [`crds::names::annotation::ENDED`]; `None` where its own end is to decide.
    pub because: Option<String>,
}

/// The writes for one test, in order. The first that fails ends its batch; other tests' batches go on.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// Name of the test.
    pub test: String,
    /// What to do.
    pub effects: Vec<Effect>,
}

/// What became of the batches, by the test's name.
pub type Acted = BTreeMap<String, Outcome>;

/// What became of one batch.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// Everything in it was done.
    Done,
    /// Everything in it was done, and the Job is new.
    JobCreated(JobReference),
    /// There is a Job of that name already: the next pass sees whose it is.
    JobExists,
    /// The API server does not know PodDefaults.
    PodDefaultNotServed,
    /// The API server understood and said no.
    Refused {
        /// Its sentence, with the object.
        message: String,
        /// Whether the same request can never be granted.
        permanent: bool,
    },
    /// Nobody knows whether it was done: a lost connection, a time-out, an error of the server.
    Failed {
        /// What happened, with the object.
        message: String,
    },
}
