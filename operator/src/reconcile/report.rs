//! Writes the status, and publishes what happened.

use crds::{
    names::STATUS_FIELD_MANAGER,
    v1alpha1::{ConditionType, E2ETest, E2ETestStatus, find},
};
use k8s_openapi::api::{batch::v1::Job, core::v1::ObjectReference};
use kube::{
    Api, Resource as _, ResourceExt as _,
    api::{Patch, PatchParams},
    runtime::events::{Event, EventType},
};
use operator_core::{EventDraft, is_finished};
use serde_json::{Map, Value, json};

use super::{Called, Context, call::call};
use crate::{error::CallError, stage};

/// Longest note of an event, in bytes: the API server takes 1 KiB.
const MAX_NOTE: usize = 1000;

/// Writes the status over the one that `test` carries. Returns the run as it was written.
///
/// # Errors
/// The status could not be written: with a conflict where somebody else was first.
pub async fn report(context: &Context, test: &E2ETest, status: &E2ETestStatus) -> Called<E2ETest> {
    let name = test.name_any();
    let object = format!("status of E2ETest {name}");
    let before = json(test.status.as_ref(), &object)?;
    let after = json(Some(status), &object)?;
    // The version makes sure that nothing is written over what this pass has not seen.
    let patch = json!({
        "metadata": { "resourceVersion": test.metadata.resource_version },
        "status": difference(&before, &after),
    });
    let parameters =
        PatchParams { field_manager: Some(STATUS_FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    let api = Api::<E2ETest>::all(context.client.clone());
    let written = call("patch", object, api.patch_status(&name, &parameters, &Patch::Merge(patch))).await?;
    context.metrics.status_written();
    for (stage, took) in stage::ended(test.status.as_ref(), status) {
        context.metrics.stage_took(stage, took);
    }
    if is_finished(status)
        && !test.status.as_ref().is_some_and(is_finished)
        && let Some(condition) = find(&status.conditions, ConditionType::Succeeded)
    {
        context.metrics.run_finished(&condition.reason);
        tracing::info!(run = name, reason = condition.reason, message = condition.message, "Run finished");
    }
    Ok(written)
}

/// A status as JSON; no status is an empty object.
fn json(status: Option<&E2ETestStatus>, object: &str) -> Called<Value> {
    status.map_or_else(|| Ok(json!({})), serde_json::to_value).map_err(|source| CallError::Api {
        verb: "write",
        object: object.to_owned(),
        source: kube::Error::SerdeError(source),
    })
}

/// The JSON merge patch from one value to another: lists are replaced whole, and what is gone is said to be.
fn difference(before: &Value, after: &Value) -> Value {
    let (Value::Object(before), Value::Object(after)) = (before, after) else { return after.clone() };
    let mut patch = Map::new();
    for (key, value) in after {
        match before.get(key) {
            Some(old) if old == value => {}
            Some(old) => {
                patch.insert(key.clone(), difference(old, value));
            }
            None => {
                patch.insert(key.clone(), value.clone());
            }
        }
    }
    let gone = before.keys().filter(|key| !after.contains_key(*key));
    patch.extend(gone.map(|key| (key.clone(), Value::Null)));
    Value::Object(patch)
}

/// Publishes one event about a run. One that is lost is counted: what it told is in the status.
pub async fn publish(context: &Context, run: &ObjectReference, namespace: &str, draft: &EventDraft) {
    let event = Event {
        type_: if draft.warning { EventType::Warning } else { EventType::Normal },
        reason: draft.reason.clone(),
        note: Some(crds::verdict::truncate(&draft.note, MAX_NOTE)),
        action: draft.action.to_owned(),
        secondary: draft.job.as_ref().map(|job| ObjectReference {
            api_version: Some(Job::api_version(&()).into_owned()),
            kind: Some(Job::kind(&()).into_owned()),
            namespace: Some(namespace.to_owned()),
            name: Some(job.name.clone()),
            uid: Some(job.uid.clone()),
            ..ObjectReference::default()
        }),
    };
    let published = call("publish", "an event".to_owned(), context.recorder.publish(&event, run)).await;
    if let Err(error) = published {
        context.metrics.event_lost();
        tracing::warn!(%error, reason = draft.reason, "Event was lost");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_names_only_what_differs_and_what_is_gone() {
        let before = json!({ "same": 1, "list": [1, 2], "nested": { "kept": 1, "gone": 2 }, "gone": 3 });
        let after = json!({ "same": 1, "list": [2], "nested": { "kept": 1, "new": 4 } });
        let patch = difference(&before, &after);
        assert_eq!(patch, json!({ "list": [2], "nested": { "gone": null, "new": 4 }, "gone": null }));
        assert_eq!(difference(&after, &after), json!({}));
    }
}
