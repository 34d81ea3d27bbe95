//! Kubernetes' own kinds that are more than there: definitions, claims, namespaces, aggregated APIs, single pods.

use k8s_openapi::api::core::v1::{NamespaceStatus, PersistentVolumeClaimStatus, Pod, PodSpec, PodStatus};
use serde::{
    Deserialize,
    de::{Deserializer, IgnoredAny},
};
use serde_json::Value;

use super::{
    blocking::{Blocking, Severity},
    object::{Condition, Judged, KindId, Object, Standing, State},
};
use crate::cause;

/// The status of a kind that is judged by its conditions alone.
#[derive(Clone, Debug, Default)]
struct Conditions(Vec<Condition>);

impl<'de> Deserialize<'de> for Conditions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Status {
            #[serde(default)]
            conditions: Value,
        }
        let Status { conditions } = Status::deserialize(deserializer)?;
        Ok(Self(Condition::all(Some(&serde_json::json!({ "conditions": conditions })))))
    }
}

impl Conditions {
    fn get(&self, type_: &str) -> Option<&Condition> {
        self.0.iter().find(|condition| condition.type_ == type_)
    }
}

/// Status of a CustomResourceDefinition; the rest of one may have half a megabyte and is not read.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct DefinitionStatus(#[serde(default)] Conditions);

impl Judged for DefinitionStatus {
    type Spec = IgnoredAny;

    fn blocked(_: &KindId, object: &Object<IgnoredAny, Self>) -> Standing {
        let conditions = object.status.as_ref().map(|status| &status.0);
        let get = |type_| conditions.and_then(|conditions| conditions.get(type_));
        let refused = get("NamesAccepted").filter(|accepted| accepted.status == "False");
        let blocked = match (refused, get("Established")) {
            (Some(refused), _) => Some(refused.sentence()),
            (None, Some(established)) if established.status == "True" => None,
            (None, Some(established)) => Some(established.sentence()),
            (None, None) => Some("is not established yet".to_owned()),
        };
        Standing(State::unless(Severity::Unserved, blocked))
    }
}

/// Status of an APIService.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct ApiServiceStatus(#[serde(default)] Conditions);

impl Judged for ApiServiceStatus {
    type Spec = IgnoredAny;

    fn blocked(_: &KindId, object: &Object<IgnoredAny, Self>) -> Standing {
        let available = object.status.as_ref().and_then(|status| status.0.get("Available"));
        let blocked = match available {
            Some(available) if available.status == "True" => None,
            Some(available) => Some(available.sentence()),
            None => Some("is not available yet".to_owned()),
        };
        Standing(State::unless(Severity::Webhook, blocked))
    }
}

/// What is read of a claim's spec.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClaimSpec {
    storage_class_name: Option<String>,
}

impl Judged for PersistentVolumeClaimStatus {
    type Spec = ClaimSpec;

    fn blocked(_: &KindId, object: &Object<ClaimSpec, Self>) -> Standing {
        let (spec, status) = object.parts();
        let blocked = match status.phase.as_deref() {
            Some("Bound") => None,
            Some("Lost") => Some("its volume is gone".to_owned()),
            _ => Some(match spec.storage_class_name.as_deref() {
                Some("") => {
                    "is not bound to a volume: it asks for no storage class, so a person has to make one"
                        .to_owned()
                }
                Some(class) => format!("is not bound to a volume of storage class {class}"),
                None => {
                    "is not bound to a volume: it names no storage class, and the cluster has given it none"
                        .to_owned()
                }
            }),
        };
        Standing(State::unless(Severity::Unbound, blocked))
    }
}

impl Judged for NamespaceStatus {
    type Spec = IgnoredAny;

    fn blocked(_: &KindId, object: &Object<IgnoredAny, Self>) -> Standing {
        let phase = object.status.as_ref().and_then(|status| status.phase.as_deref());
        let blocked = phase.filter(|phase| *phase != "Active").map(|phase| format!("is {phase}"));
        Standing(State::unless(Severity::Missing, blocked))
    }
}

/// A pod that nobody but the inventory asks for.
impl Judged for PodStatus {
    type Spec = PodSpec;

    fn blocked(_: &KindId, object: &Object<PodSpec, Self>) -> Standing {
        let (spec, status) = object.parts();
        let is_ready = status.phase.as_deref() == Some("Succeeded")
            || status
                .conditions
                .iter()
                .flatten()
                .any(|condition| condition.type_ == "Ready" && condition.status == "True");
        if is_ready {
            return Standing(State::Ready);
        }
        let pod = Pod { spec: Some(spec), status: Some(status), ..Pod::default() };
        let unknown = || Blocking::new(Severity::Starting, "is not ready");
        Standing(State::Blocked(cause::of(&pod).map_or_else(unknown, Blocking::from)))
    }
}
