//! How long whatever failed waits before it is tried again. The library's own backoff goes on to half a minute, for which a
//! run would then stand still.

use std::{collections::HashMap, time::Duration};

use backon::ExponentialBuilder;
use kube::runtime::{utils::Backoff as _, watcher::ExponentialBackoff};
use parking_lot::Mutex;
use tokio::time::Instant;

/// The first wait.
const SHORTEST: Duration = Duration::from_millis(50);

/// What the waits grow to. Each is stretched at random to at most twice as long, so that what failed together is not tried
/// again together: an API server that is down for good hears of each watch and each run about once a second.
const LONGEST: Duration = Duration::from_millis(700);

/// What went on for so long had not failed at once: the waits begin anew.
const LASTING: Duration = Duration::from_secs(1);

/// Between the tries of different runs on average: however many fail, the API server hears of so many a second.
const CROWD: Duration = Duration::from_millis(20);

/// The waits of one watch, or of one run.
pub(crate) struct Backoff {
    waits: ExponentialBackoff,
    tried: Instant,
}

impl Backoff {
    /// Begins with the shortest wait.
    pub(crate) fn new() -> Self {
        let waits = ExponentialBuilder::default()
            .with_min_delay(SHORTEST)
            .with_max_delay(LONGEST)
            .without_max_times()
            .with_jitter();
        Self { waits: waits.into(), tried: Instant::now() }
    }

    /// The wait after a failure.
    pub(crate) fn wait(&mut self) -> Duration {
        if self.tried.elapsed() >= LASTING {
            self.waits.reset();
        }
        self.next()
    }

    /// The wait after a failure that is one of a row, however long it took to fail.
    fn next(&mut self) -> Duration {
        let wait = self.waits.next().unwrap_or(LONGEST);
        self.tried = Instant::now() + wait;
        wait
    }
}

/// The runs whose last pass was not finished, by name.
#[derive(Default)]
pub struct Retries {
    failing: Mutex<HashMap<String, Backoff>>,
}

impl Retries {
    /// A pass of this run failed: when to try again.
    pub(crate) fn failed(&self, run: &str) -> Duration {
        let mut failing = self.failing.lock();
        let crowd = CROWD.saturating_mul(u32::try_from(failing.len()).unwrap_or(u32::MAX));
        failing.entry(run.to_owned()).or_insert_with(Backoff::new).next().max(crowd)
    }

    /// A pass of this run was finished, or nobody needs one any more.
    pub(crate) fn over(&self, run: &str) {
        self.failing.lock().remove(run);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_watch_comes_back_soon_and_never_hammers() {
        let mut backoff = Backoff::new();
        assert!(backoff.wait() < SHORTEST * 2);
        let mut waited = Duration::ZERO;
        for _ in 0..100 {
            let wait = backoff.wait();
            assert!(wait >= SHORTEST && wait <= LONGEST * 2, "{wait:?}");
            tokio::time::advance(wait).await;
            waited += wait;
        }
        assert!(waited > Duration::from_mins(1), "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_went_on_for_a_while_comes_back_at_once() {
        let mut backoff = Backoff::new();
        for _ in 0..10 {
            tokio::time::advance(backoff.wait()).await;
        }
        assert!(backoff.wait() >= LONGEST);
        tokio::time::advance(LONGEST * 2 + LASTING).await;
        assert!(backoff.wait() < SHORTEST * 2);
    }

    #[test]
    fn a_run_is_tried_again_at_once_after_a_success() {
        let retries = Retries::default();
        for _ in 0..10 {
            retries.failed("a");
        }
        assert!(retries.failed("a") >= LONGEST);
        retries.over("a");
        assert!(retries.failed("a") < SHORTEST * 2);
    }

    #[test]
    fn many_runs_that_fail_take_turns() {
        let retries = Retries::default();
        for round in 0..3 {
            for run in 0..1000 {
                let wait = retries.failed(&format!("run-{run}"));
                assert!(round == 0 || wait >= CROWD * 1000, "{wait:?}");
            }
        }
    }
}
