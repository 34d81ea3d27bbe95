//! A finished run's own end: `ttlAfterFinished` after its verdict it is deleted, and its children with it.

use crds::v1alpha1::{E2ETest, E2ETestStatus};
use jiff::Timestamp;

use crate::{clock::after, decide::is_finished, validate::kept_for};

/// A run to delete, if it is still the one that was looked at.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Expired {
    /// Its name.
    pub name: String,
    /// Its UID: another run of the same name is left alone.
    pub uid: String,
    /// Its version: a run that was changed meanwhile, such as by a longer time to live, is looked at again first.
    pub resource_version: String,
}

/// When a finished run is to be deleted; `None` where it is kept or not finished.
pub fn expires_at(test: &E2ETest) -> Option<Timestamp> {
    let status: &E2ETestStatus = test.status.as_ref().filter(|status| is_finished(status))?;
    let keep = kept_for(&test.spec).ok()??;
    Some(after(status.completion_time.as_ref()?.0, keep))
}

/// The run, if its time has come.
pub(crate) fn expired(test: &E2ETest, now: Timestamp) -> Option<Expired> {
    expires_at(test).filter(|at| *at <= now)?;
    let meta = &test.metadata;
    Some(Expired {
        name: meta.name.clone()?,
        uid: meta.uid.clone()?,
        resource_version: meta.resource_version.clone()?,
    })
}
