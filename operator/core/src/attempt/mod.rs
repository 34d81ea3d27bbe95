//! One attempt of one test: what its Job and pod say, and what to do about it.

mod ended;
mod proof;
mod stop;
mod unseen;
mod waiting;

use crds::{
    v1alpha1::{CellSummary, JobReference, TestReason, TestState, TestStatus},
    verdict::{Cells, truncate},
};
use jiff::Timestamp;
use k8s_openapi::{
    api::{batch::v1::Job, core::v1::Pod},
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time},
};

use crate::{
    build,
    clock::{after, spoken, stamp},
    effect::Effect,
    observed::{AttemptFacts, Observed},
    settings::Settings,
    validate::{Run, ValidTest},
};

pub(crate) use proof::not_served_sentence;
pub(crate) use waiting::FOR_POD;
pub use waiting::wants_warnings_of;

/// Longest message of a test, in bytes: the CRD takes no longer one.
pub(crate) const MAX_MESSAGE: usize = 1024;

/// Everything that judging an attempt depends on.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) run: &'a Run,
    pub(crate) test: &'a ValidTest,
    pub(crate) observed: &'a Observed,
    pub(crate) settings: &'a Settings,
    pub(crate) now: Timestamp,
    /// When the run's own timeout passes.
    pub(crate) deadline: Timestamp,
}

/// Where an attempt stands, and what to do.
pub(crate) struct Step {
    pub(crate) status: TestStatus,
    pub(crate) effects: Vec<Effect>,
    /// When to look again even if nothing changes.
    pub(crate) wake: Option<Timestamp>,
}

/// What an attempt looks like.
enum Judgement {
    /// Its pod has not started: what it waits for.
    Waiting(String),
    /// Its pod runs.
    Running,
    /// It is over.
    Over(Ending),
}

/// How an attempt ended.
struct Ending {
    /// Why it did not pass; `None` when it passed.
    reason: Option<TestReason>,
    message: String,
    cells: Option<Cells>,
    /// When, where the pod says so.
    at: Option<Timestamp>,
}

impl Ending {
    /// An attempt that did not pass.
    fn because(reason: TestReason, message: impl Into<String>) -> Self {
        Self { reason: Some(reason), message: message.into(), cells: None, at: None }
    }
}

/// Takes an attempt that is not over one step further.
pub(crate) fn advance(context: Context<'_>, entry: &TestStatus) -> Step {
    if let Some(unreadable) = &context.observed.unreadable {
        return unseen::advance(context, entry, unreadable);
    }
    let nothing = AttemptFacts::default();
    let facts = context.observed.attempts.get(&entry.name).unwrap_or(&nothing);
    let job = match own_job(context, entry, facts) {
        Ok(Some(job)) => job,
        Ok(None) => return without_job(context, entry),
        Err(ending) => return over(context, entry, &ending, None),
    };
    let mut entry = entry.clone();
    if entry.job.is_none() {
        entry.job = reference(&job.metadata);
    }
    let pod = own_pod(job, &facts.pods);
    match judge(context, &entry, job, pod, facts) {
        Judgement::Over(ending) => over(context, &entry, &ending, stop::effect(job, pod)),
        Judgement::Running if context.now < context.deadline => going_on(entry, None, Some(context.deadline)),
        Judgement::Waiting(message) if context.now < context.deadline => {
            let wake = waiting::look_again(context.now).min(start_deadline(context, &entry));
            going_on(entry, Some(message), Some(wake))
        }
        Judgement::Running | Judgement::Waiting(_) => at_the_runs_end(context, &entry, job, pod),
    }
}

/// The attempt's Job, which is ours only if this run owns it and it is the one whose UID was written down.
fn own_job<'a>(
    context: Context<'_>,
    entry: &TestStatus,
    facts: &'a AttemptFacts,
) -> Result<Option<&'a Job>, Ending> {
    let namespace = &context.run.namespace;
    let Some(job) = facts.job.as_ref() else {
        return match &entry.job {
            None => Ok(None),
            Some(JobReference { name, .. }) => {
                let message = format!("Job {namespace}/{name} was deleted before it ended");
                Err(Ending::because(TestReason::JobVanished, message))
            }
        };
    };
    let name = job.metadata.name.as_deref().unwrap_or_default();
    if !build::is_ours(&job.metadata, &context.run.uid) {
        let message =
            format!("Job {namespace}/{name} is there already and belongs to something else: delete it");
        return Err(Ending::because(TestReason::PodCreationRefused, message));
    }
    if entry.job.as_ref().is_some_and(|known| Some(&known.uid) != job.metadata.uid.as_ref()) {
        let message =
            format!("Job {namespace}/{name} was replaced by another of the same name before it ended");
        return Err(Ending::because(TestReason::JobVanished, message));
    }
    Ok(Some(job))
}

/// The pod of the attempt: of several, which Kubernetes does not quite exclude, always the first one made.
fn own_pod<'a>(job: &Job, pods: &'a [Pod]) -> Option<&'a Pod> {
    let uid = job.metadata.uid.as_deref()?;
    pods.iter()
        .filter(|pod| build::is_ours(&pod.metadata, uid))
        .min_by_key(|pod| (pod.metadata.creation_timestamp.as_ref().map(|time| time.0), &pod.metadata.name))
}

