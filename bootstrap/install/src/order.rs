//! In which order the objects of a set go in: a pure function of the set.
//!
//! A wave begins when the one before it is in. Within a wave nothing waits for anything else, but for what the API
//! server itself refuses for a passing reason, such as a custom resource whose CRD does not serve yet.

use std::collections::HashSet;

use serde_json::Value;

use crate::{
    namespaces::{is_workload, makes_namespace},
    object::Object,
};

/// The waves, in their order.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum WaveName {
    /// Namespaces, CRDs and classes: what other objects cannot exist without.
    Definitions,
    /// Service accounts and their rights.
    Identities,
    /// What workloads read, mount and are reached by.
    Configuration,
    /// The workloads that answer webhooks of this set.
    WebhookServers,
    /// Mutating webhooks that the set lists before its workloads, because these want to be changed by them.
    Mutations,
    /// All other workloads, custom resources, and whatever else there is.
    Workloads,
    /// Objects in namespaces that a Profile of the set makes the profile controller create.
    ProfileContents,
    /// What judges requests or takes over a part of the API: the other webhook configurations, admission policies,
    /// API services.
    Judges,
}

impl WaveName {
    /// The wave as people read it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Definitions => "namespaces and CRDs",
            Self::Identities => "service accounts and rights",
            Self::Configuration => "configuration and services",
            Self::WebhookServers => "webhook servers",
            Self::Mutations => "mutating webhooks",
            Self::Workloads => "workloads and custom resources",
            Self::ProfileContents => "contents of profiles",
            Self::Judges => "webhooks and API services",
        }
    }
}

/// Objects that may go in at the same time.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Wave {
    /// Which.
    pub name: WaveName,
    /// Indices into the set, in the set's order but namespaces before all else.
    pub objects: Vec<usize>,
}

/// The waves of a set; empty ones are left out, and every object is in exactly one.
pub fn waves(objects: &[Object]) -> Vec<Wave> {
    let context = Context::of(objects);
    let mut placed: Vec<(WaveName, bool, usize)> = objects
        .iter()
        .enumerate()
        .map(|(index, object)| {
            (context.wave_of(object, index), !object.identity().is("", "Namespace"), index)
        })
        .collect();
    placed.sort_unstable();
    placed
        .chunk_by(|one, other| one.0 == other.0)
        .filter_map(|chunk| {
            let (name, ..) = *chunk.first()?;
            Some(Wave { name, objects: chunk.iter().map(|(.., index)| *index).collect() })
        })
        .collect()
}

/// What the place of one object depends on in the others.
struct Context<'a> {
    /// Namespaces that a Profile brings and no Namespace object of the set does.
    profile_namespaces: HashSet<&'a str>,
    /// Namespace and selector of each service that a webhook of the set calls.
    webhook_selectors: Vec<(&'a str, &'a Value)>,
    /// Index of the first workload.
    first_workload: usize,
}

impl<'a> Context<'a> {
    fn of(objects: &'a [Object]) -> Self {
        let mut profile_namespaces: HashSet<&str> = objects
            .iter()
            .filter(|object| makes_namespace(object))
            .map(|object| object.identity().name.as_str())
            .collect();
        for object in objects.iter().filter(|object| object.identity().is("", "Namespace")) {
            profile_namespaces.remove(object.identity().name.as_str());
        }
        let called: HashSet<(&str, &str)> = objects.iter().flat_map(services_called).collect();
        let webhook_selectors = objects
            .iter()
            .filter(|object| object.identity().is("", "Service"))
            .filter_map(|service| {
                let namespace = service.identity().namespace.as_deref().unwrap_or("default");
                let selector = service.manifest().pointer("/spec/selector")?;
                called
                    .contains(&(namespace, service.identity().name.as_str()))
                    .then_some((namespace, selector))
            })
            .collect();
        let first_workload = objects.iter().position(is_workload).unwrap_or(objects.len());
        Self { profile_namespaces, webhook_selectors, first_workload }
    }

