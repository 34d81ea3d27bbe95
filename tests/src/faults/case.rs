//! One case: a run, what the world does to it, what goes wrong meanwhile, and what it came to.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use crds::{names::label, v1alpha1::E2ETest};
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, DynamicObject, Patch, PatchParams},
    core::ApiResource,
};
use serde_json::{Value, json};

use super::{
    history::History,
    invariants::{Evidence, condition, is_of},
    operator::{Access, Operator},
    outcome::Outcome,
    world::World,
};
use crate::proxy::{Entry, Fault, Proxy, Rule};

/// How long the world waits for anything, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);
/// The timeout of a run that is to run out of it.
const TIMEOUT: Duration = Duration::from_secs(4);
/// How long nothing must happen before a case is over.
const QUIET: Duration = Duration::from_millis(200);
/// The longest that the operator waits for an answer, with what a busy machine adds.
const LONGEST_CALL: Duration = Duration::from_secs(12);

/// A case to run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How the run goes.
    pub outcome: Outcome,
    /// What goes wrong.
    pub rules: Vec<Rule>,
    /// Operators side by side.
    pub operators: usize,
    /// How long the run may take from the end of the last fault: an order of magnitude more than it should, so that only
    /// a wait that is wrong fails it, and no busy machine.
    pub within: Duration,
    /// Verdicts that are right besides the outcome's own: where the API server itself says that there is no way on.
    pub also: &'static [&'static str],
}

impl Plan {
    /// A run with these faults.
    pub fn new(outcome: Outcome, rules: Vec<Rule>) -> Self {
        Self { outcome, rules, operators: 1, within: Duration::from_secs(6), also: &[] }
    }

    /// What it is, in a line.
    pub fn describe(&self) -> String {
        let rules: Vec<String> = self.rules.iter().map(ToString::to_string).collect();
        format!("{}, {} operator(s), {}", self.outcome, self.operators, rules.join("; "))
    }
}

/// What a case came to.
#[derive(Debug)]
pub struct Finding {
    /// Everything that was wrong.
    pub violations: Vec<String>,
    /// The writes, in order.
    pub writes: Vec<(String, usize)>,
    /// Every site, with the writes' and the reads'.
    pub sites: BTreeSet<String>,
    /// The verdict's reason, and the test's state, at the end.
    pub end: Value,
}

/// A run that is under way.
pub struct Case<'a> {
    /// Everything that is shared.
    pub world: &'a World,
    /// The name of the run and of its namespace.
    pub name: String,
    /// Between operator and API server.
    pub proxy: Proxy,
    /// How the operator gets there.
    pub access: Access,
    plan: Plan,
}

/// Where a wait ended.
enum Step<T> {
    Reached(T),
    /// The run is finished or gone.
    Over,
}

impl<'a> Case<'a> {
    /// Makes namespace and proxy.
    pub async fn prepare(world: &'a World, plan: Plan) -> Self {
        let name = world.next_name();
        world.make_namespace(&name).await;
        let proxy = Proxy::start(world.upstream.clone(), &format!("case={name}")).await;
        proxy.follow(plan.rules.clone());
        let access = Access::new(&proxy, &world.token);
        Self { world, name, proxy, access, plan }
    }

    /// Runs it, with `meanwhile` beside it, which returns when its own fault ended.
    pub async fn run(&self, meanwhile: impl Future<Output = Option<Instant>>) -> Finding {
        let mut operators: Vec<Operator> =
            (0..self.plan.operators).map(|_| Operator::start(&self.access)).collect();
        self.proxy.set_victim(operators[0].pid());
        let began = Instant::now();
        self.world
            .create("/apis/e2e.kubeflow.org/v1alpha1/e2etests", self.plan.outcome.e2etest(&self.name, "4s"))
            .await;
        let mut restarted = None;
        let (mut wrong, own) = {
            let both = async {
                let (played, own) = tokio::join!(self.play(), meanwhile);
                let mut wrong: Vec<String> = played.err().into_iter().collect();
                wrong.extend(self.calm_down().await.err());
                (wrong, own)
            };
            tokio::select! {
                done = both => done,
                () = self.replace(&mut operators[0], &mut restarted) => unreachable!("it goes on for good"),
            }
        };
        self.proxy.spare();
        for operator in &mut operators {
            wrong.extend(operator.ended().map(|status| format!("an operator ended by itself: {status}")));
        }
        drop(operators);
        let fault_ended = [restarted, own, self.proxy.last_fault()].into_iter().flatten().max();
        self.judge(wrong, began, fault_ended).await
    }

    /// Starts a new operator whenever the old one is killed.
    async fn replace(&self, operator: &mut Operator, restarted: &mut Option<Instant>) {
        let mut kills = self.proxy.kills();
        while kills.changed().await.is_ok() {
            if self.plan.outcome == Outcome::Delete {
                // Deleted while no operator is there: nobody but Kubernetes itself can clean up.
                self.delete().await;
            }
            *operator = Operator::start(&self.access);
            *restarted = Some(operator.started);
            self.proxy.set_victim(operator.pid());
        }
        std::future::pending::<()>().await;
    }

