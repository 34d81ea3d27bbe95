//! What the model keeps of a world: small enough to be hashed and compared, and enough to be observed as a real one.

use std::collections::BTreeMap;

use crate::Outcome;

/// A test's position and an attempt of it.
pub(super) type Attempt = (u8, u8);

/// Number of a status or a plan in the model's tables.
pub(super) type Number = u32;

/// One state of the world.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) struct State {
    /// The run's status as the API server holds it.
    pub(super) status: Number,
    /// How often it was written.
    pub(super) writes: u8,
    /// Whether somebody has cancelled the run.
    pub(super) cancelled: bool,
    /// Steps that the clock has taken.
    pub(super) ticks: u8,
    /// Jobs that there are, with their pods.
    pub(super) jobs: BTreeMap<Attempt, JobState>,
    /// Attempts whose Job was made, with how often.
    pub(super) made: BTreeMap<Attempt, u8>,
    /// UIDs of Jobs that completed with a test that passed.
    pub(super) completed: Vec<u8>,
    /// What each operator is doing.
    pub(super) operators: [Option<Flight>; 2],
    /// What may still go wrong.
    pub(super) left: Left,
    /// Whether somebody or a node has taken something away.
    pub(super) meddled: bool,
    /// The first status that said that the run is over.
    pub(super) over: Option<Number>,
    /// An invariant that a step broke.
    pub(super) broken: Option<Invariant>,
}

/// What may still go wrong.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub(super) struct Left {
    pub(super) crashes: u8,
    pub(super) lost_answers: u8,
    pub(super) deletions: u8,
    pub(super) evictions: u8,
    pub(super) cancels: u8,
    pub(super) ticks: u8,
}

/// A decision on its way.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) struct Flight {
    /// The plan.
    pub(super) plan: Number,
    /// How often the status had been written when it was read.
    pub(super) read: u8,
    /// Effects that were tried.
    pub(super) tried: u8,
    /// What became of them, by the test's position.
    pub(super) acted: Vec<(u8, Answer)>,
}

/// What the API server answered.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) enum Answer {
    Done,
    /// A Job of this UID was made.
    Created(Attempt, u8),
    Exists,
    Nothing,
}

impl Answer {
    /// As a batch's outcome, for a Job of this name.
    pub(super) fn outcome(self, name: impl Fn(Attempt) -> String) -> Outcome {
        match self {
            Self::Done => Outcome::Done,
            Self::Created(attempt, uid) => Outcome::JobCreated(crds::v1alpha1::JobReference {
                name: name(attempt),
                uid: format!("uid-{uid}"),
            }),
            Self::Exists => Outcome::JobExists,
            Self::Nothing => Outcome::Failed { message: "no answer".into() },
        }
    }
}

/// A Job and its pod.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) struct JobState {
    pub(super) uid: u8,
    /// Whether it is Complete, once it is over.
    pub(super) complete: Option<bool>,
    pub(super) suspended: bool,
    pub(super) note: Option<String>,
    pub(super) pod: PodState,
    /// Whether the pod was told to end.
    pub(super) stopped: bool,
    pub(super) pod_note: Option<String>,
}

/// Where a pod stands.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) enum PodState {
    NotMade,
    Pending,
    Running,
    Passed,
    Failed,
    Ended,
    Evicted,
}

impl PodState {
    /// Whether the pod has ended.
    pub(super) const fn is_over(self) -> bool {
        matches!(self, Self::Passed | Self::Failed | Self::Ended | Self::Evicted)
    }
}

/// The invariants that a step can break.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) enum Invariant {
    /// One Job for an attempt, made after the attempt was written down.
    OneJob,
    /// A pass has a Complete Job and a verdict.
    TruePass,
    /// What is over stays as it is.
    Terminal,
    /// Every child belongs to the run.
    NoOrphan,
    /// Nothing outside the target namespace.
    Contained,
    /// A run that goes on is looked at again.
    Awake,
}
