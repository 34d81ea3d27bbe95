//! How objects of a kind are read and judged, and what else a judgement of them looks at.

use super::{facts::Source, object::KindId};

/// How objects of a kind are judged.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reader {
    /// An object that is there is ready; its metadata is all that is read.
    Plain,
    /// By its conditions, as kstatus does.
    Custom,
    /// An aggregated API.
    ApiService,
    /// A claim of a volume.
    Claim,
    /// A daemon set.
    DaemonSet,
    /// A definition of a kind.
    Definition,
    /// A deployment.
    Deployment,
    /// A job.
    Job,
    /// A namespace.
    Namespace,
    /// A pod that nobody but the inventory asks for.
    Pod,
    /// A Profile of Kubeflow.
    Profile,
    /// A replica set.
    ReplicaSet,
    /// A stateful set.
    StatefulSet,
    /// A mutating or validating webhook configuration.
    Webhooks,
}

/// Groups that are Kubernetes' own: of a kind in them that has no rule here, an object that is there is ready.
const BUILTIN: [&str; 17] = [
    "",
    "admissionregistration.k8s.io",
    "apps",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "coordination.k8s.io",
    "discovery.k8s.io",
    "events.k8s.io",
    "flowcontrol.apiserver.k8s.io",
    "networking.k8s.io",
    "node.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "resource.k8s.io",
    "scheduling.k8s.io",
    "storage.k8s.io",
];

impl KindId {
    /// How objects of this kind are judged.
    pub fn reader(&self) -> Reader {
        match (self.group.as_str(), self.kind.as_str()) {
            ("", "Namespace") => Reader::Namespace,
            ("", "PersistentVolumeClaim") => Reader::Claim,
            ("", "Pod") => Reader::Pod,
            (
                "admissionregistration.k8s.io",
                "MutatingWebhookConfiguration" | "ValidatingWebhookConfiguration",
            ) => Reader::Webhooks,
            ("apiextensions.k8s.io", "CustomResourceDefinition") => Reader::Definition,
            ("apiregistration.k8s.io", "APIService") => Reader::ApiService,
            ("apps", "DaemonSet") => Reader::DaemonSet,
            ("apps", "Deployment") => Reader::Deployment,
            ("apps", "ReplicaSet") => Reader::ReplicaSet,
            ("apps", "StatefulSet") => Reader::StatefulSet,
            ("batch", "Job") => Reader::Job,
            ("kubeflow.org", "Profile") => Reader::Profile,
            (group, _) if BUILTIN.contains(&group) => Reader::Plain,
            _ => Reader::Custom,
        }
    }

    /// Whether the operator never reads objects of this kind, whoever asks.
    pub(super) fn is_secret(&self) -> bool {
        self.is("", "Secret")
    }

    /// All that is read for a judgement of objects of this kind.
    pub(super) fn sources(&self) -> Vec<Source> {
        let mut sources = vec![Source::Objects(self.clone())];
        match self.reader() {
            Reader::DaemonSet
            | Reader::Deployment
            | Reader::Job
            | Reader::ReplicaSet
            | Reader::StatefulSet => sources.push(Source::Pods),
            Reader::Webhooks => sources.push(Source::Endpoints),
            Reader::Profile => {
                sources.extend([Source::Objects(namespaces()), Source::Objects(service_accounts())]);
            }
            Reader::Plain
            | Reader::Custom
            | Reader::ApiService
            | Reader::Claim
            | Reader::Definition
            | Reader::Namespace
            | Reader::Pod => {}
        }
        sources
    }
}

/// The kind Namespace.
pub(super) fn namespaces() -> KindId {
    KindId::new("", "v1", "Namespace")
}

/// The kind ServiceAccount.
pub(super) fn service_accounts() -> KindId {
    KindId::new("", "v1", "ServiceAccount")
}

/// The kinds that keep pods running, of which a gate over namespaces consists.
pub(super) fn workloads() -> [KindId; 3] {
    ["DaemonSet", "Deployment", "StatefulSet"].map(|kind| KindId::new("apps", "v1", kind))
}
