//! That the readers of this module notice what they are there for.

use k8s_openapi::api::rbac::v1::PolicyRule;
use serde_json::json;

use super::{Scope, granted::rights, log::read, operator};

/// Fails the test unless rights that nobody used, and requests that lacked one, are noticed.
pub fn check() {
    let entry = |verb: &str, at: &str, code: u16, by: &str| {
        let (namespace, resource) = at.split_once('/').unwrap_or(("", at));
        let mut reference = json!({ "resource": resource });
        if !namespace.is_empty() {
            reference["namespace"] = namespace.into();
        }
        let decision = if by.is_empty() { "forbid" } else { "allow" };
        json!({
            "user": { "username": operator() }, "verb": verb, "requestURI": at, "objectRef": reference,
            "responseStatus": { "code": code },
            "annotations": { "authorization.k8s.io/decision": decision, "authorization.k8s.io/reason": by },
        })
        .to_string()
    };
    let role = r#"RBAC: allowed by ClusterRoleBinding "kubeflow-e2e-operator" of ClusterRole "x" to ServiceAccount "y""#;
    let target =
        r#"RBAC: allowed by RoleBinding "kubeflow-e2e-target/mine" of ClusterRole "x" to ServiceAccount "y""#;
    let own =
        r#"RBAC: allowed by RoleBinding "kubeflow-e2e-events/default" of Role "x" to ServiceAccount "y""#;
    let everybodys =
        r#"RBAC: allowed by ClusterRoleBinding "system:discovery" of ClusterRole "x" to Group "y""#;
    let log = [
        entry("patch", "mine/configmaps", 201, target),
        entry("get", "mine/jobs", 200, target),
        entry("list", "mine/pods", 200, role),
        entry("watch", "pods", 200, role),
        entry("create", "default/events", 201, own),
        entry("create", "selfsubjectreviews", 201, everybodys),
        entry("get", "shut/jobs", 403, ""),
        entry("get", "other/jobs", 403, ""),
        entry("get", "mine/jobs", 403, ""),
        // Allowed by RBAC, and refused by admission: that the operator was made to need what it may not is no less wrong.
        entry("create", "mine/jobs", 403, target),
    ];
    let used = read(&log.join("\n"));
    let shown: Vec<String> = used.rights.iter().map(ToString::to_string).collect();
    let wanted = [
        "watch pods everywhere",
        "create configmaps in target namespaces",
        "get jobs in target namespaces",
        "patch configmaps in target namespaces",
        "create events in namespace default",
    ];
    assert_eq!(shown, wanted);
    assert_eq!(used.passing, 1, "refused once, and allowed once");
    let shut = ["shut".to_owned()].into();
    assert_eq!(used.missing_outside(&shut), ["get other/jobs (403)", "create mine/jobs (403)"]);
    let rule = PolicyRule {
        api_groups: Some(vec![String::new()]),
        resources: Some(vec!["pods".into()]),
        verbs: vec!["list".into(), "watch".into()],
        ..PolicyRule::default()
    };
    let granted = rights(&Scope::Everywhere, &rule).into_iter().collect();
    assert_eq!(used.unused(&granted), ["list pods everywhere"], "listed only where the operator was let in");
}
