//! Why an object is not ready, and how telling that is.

use crds::verdict::truncate;

use crate::cause::{Cause, CauseKind};

/// Longest text of a cause that comes from elsewhere, in bytes.
const MAX_DETAIL: usize = 800;

/// How telling a cause is, from the least to the most: of several, people are told the last.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Severity {
    /// Nothing is wrong yet.
    Starting,
    /// A container runs and its readiness probe fails.
    NotReady,
    /// It waits for another object, which says more.
    Dependent,
    /// It is not there.
    Missing,
    /// Its kind is not served: a CRD is missing.
    Unserved,
    /// A webhook cannot be called.
    Webhook,
    /// A claim has no volume.
    Unbound,
    /// A container ends again and again.
    Crashing,
    /// A container or pod cannot be made.
    CannotCreate,
    /// No node takes a pod.
    Unschedulable,
    /// An image cannot be had now.
    ImagePull,
    /// An image can never be had under this name.
    NoSuchImage,
    /// The gate itself cannot be judged: what it names is missing, empty or cannot be read.
    Gate,
}

impl From<CauseKind> for Severity {
    fn from(kind: CauseKind) -> Self {
        match kind {
            CauseKind::Starting => Self::Starting,
            CauseKind::NotReady => Self::NotReady,
            CauseKind::Unschedulable => Self::Unschedulable,
            CauseKind::CannotCreate => Self::CannotCreate,
            CauseKind::Crashing => Self::Crashing,
            CauseKind::ImagePull => Self::ImagePull,
            CauseKind::NoSuchImage => Self::NoSuchImage,
        }
    }
}

/// Why an object is not ready.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Blocking {
    pub(super) severity: Severity,
    pub(super) sentence: String,
}

impl Blocking {
    /// A cause, cut to a length that a status can hold.
    pub(super) fn new(severity: Severity, sentence: impl Into<String>) -> Self {
        Self { severity, sentence: truncate(&sentence.into(), MAX_DETAIL) }
    }
}

impl From<Cause> for Blocking {
    fn from(cause: Cause) -> Self {
        Self::new(cause.kind.into(), cause.sentence)
    }
}
