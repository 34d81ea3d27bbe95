//! One attempt of one test: what its Job and pod say, and what to do about it.

mod again;
mod ended;
mod opt_in;
mod outcome;
mod proof;
mod repair;
mod running;
mod stop;
mod unseen;
mod waiting;

use crds::{
    v1alpha1::{JobReference, TestReason, TestState, TestStatus},
    verdict::truncate,
};
use jiff::Timestamp;
use k8s_openapi::{
    api::{batch::v1::Job, core::v1::Pod},
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time},
};

use crate::{
    build,
    clock::{after, spoken},
    effect::Effect,
    ending::RunsEnd,
    observed::{AttemptFacts, Observed},
    settings::Settings,
    validate::{Run, ValidTest},
};

pub(crate) use again::next as again;
pub(crate) use outcome::state_of;
use outcome::{Ending, Outcome, over};
pub(crate) use proof::not_served_sentence;
pub use running::runs_in;
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
    /// When the run has to end, whatever its tests do.
    pub(crate) end: RunsEnd,
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
    /// Its test is over and its pod is not: how long that is waited for.
    Ending(Timestamp),
    /// It is over.
    Over(Ending),
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
        Judgement::Over(ending) => {
            let stop = stop::effect(job, pod, Some(&ending));
            over(context, &entry, &ending, stop)
        }
        Judgement::Ending(until) if !context.end.passed(context.now) => going_on(entry, None, Some(until)),
        Judgement::Running if !context.end.passed(context.now) => {
            running::show_progress(context, &mut entry, facts);
            going_on(entry, None, None)
        }
        Judgement::Waiting(message) if !context.end.passed(context.now) => {
            let wake = waiting::look_again(context.now, &entry).min(start_deadline(context, &entry));
            going_on(entry, Some(message), Some(wake))
        }
        Judgement::Running | Judgement::Ending(_) | Judgement::Waiting(_) => {
            at_the_runs_end(context, &entry, job, pod)
        }
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
    if context.end.passed(context.now) {
        return over(context, entry, &Ending::with(Outcome::NotRun, context.end.sentence()), None);
    }
    if context.now >= limit {
        let missing = opt_in::labels(context).err();
        let reason = match missing {
            Some(_) => TestReason::PodDefaultNotInjected,
            None => TestReason::PodCreationRefused,
        };
        let why = missing.or_else(|| entry.message.clone());
        let why = why.as_deref().unwrap_or("the Job could not be created");
        let message = format!("{why} (tried for {})", spoken(context.test.start_timeout));
        return over(context, entry, &Ending::because(reason, message), None);
    }
    if let Some(ending) = proof::impossible(context) {
        return over(context, entry, &ending, None);
    }
    let wake = Some(waiting::try_again(context.now).min(limit));
    let opted_in = match opt_in::labels(context) {
        Ok(labels) => labels,
        Err(missing) => return going_on(entry.clone(), Some(missing), wake),
    };
    let effects = build::children(context.run, context.test, entry.attempt, &opted_in, context.settings);
    Step { status: entry.clone(), effects, wake }
}

/// Looks at the pod first, then at the Job; at phase and reason before any exit code.
fn judge(
    context: Context<'_>,
    entry: &TestStatus,
    job: &Job,
    pod: Option<&Pod>,
    facts: &AttemptFacts,
) -> Judgement {
    if let Some(ending) = stop::decided(job, pod) {
        return Judgement::Over(ending);
    }
    let Some(pod) = pod else { return waiting::without_pod(context, entry, job, facts) };
    if let Some(ending) = proof::missing(context, job, pod) {
        return Judgement::Over(ending);
    }
    if let Some(ending) = ended::taken_away(pod) {
        return Judgement::Over(ending);
    }
    match pod.status.as_ref().and_then(|status| status.phase.as_deref()) {
        Some("Succeeded" | "Failed") => ended::judge(context, job, pod),
        _ if waiting::has_started(pod) => running::judge(context, job, pod),
        _ => waiting::for_start(context, entry, pod, facts),
    }
}

/// The run has to end while the attempt is not over: its pod is ended gracefully, and waited for a little, so that what
/// it found so far is kept.
fn at_the_runs_end(context: Context<'_>, entry: &TestStatus, job: &Job, pod: Option<&Pod>) -> Step {
    let ended_by = stop::effect(job, pod, None);
    let patience = after(context.end.at, context.settings.grace);
    let can_end_by_itself = pod.is_some_and(stop::is_on_a_node) && context.now < patience;
    if can_end_by_itself {
        // A pod that was told ends by itself, and is heard of; one that could not be told is told again soon.
        let wake = match ended_by {
            Some(_) => waiting::try_again(context.now).min(patience),
            None => patience,
        };
        let mut step = going_on(entry.clone(), Some(context.end.sentence()), Some(wake));
        step.effects.extend(ended_by);
        return step;
    }
    let started = pod.is_some_and(waiting::has_started);
    over(context, entry, &Ending::by_the_runs_end(context, started), ended_by)
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

/// Name and UID of a Job.
fn reference(meta: &ObjectMeta) -> Option<JobReference> {
    Some(JobReference { name: meta.name.clone()?, uid: meta.uid.clone()? })
}

/// The point in time of a Kubernetes time.
fn instant(time: Option<&Time>) -> Option<Timestamp> {
    time.map(|time| time.0)
}
