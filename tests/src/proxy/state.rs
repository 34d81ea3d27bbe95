//! What the connections of a proxy share: the script, how far it is, and whom it may kill.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use hyper::{body::Bytes, header::HeaderValue};
use jiff::SignedDuration;
use kube::Client;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::sync::watch;

use super::{Call, Fault, Journal, Refusal, Refused, Script};

/// How long an operator that was answered may stay silent before it is killed: there may be no next call.
const SILENCE: Duration = Duration::from_millis(300);

/// What the connections share.
pub(super) struct State {
    pub(super) upstream: Client,
    pub(super) run: String,
    pub(super) journal: Journal,
    pub(super) killed: watch::Sender<usize>,
    /// Whether the next call is the operator's last.
    pub(super) doomed: AtomicBool,
    pub(super) changing: watch::Sender<Changing>,
}

/// What changes while a case runs.
#[derive(Default)]
pub(super) struct Changing {
    pub(super) script: Script,
    pub(super) lists: HashMap<(String, Option<HeaderValue>), Bytes>,
    pub(super) only_token: Option<String>,
    pub(super) victim: Option<Pid>,
    pub(super) last_fault: Option<Instant>,
    pub(super) ahead: SignedDuration,
}

/// A fault that goes on; it is over when this is dropped, also where the operator no longer waits for its answer.
pub(super) struct Going<'a>(pub(super) &'a State);

impl Drop for Going<'_> {
    fn drop(&mut self) {
        self.0.note_fault();
    }
}

impl State {
    /// What becomes of a call, which is counted.
    pub(super) fn fault_of(&self, call: &Call, token: Option<&HeaderValue>) -> Option<Fault> {
        let mut fault = None;
        self.changing.send_modify(|changing| {
            let refused =
                changing.only_token.as_ref().is_some_and(|only| token.is_none_or(|token| token != only));
            fault = if refused {
                Some(Fault::Answer(Refusal::UNAUTHORIZED))
            } else {
                changing.script.next(&call.site())
            };
        });
        fault
    }

    /// A fault begins, or ends.
    pub(super) fn note_fault(&self) {
        self.changing.send_modify(|changing| changing.last_fault = Some(Instant::now()));
    }

    /// Kills the operator.
    pub(super) fn kill(&self) -> Refused {
        self.doomed.store(false, Ordering::SeqCst);
        let mut victim = None;
        self.changing.send_modify(|changing| victim = changing.victim.take());
        if let Some(pid) = victim {
            // Whoever waits for the process keeps its number from being given to another.
            kill(pid, Signal::SIGKILL).unwrap();
            self.killed.send_modify(|kills| *kills += 1);
        }
        Refused::because("the operator was killed")
    }

    /// Kills the operator when it makes its next call, or when it makes none.
    pub(super) fn kill_at_next(self: &Arc<Self>) {
        self.doomed.store(true, Ordering::SeqCst);
        let (mut kills, before) = (self.killed.subscribe(), *self.killed.borrow());
        let state = Arc::clone(self);
        tokio::spawn(async move {
            let next = tokio::time::timeout(SILENCE, kills.wait_for(|kills| *kills > before)).await;
            if next.is_err() {
                state.kill();
            }
        });
    }
}