    /// Plays the world's part until the run is over.
    async fn play(&self) -> Result<(), String> {
        if let Step::Reached(()) = self.play_pod().await? {
            match self.plan.outcome {
                Outcome::Cancel => self.cancel().await,
                Outcome::Delete => self.delete().await,
                Outcome::Pass | Outcome::Fail | Outcome::Timeout | Outcome::NotInjected => {}
            }
        }
        let over = |history: &History| (self.is_over(history)).then_some(());
        self.until("the run to be over", over).await?;
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

    /// Plays the pod's part up to its end, if that is by itself.
    async fn play_pod(&self) -> Result<Step<()>, String> {
        let pod = |history: &History, _: &Value| {
            history.objects("Pod", &self.name).into_iter().next().map(|pod| pod.name_any())
        };
        let Step::Reached(pod) = self.reach("a pod", pod).await? else { return Ok(Step::Over) };
        let (node, name) = (&self.world.node, self.name.as_str());
        // Each step waits until the operator has said what it makes of the one before, so that a run without faults is the
        // same every time.
        let seen = |_: &History, test: &Value| {
            let message = test["message"].as_str().unwrap_or_default().to_owned();
            (test["job"].is_object() && !message.starts_with("waiting for the Job's pod")).then_some(message)
        };
        let Step::Reached(before) = self.reach("the pod to be seen", seen).await? else {
            return Ok(Step::Over);
        };
        self.tell(|| node.bind(name, &pod)).await?;
        self.tell(|| node.starting(name, &pod)).await?;
        let started = |_: &History, test: &Value| (test["message"] != before.as_str()).then_some(());
        let Step::Reached(()) = self.reach("the pod's start to be seen", started).await? else {
            return Ok(Step::Over);
        };
        self.tell(|| node.running(name, &pod)).await?;
        let running = |_: &History, test: &Value| test["message"].is_null().then_some(());
        let Step::Reached(()) = self.reach("the running pod to be seen", running).await? else {
            return Ok(Step::Over);
        };
        match self.plan.outcome {
            Outcome::Pass => self.tell(|| node.ended(name, &pod, true)).await?,
            Outcome::Fail => self.tell(|| node.ended(name, &pod, false)).await?,
            Outcome::Timeout | Outcome::Cancel | Outcome::Delete | Outcome::NotInjected => {}
        }
        Ok(Step::Reached(()))
    }

    /// Has the node say something. A pod that is gone cannot be told of: then the run says why. An API server that is away
    /// is waited for, as a kubelet does.
    async fn tell<F: Future<Output = kube::Result<()>>>(
        &self,
        mut say: impl FnMut() -> F,
    ) -> Result<(), String> {
        let deadline = Instant::now() + self.plan.within + PATIENCE;
        loop {
            match say().await {
                Ok(()) => return Ok(()),
                Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => return Ok(()),
                Err(error) if Instant::now() > deadline => {
                    return Err(format!("the stand-in of the node: {error}"));
                }
                Err(_) => tokio::time::sleep(QUIET).await,
            }
        }
    }

    /// Waits until something can be seen of the run's test.
    async fn reach<T>(
        &self,
        what: &str,
        look: impl Fn(&History, &Value) -> Option<T>,
    ) -> Result<Step<T>, String> {
        self.until(what, |history| {
            if self.is_over(history) {
                return Some(Step::Over);
            }
            let run = history.object("E2ETest", "", &self.name)?;
            look(history, &run.data["status"]["tests"][0]).map(Step::Reached)
        })
        .await
    }

    async fn until<T>(&self, what: &str, look: impl FnMut(&History) -> Option<T>) -> Result<T, String> {
        self.world.history.until(what, self.plan.within + PATIENCE, look).await
    }

    /// Waits until the run's Job is written down.
    pub async fn await_job(&self) {
        let recorded = |_: &History, test: &Value| test["job"].is_object().then_some(());
        // A run that never gets so far fails for its own reasons.
        let _ = self.reach("the Job to be recorded", recorded).await;
    }

    /// Whether the run is finished, or gone.
    fn is_over(&self, history: &History) -> bool {
        let of_run = |change: &super::history::Change| {
            change.kind == "E2ETest" && change.object.name_any() == self.name
        };
        match history.object("E2ETest", "", &self.name) {
            Some(run) => condition(&run.data, "Finished")["status"] == "True",
            None => !history.changes(of_run).is_empty(),
        }
    }

    /// Cancels the run, as a person would.
    async fn cancel(&self) {
        let patch = Patch::Merge(json!({ "spec": { "cancel": true } }));
        self.runs().patch(&self.name, &PatchParams::default(), &patch).await.unwrap();
    }

    /// Deletes the run, unless it is deleted already.
    async fn delete(&self) {
        match self.runs().delete(&self.name, &DeleteParams::background()).await {
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            other => drop(other.unwrap()),
        }
    }

    fn runs(&self) -> Api<DynamicObject> {
        Api::all_with(self.world.cluster.client.clone(), &ApiResource::erase::<E2ETest>(&()))
    }

    /// Waits until an expected kill has happened, the operator after it is up, and nothing happens any more.
    async fn calm_down(&self) -> Result<(), String> {
        let kills = self.plan.rules.iter().filter(|rule| matches!(rule.fault, Fault::Kill(_))).count();
        let mut killed = self.proxy.kills();
        if tokio::time::timeout(PATIENCE, killed.wait_for(|count| *count >= kills)).await.is_err() {
            return Err("the run never came to the write at which its operator is killed".to_owned());
        }
        let watching = |entries: &[Entry]| {
            entries.iter().filter(|entry| entry.call.site() == "watch e2etests everywhere").count() > kills
        };
        let deadline = Instant::now() + PATIENCE;
        let mut before = usize::MAX;
        loop {
            let entries = self.proxy.journal.entries();
            if entries.len() == before && (kills == 0 || watching(&entries)) {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err("the operator does not come to rest".to_owned());
            }
            before = entries.len();
            // That nothing happens has no event.
            tokio::time::sleep(QUIET).await;
        }
    }

    /// Judges everything that happened.
    async fn judge(&self, mut wrong: Vec<String>, began: Instant, fault_ended: Option<Instant>) -> Finding {
        let Self { world, name, plan, .. } = self;
        wrong.extend(world.history.catch_up(name, name, PATIENCE).await.err());
        wrong.extend(world.history.gap());
        let changes = world.history.changes(|change| is_of(change, name));
        let entries = self.proxy.journal.entries();
        let clean = world.known_clean(plan.outcome);
        let counts = clean.as_ref().map(|clean| count(&clean.writes)).unwrap_or_default();
        let over = changes.iter().find(|change| {
            change.kind == "E2ETest"
                && (change.deleted || condition(&change.object.data, "Finished")["status"] == "True")
        });
        let recovery = over.zip(fault_ended).map(|(over, ended)| {
            let due = if plan.outcome == Outcome::Timeout { began + TIMEOUT } else { began };
            over.at.saturating_duration_since(ended.max(due))
        });
        let lasting = fault_ended
            .map_or(0, |ended| usize::try_from(ended.saturating_duration_since(began).as_secs()).unwrap());
        let longest =
            entries.iter().filter(|entry| entry.call.verb != "watch").max_by_key(|entry| entry.took);
        let longest =
            longest.map_or((Duration::ZERO, String::new()), |entry| (entry.took, entry.call.to_string()));
        if longest.0 > LONGEST_CALL {
            wrong.push(format!("{} took {:?}", longest.1, longest.0));
        }
        if let Some(recovery) = recovery.filter(|recovery| *recovery > plan.within) {
            wrong.push(format!("it took {recovery:?} from the end of the fault to the end of the run"));
        }
        let run = world.history.object("E2ETest", "", name);
        let end = run.map_or(Value::Null, |run| {
            json!([condition(&run.data, "Succeeded")["reason"], run.data["status"]["tests"][0]["state"]])
        });
        wrong.extend(self.unexpected_end(&end).map(|what| format!("I-6 {what}")));
        let evidence = Evidence {
            run: name,
            outcome: plan.outcome,
            changes,
            journal: &entries,
            clean: &counts,
            lasting,
        };
        if clean.is_some() || plan.rules.is_empty() {
            wrong.extend(evidence.violations());
        }
        world.score.add(&plan.describe(), wrong.len(), entries.len(), recovery, longest);
        if !wrong.is_empty() {
            wrong.push(format!("operator's log:\n{}", self.access.log()));
        }
        let sites = entries.iter().map(|entry| entry.call.site()).collect();
        let mut numbers = BTreeMap::<String, usize>::new();
        let mut writes: Vec<&Entry> = entries.iter().filter(|entry| entry.call.is_write()).collect();
        writes.sort_by_key(|entry| entry.at);
        let writes = writes
            .into_iter()
            .map(|entry| {
                let number = numbers.entry(entry.call.site()).or_default();
                *number += 1;
                (entry.call.site(), *number)
            })
            .collect();
        Finding { violations: wrong, writes, sites, end }
    }

    /// How the end differs from what the world did.
    fn unexpected_end(&self, end: &Value) -> Option<String> {
        let reason = end[0].as_str();
        let right = match self.plan.outcome.verdict() {
            None => end.is_null(),
            Some((_, wanted)) => {
                reason.is_some_and(|reason| reason == wanted || self.plan.also.contains(&reason))
            }
        };
        (!right).then(|| format!("it ended as {end}, and the world says {}", self.plan.outcome))
    }
}

/// How often each site is called.
fn count(writes: &[(String, usize)]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for (site, _) in writes {
        *counts.entry(site.clone()).or_default() += 1;
    }
    counts
}
