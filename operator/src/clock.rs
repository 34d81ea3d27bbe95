//! What time it is: by the API server's clock, so that the operator's own may be wrong or be set while a run goes on, and
//! every time in a status is one with the times that Kubernetes writes.

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures::future::{BoxFuture, FutureExt as _};
use http::{HeaderMap, Response, header::DATE};
use jiff::{SignedDuration, Timestamp, fmt::rfc2822};
use kube::client::DynBody;
use parking_lot::Mutex;
use tokio::time::Instant;
use tower::{BoxError, util::MapFutureLayer};

/// The unit of a `Date` header (RFC 9110, section 5.6.7): the time is this one or less than a unit later.
const UNIT: Duration = Duration::from_secs(1);

/// The clock of all runs.
#[derive(Debug, Default)]
pub struct Clock {
    heard: Mutex<Option<Moment>>,
    /// When each run was looked at first, by name. From then on its time goes on evenly, whatever becomes of any clock.
    runs: Mutex<HashMap<String, Moment>>,
}

/// A point in time by both clocks: the one of the API server, and the one that nobody can set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    time: Timestamp,
    at: Instant,
}

impl Moment {
    /// Now, counted evenly from this moment.
    pub(crate) fn now(self) -> Timestamp {
        plus(self.time, self.at.elapsed())
    }

    /// The time that is counted from here when `time` is counted from `other`.
    pub(crate) fn as_counted(self, time: Timestamp, other: Self) -> Timestamp {
        let Self { time: same, .. } = other.moved_to(self.at);
        let ahead: SignedDuration = self.time.duration_since(same);
        time.saturating_add(ahead).unwrap_or(time)
    }

    /// The same count, told from another moment.
    fn moved_to(self, at: Instant) -> Self {
        let (later, earlier) = (at.saturating_duration_since(self.at), self.at.saturating_duration_since(at));
        Self { time: plus(self.time, later).saturating_sub(earlier).unwrap_or(self.time), at }
    }
}

/// An answer that is under way.
type Answering = BoxFuture<'static, Result<Response<Box<DynBody>>, BoxError>>;

/// Has the clock hear every answer that a client gets.
pub(crate) fn heard_by(
    clock: &Arc<Clock>,
) -> MapFutureLayer<impl Fn(Answering) -> Answering + Clone + use<>> {
    let clock = Arc::clone(clock);
    MapFutureLayer::new(move |answering: Answering| {
        let (clock, asked) = (Arc::clone(&clock), Instant::now());
        let hear = move |answer: &Result<Response<Box<DynBody>>, BoxError>| {
            if let Ok(answer) = answer {
                clock.hear(asked, answer.headers());
            }
        };
        answering.inspect(hear).boxed()
    })
}

fn plus(time: Timestamp, passed: Duration) -> Timestamp {
    time.checked_add(passed).unwrap_or(Timestamp::MAX)
}

impl Clock {
    /// Takes in when the API server answered a request that was made at `asked`: not before the time that its answer names,
    /// and since then no more has passed than the unit and what the request took. What is known already and fits that goes
    /// on, so that the time is known better the more is heard.
    pub(crate) fn hear(&self, asked: Instant, answer: &HeaderMap) {
        let date = answer.get(DATE).and_then(|date| date.to_str().ok());
        let Some(date) = date.and_then(|date| rfc2822::parse(date).ok()) else { return };
        let (date, at) = (date.timestamp(), Instant::now());
        let mut heard = self.heard.lock();
        let expected = heard.map_or(date, Moment::now);
        *heard = Some(Moment { time: expected.clamp(date, plus(date, UNIT + (at - asked))), at });
    }

    /// Now, for those who look at no active run.
    pub(crate) fn now(&self) -> Timestamp {
        self.latest().now()
    }

    /// Now, for this run.
    pub(crate) fn now_of(&self, run: &str) -> Timestamp {
        self.began(run).now()
    }

    /// From when the time of this run is counted.
    pub(crate) fn began(&self, run: &str) -> Moment {
        let mut runs = self.runs.lock();
        if let Some(began) = runs.get(run) {
            return *began;
        }
        let latest = self.latest();
        runs.insert(run.to_owned(), latest);
        latest
    }

    /// Nobody needs the run's time any more.
    pub(crate) fn forget(&self, run: &str) {
        self.runs.lock().remove(run);
    }

