//! Performs effects: each batch in order, the batches of different tests side by side.

use std::fmt::Debug;

use crds::{
    names::{FIELD_MANAGER, annotation},
    v1alpha1::{E2ETest, JobReference},
};
use futures::future::join_all;
use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        batch::v1::Job,
        core::v1::{ConfigMap, Pod},
    },
};
use kube::{
    Api, Client, Resource,
    api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions, PropagationPolicy},
    core::DynamicObject,
};
use operator_core::{Acted, Batch, Effect, Expired, Outcome, effect::Target, pod_default_resource};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;

use super::{Called, Context, call::call, observe::is_unserved};
use crate::error::{CallError, Class};

/// Performs all batches.
pub async fn act(context: &Context, batches: &[Batch]) -> Acted {
    let all = batches.iter().map(|batch| async {
        let mut outcome = Outcome::Done;
        for effect in &batch.effects {
            outcome = perform(&context.client, effect).await;
            let result = if is_done(&outcome) { "ok" } else { "error" };
            context.metrics.effect(effect.verb_and_kind(), result);
            if result == "error" {
                tracing::warn!(test = batch.test, ?outcome, "Effect was not done");
                break;
            }
        }
        (batch.test.clone(), outcome)
    });
    join_all(all).await.into_iter().collect()
}

/// Whether the batch goes on.
const fn is_done(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Done | Outcome::JobCreated(_) | Outcome::JobExists => true,
        Outcome::PodDefaultNotServed | Outcome::Refused { .. } | Outcome::Failed { .. } => false,
    }
}

/// Performs one effect.
async fn perform(client: &Client, effect: &Effect) -> Outcome {
    match effect {
        Effect::ApplyConfigMap(object) => {
            let api = Api::<ConfigMap>::namespaced(client.clone(), namespace(object.as_ref()));
            apply(&api, "ConfigMap", object.as_ref())
                .await
                .map_or_else(|error| not_done(&error), |()| Outcome::Done)
        }
        Effect::ApplyPodDefault(object) => {
            let resource = pod_default_resource();
            let namespace = object.metadata.namespace.as_deref().unwrap_or_default();
            let api = Api::<DynamicObject>::namespaced_with(client.clone(), namespace, &resource);
            apply_pod_default(&api, object).await
        }
        Effect::CreateJob(job) => create(client, job).await,
        Effect::StopPod(target) => stop::<Pod>(client, target, json!({ "activeDeadlineSeconds": 1 })).await,
        Effect::SuspendJob(target) => stop::<Job>(client, target, json!({ "suspend": true })).await,
    }
}

/// Server-side apply of one child, as its only manager.
async fn apply<K>(api: &Api<K>, kind: &'static str, object: &K) -> Result<(), CallError>
where
    K: Resource + Clone + Debug + DeserializeOwned + Serialize,
{
    let name = object.meta().name.as_deref().unwrap_or_default();
    let what = format!("{kind} {}/{name}", object.meta().namespace.as_deref().unwrap_or_default());
    let parameters = PatchParams::apply(FIELD_MANAGER).force();
    call("apply", what, api.patch(name, &parameters, &Patch::Apply(object))).await.map(|_| ())
}

/// Server-side apply of the PodDefault, whose kind may not exist.
async fn apply_pod_default(api: &Api<DynamicObject>, object: &DynamicObject) -> Outcome {
    match apply(api, "PodDefault", object).await {
        Ok(()) => Outcome::Done,
        Err(error) => match error.status() {
            Some(status) if status.code == 404 && is_unserved(status) => Outcome::PodDefaultNotServed,
            _ => not_done(&error),
        },
    }
}

/// POST of a Job.
async fn create(client: &Client, job: &Job) -> Outcome {
    let api = Api::<Job>::namespaced(client.clone(), namespace(job));
    let name = job.metadata.name.clone().unwrap_or_default();
    let what = format!("Job {}/{name}", namespace(job));
    let parameters = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
    match call("create", what, api.create(&parameters, job)).await {
        Ok(created) => match created.metadata.uid {
            Some(uid) => Outcome::JobCreated(JobReference { name, uid }),
            None => Outcome::JobExists,
        },
        Err(error) if error.status().is_some_and(kube::core::Status::is_already_exists) => Outcome::JobExists,
        Err(error) => not_done(&error),
    }
}

/// Patches an object that is to end. One that is gone, or that is another by now, has ended.
async fn stop<K>(client: &Client, target: &Target, spec: serde_json::Value) -> Outcome
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
{
    let Target { namespace, name, uid, because } = target;
    let mut patch = json!({ "metadata": { "uid": uid }, "spec": spec });
    if let Some(because) = because {
        patch["metadata"]["annotations"] = json!({ annotation::ENDED: because });
    }
    let api = Api::<K>::namespaced(client.clone(), namespace);
    let what = format!("{} {namespace}/{name}", K::kind(&()));
    let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    match call("patch", what, api.patch(name, &parameters, &Patch::Merge(&patch))).await {
        Ok(_) => Outcome::Done,
        Err(error) if error.status().is_some_and(|status| matches!(status.code, 404 | 409)) => Outcome::Done,
        Err(error) => not_done(&error),
    }
}

/// Deletes a run whose time has come, if it is still the one that was looked at; its children follow.
pub(super) async fn expire(client: &Client, run: &Expired) -> Called<()> {
    let parameters = DeleteParams {
        propagation_policy: Some(PropagationPolicy::Background),
        preconditions: Some(Preconditions {
            uid: Some(run.uid.clone()),
            resource_version: Some(run.resource_version.clone()),
        }),
        ..DeleteParams::default()
    };
    let api = Api::<E2ETest>::all(client.clone());
    match call("delete", format!("E2ETest {}", run.name), api.delete(&run.name, &parameters)).await {
        Err(error) if error.status().is_some_and(|status| status.code == 404) => Ok(()),
        deleted => deleted.map(|_| ()),
    }
}

/// What an error means for the test: a clear no, or that nobody knows.
fn not_done(error: &CallError) -> Outcome {
    let message = error.to_string();
    match (error.status().map(|status| status.code), error.class()) {
        (Some(_), Class::Terminal) => Outcome::Refused { message, permanent: true },
        // A missing right may be granted and a missing namespace made; a quota frees itself.
        (Some(403 | 404), _) => Outcome::Refused { message: error.for_people(), permanent: false },
        _ => Outcome::Failed { message },
    }
}

/// The namespace of a child.
fn namespace<K: Resource>(object: &K) -> &str {
    object.meta().namespace.as_deref().unwrap_or_default()
}
