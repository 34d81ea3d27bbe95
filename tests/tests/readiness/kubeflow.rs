//! Objects of a Kubeflow: as many of each kind as its `example/` renders to, and the statuses that make them ready.

use e2e_tests::cluster::{Cluster, eventually};
use kube::{
    Api,
    api::{DynamicObject, Patch, PatchParams},
    core::{ApiResource, GroupVersionKind},
};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::LIMIT;

/// What stands for the certificate of a webhook's authority.
pub const AUTHORITY: &str = "e30=";

/// Requests at once.
const CONCURRENCY: usize = 8;

/// Group and version, kind, how many there are, whether they live in namespaces.
const KINDS: &[(&str, &str, usize, bool)] = &[
    ("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration", 12, false),
    ("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration", 17, false),
    ("apps/v1", "DaemonSet", 1, true),
    ("apps/v1", "Deployment", 49, true),
    ("apps/v1", "StatefulSet", 1, true),
    ("autoscaling/v2", "HorizontalPodAutoscaler", 5, true),
    ("networking.k8s.io/v1", "NetworkPolicy", 40, true),
    ("policy/v1", "PodDisruptionBudget", 2, true),
    ("rbac.authorization.k8s.io/v1", "ClusterRole", 108, false),
    ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", 54, false),
    ("rbac.authorization.k8s.io/v1", "Role", 31, true),
    ("rbac.authorization.k8s.io/v1", "RoleBinding", 31, true),
    ("scheduling.k8s.io/v1", "PriorityClass", 1, false),
    ("v1", "ConfigMap", 50, true),
    ("v1", "PersistentVolumeClaim", 3, true),
    ("v1", "Secret", 11, true),
    ("v1", "Service", 47, true),
    ("v1", "ServiceAccount", 48, true),
];

/// The same of kinds that Kubeflow brings itself.
const CUSTOM: &[(&str, &str, usize, bool)] = &[
    ("caching.internal.knative.dev/v1alpha1", "Image", 1, true),
    ("cert-manager.io/v1", "Certificate", 6, true),
    ("cert-manager.io/v1", "ClusterIssuer", 1, false),
    ("cert-manager.io/v1", "Issuer", 5, true),
    ("kubeflow.org/v1beta1", "Profile", 1, false),
    ("metacontroller.k8s.io/v1alpha1", "DecoratorController", 1, false),
    ("networking.internal.knative.dev/v1alpha1", "Certificate", 1, true),
    ("networking.istio.io/v1", "Sidecar", 3, true),
    ("networking.istio.io/v1alpha3", "DestinationRule", 10, true),
    ("networking.istio.io/v1alpha3", "Gateway", 4, true),
    ("networking.istio.io/v1alpha3", "VirtualService", 11, true),
    ("security.istio.io/v1beta1", "AuthorizationPolicy", 24, true),
    ("security.istio.io/v1beta1", "PeerAuthentication", 2, true),
    ("security.istio.io/v1beta1", "RequestAuthentication", 1, true),
    ("serving.kserve.io/v1alpha1", "ClusterServingRuntime", 11, false),
    ("serving.kserve.io/v1alpha1", "ClusterStorageContainer", 1, false),
    ("trainer.kubeflow.org/v1alpha1", "ClusterTrainingRuntime", 8, false),
];

/// Its namespaces.
const NAMESPACES: [&str; 7] = [
    "auth",
    "cert-manager",
    "istio-system",
    "knative-serving",
    "kubeflow",
    "kubeflow-system",
    "oauth2-proxy",
];

/// How many definitions it has.
const DEFINITIONS: usize = 74;

/// One object in its two states.
pub struct States {
    /// The status that makes it ready.
    pub ready: Value,
    /// One that does not.
    pub unready: Value,
}

