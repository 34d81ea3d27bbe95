//! Writes the status.

use crds::{
    names::STATUS_FIELD_MANAGER,
    v1alpha1::{ConditionType, E2ETest, E2ETestStatus, find},
};
use kube::{
    Api, ResourceExt as _,
    api::{Patch, PatchParams},
};
use operator_core::is_finished;
use serde_json::{Map, Value, json};

use super::{Called, Context, call::call};
use crate::{error::CallError, stage};

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
