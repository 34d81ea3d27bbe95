//! Which namespaces a set fills: what the gate of a run waits for.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::object::Object;

/// Kinds that keep pods running.
const WORKLOADS: [&str; 3] = ["Deployment", "StatefulSet", "DaemonSet"];

/// Whether the object is a Deployment, StatefulSet or DaemonSet.
pub(crate) fn is_workload(object: &Object) -> bool {
    object.identity().group == "apps" && WORKLOADS.contains(&object.identity().kind.as_str())
}

/// The namespaces that hold at least one workload which asks for a pod, sorted.
///
/// A gate on exactly these can never be open because there is nothing to wait for.
pub fn workload_namespaces(objects: &[Object]) -> Vec<String> {
    let namespaces: BTreeSet<&str> = objects
        .iter()
        .filter(|object| is_workload(object))
        .filter(|object| object.manifest().pointer("/spec/replicas").and_then(Value::as_i64) != Some(0))
        .map(|object| object.identity().namespace.as_deref().unwrap_or("default"))
        .collect();
    namespaces.into_iter().map(str::to_owned).collect()
}

/// Whether a controller makes a namespace of this object's name.
pub(crate) fn makes_namespace(object: &Object) -> bool {
    object.identity().is("kubeflow.org", "Profile")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(manifest: Value) -> Object {
        Object::new(manifest).unwrap()
    }

    fn workload(kind: &str, namespace: &str, replicas: Option<i64>) -> Object {
        let mut manifest = json!({"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "a", "namespace": namespace}, "spec": {}});
        if let Some(replicas) = replicas {
            manifest["spec"]["replicas"] = replicas.into();
        }
        object(manifest)
    }

    #[test]
    fn a_namespace_counts_once_a_pod_is_asked_for() {
        let objects = [
            workload("Deployment", "kubeflow", None),
            workload("StatefulSet", "kubeflow", Some(2)),
            workload("DaemonSet", "istio-system", None),
            workload("Deployment", "asleep", Some(0)),
            object(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "empty"}})),
            object(json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "homeless"}})),
        ];
        assert_eq!(workload_namespaces(&objects), ["default", "istio-system", "kubeflow"]);
    }
}
