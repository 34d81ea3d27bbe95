//! Every call that the operator made, for call counts and for the invariants about writes.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::watch;

use super::Call;

/// One call.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What was asked for.
    pub call: Call,
    /// When it arrived.
    pub at: Instant,
    /// How long the operator waited for it; of a watch, until it began.
    pub took: Duration,
    /// The status that the operator got; none where it got no answer.
    pub status: Option<u16>,
    /// The fault, if there was one.
    pub fault: Option<String>,
}

/// The calls of one case, in the order in which they ended.
#[derive(Clone, Debug, Default)]
pub struct Journal(Arc<watch::Sender<Vec<Entry>>>);

impl Journal {
    /// What there is so far.
    pub fn entries(&self) -> Vec<Entry> {
        self.0.borrow().clone()
    }

    /// A call begins; it is written down when the guard is dropped, also where nobody waits for its answer any more.
    pub fn begin(&self, call: Call) -> Open {
        let entry = Entry { call, at: Instant::now(), took: Duration::ZERO, status: None, fault: None };
        Open { journal: self.clone(), entry }
    }
}

/// A call that is under way.
pub struct Open {
    journal: Journal,
    /// What will be written down.
    pub entry: Entry,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.entry.took = self.entry.at.elapsed();
        self.journal.0.send_modify(|entries| entries.push(self.entry.clone()));
    }
}
