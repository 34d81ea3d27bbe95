//! Condition types of an `E2ETest`.

use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

/// Type of a condition in `status.conditions`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ConditionType {
    /// Whether what the gate names is ready; its reason is a [`super::GateReason`].
    KubeflowReady,
    /// Whether the run is over, whatever the verdict; its reason is a [`super::RunReason`].
    Finished,
    /// Unknown while the run is active, then True or False for good; its reason is a [`super::RunReason`].
    Succeeded,
}

impl ConditionType {
    /// Every type, in the order of `status.conditions`.
    pub const ALL: [Self; 3] = [Self::KubeflowReady, Self::Finished, Self::Succeeded];

    /// The type as it stands in the condition.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::KubeflowReady => "KubeflowReady",
            Self::Finished => "Finished",
            Self::Succeeded => "Succeeded",
        }
    }
}

impl fmt::Display for ConditionType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// The condition of that type.
pub fn find(conditions: &[Condition], type_: ConditionType) -> Option<&Condition> {
    conditions.iter().find(|condition| condition.type_ == type_.as_str())
}
