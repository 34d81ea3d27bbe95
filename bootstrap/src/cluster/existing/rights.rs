//! Whether the user of an existing cluster may do there what a run does.

use std::{collections::BTreeSet, time::Duration};

use bootstrap_install::resource::Resources;
use crds::names::GROUP;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::{Api, Client, api::PostParams};

use crate::{failure::Failure, manifests};

/// How long one question may take.
const ANSWERS_WITHIN: Duration = Duration::from_secs(15);

/// Verb, API group and resource.
type Right = (&'static str, String, String);

/// What a run and a removal do beside making, reading and removing the run's own objects, each kind with its verbs: they
/// wait for some by list and watch, look at what somebody else runs where something is removed, and at who owns that; a
/// removal ends the Jobs that the operator made; the inventory is written anew.
const BESIDE: [(&str, &str, &[&str]); 14] = [
    ("", "configmaps", &["update"]),
    ("", "events", &["list"]),
    ("", "namespaces", &["list", "watch"]),
    ("", "nodes", &["list"]),
    ("", "pods", &["get", "list", "watch"]),
    ("", "pods/log", &["get"]),
    ("", "replicationcontrollers", &["get", "list"]),
    ("apps", "daemonsets", &["get", "list"]),
    ("apps", "deployments", &["list", "watch"]),
    ("apps", "replicasets", &["get", "list"]),
    ("apps", "statefulsets", &["get", "list"]),
    ("batch", "cronjobs", &["get", "list"]),
    ("batch", "jobs", &["delete", "get", "list", "watch"]),
    (GROUP, "e2etests", &["list", "watch"]),
];

/// What is made beside the operator's own objects.
const MADE: [(&str, &str); 3] =
    [("", "configmaps"), ("rbac.authorization.k8s.io", "rolebindings"), (GROUP, "e2etests")];

/// Everything that a run does in every cluster: it makes, and removes again, whatever the operator consists of.
fn needed() -> Result<Vec<Right>, Failure> {
    let operator = manifests::operator(&manifests::released_image()).map_err(Failure::infrastructure)?;
    let resources = Resources::of(&operator);
    let mut kinds: BTreeSet<(String, String)> =
        MADE.into_iter().map(|(group, resource)| (group.to_owned(), resource.to_owned())).collect();
    for object in &operator {
        let found =
            resources.find(object.identity()).map_err(|error| Failure::infrastructure(error.to_string()))?;
        kinds.extend(found.map(|resource| (object.identity().group.clone(), resource.plural)));
    }
    let beside = BESIDE.into_iter().flat_map(|(group, resource, verbs)| {
        verbs.iter().map(move |verb| (*verb, group.to_owned(), resource.to_owned()))
    });
    let verbs = ["create", "get", "patch", "delete"];
    let made =
        kinds.iter().flat_map(|(group, resource)| verbs.map(|verb| (verb, group.clone(), resource.clone())));
    Ok(made.chain(beside).collect())
}

/// Asks the API server for each right; the first that is missing is named.
pub(super) async fn check(client: &Client, context: &str) -> Result<(), Failure> {
    let asked = stream::iter(needed()?).map(|needed| async move {
        let allowed = allowed(client, &needed).await?;
        Ok((needed, allowed))
    });
    let answers: Vec<(Right, bool)> = asked.buffered(8).try_collect().await.map_err(|why: String| {
        Failure::infrastructure(format!("context {context}: the rights of its user cannot be read: {why}"))
    })?;
    let lacks = answers.into_iter().find(|(_, allowed)| !allowed);
    lacks.map_or(Ok(()), |((verb, group, resource), _)| {
        let of = if group.is_empty() { String::new() } else { format!(" of {group}") };
        Err(Failure::infrastructure(format!(
            "context {context}: its user may not {verb} {resource}{of}; a run needs an administrator of the cluster"
        )))
    })
}

async fn allowed(client: &Client, (verb, group, resource): &Right) -> Result<bool, String> {
    let (resource, subresource) = match resource.split_once('/') {
        Some((resource, subresource)) => (resource, Some(subresource.to_owned())),
        None => (resource.as_str(), None),
    };
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(ResourceAttributes {
                verb: Some((*verb).into()),
                group: Some(group.clone()),
                resource: Some(resource.into()),
                subresource,
                ..ResourceAttributes::default()
            }),
            ..SelfSubjectAccessReviewSpec::default()
        },
        ..SelfSubjectAccessReview::default()
    };
    let params = PostParams::default();
    let api = Api::<SelfSubjectAccessReview>::all(client.clone());
    let answer = tokio::time::timeout(ANSWERS_WITHIN, api.create(&params, &review)).await;
    let answer = answer.map_err(|_| "the API server does not answer".to_owned())?;
    let answer = answer.map_err(|error| error.to_string())?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_a_run_and_its_removal_do_is_asked_for() {
        let needed = needed().unwrap();
        let has = |verb: &'static str, group: &str, resource: &str| {
            needed.contains(&(verb, group.to_owned(), resource.to_owned()))
        };
        for verb in ["create", "get", "update", "delete"] {
            assert!(has(verb, "", "configmaps"), "{verb}");
        }
        for verb in ["delete", "get", "list", "watch"] {
            assert!(has(verb, "batch", "jobs") && has(verb, GROUP, "e2etests"), "{verb}");
        }
        for (group, resource) in [("", "namespaces"), ("", "pods"), ("apps", "deployments")] {
            for verb in ["get", "list", "watch"] {
                assert!(has(verb, group, resource), "{verb} {resource}");
            }
        }
        for (group, resource) in [("apps", "statefulsets"), ("batch", "cronjobs"), ("", "pods")] {
            assert!(has("list", group, resource), "{resource}");
        }
    }
}
