//! Since when a run's children cannot be read: an error counts once it lasts, and no status can tell since when.

use std::collections::HashMap;

use jiff::Timestamp;
use parking_lot::Mutex;

/// Runs whose children cannot be read, by name. It is lost with the process, which only makes the next one more patient.
#[derive(Debug, Default)]
pub struct Outages {
    since: Mutex<HashMap<String, Timestamp>>,
}

impl Outages {
    /// Since when `run` cannot be read: `now`, if nobody has noticed before.
    pub(super) fn began(&self, run: &str, now: Timestamp) -> Timestamp {
        *self.since.lock().entry(run.to_owned()).or_insert(now)
    }

    /// `run` can be read again, or nobody needs to any more.
    pub(super) fn over(&self, run: &str) {
        self.since.lock().remove(run);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_lasts_until_it_is_over() {
        let outages = Outages::default();
        let [early, late, later] = [1, 2, 3].map(|second| Timestamp::from_second(second).unwrap());
        assert_eq!(outages.began("a", early), early);
        assert_eq!(outages.began("a", late), early);
        assert_eq!(outages.began("b", late), late);
        outages.over("a");
        assert_eq!(outages.began("a", later), later);
        assert_eq!(outages.began("b", later), late);
    }
}
