//! The world's part of a case, step by step.

use std::time::Instant;

use crds::{names::label, v1alpha1::E2ETest};
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, DynamicObject, Patch, PatchParams},
    core::ApiResource,
};
use serde_json::{Value, json};

use super::{
    case::{Case, QUIET},
    history::{Change, History},
    invariants::condition,
    outcome::Outcome,
};

/// Where a wait ended.
enum Step<T> {
    Reached(T),
    /// The run is finished or gone.
    Over,
}

impl Case<'_> {
    /// Plays the world's part until the run is over.
    pub(super) async fn play(&self) -> Result<(), String> {
        if let Some(pod) = self.start_pod().await? {
            // An error would mean that the sender is gone, which is the case itself.
            let _ = self.held.subscribe().wait_for(|held| !held).await;
            self.end_pod(&pod).await?;
        }
        self.end().await
    }

    /// What ends the run's test, if it does not go on for good.
    pub(super) async fn end_pod(&self, pod: &str) -> Result<(), String> {
        let (node, name) = (&self.world.node, self.name.as_str());
        match self.plan.outcome {
            Outcome::Pass => {
                self.tell(|| node.ended(name, pod, true)).await?;
                // Without the Job's word there is no pass, and the Job controller has its own faults to get over.
                let complete = |history: &History, _: &Value| {
                    let job = history.objects("Job", name).into_iter().next()?;
                    (condition(&job.data, "Complete")["status"] == "True").then_some(())
                };
                self.reach_unmeasured("the Job to be complete", complete).await.map(drop)
            }
            Outcome::Fail => self.tell(|| node.ended(name, pod, false)).await,
            Outcome::Cancel => self.tell(|| self.cancel()).await,
            Outcome::Delete => self.tell(|| self.delete()).await,
            Outcome::Timeout | Outcome::NotInjected => Ok(()),
        }
    }

    /// Waits until the run is over, and its children gone where it was deleted.
    pub(super) async fn end(&self) -> Result<(), String> {
        let over = |history: &History| (self.is_over(history)).then_some(());
        self.awaited("the run to be over", over).await?;
        if self.plan.outcome == Outcome::Delete {
            let gone = |history: &History| {
                let left = ["Job", "Pod", "PodDefault"]
                    .iter()
                    .map(|kind| history.objects(kind, &self.name).len())
                    .sum::<usize>();
                let maps = history
                    .objects("ConfigMap", &self.name)
                    .iter()
                    .filter(|map| map.labels().contains_key(label::RUN))
                    .count();
                (left + maps == 0).then_some(())
            };
            self.until("the children of the deleted run to go", gone).await?;
        }
        Ok(())
    }

    /// Plays the pod's part until its test runs; returns its name, or nothing where the run is over before.
    pub(super) async fn start_pod(&self) -> Result<Option<String>, String> {
        let job = |history: &History, _: &Value| history.objects("Job", &self.name).into_iter().next();
        let Step::Reached(_) = self.reach("a Job", job).await? else { return Ok(None) };
        let pod = |history: &History, _: &Value| {
            history.objects("Pod", &self.name).into_iter().next().map(|pod| pod.name_any())
        };
        let Step::Reached(pod) = self.reach_unmeasured("a pod", pod).await? else { return Ok(None) };
        let (node, name) = (&self.world.node, self.name.as_str());
        // Each step waits until the operator has said what it makes of the one before, so that a run without faults is the
        // same every time.
        let seen = |_: &History, test: &Value| {
            let message = test["message"].as_str().unwrap_or_default().to_owned();
            (test["job"].is_object() && !message.starts_with("waiting for the Job's pod")).then_some(message)
        };
        let Step::Reached(before) = self.reach("the pod to be seen", seen).await? else {
            return Ok(None);
        };
        self.tell(|| node.bind(name, &pod)).await?;
        self.tell(|| node.starting(name, &pod)).await?;
        let started = |_: &History, test: &Value| (test["message"] != before.as_str()).then_some(());
        let Step::Reached(()) = self.reach("the pod's start to be seen", started).await? else {
            return Ok(None);
        };
        self.tell(|| node.running(name, &pod)).await?;
        let running = |_: &History, test: &Value| test["message"].is_null().then_some(());
        let Step::Reached(()) = self.reach("the running pod to be seen", running).await? else {
            return Ok(None);
        };
        Ok(Some(pod))
    }

    /// Has the world say something. Of what is gone nothing can be said: then the run says why. An API server that is away
    /// is waited for, as a kubelet does.
    pub(super) async fn tell<F: Future<Output = kube::Result<()>>>(
        &self,
        mut say: impl FnMut() -> F,
    ) -> Result<(), String> {
        let deadline = Instant::now() + self.plan.patience();
        loop {
            match say().await {
                Ok(()) => return Ok(()),
                Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => return Ok(()),
                Err(error) if Instant::now() > deadline => {
                    return Err(format!("the world could not say what it does: {error}"));
                }
                Err(_) => tokio::time::sleep(QUIET).await,
            }
        }
    }

    /// Waits until the operator has done something about the run's test.
    async fn reach<T>(
        &self,
        what: &str,
        look: impl Fn(&History, &Value) -> Option<T>,
    ) -> Result<Step<T>, String> {
        self.awaited(what, |history| self.step(history, &look)).await
    }

    /// Waits until Kubernetes has.
    async fn reach_unmeasured<T>(
        &self,
        what: &str,
        look: impl Fn(&History, &Value) -> Option<T>,
    ) -> Result<Step<T>, String> {
        self.until(what, |history| self.step(history, &look)).await
    }

    /// What can be seen of the run's test.
    fn step<T>(&self, history: &History, look: impl Fn(&History, &Value) -> Option<T>) -> Option<Step<T>> {
        if self.is_over(history) {
            return Some(Step::Over);
        }
        let run = history.object("E2ETest", "", &self.name)?;
        look(history, &run.data["status"]["tests"][0]).map(Step::Reached)
    }

    /// Waits for the operator, and writes down for how long.
    async fn awaited<T>(&self, what: &str, look: impl FnMut(&History) -> Option<T>) -> Result<T, String> {
        let from = Instant::now();
        let found = self.until(what, look).await;
        self.waits.send_modify(|waits| waits.push((from, Instant::now())));
        found
    }

    async fn until<T>(&self, what: &str, look: impl FnMut(&History) -> Option<T>) -> Result<T, String> {
        self.world.history.until(what, self.plan.patience(), look).await
    }

    /// Waits until the run's Job is written down.
    pub async fn await_job(&self) {
        let recorded = |_: &History, test: &Value| test["job"].is_object().then_some(());
        // A run that never gets so far fails for its own reasons.
        let _ = self.reach_unmeasured("the Job to be recorded", recorded).await;
    }

    /// Whether the run is finished, or gone.
    fn is_over(&self, history: &History) -> bool {
        let of_run = |change: &Change| change.kind == "E2ETest" && change.object.name_any() == self.name;
        match history.object("E2ETest", "", &self.name) {
            Some(run) => condition(&run.data, "Finished")["status"] == "True",
            None => !history.changes(of_run).is_empty(),
        }
    }

    /// Cancels the run, as a person would.
    async fn cancel(&self) -> kube::Result<()> {
        let patch = Patch::Merge(json!({ "spec": { "cancel": true } }));
        self.runs().patch(&self.name, &PatchParams::default(), &patch).await.map(drop)
    }

    /// Deletes the run.
    pub(super) async fn delete(&self) -> kube::Result<()> {
        self.runs().delete(&self.name, &DeleteParams::background()).await.map(drop)
    }

    fn runs(&self) -> Api<DynamicObject> {
        Api::all_with(self.world.cluster.client.clone(), &ApiResource::erase::<E2ETest>(&()))
    }
}
