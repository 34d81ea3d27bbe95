//! Every course that a small world can take, searched one by one: two operators that decide on what may be old by the time
//! they act, that are killed between any two writes, and whose writes' answers get lost, while pods end, Jobs follow, and
//! people and nodes take things away. The decisions are the real ones.

mod bugs;
mod explore;
mod state;
mod tables;

use std::sync::RwLock;

use crds::v1alpha1::{ConditionType, find};
use stateright::{Model, Property};

use self::{
    bugs::{Bug, stays_within},
    state::{Answer, Attempt, Flight, Invariant, JobState, Left, Number, PodState, State},
    tables::Tables,
};
use crate::Effect;

/// Most status writes that one run may cost in this world.
const MOST_WRITES: u8 = 16;

/// A world to search.
struct World {
    names: &'static [&'static str],
    spec: &'static str,
    left: Left,
    operators: usize,
    bug: Bug,
    tables: RwLock<Tables>,
}

/// One thing that can happen.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Action {
    /// An operator reads and decides.
    Decide(usize),
    /// An operator does the next thing that it has decided.
    Act(usize),
    /// The same, and its answer is lost.
    ActUnheard(usize),
    /// The same, and the request is lost.
    ActInVain(usize),
    Crash(usize),
    /// The Job controller looks at a Job.
    Controller(Attempt),
    /// The kubelet takes a pod one step further.
    Kubelet(Attempt),
    Delete(Attempt),
    Evict(Attempt),
    Cancel,
    Tick,
}

impl World {
    fn tables<T>(&self, work: impl FnOnce(&mut Tables) -> T) -> T {
        work(&mut self.tables.write().unwrap())
    }

    /// The plan of a pass over this state, unless there is nothing in it.
    fn decide(&self, state: &State) -> Option<Number> {
        self.tables(|tables| tables.decide(self, state))
    }

    /// An operator's next step: an effect, or the report after the last.
    fn act(&self, state: &mut State, operator: usize, heard: bool, done: bool) -> Option<()> {
        let mut flight = state.operators[operator].take()?;
        let plan = self.tables(|tables| tables.plan(flight.plan));
        let Some(&(test, ref effect)) = plan.0.get(usize::from(flight.tried)) else {
            return (heard && done).then(|| self.report(state, &flight));
        };
        let failed = flight.acted.iter().any(|(of, answer)| *of == test && *answer == Answer::Nothing);
        if failed && (!heard || !done) {
            return None;
        }
        flight.tried += 1;
        if !failed {
            let answer = if done { self.apply(state, effect) } else { Answer::Nothing };
            flight.acted.retain(|(of, _)| *of != test);
            flight.acted.push((test, if heard { answer } else { Answer::Nothing }));
        }
        state.operators[operator] = Some(flight);
        Some(())
    }

    /// The status is written, unless somebody else was first.
    fn report(&self, state: &mut State, flight: &Flight) {
        if flight.read != state.writes {
            return;
        }
        let (status, known, never_again) = self.tables(|tables| {
            let said = tables.settle(self, flight.plan, &flight.acted);
            let stored = tables.status(state.status);
            let status = if self.bug == Bug::Chatters {
                let status = said.status.map(|status| tables.status(status).status.clone());
                let status = self.bug.writes(status, state.writes, &stored.status);
                status.map(|status| tables.keep_status(status))
            } else {
                said.status
            };
            (status, tables.status(status.unwrap_or(state.status)), said.never_again)
        });
        if never_again && !known.over {
            state.broken = Some(Invariant::Awake);
        }
        let Some(status) = status else { return };
        if known.passed_by.as_ref().is_some_and(|jobs| jobs.iter().any(|uid| !state.completed.contains(uid)))
        {
            state.broken = Some(Invariant::TruePass);
        }
        state.status = status;
        state.writes += 1;
        match state.over {
            Some(first) if first != state.status => state.broken = Some(Invariant::Terminal),
            None if known.over => state.over = Some(state.status),
            Some(_) | None => {}
        }
    }

