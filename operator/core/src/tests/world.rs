//! A small world in memory: an API server, the Job controller, a kubelet and a clock, each advanced by hand.

use std::{collections::BTreeMap, sync::Arc};

use crds::{
    names::{
        annotation,
        kubeflow::{PODDEFAULT_ANNOTATION_PREFIX, PROFILE_NAMESPACE_LABEL, PROFILE_NAMESPACE_VALUE},
        label,
    },
    v1alpha1::{E2ETest, E2ETestStatus, JobReference, TestReason},
    verdict::Verdict,
};
use k8s_openapi::{
    api::{batch::v1::Job, core::v1::Pod},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};

use super::support::{at, passed_message, settings, time, yaml};
use crate::{
    Acted, AttemptFacts, Effect, Observed, Outcome, Plan, Wanted, decide,
    effect::Target,
    gate::{Component, Readiness, Sighting, Unbroken},
    is_finished, names,
    observed::PodDefaultFacts,
};

/// What a pass does not survive, or what the network does to it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    /// Nothing.
    None,
    /// The operator dies before the n-th effect.
    CrashBefore(usize),
    /// The n-th effect is not done, and the operator learns of an error.
    Lost(usize),
    /// The n-th effect is done, and the operator learns of an error.
    AnswerLost(usize),
    /// The operator dies, or loses the connection, before the status is written.
    CrashBeforeReport,
}

/// A decision that has not been carried out yet, and the version of the run that it was made from.
pub(super) type Decision = (Plan, u64);

/// Everything there is.
pub(super) struct World {
    pub(super) test: E2ETest,
    pub(super) version: u64,
    pub(super) jobs: BTreeMap<String, Job>,
    pub(super) pods: BTreeMap<String, Pod>,
    /// Names of all Jobs that were ever made, in order.
    pub(super) made: Vec<String>,
    ready: bool,
    now: i64,
    /// What the operator that runs has seen of the gate.
    unbroken: Unbroken,
    /// Status writes so far.
    pub(super) writes: usize,
    pod_default: Option<u64>,
    next_uid: u64,
}

/// A gate over one object.
fn gate(is_ready: bool) -> Readiness {
    let ready = i32::from(is_ready);
    let blocking = (!is_ready).then(|| "Deployment kf/web: 0 of 1 replicas are available".to_owned());
    let component = Component { name: "kf".into(), ready, total: 1, blocking };
    Readiness { components: vec![component], ready, total: 1, ..Readiness::default() }
}

impl World {
    /// A world in which nothing but the run exists yet.
    pub(super) fn new(test: E2ETest) -> Self {
        Self {
            test,
            version: 1,
            jobs: BTreeMap::new(),
            pods: BTreeMap::new(),
            made: Vec::new(),
            ready: false,
            now: 0,
            unbroken: Unbroken::default(),
            writes: 0,
            pod_default: None,
            next_uid: 0,
        }
    }

    /// The run's status.
    pub(super) fn status(&self) -> E2ETestStatus {
        self.test.status.clone().unwrap_or_default()
    }

    /// Whether the run is over.
    pub(super) fn is_over(&self) -> bool {
        is_finished(&self.status())
    }

    /// Reads and decides, as a pass does.
    pub(super) fn decide(&mut self) -> Decision {
        let observed = self.observe();
        (decide(&self.test, &observed, &settings(), at(self.now)), self.version)
    }

