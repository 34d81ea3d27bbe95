//! An attempt whose pod has ended: why, looking at the pod's own phase and reason before any exit code.
//!
//! A test has passed only where everything agrees: the pod Succeeded, the container exited with 0, the runner's verdict is
//! readable and says so, and the Job is Complete.

use std::time::Duration;

use crds::{
    names::pod::{RUNNER_IN_IMAGE, TEST_CONTAINER},
    v1alpha1::TestReason,
    verdict::{Verdict, truncate},
};
use jiff::Timestamp;
use k8s_openapi::api::{
    batch::v1::Job,
    core::v1::{ContainerStateTerminated, Pod, PodStatus},
};

use super::{Context, Ending, Judgement, Outcome, instant, running, waiting::finished};
use crate::{
    cause::{self, sentence},
    clock::spoken,
};

/// Bytes of a termination message that is no verdict that are worth showing.
const MAX_QUOTE: usize = 200;

/// Judges a pod that Succeeded or Failed.
pub(super) fn judge(context: Context<'_>, job: &Job, pod: &Pod) -> Judgement {
    let status = pod.status.clone().unwrap_or_default();
    let container = terminated(&status);
    let verdict = container
        .map(|ended| Verdict::from_termination_message(ended.message.as_deref().unwrap_or_default()));
    let failure = match &verdict {
        Some(Ok(verdict)) => verdict.reason.map(|reason| (reason, verdict)),
        Some(Err(_)) | None => None,
    };
    let at = container.and_then(|ended| instant(ended.finished_at.as_ref()));
    let mut ending = if oom_killed(container) && !passed(&status, container, verdict.as_ref()) {
        Ending::because(TestReason::OOMKilled, out_of_memory(context))
    } else if let Some((reason, verdict)) = failure {
        // At the run's end we told the pod to end: the runner knows that it was told, and we know why.
        if reason == TestReason::TimedOut && at.is_some_and(|at| context.end.passed(at)) {
            Ending::by_the_runs_end(context, true)
        } else {
            Ending::because(reason, verdict.message.clone())
        }
    } else if let Some(ending) = ended_by_the_node(context, &status, container) {
        ending
    } else if passed(&status, container, verdict.as_ref()) {
        match finished(job).map(|condition| condition.type_.as_str()) {
            Some("Complete") => Ending::with(Outcome::Passed, ""),
            Some(_) => Ending::because(TestReason::NoVerdict, "the test passed and its Job Failed"),
            // The Job controller follows within moments, and its word is part of a pass.
            None => return Judgement::Running,
        }
    } else {
        without_verdict(&status, container, verdict.as_ref().and_then(|verdict| verdict.as_ref().err()))
    };
    let judged = verdict.as_ref().and_then(|verdict| verdict.as_ref().ok());
    ending.cells = judged.and_then(|verdict| verdict.cells).map(running::summary);
    ending.at = at;
    Judgement::Over(ending)
}

/// Whether pod, container and runner agree that the test passed.
fn passed<E>(
    status: &PodStatus,
    container: Option<&ContainerStateTerminated>,
    verdict: Option<&Result<Verdict, E>>,
) -> bool {
    status.phase.as_deref() == Some("Succeeded")
        && status.reason.is_none()
        && container.is_some_and(|ended| ended.exit_code == 0)
        && matches!(verdict, Some(Ok(verdict)) if verdict.passed)
}

/// The test's container, if it ended.
pub(super) fn terminated(status: &PodStatus) -> Option<&ContainerStateTerminated> {
    status
        .container_statuses
        .iter()
        .flatten()
        .find(|container| container.name == TEST_CONTAINER)
        .and_then(|container| container.state.as_ref()?.terminated.as_ref())
}

/// Whether the kernel ended the container for its memory limit.
fn oom_killed(container: Option<&ContainerStateTerminated>) -> bool {
    container.is_some_and(|ended| ended.reason.as_deref() == Some("OOMKilled"))
}

/// The sentence about a memory limit.
fn out_of_memory(context: Context<'_>) -> String {
    let limit = context.test.resources.as_ref().and_then(|resources| resources.limits.get("memory"));
    match limit {
        Some(limit) => format!("the test used more memory than its limit of {}", limit.0.0),
        None => "the test used more memory than there was: set resources.limits.memory".to_owned(),
    }
}