    fn wave_of(&self, object: &Object, index: usize) -> WaveName {
        let identity = object.identity();
        if identity.namespace.as_deref().is_some_and(|namespace| self.profile_namespaces.contains(namespace))
        {
            return WaveName::ProfileContents;
        }
        match (identity.group.as_str(), identity.kind.as_str()) {
            ("", "Namespace")
            | ("apiextensions.k8s.io", "CustomResourceDefinition")
            | ("scheduling.k8s.io", "PriorityClass")
            | ("storage.k8s.io", "StorageClass" | "CSIDriver")
            | ("node.k8s.io", "RuntimeClass")
            | ("networking.k8s.io", "IngressClass") => WaveName::Definitions,
            ("", "ServiceAccount") | ("rbac.authorization.k8s.io", _) => WaveName::Identities,
            (
                "",
                "ConfigMap"
                | "Secret"
                | "Service"
                | "Endpoints"
                | "PersistentVolume"
                | "PersistentVolumeClaim"
                | "LimitRange"
                | "ResourceQuota",
            )
            | ("networking.k8s.io", "NetworkPolicy")
            | ("discovery.k8s.io", "EndpointSlice") => WaveName::Configuration,
            ("admissionregistration.k8s.io", "MutatingWebhookConfiguration")
                if index < self.first_workload =>
            {
                WaveName::Mutations
            }
            ("admissionregistration.k8s.io" | "apiregistration.k8s.io", _) => WaveName::Judges,
            _ if is_workload(object) && self.answers_webhooks(object) => WaveName::WebhookServers,
            _ => WaveName::Workloads,
        }
    }

    /// Whether a service that a webhook calls selects this workload's pods.
    fn answers_webhooks(&self, workload: &Object) -> bool {
        let namespace = workload.identity().namespace.as_deref().unwrap_or("default");
        let Some(labels) = workload.manifest().pointer("/spec/template/metadata/labels") else {
            return false;
        };
        self.webhook_selectors.iter().any(|(of, selector)| *of == namespace && selects(selector, labels))
    }
}

/// Whether a service's selector selects pods with these labels; an empty selector selects nothing.
fn selects(selector: &Value, labels: &Value) -> bool {
    selector.as_object().is_some_and(|selector| {
        !selector.is_empty() && selector.iter().all(|(key, value)| labels.get(key) == Some(value))
    })
}

