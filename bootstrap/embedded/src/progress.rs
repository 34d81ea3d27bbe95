//! What a caller is told while it waits. The terminal is the caller's.

use std::{
    fmt,
    time::{Duration, Instant},
};

/// A part of the work that is worth a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// Finding, fetching or building the binaries.
    Binaries,
    /// Finding, fetching or building the program `kind`.
    Kind,
    /// Removing what an earlier, unfinished attempt left.
    Sweep,
    /// etcd and the API server.
    ControlPlane,
    /// Loading images into the node.
    Images,
    /// The node, until it is Ready.
    Node,
    /// The cluster's DNS, until it answers.
    Dns,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Binaries => "kubernetes binaries",
            Self::Kind => "the program kind",
            Self::Sweep => "removing what is left of an earlier cluster",
            Self::ControlPlane => "control plane",
            Self::Images => "images",
            Self::Node => "node",
            Self::Dns => "cluster DNS",
        })
    }
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// A step began.
    Started(Step),
    /// A step goes on.
    Working {
        /// Which.
        step: Step,
        /// What it does at the moment.
        detail: String,
        /// For how long already.
        elapsed: Duration,
    },
    /// A step is done.
    Finished {
        /// Which.
        step: Step,
        /// How long it took.
        took: Duration,
    },
}

/// How often a step that goes on is mentioned.
const INTERVAL: Duration = Duration::from_secs(5);

/// Tells of one step: its begin, now and then its going on, its end.
pub(crate) struct Teller<'a> {
    step: Step,
    began: Instant,
    last: Instant,
    on: &'a mut dyn FnMut(Progress),
}

impl<'a> Teller<'a> {
    pub(crate) fn start(step: Step, on: &'a mut dyn FnMut(Progress)) -> Self {
        on(Progress::Started(step));
        let now = Instant::now();
        Self { step, began: now, last: now, on }
    }

    /// Says at once what is done now.
    pub(crate) fn say(&mut self, detail: impl Into<String>) {
        self.last = Instant::now();
        (self.on)(Progress::Working {
            step: self.step,
            detail: detail.into(),
            elapsed: self.began.elapsed(),
        });
    }

    /// Says what is done now if nothing was said for a while.
    pub(crate) fn remind(&mut self, detail: impl FnOnce() -> String) {
        if self.last.elapsed() >= INTERVAL {
            self.say(detail());
        }
    }

    pub(crate) fn finish(self) -> Duration {
        let took = self.began.elapsed();
        (self.on)(Progress::Finished { step: self.step, took });
        took
    }
}
