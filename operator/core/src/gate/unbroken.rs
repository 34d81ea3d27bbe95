//! Since when everything under a gate has been seen ready: only time in which somebody looked counts.
//!
//! What nobody has seen cannot be told from a break, so whoever begins to look, or has looked away, begins to count. This is
//! kept in memory on purpose: a status that survives the operator would also count the time in which there was none.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;

use super::readiness::Readiness;
use crate::clock::after;

/// How long nobody may look without having looked away.
pub const BLINK: Duration = Duration::from_secs(5);

/// What is seen of a gate.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Sighting {
    /// How everything under it stands.
    pub readiness: Arc<Readiness>,
    /// Since when everything has been seen ready without a break; `None` while something is not.
    pub ready_since: Option<Timestamp>,
    /// Whether it may have been ready before that, too: nobody looked.
    pub perhaps_longer: bool,
}

/// For how long a gate has been seen ready.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Unbroken {
    /// When somebody looked last.
    looked: Option<Timestamp>,
    /// Since when it has been ready, and whether nobody looked right before.
    ready: Option<(Timestamp, bool)>,
}

impl Unbroken {
    /// A look. A clock that was set, and a process or machine that stood still, are a time in which nobody looked, too.
    pub fn look(&mut self, readiness: &Arc<Readiness>, now: Timestamp) -> Sighting {
        let went_on = self.looked.is_some_and(|last| (last..=after(last, BLINK)).contains(&now));
        self.looked = Some(now);
        let known = self.ready.filter(|_| went_on);
        self.ready = readiness.is_ready().then(|| known.unwrap_or((now, !went_on)));
        Sighting {
            readiness: Arc::clone(readiness),
            ready_since: self.ready.map(|(since, _)| since),
            perhaps_longer: self.ready.is_some_and(|(_, perhaps_longer)| perhaps_longer),
        }
    }

    /// Nobody can tell what has happened since the last look.
    pub const fn looked_away(&mut self) {
        self.looked = None;
    }
}
