//! Custom resources, judged as kstatus does: by what their status says of itself, whatever their kind.

use serde::{Deserialize, de::IgnoredAny};
use serde_json::Value;

use super::{
    blocking::Severity,
    object::{Condition, Judged, KindId, Object, Standing, State},
};

/// Conditions that are True while something is wrong or under way.
const BAD: [&str; 4] = ["Stalled", "Failed", "Degraded", "Reconciling"];

/// Conditions that say that all is well; of several, the first one counts.
const GOOD: [&str; 3] = ["Ready", "Available", "Healthy"];

/// Conditions that must be there: a controller that has not looked yet has written none, which would pass for a kind
/// that never has any. Group, kind, type.
const EXPECTED: &[(&str, &str, &str)] = &[
    ("cert-manager.io", "Certificate", "Ready"),
    ("cert-manager.io", "CertificateRequest", "Ready"),
    ("cert-manager.io", "ClusterIssuer", "Ready"),
    ("cert-manager.io", "Issuer", "Ready"),
    ("gateway.networking.k8s.io", "Gateway", "Programmed"),
    ("serving.knative.dev", "Configuration", "Ready"),
    ("serving.knative.dev", "Revision", "Ready"),
    ("serving.knative.dev", "Route", "Ready"),
    ("serving.knative.dev", "Service", "Ready"),
    ("serving.kserve.io", "InferenceGraph", "Ready"),
    ("serving.kserve.io", "InferenceService", "Ready"),
    ("serving.kserve.io", "LLMInferenceService", "Ready"),
];

/// The status of a custom resource, whatever it is.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(transparent)]
pub struct CustomStatus(Value);

impl Judged for CustomStatus {
    type Spec = IgnoredAny;

    fn blocked(kind: &KindId, object: &Object<IgnoredAny, Self>) -> Standing {
        let status = object.status.as_ref().map(|status| &status.0);
        let blocked = unobserved(object.metadata.generation, status)
            .or_else(|| judge(kind, object.metadata.generation, status));
        Standing(State::unless(Severity::Dependent, blocked))
    }
}

/// What to say while the controller has not looked at the newest spec.
fn unobserved(generation: Option<i64>, status: Option<&Value>) -> Option<String> {
    let observed = status?.get("observedGeneration")?.as_i64()?;
    (observed < generation.unwrap_or_default())
        .then(|| "its newest spec has not been observed yet".to_owned())
}

/// What its conditions have against it.
fn judge(kind: &KindId, generation: Option<i64>, status: Option<&Value>) -> Option<String> {
    let conditions = Condition::all(status);
    let get = |type_: &str| conditions.iter().find(|condition| condition.type_ == type_);
    if let Some(bad) = BAD.iter().find_map(|type_| get(type_).filter(|bad| bad.status == "True")) {
        return Some(bad.sentence());
    }
    let expected =
        EXPECTED.iter().find(|(group, name, _)| kind.is(group, name)).map(|(.., expected)| *expected);
    let good = expected.map_or_else(|| GOOD.iter().find_map(|type_| get(type_)), get);
    match (good, expected) {
        (Some(good), _) if is_old(good, generation) => {
            Some(format!("its condition {} speaks of an older spec", good.type_))
        }
        (Some(good), _) => (good.status != "True").then(|| good.sentence()),
        (None, Some(expected)) => Some(format!("has no condition {expected} yet: nobody has looked at it")),
        (None, None) => None,
    }
}

/// Whether a condition speaks of an older generation.
fn is_old(condition: &Condition, generation: Option<i64>) -> bool {
    condition.observed_generation.is_some_and(|seen| seen < generation.unwrap_or_default())
}

/// The status of a Profile of Kubeflow: its controller says what failed, and success only by what it made.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(transparent)]
pub struct ProfileStatus(Value);

impl Judged for ProfileStatus {
    type Spec = IgnoredAny;

    fn blocked(_: &KindId, object: &Object<IgnoredAny, Self>) -> Standing {
        let conditions = Condition::all(object.status.as_ref().map(|status| &status.0));
        // Conditions are added, never taken back: only the last one speaks of now.
        let last = conditions.last().filter(|last| last.type_ == "Failed" && last.status != "False");
        Standing(match last {
            Some(failed) => State::unless(Severity::Dependent, Some(failed.sentence())),
            None => State::Profile,
        })
    }
}
