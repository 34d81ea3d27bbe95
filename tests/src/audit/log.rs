//! The log. By which binding a request was allowed stands in it, so that nothing has to be worked out again here.

use std::{collections::BTreeSet, fs};

use bootstrap_embedded::{Roots, audit_log};
use crds::names::TARGET_ROLE_BINDING;
use serde::Deserialize;

use super::{Right, Scope, named, operator};

/// What a log says.
#[derive(Debug, Default)]
pub struct Used {
    /// The rights that requests needed.
    pub rights: BTreeSet<Right>,
    /// Requests that were refused for want of a right, with their namespaces.
    pub missing: Vec<(Option<String>, String)>,
    /// Requests that were refused although the same was allowed at another time: what an API server that has just started
    /// answers until it has read the roles, and who takes a right away and gives it back.
    pub passing: usize,
    /// How many requests there were.
    pub requests: usize,
}

impl Used {
    /// The rights that no request needed.
    pub fn unused(&self, granted: &BTreeSet<Right>) -> Vec<String> {
        granted.difference(&self.rights).map(ToString::to_string).collect()
    }

    /// The requests that were refused but in these namespaces, in which rights are missing on purpose.
    pub fn missing_outside(&self, on_purpose: &BTreeSet<String>) -> Vec<&str> {
        let is_meant =
            |namespace: &Option<String>| namespace.as_ref().is_some_and(|it| on_purpose.contains(it));
        let outside = self.missing.iter().filter(|(namespace, _)| !is_meant(namespace));
        outside.map(|(_, request)| request.as_str()).collect()
    }
}

/// One entry of a log.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    user: User,
    verb: String,
    #[serde(rename = "requestURI")]
    request_uri: String,
    /// Absent for what is no resource.
    object_ref: Option<ObjectRef>,
    response_status: Option<ResponseStatus>,
    #[serde(default)]
    annotations: Annotations,
}

#[derive(Deserialize)]
struct User {
    username: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct ObjectRef {
    api_group: String,
    resource: String,
    subresource: String,
    namespace: Option<String>,
}

#[derive(Deserialize)]
struct ResponseStatus {
    #[serde(default)]
    code: u16,
}

#[derive(Default, Deserialize)]
struct Annotations {
    #[serde(rename = "authorization.k8s.io/decision", default)]
    decision: String,
    #[serde(rename = "authorization.k8s.io/reason", default)]
    reason: String,
}

impl Entry {
    /// The resource as RBAC names it, with its group.
    fn resource(&self) -> Option<String> {
        let ObjectRef { api_group, resource, subresource, .. } = self.object_ref.as_ref()?;
        Some(named(
            api_group,
            &if subresource.is_empty() { resource.clone() } else { format!("{resource}/{subresource}") },
        ))
    }

    fn namespace(&self) -> Option<&str> {
        self.object_ref.as_ref()?.namespace.as_deref()
    }

    /// What is asked for, and where.
    fn what(&self) -> (&str, Option<String>, Option<&str>) {
        (&self.verb, self.resource(), self.namespace())
    }

    fn code(&self) -> u16 {
        self.response_status.as_ref().map_or(0, |status| status.code)
    }

    /// Where the binding holds that allowed it, if that is the operator's own: everybody may ask what the API serves.
    fn scope(&self) -> Option<Scope> {
        let (kind, rest) = self.annotations.reason.strip_prefix("RBAC: allowed by ")?.split_once(' ')?;
        let binding = rest.strip_prefix('"')?.split('"').next()?;
        if !binding.starts_with("kubeflow-e2e-") {
            return None;
        }
        match (kind, binding.split_once('/')) {
            ("ClusterRoleBinding", None) => Some(Scope::Everywhere),
            ("RoleBinding", Some((TARGET_ROLE_BINDING, _))) => Some(Scope::Target),
            ("RoleBinding", Some((_, namespace))) => Some(Scope::Namespace(namespace.to_owned())),
            _ => None,
        }
    }
}

/// What the operator used in a cluster that was told to write it down.
pub fn used(cluster: &str) -> Used {
    let log = audit_log(&Roots::default(), cluster).unwrap();
    let beside = fs::read_dir(log.parent().unwrap()).unwrap().map(|entry| entry.unwrap().file_name());
    let logs = beside.filter(|name| name.to_string_lossy().starts_with("audit"));
    // Of a third one, the first would be gone, and what it said.
    assert_eq!(logs.count(), 1, "the audit log of {cluster} was put aside for its size");
    read(&fs::read_to_string(&log).unwrap_or_else(|error| panic!("{}: {error}", log.display())))
}

/// Reads a log.
pub(super) fn read(text: &str) -> Used {
    let parsed = text.lines().map(|line| {
        serde_json::from_str(line).unwrap_or_else(|error| panic!("the audit log: {error}: {line}"))
    });
    let entries: Vec<Entry> = parsed.filter(|entry: &Entry| entry.user.username == operator()).collect();
    let let_in: BTreeSet<&str> = entries
        .iter()
        .filter(|entry| entry.scope() == Some(Scope::Target))
        .filter_map(Entry::namespace)
        .collect();
    let allowed: BTreeSet<_> = entries.iter().filter(|it| it.scope().is_some()).map(Entry::what).collect();
    let mut used = Used { requests: entries.len(), ..Used::default() };
    for entry in &entries {
        let Some(resource) = entry.resource() else { continue };
        if entry.annotations.decision == "forbid" && allowed.contains(&entry.what()) {
            used.passing += 1;
            continue;
        }
        if entry.annotations.decision == "forbid" || entry.code() == 403 {
            let request = format!("{} {} ({})", entry.verb, entry.request_uri, entry.code());
            used.missing.push((entry.namespace().map(str::to_owned), request));
            continue;
        }
        let Some(scope) = entry.scope() else { continue };
        // What is done where the operator was let in needs no right in the whole cluster.
        if scope == Scope::Everywhere && entry.namespace().is_some_and(|namespace| let_in.contains(namespace))
        {
            continue;
        }
        let right =
            |verb: &str| Right { scope: scope.clone(), verb: verb.to_owned(), resource: resource.clone() };
        // An apply that makes its object is asked for the right to create it as well, which is no entry of its own.
        if entry.verb == "patch" && entry.code() == 201 {
            used.rights.insert(right("create"));
        }
        used.rights.insert(right(&entry.verb));
    }
    used
}
