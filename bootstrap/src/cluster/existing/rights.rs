//! Whether the user of an existing cluster may do there what a run does.

use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::{Api, Client, api::PostParams};

use crate::failure::Failure;

/// How long one question may take.
const ANSWERS_WITHIN: Duration = Duration::from_secs(15);

/// What a run does in every cluster: verb, API group and resource, in no namespace or any.
const NEEDED: [(&str, &str, &str); 14] = [
    ("create", "", "namespaces"),
    ("create", "", "configmaps"),
    ("create", "", "serviceaccounts"),
    ("get", "", "pods/log"),
    ("list", "", "pods"),
    ("list", "", "events"),
    ("create", "apps", "deployments"),
    ("delete", "apps", "deployments"),
    ("create", "apiextensions.k8s.io", "customresourcedefinitions"),
    ("create", "rbac.authorization.k8s.io", "clusterroles"),
    ("create", "rbac.authorization.k8s.io", "rolebindings"),
    ("create", "admissionregistration.k8s.io", "validatingadmissionpolicies"),
    ("create", "e2e.kubeflow.org", "e2etests"),
    ("delete", "e2e.kubeflow.org", "e2etests"),
];

/// Asks the API server for each right; the first that is missing is named.
pub(super) async fn check(client: &Client, context: &str) -> Result<(), Failure> {
    let asked =
        stream::iter(NEEDED).map(|needed| async move { Ok((needed, allowed(client, needed).await?)) });
    let answers: Vec<_> = asked.buffered(4).try_collect().await.map_err(|why: String| {
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

async fn allowed(client: &Client, (verb, group, resource): (&str, &str, &str)) -> Result<bool, String> {
    let (resource, subresource) = match resource.split_once('/') {
        Some((resource, subresource)) => (resource, Some(subresource.to_owned())),
        None => (resource, None),
    };
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(ResourceAttributes {
                verb: Some(verb.into()),
                group: Some(group.into()),
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