/// All objects, as they are applied; none of them is ready then that has anything to be ready for.
pub fn objects() -> Vec<Value> {
    let mut objects: Vec<Value> = NAMESPACES
        .iter()
        .map(|name| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}))
        .collect();
    for (api_version, kind, _, namespaced) in CUSTOM {
        let (group, version) = api_version.split_once('/').unwrap();
        objects.push(definition(group, version, kind, *namespaced));
    }
    for index in CUSTOM.len()..DEFINITIONS {
        objects.push(definition("filler.example.org", "v1", &format!("Filler{index}"), true));
    }
    for (api_version, kind, count, namespaced) in KINDS.iter().chain(CUSTOM) {
        for index in 0..*count {
            let mut object = body(kind);
            object["apiVersion"] = (*api_version).into();
            object["kind"] = (*kind).into();
            object["metadata"] = json!({"name": format!("object-{index}")});
            if *namespaced {
                object["metadata"]["namespace"] = NAMESPACES[index % NAMESPACES.len()].into();
            }
            objects.push(object);
        }
    }
    objects
}

/// A definition whose objects may hold anything.
pub fn definition(group: &str, version: &str, kind: &str, namespaced: bool) -> Value {
    let plural = resource(&format!("{group}/{version}"), kind).plural;
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", 
        // Groups of Kubernetes' own domain ask for it.
        "metadata": {"name": format!("{plural}.{group}"), "annotations": {"api-approved.kubernetes.io": "unapproved, a trial"}},
        "spec": {"group": group, "scope": if namespaced { "Namespaced" } else { "Cluster" },
            "names": {"kind": kind, "plural": plural, "singular": kind.to_lowercase(), "listKind": format!("{kind}List")},
            "versions": [{"name": version, "served": true, "storage": true, "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}]}})
}

/// What an object of that kind needs to be accepted.
fn body(kind: &str) -> Value {
    let pods = json!({"matchLabels": {"app": "object"}});
    let template = json!({"metadata": {"labels": {"app": "object"}}, "spec": {"containers": [{"name": "main", "image": "none"}]}});
    let role = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"});
    match kind {
        "MutatingWebhookConfiguration" | "ValidatingWebhookConfiguration" => json!({"webhooks": [{
            "name": "hook.example.org", "sideEffects": "None", "admissionReviewVersions": ["v1"],
            "clientConfig": {"service": {"namespace": "kubeflow", "name": "hook"}},
            "rules": [{"apiGroups": ["nothing.example.org"], "apiVersions": ["*"], "operations": ["CREATE"], "resources": ["things"]}]}]}),
        "DaemonSet" | "Deployment" | "StatefulSet" => {
            json!({"spec": {"selector": pods, "template": template}})
        }
        "HorizontalPodAutoscaler" => {
            json!({"spec": {"maxReplicas": 2, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "object-0"}}})
        }
        "NetworkPolicy" => json!({"spec": {"podSelector": {}}}),
        "PodDisruptionBudget" => json!({"spec": {"minAvailable": 1, "selector": pods}}),
        "ClusterRole" | "Role" => json!({"rules": []}),
        "ClusterRoleBinding" | "RoleBinding" => json!({"roleRef": role, "subjects": []}),
        "PriorityClass" => json!({"value": 1}),
        "PersistentVolumeClaim" => {
            json!({"spec": {"storageClassName": "fast", "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}})
        }
        "Service" => json!({"spec": {"ports": [{"port": 80}], "selector": {"app": "object"}}}),
        "ConfigMap" | "Secret" | "ServiceAccount" => json!({}),
        _ => json!({"spec": {}}),
    }
}

/// The status with which an object is ready, and one with which it is not; `None` where it has none.
fn statuses(object: &Value) -> Option<(Value, Value)> {
    let group = object["apiVersion"].as_str().unwrap().split('/').next().unwrap();
    let replicas = |count: i32| json!({"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "readyReplicas": count, "availableReplicas": count});
    let condition = |status: &str| json!({"conditions": [{"type": "Ready", "status": status}]});
    Some(match (group, object["kind"].as_str().unwrap()) {
        ("apps", "Deployment" | "StatefulSet") => (replicas(1), replicas(0)),
        ("apps", "DaemonSet") => (
            json!({"observedGeneration": 1, "currentNumberScheduled": 1, "desiredNumberScheduled": 1, "numberMisscheduled": 0,
                "numberReady": 1, "updatedNumberScheduled": 1, "numberAvailable": 1}),
            json!({"observedGeneration": 1, "currentNumberScheduled": 1, "desiredNumberScheduled": 1, "numberMisscheduled": 0, "numberReady": 0}),
        ),
        ("v1", "PersistentVolumeClaim") => (json!({"phase": "Bound"}), json!({"phase": "Pending"})),
        ("cert-manager.io", _) => (condition("True"), condition("False")),
        _ => return None,
    })
}

/// Creates all objects.
pub async fn create(cluster: &Cluster, objects: &[Value]) {
    let is_early = |object: &&Value| {
        ["Namespace", "CustomResourceDefinition"].contains(&object["kind"].as_str().unwrap())
    };
    all(cluster, objects.iter().filter(is_early).map(|object| (object.clone(), false)).collect()).await;
    all(
        cluster,
        objects.iter().filter(|object| !is_early(object)).map(|object| (object.clone(), false)).collect(),
    )
    .await;
}

/// Makes every object ready but for one Deployment; returns how that one is called, and its two states.
pub async fn make_ready(cluster: &Cluster, objects: &[Value]) -> (String, States) {
    let mut written = vec![
        (json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "object-0"}}), false),
        (
            json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4", "ports": [],
            "metadata": {"name": "hook-1", "namespace": "kubeflow", "labels": {"kubernetes.io/service-name": "hook"}},
            "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": true}}]}),
            false,
        ),
    ];
    let mut last = None;
    for object in objects {
        let with = |status: Value| {
            let mut object = object.clone();
            object["status"] = status;
            object
        };
        if object.get("webhooks").is_some() {
            let mut object = object.clone();
            object["webhooks"][0]["clientConfig"]["caBundle"] = AUTHORITY.into();
            written.push((object, false));
        }
        let Some((ready, unready)) = statuses(object) else { continue };
        if last.is_none() && object["kind"] == "Deployment" {
            written.push((with(unready.clone()), true));
            let metadata = &object["metadata"];
            let name = format!(
                "Deployment {}/{}",
                metadata["namespace"].as_str().unwrap(),
                metadata["name"].as_str().unwrap()
            );
            last = Some((name, States { ready: with(ready), unready: with(unready) }));
        } else {
            written.push((with(ready), true));
        }
    }
    all(cluster, written).await;
    // What a Profile's controller would make.
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default-editor", "namespace": "object-0"}});
    apply(cluster, &account, false).await;
    last.unwrap()
}

