//! What states name by numbers: statuses, plans, and the Jobs that were asked for. Each decision is made once.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use crds::{
    names::label,
    v1alpha1::{ConditionType, E2ETestStatus, TestStatus, find},
};
use k8s_openapi::api::{batch::v1::Job, core::v1::Pod};

use super::{
    World,
    state::{Answer, Attempt, JobState, Number, PodState, State},
};
use crate::{
    Acted, AttemptFacts, Effect, Observed, Plan, Requeue, Wanted, is_finished,
    tests::support::{RUNNING, at, ended, passed_message, run, yaml},
};

/// Seconds of one step of the clock: two are more than the grace.
const TICK: i64 = 45;

/// Effects in their order, each with its test's position.
type Effects = Vec<(u8, Effect)>;

/// A status, and what is asked of it again and again.
pub(super) struct Known {
    pub(super) status: E2ETestStatus,
    pub(super) over: bool,
    /// UIDs of the Jobs on which a pass rests; one that is missing is nobody's.
    pub(super) passed_by: Option<Vec<u8>>,
    /// UIDs of Jobs whose attempts are not over.
    pub(super) open: Vec<u8>,
}

/// What is said after a plan: the status, unless it is the same as before, and whether nobody looks again.
#[derive(Clone, Copy)]
pub(super) struct Said {
    pub(super) status: Option<Number>,
    pub(super) never_again: bool,
}

/// What a decision depends on.
type Seen = (Number, bool, u8, BTreeMap<Attempt, JobState>);

/// What has been seen so far.
#[derive(Default)]
pub(super) struct Tables {
    statuses: Vec<Arc<Known>>,
    status_numbers: HashMap<String, Number>,
    plans: Vec<Arc<(Effects, Plan)>>,
    plan_numbers: HashMap<String, Number>,
    /// Decisions; `None` where there is nothing to do and to say.
    decisions: HashMap<Seen, Option<Number>>,
    reports: HashMap<(Number, Vec<(u8, Answer)>), Said>,
    jobs: HashMap<Attempt, Job>,
}

/// The number in a Job's UID.
fn uid_of(entry: &TestStatus) -> Option<u8> {
    entry.job.as_ref()?.uid.strip_prefix("uid-")?.parse().ok()
}

impl Tables {
    /// A status by its number.
    pub(super) fn status(&self, number: Number) -> Arc<Known> {
        Arc::clone(&self.statuses[number as usize])
    }

    /// What is said after a plan of whose effects this became.
    pub(super) fn settle(&mut self, world: &World, number: Number, acted: &[(u8, Answer)]) -> Said {
        if let Some(said) = self.reports.get(&(number, acted.to_vec())) {
            return *said;
        }
        let plan = self.plan(number);
        let outcomes = acted
            .iter()
            .map(|(test, answer)| {
                let outcome = answer.outcome(|attempt| world.job_name(attempt));
                (world.names[usize::from(*test)].to_owned(), outcome)
            })
            .collect();
        let report = plan.1.settle(&outcomes);
        let status = report.status.map(|status| self.keep_status(status));
        let said = Said { status, never_again: report.requeue == Requeue::Never };
        self.reports.insert((number, acted.to_vec()), said);
        said
    }

    /// The number of a status.
    pub(super) fn keep_status(&mut self, status: E2ETestStatus) -> Number {
        let text = serde_json::to_string(&status).unwrap();
        let next = Number::try_from(self.statuses.len()).unwrap();
        let number = *self.status_numbers.entry(text).or_insert(next);
        if number == next {
            let passed = find(&status.conditions, ConditionType::Succeeded)
                .is_some_and(|condition| condition.status == "True");
            let open = status.tests.iter().filter(|entry| !entry.state.is_final());
            self.statuses.push(Arc::new(Known {
                over: is_finished(&status),
                passed_by: passed
                    .then(|| status.tests.iter().map(|entry| uid_of(entry).unwrap_or(0)).collect()),
                open: open.filter_map(uid_of).collect(),
                status,
            }));
        }
        number
    }

    /// Keeps what was asked for, to show it to whoever looks.
    pub(super) fn keep_job(&mut self, attempt: Attempt, job: &Job) {
        self.jobs.entry(attempt).or_insert_with(|| job.clone());
    }

    /// A plan by its number.
    pub(super) fn plan(&self, number: Number) -> Arc<(Effects, Plan)> {
        Arc::clone(&self.plans[number as usize])
    }

