//! Arithmetic with points in time. Kubernetes keeps whole seconds, so whatever goes into a status is one.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// `now` as a status holds it, without the fraction of a second.
pub(crate) fn stamp(now: Timestamp) -> Time {
    Time(Timestamp::from_second(now.as_second()).unwrap_or(now))
}

/// The point in time `duration` after `start`.
pub(crate) fn after(start: Timestamp, duration: Duration) -> Timestamp {
    start.checked_add(duration).unwrap_or(Timestamp::MAX)
}

/// How long it is from `now` until `then`; nothing where that is past.
pub(crate) fn until(now: Timestamp, then: Timestamp) -> Duration {
    Duration::try_from(then.duration_since(now)).unwrap_or_default()
}

/// A duration as people write it: `1h30m`, `45m`, `10s`.
pub(crate) fn spoken(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let parts = [(seconds / 3600, "h"), (seconds / 60 % 60, "m"), (seconds % 60, "s")];
    let words: Vec<String> = parts
        .iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, unit)| format!("{number}{unit}"))
        .collect();
    if words.is_empty() { "0s".to_owned() } else { words.concat() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_spoken_as_they_are_written() {
        for (seconds, text) in [(0, "0s"), (10, "10s"), (2700, "45m"), (5400, "1h30m"), (3601, "1h1s")] {
            assert_eq!(spoken(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn what_is_past_needs_no_wait() {
        let now = Timestamp::from_second(100).unwrap();
        assert_eq!(until(now, Timestamp::from_second(90).unwrap()), Duration::ZERO);
        assert_eq!(until(now, Timestamp::from_second(110).unwrap()), Duration::from_secs(10));
    }

    #[test]
    fn stamps_are_whole_seconds() {
        let now = Timestamp::new(100, 500_000_000).unwrap();
        assert_eq!(stamp(now).0.as_second(), 100);
        assert_eq!(stamp(now).0.subsec_nanosecond(), 0);
    }
}
