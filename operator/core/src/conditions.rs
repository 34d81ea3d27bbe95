//! Setting conditions: the time changes only with the status, as people and tools expect of `lastTransitionTime`.

use crds::{v1alpha1::ConditionType, verdict::truncate};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::clock::stamp;

/// Longest message of a condition, in bytes: enough to say what failed, short enough for `kubectl describe`.
const MAX_MESSAGE: usize = 2048;

/// Status of a condition.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Truth {
    True,
    False,
    Unknown,
}

impl Truth {
    /// As it stands in the condition.
    const fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

/// What a condition says.
pub(crate) struct Saying<'a> {
    pub(crate) truth: Truth,
    pub(crate) reason: &'a str,
    pub(crate) message: &'a str,
}

/// Sets one condition; all stand in the order of [`ConditionType::ALL`].
pub(crate) fn set(
    conditions: &mut Vec<Condition>,
    type_: ConditionType,
    saying: &Saying<'_>,
    generation: Option<i64>,
    now: Timestamp,
) {
    let position = conditions.iter().position(|condition| condition.type_ == type_.as_str());
    let old = position.map(|position| conditions.remove(position));
    let last_transition_time = old
        .filter(|old| old.status == saying.truth.as_str())
        .map_or_else(|| stamp(now), |old| old.last_transition_time);
    conditions.push(Condition {
        type_: type_.as_str().to_owned(),
        status: saying.truth.as_str().to_owned(),
        reason: saying.reason.to_owned(),
        message: truncate(saying.message, MAX_MESSAGE),
        observed_generation: generation,
        last_transition_time,
    });
    conditions.sort_by_key(|condition| {
        ConditionType::ALL.iter().position(|type_| type_.as_str() == condition.type_).unwrap_or(usize::MAX)
    });
}
