//! What RBAC grants the operator's account in a cluster.

use std::collections::BTreeSet;

use crds::names::{OPERATOR, SYSTEM_NAMESPACE};
use k8s_openapi::api::rbac::v1::{
    ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef, Subject,
};
use kube::{Api, Client, ResourceExt as _, api::ListParams};

use super::{Right, Scope, named};

/// The role that namespaces in which tests run bind themselves.
const TARGET_ROLE: &str = "kubeflow-e2e-target";

/// What the operator's account is granted in a cluster, whatever objects grant it.
pub async fn granted(client: &Client) -> BTreeSet<Right> {
    let all = ListParams::default();
    let is_operators = |subjects: &Option<Vec<Subject>>| {
        subjects
            .iter()
            .flatten()
            .any(|it| it.name == OPERATOR && it.namespace.as_deref() == Some(SYSTEM_NAMESPACE))
    };
    let mut bound: BTreeSet<(Scope, Option<String>, String)> = BTreeSet::new();
    let mut bind = |scope: Scope, namespace: Option<String>, role: RoleRef| {
        bound.insert((scope, namespace.filter(|_| role.kind == "Role"), role.name));
    };
    for binding in Api::<ClusterRoleBinding>::all(client.clone()).list(&all).await.unwrap() {
        if is_operators(&binding.subjects) {
            bind(Scope::Everywhere, None, binding.role_ref);
        }
    }
    for binding in Api::<RoleBinding>::all(client.clone()).list(&all).await.unwrap() {
        if is_operators(&binding.subjects) {
            let namespace = binding.namespace().unwrap();
            let is_target = binding.role_ref.name == TARGET_ROLE;
            let scope = if is_target { Scope::Target } else { Scope::Namespace(namespace.clone()) };
            bind(scope, Some(namespace), binding.role_ref);
        }
    }
    let mut granted = BTreeSet::new();
    for (scope, namespace, role) in bound {
        let rules = match namespace {
            Some(namespace) => {
                Api::<Role>::namespaced(client.clone(), &namespace).get(&role).await.unwrap().rules
            }
            None => Api::<ClusterRole>::all(client.clone()).get(&role).await.unwrap().rules,
        };
        for rule in rules.unwrap_or_default() {
            granted.extend(rights(&scope, &rule));
        }
    }
    granted
}

/// The rights of one rule.
pub(super) fn rights(scope: &Scope, rule: &PolicyRule) -> Vec<Right> {
    let groups = rule.api_groups.iter().flatten();
    let resources =
        groups.flat_map(|group| rule.resources.iter().flatten().map(|resource| named(group, resource)));
    let each = |resource: String| {
        let right = move |verb: &String| Right {
            scope: scope.clone(),
            verb: verb.clone(),
            resource: resource.clone(),
        };
        rule.verbs.iter().map(right)
    };
    resources.flat_map(each).collect()
}
