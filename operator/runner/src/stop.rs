//! Why a test must end before it is done: its time is up, or the pod is being ended.

use std::{fmt, io, time::Duration};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::{Instant, sleep_until},
};

/// Why a test was stopped.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Stop {
    /// The test's own timeout passed.
    TimedOut(Duration),
    /// The runner was told to end, as Kubernetes does when a run is cancelled or its deadline passes.
    Terminated,
}

impl fmt::Display for Stop {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut(timeout) => {
                write!(formatter, "not finished within the test's timeout of {} s", timeout.as_secs())
            }
            Self::Terminated => formatter.write_str("stopped from outside: the pod was told to end"),
        }
    }
}

impl Stop {
    /// How long what runs may take to end by itself: a pod that is being ended has little time.
    pub const fn grace(self) -> Duration {
        match self {
            Self::TimedOut(_) => Duration::from_secs(5),
            Self::Terminated => Duration::from_secs(3),
        }
    }
}

/// Waits for a reason to stop.
#[derive(Debug)]
pub struct Stopper {
    timeout: Duration,
    deadline: Instant,
    terminate: Signal,
    interrupt: Signal,
}

impl Stopper {
    /// Starts the clock and takes SIGTERM and SIGINT over.
    pub fn new(timeout: Duration) -> io::Result<Self> {
        Ok(Self {
            timeout,
            deadline: Instant::now() + timeout,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Returns when the test must stop. Nothing is lost when this is cancelled.
    pub async fn requested(&mut self) -> Stop {
        tokio::select! {
            () = sleep_until(self.deadline) => Stop::TimedOut(self.timeout),
            _ = self.terminate.recv() => Stop::Terminated,
            _ = self.interrupt.recv() => Stop::Terminated,
        }
    }
}
