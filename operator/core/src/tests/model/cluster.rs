//! What is not the operator: the API server, the Job controller and the kubelet, a step at a time.

use super::{
    World,
    bugs::stays_within,
    state::{Answer, Attempt, Invariant, JobState, PodState, State},
};
use crate::{Effect, names, tests::support::RUN_UID};

impl World {
    /// The API server carries out one write.
    pub(super) fn apply(&self, state: &mut State, effect: &Effect) -> Answer {
        match stays_within(effect) {
            (false, _) => state.broken = Some(Invariant::Contained),
            (true, false) => state.broken = Some(Invariant::NoOrphan),
            (true, true) => {}
        }
        match effect {
            Effect::ApplyConfigMap(_) | Effect::ApplyPodDefault(_) => {}
            Effect::CreateJob(job) => {
                let name = job.metadata.name.clone().unwrap();
                let attempt = self.attempt_of(&name);
                self.tables(|tables| tables.keep_job(attempt, job));
                if state.jobs.contains_key(&attempt) {
                    return Answer::Exists;
                }
                let written = self.tables(|tables| {
                    tables
                        .status(state.status)
                        .status
                        .tests
                        .get(usize::from(attempt.0))
                        .map_or(0, |test| test.attempt)
                });
                let made = state.made.entry(attempt).or_default();
                *made += 1;
                if *made > 1 || written < i32::from(attempt.1) {
                    state.broken = Some(Invariant::OneJob);
                }
                let uid = state.made.values().sum();
                state.jobs.insert(
                    attempt,
                    JobState {
                        uid,
                        complete: None,
                        suspended: false,
                        note: None,
                        pod: PodState::NotMade,
                        stopped: false,
                        pod_note: None,
                    },
                );
                return Answer::Created(attempt, uid);
            }
            Effect::StopPod(target) => {
                let pod = |job: &&mut JobState| format!("pod-{}", job.uid) == target.uid;
                if let Some(job) = state.jobs.values_mut().find(pod) {
                    job.stopped = true;
                    job.pod_note.clone_from(&target.because);
                }
            }
            Effect::SuspendJob(target) => {
                let this = |job: &&mut JobState| format!("uid-{}", job.uid) == target.uid;
                if let Some(job) = state.jobs.values_mut().find(this) {
                    job.suspended = true;
                    job.note.clone_from(&target.because);
                    if !job.pod.is_over() {
                        job.pod = PodState::NotMade;
                    }
                }
            }
        }
        Answer::Done
    }

    /// The name of an attempt's Job.
    pub(super) fn job_name(&self, (test, attempt): Attempt) -> String {
        names::job(self.names[usize::from(test)], RUN_UID, i32::from(attempt))
    }

    /// The attempt of a Job of that name.
    pub(super) fn attempt_of(&self, name: &str) -> Attempt {
        let all = (0..self.names.len()).flat_map(|test| (1..9).map(move |attempt| (test, attempt)));
        let found = all
            .map(|(test, attempt)| (u8::try_from(test).unwrap(), attempt))
            .find(|of| self.job_name(*of) == name);
        found.unwrap()
    }

    /// How a pod that is left alone ends: a test named `shaky` passes in its second attempt, one named `fails` never.
    pub(super) fn end(&self, (test, attempt): Attempt) -> PodState {
        match self.names[usize::from(test)] {
            "fails" => PodState::Failed,
            "shaky" if attempt == 1 => PodState::Failed,
            _ => PodState::Passed,
        }
    }

    /// The Job controller's next step.
    pub(super) fn controller(job: &mut JobState) -> Option<()> {
        match (job.complete, job.pod) {
            (None, PodState::NotMade) if !job.suspended => job.pod = PodState::Pending,
            (None, PodState::Passed) => job.complete = Some(true),
            (None, pod) if pod.is_over() => job.complete = Some(false),
            _ => return None,
        }
        Some(())
    }

    /// The kubelet's next step.
    pub(super) fn kubelet(&self, attempt: Attempt, job: &mut JobState) -> Option<()> {
        job.pod = match job.pod {
            PodState::Pending | PodState::Running if job.stopped => PodState::Ended,
            PodState::Pending => PodState::Running,
            PodState::Running => self.end(attempt),
            PodState::NotMade | PodState::Passed | PodState::Failed | PodState::Ended | PodState::Evicted => {
                return None;
            }
        };
        Some(())
    }
}
