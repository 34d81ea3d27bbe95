//! Why a pass could not be finished: the step, the object and the verb, and whether trying again helps.

use std::time::Duration;

use crds::names::TARGET_ROLE_BINDING;
use kube::core::Status;

/// Whether trying again helps.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Class {
    /// Somebody else wrote first: look again.
    Conflict,
    /// A lost connection, a time-out, an error of the server, a right that is missing and may come back.
    Transient,
    /// The API server understood and will say no again.
    Terminal,
}

impl Class {
    /// Every class.
    pub const ALL: [Self; 3] = [Self::Conflict, Self::Transient, Self::Terminal];

    /// The class as a metric's label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Conflict => "conflict",
            Self::Transient => "transient",
            Self::Terminal => "terminal",
        }
    }
}

/// A call that did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The API server answered with an error, or not at all.
    #[error("cannot {verb} {object}: {}", sentence(source))]
    Api {
        /// What was tried.
        verb: &'static str,
        /// On which object.
        object: String,
        /// What came back.
        source: kube::Error,
    },
    /// No answer in time.
    #[error("cannot {verb} {object}: no answer within {} s", limit.as_secs())]
    TimedOut {
        /// What was tried.
        verb: &'static str,
        /// On which object.
        object: String,
        /// How long it was waited for.
        limit: Duration,
    },
}

/// What an error of the client says to people: the API server's own sentence where there is one.
fn sentence(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    }
}

impl CallError {
    /// The API server's answer, if it gave one.
    pub fn status(&self) -> Option<&Status> {
        match self {
            Self::Api { source: kube::Error::Api(status), .. } => Some(status),
            Self::Api { .. } | Self::TimedOut { .. } => None,
        }
    }

    /// Whether the API server says that the operator lacks a right.
    pub fn is_missing_right(&self) -> bool {
        // An admission webhook and a quota answer 403 as well; only RBAC says that one "cannot".
        self.status().is_some_and(|status| status.is_forbidden() && status.message.contains(" cannot "))
    }

    /// Whether the object would be larger than what can be stored. Who notices differs: the API server, its client of etcd, or
    /// etcd itself.
    pub fn is_too_large(&self) -> bool {
        self.status().is_some_and(|status| {
            let said = |words: &&str| status.message.contains(words);
            status.code == 413 || ["request is too large", "larger than max"].iter().any(said)
        })
    }

    /// The error for a run's status: with what to do, where people can do something.
    pub fn for_people(&self) -> String {
        if self.is_missing_right() {
            format!("{self}: let the operator in with a RoleBinding {TARGET_ROLE_BINDING} (manifests/target)")
        } else {
            self.to_string()
        }
    }

    /// Whether trying again helps.
    pub fn class(&self) -> Class {
        match self.status() {
            Some(status) if status.code == 409 => Class::Conflict,
            Some(status) if matches!(status.code, 400 | 405 | 406 | 413 | 415 | 422) => Class::Terminal,
            Some(_) if self.is_too_large() => Class::Terminal,
            _ => Class::Transient,
        }
    }
}

/// A pass that could not be finished.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// The run could not be read, so nothing was decided; or something else could not, and the status says so.
    #[error(transparent)]
    Observe(CallError),
    /// An effect failed, so the next pass tries again. What the pass learned is in the status.
    #[error("{message}")]
    Act {
        /// What happened, with the object.
        message: String,
    },
    /// The status could not be written.
    #[error(transparent)]
    Report(CallError),
    /// A run whose time has come could not be deleted.
    #[error(transparent)]
    Expire(CallError),
    /// The object as it is stored is no `E2ETest`.
    #[error("the stored object cannot be read: {0}")]
    Malformed(String),
}

impl ReconcileError {
    /// Every step that [`ReconcileError::step`] names.
    pub const STEPS: [&'static str; 5] = ["observe", "act", "report", "expire", "parse"];

    /// The step that failed, as a metric's label.
    pub const fn step(&self) -> &'static str {
        match self {
            Self::Observe(_) => "observe",
            Self::Act { .. } => "act",
            Self::Report(_) => "report",
            Self::Expire(_) => "expire",
            Self::Malformed(_) => "parse",
        }
    }

    /// Whether trying again helps.
    pub fn class(&self) -> Class {
        match self {
            // A run that is over can wait for a right, and nobody waits for it.
            Self::Expire(call) if call.is_missing_right() => Class::Terminal,
            Self::Observe(call) | Self::Report(call) | Self::Expire(call) => call.class(),
            Self::Act { .. } => Class::Transient,
            Self::Malformed(_) => Class::Terminal,
        }
    }
}