    /// When the API server answered last; without any answer that says so, the own clock's word.
    fn latest(&self) -> Moment {
        self.heard.lock().unwrap_or_else(|| Moment { time: Timestamp::now(), at: Instant::now() })
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const NEW_YEAR: &str = "Sat, 01 Jan 2000 00:00:00 GMT";

    fn told(clock: &Clock, date: &'static str) {
        told_late(clock, date, Duration::ZERO);
    }

    fn told_late(clock: &Clock, date: &'static str, took: Duration) {
        clock.hear(Instant::now() - took, &[(DATE, HeaderValue::from_static(date))].into_iter().collect());
    }

    async fn passes(milliseconds: u64) {
        tokio::time::advance(Duration::from_millis(milliseconds)).await;
    }

    fn at(time: &str) -> Timestamp {
        time.parse().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn the_api_server_says_what_time_it_is() {
        let clock = Clock::default();
        told(&clock, NEW_YEAR);
        passes(5000).await;
        assert_eq!(clock.now(), at("2000-01-01T00:00:05Z"));
        assert_eq!(clock.now_of("a"), at("2000-01-01T00:00:05Z"));
    }

    #[tokio::test(start_paused = true)]
    async fn what_fits_goes_on() {
        let clock = Clock::default();
        told(&clock, NEW_YEAR);
        passes(900).await;
        told(&clock, NEW_YEAR);
        assert_eq!(clock.now(), at("2000-01-01T00:00:00.9Z"), "a second has many answers");
        told(&clock, "Sat, 01 Jan 2000 00:00:01 GMT");
        assert_eq!(clock.now(), at("2000-01-01T00:00:01Z"), "the next has begun");
        passes(1500).await;
        told(&clock, "Sat, 01 Jan 2000 00:00:01 GMT");
        assert_eq!(clock.now(), at("2000-01-01T00:00:02Z"), "it is not over");
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_was_long_under_way_sets_nothing_back() {
        let clock = Clock::default();
        told(&clock, NEW_YEAR);
        passes(60_000).await;
        told_late(&clock, NEW_YEAR, Duration::from_mins(1));
        assert_eq!(clock.now(), at("2000-01-01T00:01:00Z"));
        told(&clock, NEW_YEAR);
        assert_eq!(clock.now(), at("2000-01-01T00:00:01Z"), "it was set back");
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_of_a_run_goes_on_evenly() {
        let leaps = [
            "Sat, 01 Jan 2000 01:00:00 GMT",
            "Fri, 31 Dec 1999 23:00:00 GMT",
            "Sun, 02 Jan 2000 00:00:00 GMT",
            "Fri, 31 Dec 1999 00:00:00 GMT",
        ];
        let clock = Clock::default();
        told(&clock, NEW_YEAR);
        let began = clock.now_of("a");
        for (second, leap) in (1..).zip(leaps) {
            told(&clock, leap);
            passes(1000).await;
            assert_eq!(clock.now_of("a").duration_since(began).as_secs(), second);
        }
        // A run that begins later goes by what the clock says then: one second after the last answer, which may have come
        // at the end of its second.
        assert_eq!(clock.now_of("b"), at("1999-12-31T00:00:02Z"));
        clock.forget("a");
        assert_eq!(clock.now_of("a"), at("1999-12-31T00:00:02Z"));
    }

    #[tokio::test(start_paused = true)]
    async fn what_one_counts_is_told_to_another() {
        let clock = Clock::default();
        told(&clock, NEW_YEAR);
        let first = clock.began("first");
        passes(10_000).await;
        let seen = first.now();
        passes(10_000).await;
        told(&clock, "Sat, 01 Jan 2000 05:00:00 GMT");
        let second = clock.began("second");
        assert_eq!(second.as_counted(seen, first), at("2000-01-01T04:59:50Z"));
        assert_eq!(first.as_counted(at("2000-01-01T04:59:50Z"), second), seen);
        passes(10_000).await;
        assert_eq!(second.as_counted(seen, first), at("2000-01-01T04:59:50Z"), "it does not wander");
    }

    #[tokio::test]
    async fn without_a_date_the_own_clock_counts() {
        let clock = Clock::default();
        told(&clock, "yesterday");
        assert!(clock.now().duration_since(Timestamp::now()).abs().as_secs() < 60);
    }
}