/// An attempt that was written down and has no Job: makes it, or gives up.
fn without_job(context: Context<'_>, entry: &TestStatus) -> Step {
    let limit = start_deadline(context, entry);
    if context.now >= context.deadline {
        let mut status = entry.clone();
        status.state = TestState::NotRun;
        status.message = Some(run_timed_out(context));
        status.completion_time = Some(stamp(context.now));
        return Step { status, effects: Vec::new(), wake: None };
    }
    if context.now >= limit {
        let why = entry.message.as_deref().unwrap_or("the Job could not be created");
        let message = format!("{why} (tried for {})", spoken(context.test.start_timeout));
        return over(context, entry, &Ending::because(TestReason::PodCreationRefused, message), None);
    }
    if let Some(ending) = proof::impossible(context) {
        return over(context, entry, &ending, None);
    }
    let effects = build::children(context.run, context.test, entry.attempt, context.settings);
    let wake = waiting::try_again(context.now).min(limit);
    Step { status: entry.clone(), effects, wake: Some(wake) }
}

/// Looks at the pod first, then at the Job; at phase and reason before any exit code.
fn judge(
    context: Context<'_>,
    entry: &TestStatus,
    job: &Job,
    pod: Option<&Pod>,
    facts: &AttemptFacts,
) -> Judgement {
    let Some(pod) = pod else { return waiting::without_pod(context, entry, job, facts) };
    if let Some(ending) = proof::missing(context, pod) {
        return Judgement::Over(ending);
    }
    if let Some(ending) = ended::taken_away(pod) {
        return Judgement::Over(ending);
    }
    match pod.status.as_ref().and_then(|status| status.phase.as_deref()) {
        Some("Succeeded" | "Failed") => ended::judge(context, job, pod),
        _ if waiting::has_started(pod) => Judgement::Running,
        _ => waiting::for_start(context, entry, pod, facts),
    }
}

/// The run's time is up while the attempt is not over: its pod is ended gracefully, and waited for a little, so that
/// what it found so far is kept.
fn at_the_runs_end(context: Context<'_>, entry: &TestStatus, job: &Job, pod: Option<&Pod>) -> Step {
    let ended_by = stop::effect(job, pod);
    let patience = after(context.deadline, context.settings.grace);
    let can_end_by_itself = pod.is_some_and(stop::is_on_a_node) && context.now < patience;
    if can_end_by_itself {
        let mut step = going_on(entry.clone(), Some(run_timed_out(context)), Some(patience));
        step.effects.extend(ended_by);
        return step;
    }
    over(context, entry, &Ending::because(TestReason::TimedOut, run_timed_out(context)), ended_by)
}

/// The sentence about the run's own timeout.
pub(crate) fn run_timed_out(context: Context<'_>) -> String {
    format!("the run's timeout of {} passed", spoken(context.run.timeout))
}

/// When the attempt's pod must have started.
fn start_deadline(context: Context<'_>, entry: &TestStatus) -> Timestamp {
    let start = entry.start_time.as_ref().map_or(context.now, |time| time.0);
    after(start, context.test.start_timeout)
}

/// An attempt that is not over.
fn going_on(mut entry: TestStatus, message: Option<String>, wake: Option<Timestamp>) -> Step {
    entry.state = TestState::Running;
    entry.message = message.map(|message| truncate(&message, MAX_MESSAGE));
    Step { status: entry, effects: Vec::new(), wake }
}

/// An attempt that is over.
fn over(context: Context<'_>, entry: &TestStatus, ending: &Ending, stop: Option<Effect>) -> Step {
    let mut status = entry.clone();
    status.state = state_of(ending.reason);
    status.reason = ending.reason;
    status.message = Some(truncate(&ending.message, MAX_MESSAGE)).filter(|message| !message.is_empty());
    status.cells = ending.cells.map(|cells| CellSummary {
        passed: cells.passed,
        failed: cells.failed,
        total: cells.total,
        current: None,
    });
    status.completion_time = Some(stamp(ending.at.unwrap_or(context.now)));
    Step { status, effects: stop.into_iter().collect(), wake: None }
}

/// The state of a test that ended for this reason.
pub(crate) fn state_of(reason: Option<TestReason>) -> TestState {
    use crds::v1alpha1::RunReason;
    match reason.map(TestReason::verdict) {
        None => TestState::Passed,
        Some(RunReason::TestsFailed) => TestState::Failed,
        Some(RunReason::InfrastructureError) => TestState::Error,
        // A test's reason leads to one of these three; should one ever lead elsewhere, nobody can say that it passed.
        Some(
            RunReason::Inconclusive
            | RunReason::WaitingForKubeflow
            | RunReason::Running
            | RunReason::TestsPassed
            | RunReason::KubeflowNotReady
            | RunReason::TimedOut
            | RunReason::Cancelled
            | RunReason::InvalidSpec,
        ) => TestState::Inconclusive,
    }
}

/// Name and UID of a Job.
fn reference(meta: &ObjectMeta) -> Option<JobReference> {
    Some(JobReference { name: meta.name.clone()?, uid: meta.uid.clone()? })
}

/// The point in time of a Kubernetes time.
fn instant(time: Option<&Time>) -> Option<Timestamp> {
    time.map(|time| time.0)
}