/// The services, by namespace and name, that the API server calls because of this object.
fn services_called(object: &Object) -> Vec<(&str, &str)> {
    let identity = object.identity();
    let configs: Vec<&Value> = match (identity.group.as_str(), identity.kind.as_str()) {
        (
            "admissionregistration.k8s.io",
            "MutatingWebhookConfiguration" | "ValidatingWebhookConfiguration",
        ) => object.list("/webhooks").iter().filter_map(|webhook| webhook.get("clientConfig")).collect(),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => {
            object.manifest().pointer("/spec/conversion/webhook/clientConfig").into_iter().collect()
        }
        _ => Vec::new(),
    };
    configs
        .into_iter()
        .filter_map(|config| {
            let text = |pointer: &str| config.pointer(pointer).and_then(Value::as_str);
            Some((text("/service/namespace")?, text("/service/name")?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(api_version: &str, kind: &str, namespace: Option<&str>, name: &str) -> Object {
        with(api_version, kind, namespace, name, &json!({}))
    }

    fn with(api_version: &str, kind: &str, namespace: Option<&str>, name: &str, fields: &Value) -> Object {
        let mut manifest = json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name}});
        if let Some(namespace) = namespace {
            manifest["metadata"]["namespace"] = namespace.into();
        }
        for (key, value) in fields.as_object().unwrap() {
            manifest[key] = value.clone();
        }
        Object::new(manifest).unwrap()
    }

    fn webhook(kind: &str, name: &str, service: &str) -> Object {
        with(
            "admissionregistration.k8s.io/v1",
            kind,
            None,
            name,
            &json!({"webhooks": [{"clientConfig": {"service": {"namespace": "kubeflow", "name": service}}}]}),
        )
    }

    fn deployment(name: &str) -> Object {
        let template =
            json!({"spec": {"template": {"metadata": {"labels": {"app": name, "other": "label"}}}}});
        with("apps/v1", "Deployment", Some("kubeflow"), name, &template)
    }

    fn service(name: &str, app: &str) -> Object {
        with("v1", "Service", Some("kubeflow"), name, &json!({"spec": {"selector": {"app": app}}}))
    }

    /// The waves as lines of names.
    fn lines(objects: &[Object]) -> Vec<String> {
        waves(objects)
            .iter()
            .map(|wave| {
                let names: Vec<&str> =
                    wave.objects.iter().map(|index| objects[*index].identity().name.as_str()).collect();
                format!("{}: {}", wave.name.as_str(), names.join(" "))
            })
            .collect()
    }

    #[test]
    fn what_others_need_goes_first() {
        let objects = [
            object("kubeflow.org/v1", "Notebook", Some("kubeflow"), "notebook"),
            deployment("controller"),
            object("v1", "ConfigMap", Some("kubeflow"), "config"),
            object("rbac.authorization.k8s.io/v1", "ClusterRole", None, "role"),
            object("v1", "ServiceAccount", Some("kubeflow"), "account"),
            object("apiextensions.k8s.io/v1", "CustomResourceDefinition", None, "notebooks.kubeflow.org"),
            object("apiregistration.k8s.io/v1", "APIService", None, "v1.metrics.k8s.io"),
            object("v1", "Namespace", None, "kubeflow"),
        ];
        assert_eq!(
            lines(&objects),
            [
                "namespaces and CRDs: kubeflow notebooks.kubeflow.org",
                "service accounts and rights: role account",
                "configuration and services: config",
                "workloads and custom resources: notebook controller",
                "webhooks and API services: v1.metrics.k8s.io",
            ]
        );
    }

    #[test]
    fn webhook_configurations_come_after_the_workloads_that_answer_them() {
        let objects = [
            deployment("web"),
            deployment("answers"),
            service("answers-svc", "answers"),
            webhook("ValidatingWebhookConfiguration", "validates", "answers-svc"),
            webhook("MutatingWebhookConfiguration", "mutates", "answers-svc"),
        ];
        assert_eq!(
            lines(&objects),
            [
                "configuration and services: answers-svc",
                "webhook servers: answers",
                "workloads and custom resources: web",
                "webhooks and API services: validates mutates",
            ]
        );
    }

    #[test]
    fn mutating_webhooks_listed_before_the_workloads_reach_them() {
        let objects = [
            webhook("MutatingWebhookConfiguration", "injects", "answers-svc"),
            webhook("ValidatingWebhookConfiguration", "validates", "answers-svc"),
            deployment("web"),
            deployment("answers"),
            service("answers-svc", "answers"),
        ];
        assert_eq!(
            lines(&objects),
            [
                "configuration and services: answers-svc",
                "webhook servers: answers",
                "mutating webhooks: injects",
                "workloads and custom resources: web",
                "webhooks and API services: validates",
            ]
        );
    }

    #[test]
    fn the_server_of_a_conversion_webhook_starts_early() {
        let conversion = json!({"spec": {"conversion": {"webhook": {"clientConfig": {"service": {"namespace": "kubeflow", "name": "converts"}}}}}});
        let objects = [
            deployment("web"),
            deployment("converter"),
            service("converts", "converter"),
            with("apiextensions.k8s.io/v1", "CustomResourceDefinition", None, "as.example.org", &conversion),
        ];
        assert_eq!(
            lines(&objects),
            [
                "namespaces and CRDs: as.example.org",
                "configuration and services: converts",
                "webhook servers: converter",
                "workloads and custom resources: web",
            ]
        );
    }

    #[test]
    fn what_lies_in_a_namespace_of_a_profile_waits_for_the_profile() {
        let objects = [
            object("v1", "ConfigMap", Some("user"), "artifact-repositories"),
            object("kubeflow.org/v1", "Profile", None, "user"),
            deployment("profiles"),
        ];
        assert_eq!(
            lines(&objects),
            ["workloads and custom resources: user profiles", "contents of profiles: artifact-repositories"]
        );
        let mut objects = objects.to_vec();
        objects.push(object("v1", "Namespace", None, "user"));
        assert_eq!(
            lines(&objects),
            [
                "namespaces and CRDs: user",
                "configuration and services: artifact-repositories",
                "workloads and custom resources: user profiles",
            ]
        );
    }

    #[test]
    fn an_empty_set_has_no_waves() {
        assert_eq!(waves(&[]), []);
    }
}
