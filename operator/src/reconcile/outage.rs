//! Since when a run's children cannot be read: an error counts once it lasts, and no status can tell since when.

use std::collections::HashMap;

use jiff::Timestamp;
use tokio::sync::Mutex;

/// Runs whose children cannot be read, by name. It is lost with the process, which only makes the next one more patient.
#[derive(Debug, Default)]
pub struct Outages {
    since: Mutex<HashMap<String, Timestamp>>,
}

impl Outages {
    /// Since when `run` cannot be read: `now`, if nobody has noticed before.
    pub(super) async fn began(&self, run: &str, now: Timestamp) -> Timestamp {
        *self.since.lock().await.entry(run.to_owned()).or_insert(now)
    }

    /// `run` can be read again, or nobody needs to any more.
    pub(super) async fn over(&self, run: &str) {
        self.since.lock().await.remove(run);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_outage_lasts_until_it_is_over() {
        let outages = Outages::default();
        let [early, late, later] = [1, 2, 3].map(|second| Timestamp::from_second(second).unwrap());
        assert_eq!(outages.began("a", early).await, early);
        assert_eq!(outages.began("a", late).await, early);
        assert_eq!(outages.began("b", late).await, late);
        outages.over("a").await;
        assert_eq!(outages.began("a", later).await, later);
        assert_eq!(outages.began("b", later).await, late);
    }
}
