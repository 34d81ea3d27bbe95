//! An attempt whose test has started: how far it is, and whether anything but the test keeps its pod from ending.

use crds::{
    names::pod::TEST_CONTAINER,
    progress::Progress,
    v1alpha1::{CellSummary, TestReason, TestStatus},
    verdict::{Cells, Verdict},
};
use k8s_openapi::{
    api::{
        batch::v1::Job,
        core::v1::{ContainerStatus, Pod},
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};

use super::{Context, Ending, Judgement, ended, instant, own_pod, waiting};
use crate::{
    clock::{after, spoken},
    observed::AttemptFacts,
    validate::Program,
};

/// The pod of a test that has started and not ended, whose progress can be followed.
pub fn runs_in(facts: &AttemptFacts) -> Option<&ObjectMeta> {
    let job = facts.job.as_ref().filter(|job| waiting::finished(job).is_none())?;
    let pod = own_pod(job, &facts.pods).filter(|pod| waiting::has_started(pod))?;
    let status = pod.status.as_ref()?;
    ended::terminated(status).is_none().then_some(&pod.metadata)
}

/// Puts what a running notebook told of its cells into the status.
pub(super) fn show_progress(context: Context<'_>, entry: &mut TestStatus, facts: &AttemptFacts) {
    let told = facts.progress.filter(|_| matches!(context.test.program, Program::Notebook { .. }));
    if let Some(Progress { passed, failed, total, current, .. }) = told {
        entry.cells = Some(CellSummary { passed, failed, total, current });
    }
}

/// The cells of a verdict.
pub(super) const fn summary(cells: Cells) -> CellSummary {
    CellSummary { passed: cells.passed, failed: cells.failed, total: cells.total, current: None }
}

/// The cells of a test that ended without saying how many: the one that ran then did not pass.
pub(super) fn last_known(cells: CellSummary) -> CellSummary {
    CellSummary { failed: cells.failed + i32::from(cells.current.is_some()), current: None, ..cells }
}

/// A pod whose test has started, and which has not ended. A test that is over has its say for as long as the pod may take
/// to end by itself; a sidecar that does not know that it should end then keeps nobody waiting.
pub(super) fn judge(context: Context<'_>, job: &Job, pod: &Pod) -> Judgement {
    let status = pod.status.clone().unwrap_or_default();
    let Some(ended) = ended::terminated(&status) else { return Judgement::Running };
    let at = instant(ended.finished_at.as_ref());
    let until = after(at.unwrap_or(context.now), context.settings.grace);
    if context.now < until {
        return Judgement::Ending(until);
    }
    let verdict = Verdict::from_termination_message(ended.message.as_deref().unwrap_or_default());
    let passed = ended.exit_code == 0 && verdict.as_ref().is_ok_and(|verdict| verdict.passed);
    if !passed {
        return ended::judge(context, job, pod);
    }
    let others = status.container_statuses.iter().flatten();
    let left: Vec<&str> = others.filter(|other| still_runs(other)).map(|other| other.name.as_str()).collect();
    let message = format!(
        "the test passed, and container {} did not end within {} after it: make it a native sidecar \
         (Istio: annotation sidecar.istio.io/nativeSidecar: \"true\")",
        left.join(", "),
        spoken(context.settings.grace),
    );
    let cells = verdict.ok().and_then(|verdict| verdict.cells).map(summary);
    // Without the Job's word there is no pass.
    Judgement::Over(Ending { cells, at, ..Ending::because(TestReason::NoVerdict, message) })
}

/// Whether a container beside the test's runs.
fn still_runs(container: &ContainerStatus) -> bool {
    let runs = container.state.as_ref().is_some_and(|state| state.running.is_some());
    runs && container.name != TEST_CONTAINER
}
