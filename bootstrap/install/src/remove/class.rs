//! In which order objects are removed: a pure function of the inventory.

use crds::inventory::InventoryObject;

/// What is removed together; a class begins when everything of the one before it is gone.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Class {
    /// What judges requests or takes over a part of the API: without its servers it would refuse the deletions to come.
    Judges,
    /// Custom resources, while their controllers still run to let go of them.
    CustomResources,
    /// Workloads.
    Workloads,
    /// Everything else in namespaces and around them.
    Configuration,
    /// Service accounts and rights, which workloads need until their end.
    Identities,
    /// Custom resource definitions and classes.
    Definitions,
    /// Namespaces.
    Namespaces,
}

impl Class {
    /// The class as people read it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Judges => "webhooks and API services",
            Self::CustomResources => "custom resources",
            Self::Workloads => "workloads",
            Self::Configuration => "configuration and services",
            Self::Identities => "service accounts and rights",
            Self::Definitions => "CRDs and classes",
            Self::Namespaces => "namespaces",
        }
    }

    fn of(object: &InventoryObject) -> Self {
        match (object.group(), object.kind.as_str()) {
            ("admissionregistration.k8s.io" | "apiregistration.k8s.io", _) => Self::Judges,
            ("apps" | "batch", _) | ("", "Pod" | "ReplicationController") => Self::Workloads,
            ("", "Namespace") => Self::Namespaces,
            ("", "ServiceAccount") | ("rbac.authorization.k8s.io", _) => Self::Identities,
            ("apiextensions.k8s.io" | "scheduling.k8s.io" | "storage.k8s.io" | "node.k8s.io", _) => {
                Self::Definitions
            }
            ("", _) => Self::Configuration,
            (group, _) if group.ends_with(".k8s.io") && !group.contains(".x-k8s.io") => Self::Configuration,
            ("policy" | "autoscaling", _) => Self::Configuration,
            _ => Self::CustomResources,
        }
    }
}

/// The classes of an inventory's objects, in the order of removal; within one, the last that went in comes first.
pub fn classes<'a>(objects: &[&'a InventoryObject]) -> Vec<(Class, Vec<&'a InventoryObject>)> {
    let mut placed: Vec<(Class, &InventoryObject)> =
        objects.iter().rev().map(|object| (Class::of(object), *object)).collect();
    placed.sort_by_key(|(class, _)| *class);
    placed
        .chunk_by(|one, other| one.0 == other.0)
        .filter_map(|chunk| Some((chunk.first()?.0, chunk.iter().map(|(_, object)| *object).collect())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(api_version: &str, kind: &str, name: &str) -> InventoryObject {
        InventoryObject {
            api_version: api_version.into(),
            kind: kind.into(),
            namespace: None,
            name: name.into(),
            uid: None,
            made: true,
            needed_by: None,
        }
    }

    #[test]
    fn judges_go_first_and_namespaces_last() {
        let objects = [
            object("v1", "Namespace", "kubeflow"),
            object("apiextensions.k8s.io/v1", "CustomResourceDefinition", "profiles.kubeflow.org"),
            object("v1", "ServiceAccount", "a"),
            object("networking.k8s.io/v1", "NetworkPolicy", "a"),
            object("v1", "ConfigMap", "first"),
            object("v1", "ConfigMap", "second"),
            object("apps/v1", "Deployment", "a"),
            object("kubeflow.org/v1", "Profile", "user"),
            object("gateway.networking.k8s.io/v1", "Gateway", "a"),
            object("jobset.x-k8s.io/v1alpha2", "JobSet", "a"),
            object("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration", "a"),
        ];
        let order = classes(&objects.iter().collect::<Vec<_>>());
        let text: Vec<String> = order
            .iter()
            .map(|(class, members)| {
                format!(
                    "{}: {}",
                    class.as_str(),
                    members.iter().map(|member| member.kind.as_str()).collect::<Vec<_>>().join(" ")
                )
            })
            .collect();
        assert_eq!(
            text,
            [
                "webhooks and API services: MutatingWebhookConfiguration",
                "custom resources: JobSet Profile",
                "workloads: Deployment",
                "configuration and services: Gateway ConfigMap ConfigMap NetworkPolicy",
                "service accounts and rights: ServiceAccount",
                "CRDs and classes: CustomResourceDefinition",
                "namespaces: Namespace",
            ]
        );
        assert_eq!(order[3].1[1].name, "second");
    }
}
