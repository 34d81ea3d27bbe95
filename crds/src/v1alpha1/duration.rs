//! Durations as people write them: `45m`, `1h30m`, `10s`.

use std::{borrow::Cow, fmt, str::FromStr, time::Duration};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// Longest text of a duration: three numbers of up to five digits, each with a unit.
const MAX_LENGTH: usize = 18;

/// Why a text is no duration.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0:?} is no duration: write up to three whole numbers with the unit h, m or s, such as 1h30m")]
pub struct DurationError(String);

/// Up to three whole numbers of at most five digits with the unit h, m or s; the same rule stands in the CRD as CEL.
fn parse(text: &str) -> Result<Duration, DurationError> {
    let error = || DurationError(text.to_owned());
    let (mut seconds, mut number, mut digits, mut groups) = (0_u64, 0_u64, 0, 0);
    for character in text.chars() {
        let unit = match character {
            '0'..='9' if digits < 5 => {
                number = number * 10 + u64::from(character.to_digit(10).unwrap_or_default());
                digits += 1;
                continue;
            }
            'h' if digits > 0 => 3600,
            'm' if digits > 0 => 60,
            's' if digits > 0 => 1,
            _ => return Err(error()),
        };
        seconds += number * unit;
        (number, digits, groups) = (0, 0, groups + 1);
    }
    if digits > 0 || groups == 0 || groups > 3 { Err(error()) } else { Ok(Duration::from_secs(seconds)) }
}

/// The schema of a duration whose CEL rule is `rule`.
fn schema(rule: &str, message: &str) -> Schema {
    json_schema!({
        "type": "string",
        "maxLength": MAX_LENGTH,
        "x-kubernetes-validations": [{ "rule": rule, "message": message }],
    })
}

/// A duration of at least one second, as text. The API server has checked it; [`PositiveDuration::get`] checks again,
/// because an object may have been stored before the rule existed.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(transparent)]
pub struct PositiveDuration(pub String);

impl PositiveDuration {
    /// The duration.
    pub fn get(&self) -> Result<Duration, DurationError> {
        parse(&self.0).and_then(|duration| {
            if duration.is_zero() { Err(DurationError(self.0.clone())) } else { Ok(duration) }
        })
    }
}

impl FromStr for PositiveDuration {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, DurationError> {
        let duration = Self(text.to_owned());
        duration.get().map(|_| duration)
    }
}

impl fmt::Display for PositiveDuration {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl JsonSchema for PositiveDuration {
    fn schema_name() -> Cow<'static, str> {
        "PositiveDuration".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schema(
            "self.matches('^([0-9]{1,5}[hms]){1,3}$') && duration(self) >= duration('1s')",
            "must be a duration of at least 1s: whole hours, minutes and seconds, such as 1h30m",
        )
    }
}

/// A duration that may be zero, as text.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(transparent)]
pub struct ZeroableDuration(pub String);

impl ZeroableDuration {
    /// The duration.
    pub fn get(&self) -> Result<Duration, DurationError> {
        parse(&self.0)
    }
}

impl JsonSchema for ZeroableDuration {
    fn schema_name() -> Cow<'static, str> {
        "ZeroableDuration".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schema(
            "self.matches('^([0-9]{1,5}[hms]){1,3}$')",
            "must be a duration: whole hours, minutes and seconds, such as 10s",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_the_api_server_reads_them() {
        for (text, seconds) in [
            ("1s", 1),
            ("90m", 5400),
            ("1h30m", 5400),
            ("2h3m4s", 7384),
            ("99999h", 359_996_400),
            ("1m1m", 120),
        ] {
            assert_eq!(PositiveDuration(text.into()).get(), Ok(Duration::from_secs(seconds)), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in ["", "90", "1.5h", "100ms", "-5m", "9999999h", "1h1m1s1s", "h", "1h ", "0s", "1d", "٣m"]
        {
            assert!(PositiveDuration(text.into()).get().is_err(), "{text}");
        }
        assert_eq!(ZeroableDuration("0s".into()).get(), Ok(Duration::ZERO));
    }
}