    /// Carries a decision out, however old it is.
    pub(super) fn perform(&mut self, (plan, version): Decision, fault: Fault) {
        let mut acted = Acted::new();
        let mut count = 0;
        for batch in &plan.effects {
            let mut outcome = Outcome::Done;
            for effect in &batch.effects {
                if matches!(fault, Fault::CrashBefore(n) if n == count) {
                    self.unbroken = Unbroken::default();
                    return;
                }
                let error = || Outcome::Failed { message: "no answer".into() };
                outcome = match fault {
                    Fault::Lost(n) if n == count => error(),
                    Fault::AnswerLost(n) if n == count => {
                        self.apply(effect);
                        error()
                    }
                    Fault::None
                    | Fault::CrashBefore(_)
                    | Fault::Lost(_)
                    | Fault::AnswerLost(_)
                    | Fault::CrashBeforeReport => self.apply(effect),
                };
                count += 1;
                if matches!(outcome, Outcome::Failed { .. }) {
                    break;
                }
            }
            acted.insert(batch.test.clone(), outcome);
        }
        if matches!(fault, Fault::CrashBeforeReport) {
            self.unbroken = Unbroken::default();
            return;
        }
        if version != self.version {
            return;
        }
        if let Some(status) = plan.settle(&acted).status {
            self.test.status = Some(status);
            self.version += 1;
            self.writes += 1;
        }
    }

    /// What is read for a pass: the same as the shell reads.
    fn observe(&mut self) -> Observed {
        let seen = self.look();
        let Some(wanted) = Wanted::of(&self.test) else { return Observed::default() };
        let facts = |test: &str, job: &str| AttemptFacts {
            job: self.jobs.get(job).cloned(),
            pods: self.pods.values().filter(|pod| label_of(pod, label::TEST) == test).cloned().collect(),
            ..AttemptFacts::default()
        };
        Observed {
            gate: wanted.gate.map(|_| seen),
            target_labels: Some(
                [(PROFILE_NAMESPACE_LABEL.to_owned(), PROFILE_NAMESPACE_VALUE.to_owned())].into(),
            ),
            pod_default: self.pod_default.map_or(PodDefaultFacts::Absent, |version| {
                PodDefaultFacts::Present { resource_version: version.to_string() }
            }),
            attempts: wanted
                .attempts
                .iter()
                .map(|wanted| (wanted.test.clone(), facts(&wanted.test, &wanted.job)))
                .collect(),
            ..Observed::default()
        }
    }

    /// The API server carries out one write.
    fn apply(&mut self, effect: &Effect) -> Outcome {
        match effect {
            Effect::ApplyConfigMap(_) => {}
            Effect::ApplyPodDefault(_) => {
                self.pod_default.get_or_insert(self.version + 100);
            }
            Effect::CreateJob(job) => return self.create(job),
            Effect::StopPod(target) => {
                for pod in self.pods.values_mut().filter(|pod| pod.metadata.uid.as_ref() == Some(&target.uid))
                {
                    note(&mut pod.metadata, target);
                    pod.spec.as_mut().unwrap().active_deadline_seconds = Some(1);
                }
            }
            Effect::SuspendJob(target) => {
                let job = self.jobs.values_mut().find(|job| job.metadata.uid.as_ref() == Some(&target.uid));
                if let Some(job) = job {
                    note(&mut job.metadata, target);
                    job.spec.as_mut().unwrap().suspend = Some(true);
                    self.pods.retain(|_, pod| owner_of(pod) != target.uid);
                }
            }
        }
        Outcome::Done
    }

    /// POST of a Job.
    fn create(&mut self, job: &Job) -> Outcome {
        let name = job.metadata.name.clone().unwrap();
        if self.jobs.contains_key(&name) {
            return Outcome::JobExists;
        }
        let entry = self.status().tests.into_iter().find(|entry| {
            entry.attempt > 0 && names::job(&entry.name, super::support::RUN_UID, entry.attempt) == name
        });
        assert!(entry.is_some(), "Job {name} was asked for before its attempt was written down");
        self.next_uid += 1;
        let uid = format!("uid-{}", self.next_uid);
        let mut job = job.clone();
        job.metadata.uid = Some(uid.clone());
        self.jobs.insert(name.clone(), job);
        self.made.push(name.clone());
        Outcome::JobCreated(JobReference { name, uid })
    }

