//! Follows what running notebooks tell of their progress: the log of the `results` container, line by line.
//!
//! It is shown and decides nothing, so that whatever goes wrong here costs the status its count of cells and no more. What
//! is shown changes at most once a second for each run, however fast its cells are.

use std::{collections::HashMap, io, sync::Arc, time::Duration};

use crds::{
    names::pod::RESULTS_CONTAINER,
    progress::{MAX_LINE, Progress},
};
use futures::{AsyncBufRead, AsyncBufReadExt as _};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client, api::LogParams, runtime::reflector::ObjectRef};
use parking_lot::Mutex;
use tokio::{
    task::AbortHandle,
    time::{Instant, sleep, sleep_until},
};

use super::{Wake, call::call};

/// How long what is shown of a run stays at least.
const BETWEEN: Duration = Duration::from_secs(1);

/// How long to wait before a log that ended is followed again.
const AGAIN: Duration = Duration::from_secs(1);

/// A pod whose notebook runs.
#[derive(Clone, Debug)]
pub(super) struct Telling {
    /// The test.
    pub(super) test: String,
    /// Name of the pod.
    pub(super) pod: String,
    /// Its UID.
    pub(super) uid: String,
}

/// Follows the pods of all runs.
pub struct Followers {
    client: Client,
    wake: Wake,
    runs: Arc<Mutex<HashMap<String, Followed>>>,
}

/// One run's pods.
#[derive(Debug, Default)]
struct Followed {
    /// When what is shown changed last.
    shown_at: Option<Instant>,
    pods: HashMap<String, Told>,
}

/// What one pod told.
#[derive(Debug)]
struct Told {
    latest: Option<Progress>,
    shown: Option<Progress>,
    task: AbortHandle,
}

impl Followers {
    /// Follows nobody yet; runs of which there is something new are told through `wake`.
    pub fn new(client: Client, wake: Wake) -> Self {
        Self { client, wake, runs: Arc::default() }
    }

    /// Follows no pods of this run but these any more.
    pub(super) fn keep(&self, run: &str, telling: &[Telling]) {
        let mut runs = self.runs.lock();
        let Some(followed) = runs.get_mut(run) else { return };
        followed.pods.retain(|uid, told| {
            let keep = telling.iter().any(|telling| telling.uid == *uid);
            if !keep {
                told.task.abort();
            }
            keep
        });
        if followed.pods.is_empty() {
            runs.remove(run);
        }
    }

    /// What the run's pods told, by the test; pods that nobody follows yet are followed from now on.
    pub(super) fn told(&self, run: &str, namespace: &str, telling: &[Telling]) -> Vec<(String, Progress)> {
        if telling.is_empty() {
            return Vec::new();
        }
        let mut runs = self.runs.lock();
        let followed = runs.entry(run.to_owned()).or_default();
        let now = Instant::now();
        if followed.due(now) <= now && followed.pods.values().any(|told| told.latest != told.shown) {
            followed.shown_at = Some(now);
            followed.pods.values_mut().for_each(|told| told.shown = told.latest);
        }
        let mut all = Vec::new();
        for Telling { test, pod, uid } in telling {
            if let Some(told) = followed.pods.get(uid) {
                all.extend(told.shown.map(|progress| (test.clone(), progress)));
                continue;
            }
            let api = Api::namespaced(self.client.clone(), namespace);
            let reader = Follower {
                run: run.to_owned(),
                uid: uid.clone(),
                wake: self.wake.clone(),
                runs: Arc::clone(&self.runs),
            };
            let task = tokio::spawn(reader.follow(api, pod.clone())).abort_handle();
            followed.pods.insert(uid.clone(), Told { latest: None, shown: None, task });
        }
        all
    }
}

impl Followed {
    /// When something new may be shown.
    fn due(&self, now: Instant) -> Instant {
        self.shown_at.map_or(now, |shown| shown + BETWEEN)
    }
}

/// Follows one pod.
struct Follower {
    run: String,
    uid: String,
    wake: Wake,
    runs: Arc<Mutex<HashMap<String, Followed>>>,
}

impl Follower {
    /// Follows until nothing more can come; what cannot be read for a moment is tried again.
    async fn follow(self, api: Api<Pod>, pod: String) {
        let parameters = LogParams {
            container: Some(RESULTS_CONTAINER.to_owned()),
            follow: true,
            // Each line says all there is to say.
            tail_lines: Some(1),
            ..LogParams::default()
        };
        loop {
            match call("follow", format!("the log of Pod {pod}"), api.log_stream(&pod, &parameters)).await {
                Ok(log) => match self.read(Box::pin(log)).await {
                    Ok(()) => {}
                    Err(error) => tracing::debug!(pod, %error, "Log was interrupted"),
                },
                Err(error) if error.status().is_some_and(|status| matches!(status.code, 403 | 404)) => {
                    tracing::info!(run = self.run, pod, %error, "Progress is not shown");
                    return;
                }
                Err(error) => tracing::debug!(pod, %error, "Log cannot be followed yet"),
            }
            sleep(AGAIN).await;
        }
    }

    /// Takes in lines until the log ends.
    async fn read(&self, mut log: impl AsyncBufRead + Unpin) -> io::Result<()> {
        let mut line = Vec::with_capacity(MAX_LINE + 1);
        let mut due = None;
        loop {
            tokio::select! {
                bytes = log.fill_buf() => {
                    let bytes = bytes?;
                    if bytes.is_empty() {
                        return Ok(());
                    }
                    let end = bytes.iter().position(|byte| *byte == b'\n');
                    let part = bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default();
                    // What does not fit is no progress, and need not be kept.
                    let room = (MAX_LINE + 1).saturating_sub(line.len());
                    line.extend_from_slice(part.get(..part.len().min(room)).unwrap_or(part));
                    let taken = part.len() + usize::from(end.is_some());
                    log.consume_unpin(taken);
                    if end.is_some() {
                        if let Some(progress) = Progress::from_line(&line) {
                            due = self.tell(progress).or(due);
                        }
                        line.clear();
                    }
                }
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    due = None;
                    self.wake.up(ObjectRef::new(&self.run));
                }
            }
        }
    }

    /// Keeps what was told; returns when it may be shown, if it is new.
    fn tell(&self, progress: Progress) -> Option<Instant> {
        let mut runs = self.runs.lock();
        let followed = runs.get_mut(&self.run)?;
        let now = Instant::now();
        let due = followed.due(now).max(now);
        let told = followed.pods.get_mut(&self.uid)?;
        told.latest = Some(progress);
        (told.latest != told.shown).then_some(due)
    }
}