    /// The number of the plan for a state, unless there is nothing in it.
    pub(super) fn decide(&mut self, world: &World, state: &State) -> Option<Number> {
        let key = (state.status, state.cancelled, state.ticks, state.jobs.clone());
        if let Some(decision) = self.decisions.get(&key) {
            return *decision;
        }
        let mut test = run(world.spec);
        test.spec.cancel = state.cancelled;
        test.status = Some(self.status(state.status).status.clone());
        let now = at(i64::from(state.ticks) * TICK);
        let observed = self.observe(world, state, &test);
        let plan = world.bug.decide(&test, &observed, now);
        let says = plan.settle(&Acted::new()).status;
        let says = world.bug.writes(says, state.writes, &self.status(state.status).status);
        let decision = (!plan.effects.is_empty() || says.is_some()).then(|| self.keep_plan(world, plan));
        self.decisions.insert(key, decision);
        decision
    }

    /// The number of a plan.
    fn keep_plan(&mut self, world: &World, plan: Plan) -> Number {
        let next = Number::try_from(self.plans.len()).unwrap();
        let number = *self.plan_numbers.entry(format!("{plan:?}")).or_insert(next);
        if number == next {
            let place = |test: &str| world.names.iter().position(|name| *name == test).unwrap();
            let of = |batch: &crate::Batch| {
                let place = u8::try_from(place(&batch.test)).unwrap();
                batch.effects.iter().map(move |effect| (place, effect.clone())).collect::<Vec<_>>()
            };
            self.plans.push(Arc::new((plan.effects.iter().flat_map(of).collect(), plan)));
        }
        number
    }

    /// What a pass reads.
    fn observe(&self, world: &World, state: &State, test: &crds::v1alpha1::E2ETest) -> Observed {
        let wanted = Wanted::of(test).unwrap_or_default();
        let attempts = wanted.attempts.iter().map(|wanted| {
            let attempt = world.attempt_of(&wanted.job);
            let facts = state
                .jobs
                .get(&attempt)
                .map_or_else(AttemptFacts::default, |job| self.facts(world, attempt, job));
            (wanted.test.clone(), facts)
        });
        Observed { attempts: attempts.collect(), ..Observed::default() }
    }

    /// A Job and its pod as the API server shows them.
    fn facts(&self, world: &World, attempt: Attempt, state: &JobState) -> AttemptFacts {
        let mut job = self.jobs[&attempt].clone();
        job.metadata.uid = Some(format!("uid-{}", state.uid));
        let note = |note: &Option<String>| {
            note.clone().map(|note| [(crds::names::annotation::ENDED.to_owned(), note)].into())
        };
        job.metadata.annotations = note(&state.note);
        job.spec.as_mut().unwrap().suspend = Some(state.suspended);
        job.status = state.complete.map(|complete| {
            let type_ = if complete { "Complete" } else { "Failed" };
            yaml(&format!("{{conditions: [{{type: {type_}, status: 'True', reason: Seen}}]}}"))
        });
        let pods = pod(world.names[usize::from(attempt.0)], state).map(|mut pod| {
            pod.metadata.annotations = note(&state.pod_note);
            pod
        });
        AttemptFacts { job: Some(job), pods: pods.into_iter().collect(), ..AttemptFacts::default() }
    }
}

/// A Job's pod.
fn pod(test: &str, state: &JobState) -> Option<Pod> {
    let status = match state.pod {
        PodState::NotMade => return None,
        PodState::Pending => "{phase: Pending}".to_owned(),
        PodState::Running => RUNNING.to_owned(),
        PodState::Passed => ended("Succeeded", 0, &passed_message(), ""),
        PodState::Failed => ended("Failed", 3, "", ""),
        PodState::Ended => "{phase: Failed, reason: DeadlineExceeded}".to_owned(),
        PodState::Evicted => "{phase: Failed, reason: Evicted, message: no memory}".to_owned(),
    };
    let deadline = if state.stopped { "activeDeadlineSeconds: 1, " } else { "" };
    Some(yaml(&format!(
        "metadata:\n  name: {test}-pod\n  namespace: profile\n  uid: pod-{0}\n  labels: {{{1}: {test}}}\n  ownerReferences:\n  \
         - {{apiVersion: batch/v1, kind: Job, name: x, uid: uid-{0}, controller: true}}\n\
         spec: {{{deadline}nodeName: node, serviceAccountName: default-editor, automountServiceAccountToken: false, \
         containers: [{{name: test}}]}}\nstatus: {status}\n",
        state.uid,
        label::TEST
    )))
}