    /// The Job controller: one pod for each Job, and the Job's end after its pod's.
    pub(super) fn job_controller(&mut self) {
        for (name, job) in &mut self.jobs {
            let uid = job.metadata.uid.clone().unwrap();
            let status = job.status.get_or_insert_default();
            if status.conditions.is_some() || job.spec.as_ref().unwrap().suspend == Some(true) {
                continue;
            }
            let pod = self.pods.values().find(|pod| owner_of(pod) == uid);
            let ended = match pod.map(phase) {
                Some("Succeeded") => "[{type: Complete, status: 'True'}]",
                Some("Failed") => "[{type: Failed, status: 'True', reason: BackoffLimitExceeded}]",
                Some(_) => continue,
                None if status.active.is_some() => {
                    "[{type: Failed, status: 'True', reason: BackoffLimitExceeded}]"
                }
                None => {
                    status.active = Some(1);
                    let template = job.spec.as_ref().unwrap().template.clone();
                    let mut pod =
                        Pod { metadata: template.metadata.unwrap(), spec: template.spec, status: None };
                    self.next_uid += 1;
                    pod.metadata.name = Some(format!("{name}-pod"));
                    pod.metadata.namespace = Some("profile".into());
                    pod.metadata.uid = Some(format!("uid-{}", self.next_uid));
                    pod.metadata.owner_references = Some(vec![yaml(&format!(
                        "{{apiVersion: batch/v1, kind: Job, name: x, uid: {uid}, controller: true}}"
                    ))]);
                    self.pods.insert(name.clone(), injected(pod, self.pod_default));
                    continue;
                }
            };
            status.conditions = Some(yaml(ended));
        }
    }

    /// The kubelet: each pod gets a node, then runs, then ends as its test's name says.
    pub(super) fn kubelet(&mut self) {
        let now = self.now;
        for pod in self.pods.values_mut() {
            let test = label_of(pod, label::TEST);
            let attempt = label_of(pod, label::ATTEMPT);
            let spec = pod.spec.as_mut().unwrap();
            let told_to_end = spec.active_deadline_seconds == Some(1);
            let next = match (pod.status.as_ref().and_then(|status| status.phase.as_deref()), told_to_end) {
                (Some("Succeeded" | "Failed"), _) => continue,
                (Some("Running"), true) => over("Failed", 143, "", "reason: DeadlineExceeded, ", now),
                (Some("Running"), false) if test == "hangs" => continue,
                (Some("Running"), false) => end(&test, &attempt, now),
                (Some(_), true) => "{phase: Failed, reason: DeadlineExceeded}".to_owned(),
                (Some(_), false) => super::support::RUNNING.to_owned(),
                (None, _) => {
                    spec.node_name = Some("node".into());
                    "{phase: Pending}".to_owned()
                }
            };
            pod.status = Some(yaml(&next));
        }
    }

    /// Whether a pod still runs or may still start.
    pub(super) fn has_a_living_pod(&self) -> bool {
        self.pods.values().any(|pod| !matches!(phase(pod), "Succeeded" | "Failed"))
    }

    /// Time goes by, in which the operator looks at the gate of a run that is not over.
    pub(super) fn wait(&mut self, seconds: i64) {
        let until = self.now + seconds;
        if self.is_over() {
            self.now = until;
        }
        while self.now < until {
            self.now = until.min(self.now + 5);
            self.look();
        }
    }

    /// Kubeflow becomes ready, or stops being so.
    pub(super) fn become_ready(&mut self, ready: bool) {
        self.ready = ready;
        self.look();
    }

    /// The operator looks at the gate.
    fn look(&mut self) -> Sighting {
        self.unbroken.look(&Arc::new(gate(self.ready)), at(self.now))
    }

    /// Somebody cancels the run, which makes another generation of it.
    pub(super) fn cancel(&mut self) {
        if !self.test.spec.cancel {
            self.test.spec.cancel = true;
            self.test.metadata.generation = self.test.metadata.generation.map(|generation| generation + 1);
            self.version += 1;
        }
    }