/// A pod that its node ended or never let start: its deadline, or any other reason that the pod carries.
fn ended_by_the_node(
    context: Context<'_>,
    status: &PodStatus,
    container: Option<&ContainerStateTerminated>,
) -> Option<Ending> {
    let reason = status.reason.as_deref()?;
    if reason != "DeadlineExceeded" {
        let message = sentence(reason, status.message.as_deref().unwrap_or_default());
        return Some(Ending::because(TestReason::Evicted, message));
    }
    let started = container.is_some_and(|ended| ended.started_at.is_some());
    if context.end.passed(context.now) {
        return Some(Ending::by_the_runs_end(context, started));
    }
    Some(if started {
        let limit = spoken(context.test.timeout);
        Ending::because(TestReason::TimedOut, format!("ended by its node: it ran longer than {limit}"))
    } else {
        let limit = spoken(context.test.start_timeout);
        Ending::because(TestReason::StartTimedOut, format!("ended by its node: not started within {limit}"))
    })
}

/// A pod that a drain, a taint or a person took away before it ended by itself.
pub(super) fn taken_away(pod: &Pod) -> Option<Ending> {
    let status = pod.status.as_ref()?;
    let at = instant(terminated(status).and_then(|ended| ended.finished_at.as_ref()));
    let disruption = status
        .conditions
        .iter()
        .flatten()
        .find(|condition| condition.type_ == "DisruptionTarget" && condition.status == "True");
    if let Some(disruption) = disruption {
        let reason = disruption.reason.as_deref().unwrap_or("DisruptionTarget");
        let message = sentence(reason, disruption.message.as_deref().unwrap_or_default());
        return Some(Ending { at, ..Ending::because(TestReason::Evicted, message) });
    }
    // While it still ends, its containers may yet say more; a container that ended before the deletion has its say.
    let over = matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"));
    let before = at.is_some_and(|at| deletion_asked_at(pod).is_some_and(|asked| at < asked));
    (over && !before && pod.metadata.deletion_timestamp.is_some()).then(|| Ending {
        at,
        ..Ending::because(TestReason::JobVanished, "the pod was deleted before it ended")
    })
}

/// When someone asked for the deletion; the timestamp of a pod says when its grace period ends.
fn deletion_asked_at(pod: &Pod) -> Option<Timestamp> {
    let ends = pod.metadata.deletion_timestamp.as_ref()?.0;
    let grace = Duration::from_secs(u64::try_from(pod.metadata.deletion_grace_period_seconds?).ok()?);
    ends.checked_sub(grace).ok()
}

/// The sentence about a pod that someone deletes.
pub(super) fn deleted(pod: &Pod) -> Option<String> {
    pod.metadata.deletion_timestamp.as_ref().map(|_| "the pod is being deleted".to_owned())
}

/// A pod that ended by itself, without a verdict that can be read.
fn without_verdict<E: std::fmt::Display>(
    status: &PodStatus,
    container: Option<&ContainerStateTerminated>,
    unreadable: Option<&E>,
) -> Ending {
    let Some(ended) = container else {
        let why = cause::containers(status)
            .find_map(|container| {
                let ended = container.state.as_ref()?.terminated.as_ref()?;
                (ended.exit_code != 0).then(|| format!("container {}: {}", container.name, how(ended)))
            })
            .unwrap_or_else(|| format!("the pod {}", status.phase.as_deref().unwrap_or("ended")));
        let message = format!("the test could not start: {why}");
        return Ending::because(TestReason::StartTimedOut, message);
    };
    if ended.exit_code == 0 {
        let why = match unreadable {
            Some(_) if ended.message.as_deref().unwrap_or_default().is_empty() => {
                format!("the container exited with code 0 and {RUNNER_IN_IMAGE} left no verdict")
            }
            Some(error) => format!("the container exited with code 0: {error}"),
            None => {
                format!("the container passed and the pod {}", status.phase.as_deref().unwrap_or("ended"))
            }
        };
        return Ending::because(TestReason::NoVerdict, why);
    }
    Ending::because(TestReason::NonZeroExit, how(ended))
}

/// How a container ended.
fn how(ended: &ContainerStateTerminated) -> String {
    let mut text = match (ended.signal, ended.exit_code) {
        (Some(signal), _) if signal > 0 => format!("ended by signal {signal}"),
        (_, code @ 129..=192) => format!("exited with code {code} (signal {})", code - 128),
        (_, code) => format!("exited with code {code}"),
    };
    let reason = ended.reason.as_deref().filter(|reason| !matches!(*reason, "Error" | "Completed"));
    let said = ended.message.as_deref().map(str::trim).filter(|said| !said.is_empty());
    for part in [reason, said].into_iter().flatten() {
        text.push_str(": ");
        text.push_str(&truncate(part, MAX_QUOTE));
    }
    text
}