/// Applies many objects, several at once; of some only the status.
async fn all(cluster: &Cluster, objects: Vec<(Value, bool)>) {
    let mut tasks = JoinSet::new();
    let size = objects.len().div_ceil(CONCURRENCY).max(1);
    for part in objects.chunks(size) {
        let (cluster, part) = (cluster.clone(), part.to_vec());
        tasks.spawn(async move {
            for (object, is_status) in part {
                apply(&cluster, &object, is_status).await;
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
}

/// Applies an object, or its status, once its kind is served.
pub async fn apply(cluster: &Cluster, object: &Value, is_status: bool) {
    let text = |field: &Value| field.as_str().map(str::to_owned);
    let resource = resource(&text(&object["apiVersion"]).unwrap(), &text(&object["kind"]).unwrap());
    let name = text(&object["metadata"]["name"]).unwrap();
    let client = cluster.client.clone();
    let api: Api<DynamicObject> = match text(&object["metadata"]["namespace"]) {
        Some(namespace) => Api::namespaced_with(client, &namespace, &resource),
        None => Api::all_with(client, &resource),
    };
    let (api, name, resource) = (&api, &name, &resource);
    let sent = || async move {
        // Statuses have a manager of their own, as controllers have.
        let answer = if is_status {
            let parameters = PatchParams::apply("status").force();
            api.patch_status(name, &parameters, &Patch::Apply(object)).await
        } else {
            api.patch(name, &PatchParams::apply("trial").force(), &Patch::Apply(object)).await
        };
        match answer {
            Ok(_) => Some(()),
            Err(kube::Error::Api(status)) if status.code == 404 => None,
            Err(error) => panic!("{} {name}: {error}", resource.kind),
        }
    };
    eventually(&format!("{} {name} to be taken", resource.kind), LIMIT, sent).await;
}

/// Where objects of a kind live.
fn resource(api_version: &str, kind: &str) -> ApiResource {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind))
}
