//! What ends a run from outside of its tests: its own timeout, or a person who cancels it.

use std::time::Duration;

use crds::v1alpha1::E2ETestStatus;
use jiff::Timestamp;

use crate::{
    clock::{after, spoken},
    validate::Run,
};

/// Why a run has to end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Cause {
    /// Its own timeout passes.
    Timeout(Duration),
    /// A person set `spec.cancel`.
    Cancelled,
}

/// When a run has to end, and why.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct RunsEnd {
    pub(crate) at: Timestamp,
    pub(crate) cause: Cause,
}

impl RunsEnd {
    /// The end of this run. A run that is cancelled ends when the operator first saw that, which its status tells.
    pub(crate) fn of(run: &Run, status: &E2ETestStatus, now: Timestamp) -> Self {
        let start = status.start_time.as_ref().map_or(now, |start| start.0);
        let deadline = after(start, run.timeout);
        match status.cancel_time.as_ref().map(|time| time.0) {
            Some(at) if at < deadline => Self { at, cause: Cause::Cancelled },
            Some(_) | None => Self { at: deadline, cause: Cause::Timeout(run.timeout) },
        }
    }

    /// Whether it is time.
    pub(crate) fn passed(&self, now: Timestamp) -> bool {
        self.at <= now
    }

    /// The sentence about it.
    pub(crate) fn sentence(&self) -> String {
        match self.cause {
            Cause::Timeout(timeout) => format!("the run's timeout of {} passed", spoken(timeout)),
            Cause::Cancelled => "the run was cancelled".to_owned(),
        }
    }
}