    /// The API server carries out one write.
    fn apply(&self, state: &mut State, effect: &Effect) -> Answer {
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
    fn job_name(&self, (test, attempt): Attempt) -> String {
        crate::names::job(self.names[usize::from(test)], super::support::RUN_UID, i32::from(attempt))
    }

    /// The attempt of a Job of that name.
    fn attempt_of(&self, name: &str) -> Attempt {
        let all = (0..self.names.len()).flat_map(|test| (1..9).map(move |attempt| (test, attempt)));
        let found = all
            .map(|(test, attempt)| (u8::try_from(test).unwrap(), attempt))
            .find(|of| self.job_name(*of) == name);
        found.unwrap()
    }

    /// How a pod that is left alone ends: a test named `shaky` passes in its second attempt, one named `fails` never.
    fn end(&self, (test, attempt): Attempt) -> PodState {
        match self.names[usize::from(test)] {
            "fails" => PodState::Failed,
            "shaky" if attempt == 1 => PodState::Failed,
            _ => PodState::Passed,
        }
    }

    /// The Job controller's next step.
    fn controller(job: &mut JobState) -> Option<()> {
        match (job.complete, job.pod) {
            (None, PodState::NotMade) if !job.suspended => job.pod = PodState::Pending,
            (None, PodState::Passed) => job.complete = Some(true),
            (None, pod) if pod.is_over() => job.complete = Some(false),
            _ => return None,
        }
        Some(())
    }

    /// The kubelet's next step.
    fn kubelet(&self, attempt: Attempt, job: &mut JobState) -> Option<()> {
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

    /// Whether nothing happens any more unless somebody meddles.
    fn is_at_rest(&self, state: &State) -> bool {
        let mut jobs = state.jobs.clone();
        state.operators.iter().all(Option::is_none)
            && state.left.ticks == 0
            && self.decide(state).is_none()
            && jobs.iter_mut().all(|(attempt, job)| {
                Self::controller(job).is_none() && self.kubelet(*attempt, job).is_none()
            })
    }

    /// The verdict that a state's status tells.
    fn verdict(&self, state: &State) -> String {
        self.tables(|tables| {
            find(&tables.status(state.status).status.conditions, ConditionType::Succeeded)
                .map(|condition| condition.reason.clone())
                .unwrap_or_default()
        })
    }

    /// The verdict where nobody meddles.
    fn clean_verdict(&self) -> &'static str {
        if self.names.contains(&"fails") { "TestsFailed" } else { "TestsPassed" }
    }
}

impl Model for World {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            status: self.tables(|tables| tables.keep_status(crds::v1alpha1::E2ETestStatus::default())),
            writes: 0,
            cancelled: false,
            ticks: 0,
            jobs: [].into(),
            made: [].into(),
            completed: Vec::new(),
            operators: [None, None],
            left: self.left,
            meddled: false,
            over: None,
            broken: None,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for (operator, flight) in state.operators.iter().enumerate().take(self.operators) {
            if flight.is_none() {
                actions.push(Action::Decide(operator));
                continue;
            }
            actions.push(Action::Act(operator));
            if state.left.crashes > 0 {
                actions.push(Action::Crash(operator));
            }
            if state.left.lost_answers > 0 {
                actions.extend([Action::ActUnheard(operator), Action::ActInVain(operator)]);
            }
        }
        let recorded = self.tables(|tables| tables.status(state.status));
        for (attempt, job) in &state.jobs {
            actions.extend([Action::Controller(*attempt), Action::Kubelet(*attempt)]);
            let alive = matches!(job.pod, PodState::Pending | PodState::Running);
            if state.left.evictions > 0 && alive {
                actions.push(Action::Evict(*attempt));
            }
            if state.left.deletions > 0 && recorded.open.contains(&job.uid) {
                actions.push(Action::Delete(*attempt));
            }
        }
        if state.left.cancels > 0 {
            actions.push(Action::Cancel);
        }
        if state.left.ticks > 0 {
            actions.push(Action::Tick);
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Decide(operator) => {
                let plan = self.decide(&state)?;
                let flight = Flight { plan, read: state.writes, tried: 0, acted: Vec::new() };
                state.operators[operator] = Some(flight);
            }
            Action::Act(operator) => self.act(&mut state, operator, true, true)?,
            Action::ActUnheard(operator) => {
                state.left.lost_answers -= 1;
                self.act(&mut state, operator, false, true)?;
            }
            Action::ActInVain(operator) => {
                state.left.lost_answers -= 1;
                self.act(&mut state, operator, true, false)?;
            }
            Action::Crash(operator) => {
                state.left.crashes -= 1;
                state.operators[operator] = None;
            }
            Action::Controller(attempt) => {
                let job = state.jobs.get_mut(&attempt)?;
                Self::controller(job)?;
                if job.complete == Some(true) {
                    state.completed.push(job.uid);
                }
            }
            Action::Kubelet(attempt) => self.kubelet(attempt, state.jobs.get_mut(&attempt)?)?,
            Action::Delete(attempt) => {
                state.left.deletions -= 1;
                state.meddled = true;
                state.jobs.remove(&attempt);
            }
            Action::Evict(attempt) => {
                state.left.evictions -= 1;
                state.meddled = true;
                state.jobs.get_mut(&attempt)?.pod = PodState::Evicted;
            }
            Action::Cancel => {
                state.left.cancels -= 1;
                state.cancelled = true;
            }
            Action::Tick => {
                state.left.ticks -= 1;
                state.ticks += 1;
            }
        }
        // Which of two operators does what makes no difference. The idle one is the last.
        state.operators.sort_by_key(|flight| {
            let place = flight.as_ref().map(|flight| (flight.plan, flight.read, flight.tried));
            (place.is_none(), place)
        });
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("I-1 one Job for an attempt, written down first", |_, state: &State| {
                state.broken != Some(Invariant::OneJob)
            }),
            Property::always("I-2 a pass has a Complete Job and a verdict", |_, state: &State| {
                state.broken != Some(Invariant::TruePass)
            }),
            Property::always("I-3 what is over stays as it is", |_, state: &State| {
                state.broken != Some(Invariant::Terminal)
            }),
            Property::always("I-4 every child belongs to the run", |_, state: &State| {
                state.broken != Some(Invariant::NoOrphan)
            }),
            Property::always("I-5 nothing outside the target namespace", |_, state: &State| {
                state.broken != Some(Invariant::Contained)
            }),
            Property::always(
                "I-6 a world at rest has the clean run's verdict",
                |world: &Self, state: &State| {
                    if state.broken == Some(Invariant::Awake) {
                        return false;
                    }
                    if !world.is_at_rest(state) {
                        return true;
                    }
                    let verdict = world.verdict(state);
                    let cancelled = state.cancelled && (verdict == "Cancelled" || state.over.is_some());
                    let clean = verdict == world.clean_verdict();
                    state.over.is_some() && (state.meddled || cancelled || clean)
                },
            ),
            Property::always("I-7 a run costs few writes", |_, state: &State| state.writes <= MOST_WRITES),
            Property::sometimes("a run ends", |_, state: &State| state.over.is_some()),
        ]
    }
}