    /// Somebody deletes the Job that a test wrote down, with its pod.
    pub(super) fn delete_a_recorded_job(&mut self) {
        let recorded =
            self.status().tests.into_iter().find_map(|entry| entry.job.filter(|_| !entry.state.is_final()));
        if let Some(JobReference { name, uid }) = recorded {
            self.jobs.remove(&name);
            self.pods.retain(|_, pod| owner_of(pod) != uid);
        }
    }

    /// Somebody deletes a pod that has not ended.
    pub(super) fn delete_a_pod(&mut self) {
        let name = self
            .pods
            .iter()
            .find(|(_, pod)| !matches!(phase(pod), "Succeeded" | "Failed"))
            .map(|(name, _)| name.clone());
        if let Some(name) = name {
            self.pods.remove(&name);
        }
    }

    /// A node evicts a pod that has not ended.
    pub(super) fn evict_a_pod(&mut self) {
        let running = self.pods.values_mut().find(|pod| !matches!(phase(pod), "Succeeded" | "Failed"));
        if let Some(pod) = running {
            pod.status = Some(yaml("{phase: Failed, reason: Evicted, message: no memory}"));
        }
    }
}

/// Writes down on an object why it is ended.
fn note(meta: &mut ObjectMeta, target: &Target) {
    let because = target.because.clone().map(|because| (annotation::ENDED.to_owned(), because));
    meta.annotations.get_or_insert_default().extend(because);
}

/// The webhook's work on a new pod, for those that ask for it.
fn injected(mut pod: Pod, pod_default: Option<u64>) -> Pod {
    if let Some(version) = pod_default.filter(|_| label_of(&pod, label::PIPELINE_ACCESS) == "true") {
        let key = format!("{PODDEFAULT_ANNOTATION_PREFIX}{}", names::pod_default(super::support::RUN_UID));
        pod.metadata.annotations = Some([(key, version.to_string())].into());
        let spec = pod.spec.as_mut().unwrap();
        spec.volumes.get_or_insert_default().push(yaml("{name: volume-kf-pipeline-token}"));
        let container = &mut spec.containers[0];
        container.env.get_or_insert_default().push(yaml("{name: KF_PIPELINES_SA_TOKEN_PATH, value: x}"));
        container
            .volume_mounts
            .get_or_insert_default()
            .push(yaml("{name: volume-kf-pipeline-token, mountPath: /x}"));
    }
    pod
}

/// How the pod of a test of that name ends by itself.
fn end(test: &str, attempt: &str, now: i64) -> String {
    match test {
        "shaky" if attempt == "1" => over("Failed", 3, "", "", now),
        "fails" => {
            let verdict = Verdict::failed(TestReason::CellFailed, "cell 1: boom", None);
            over("Failed", 1, &verdict.to_termination_message().unwrap(), "", now)
        }
        "mute" => over("Succeeded", 0, "", "", now),
        _ => over("Succeeded", 0, &passed_message(), "", now),
    }
}

/// The status of a pod whose test ended now.
fn over(phase: &str, exit_code: i32, message: &str, more: &str, now: i64) -> String {
    let message = serde_json::to_string(message).unwrap();
    format!(
        "{{phase: {phase}, {more}containerStatuses: [{{name: test, image: i, imageID: '', ready: false, restartCount: 0, state: \
         {{terminated: {{exitCode: {exit_code}, message: {message}, startedAt: '{0}', finishedAt: '{0}'}}}}}}]}}",
        time(now)
    )
}

/// A pod's label.
fn label_of(pod: &Pod, key: &str) -> String {
    pod.metadata.labels.as_ref().and_then(|labels| labels.get(key)).cloned().unwrap_or_default()
}

/// UID of a pod's owner.
fn owner_of(pod: &Pod) -> String {
    pod.metadata.owner_references.as_ref().map(|owners| owners[0].uid.clone()).unwrap_or_default()
}

/// A pod's phase.
fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}
