//! When a watcher first saw what is waited for. One process holds all watches, so that their times can be compared.

use std::{
    collections::HashMap,
    future::ready,
    sync::Arc,
    time::{Duration, Instant},
};

use crds::{
    names::label,
    v1alpha1::{ConditionType, E2ETest, find},
};
use futures::StreamExt as _;
use k8s_openapi::api::batch::v1::Job;
use kube::{
    Api, Client, ResourceExt as _,
    runtime::{WatchStreamExt as _, watcher},
};
use parking_lot::Mutex;
use tokio::sync::oneshot;

/// How long anything may take to be seen.
const LIMIT: Duration = Duration::from_secs(120);

/// What can be seen of one run.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Sight {
    /// A Job of the run of that name.
    Job(String),
    /// The Job of the run of that name is over.
    JobOver(String),
    /// The condition `Finished` of the run of that name.
    Finished(String),
    /// A status that the floor's object was given.
    Floor(String),
}

enum Entry {
    Seen(Instant),
    Awaited(oneshot::Sender<Instant>),
}

/// Everything that was seen, and everything that is waited for.
#[derive(Clone, Default)]
pub struct Sights(Arc<Mutex<HashMap<Sight, Entry>>>);

impl Sights {
    /// Watches runs and Jobs until the process ends.
    pub fn watch(client: &Client) -> Self {
        let sights = Self::default();
        let of_runs = sights.clone();
        let runs = watcher(Api::<E2ETest>::all(client.clone()), watcher::Config::default());
        tokio::spawn(runs.default_backoff().touched_objects().for_each(move |run| {
            if let Ok(run) = run {
                of_runs.see_run(&run, Instant::now());
            }
            ready(())
        }));
        let of_jobs = sights.clone();
        let ours = watcher::Config::default().labels(label::RUN);
        let jobs = watcher(Api::<Job>::all(client.clone()), ours);
        tokio::spawn(jobs.default_backoff().touched_objects().for_each(move |job| {
            if let Ok(job) = job {
                of_jobs.see_job(&job, Instant::now());
            }
            ready(())
        }));
        sights
    }

    fn see_run(&self, run: &E2ETest, at: Instant) {
        let Some(status) = &run.status else { return };
        if find(&status.conditions, ConditionType::Finished).is_some_and(|finished| finished.status == "True")
        {
            self.see(Sight::Finished(run.name_any()), at);
        }
        if run.name_any() == FLOOR {
            self.see(Sight::Floor(status.tests_summary.clone().unwrap_or_default()), at);
        }
    }

    fn see_job(&self, job: &Job, at: Instant) {
        let Some(run) = job.labels().get(label::RUN) else { return };
        self.see(Sight::Job(run.clone()), at);
        let conditions = job.status.as_ref().and_then(|status| status.conditions.as_ref());
        let over = |type_: &str| matches!(type_, "Complete" | "Failed");
        if conditions.into_iter().flatten().any(|condition| over(&condition.type_)) {
            self.see(Sight::JobOver(run.clone()), at);
        }
    }

    fn see(&self, sight: Sight, at: Instant) {
        let mut all = self.0.lock();
        match all.remove(&sight) {
            Some(Entry::Seen(first)) => {
                all.insert(sight, Entry::Seen(first));
            }
            Some(Entry::Awaited(waiting)) => {
                let _ = waiting.send(at);
                all.insert(sight, Entry::Seen(at));
            }
            None => {
                all.insert(sight, Entry::Seen(at));
            }
        }
    }

    /// When it was seen, now or before. Each thing is waited for by one at a time.
    pub async fn when(&self, sight: Sight) -> Instant {
        let coming = {
            let mut all = self.0.lock();
            if let Some(Entry::Seen(at)) = all.get(&sight) {
                return *at;
            }
            let (sender, receiver) = oneshot::channel();
            all.insert(sight.clone(), Entry::Awaited(sender));
            receiver
        };
        let Ok(Ok(at)) = tokio::time::timeout(LIMIT, coming).await else {
            panic!("waited {LIMIT:?} for {sight:?}")
        };
        at
    }

    /// Forgets a run, so that nothing grows with their number.
    pub fn forget(&self, run: &str) {
        let mut all = self.0.lock();
        for sight in [Sight::Job, Sight::JobOver, Sight::Finished] {
            all.remove(&sight(run.to_owned()));
        }
    }
}

/// Name of the run whose status is written for the floor.
pub const FLOOR: &str = "floor";
