//! Every course that a small world can take, searched one by one: two operators that decide on what may be old by the time
//! they act, that are killed between any two writes, and whose writes' answers get lost, while pods end, Jobs follow, and
//! people and nodes take things away. The decisions are the real ones.
//!
//! One thing is not promised, and the worlds are made accordingly. Where there are two operators **and** somebody deletes a
//! Job, a create that one of them decided on before the Job was made may arrive after it was deleted, and make it again: the
//! API server takes a name that is free, and the UID that was written down meanwhile is in no precondition of a create. Only
//! a right to delete Jobs, which the operator does not have, could undo it. So a world in which Jobs are deleted has one
//! operator, and a search of one with two has to find just this.

mod bugs;
mod checks;
mod cluster;
mod explore;
mod state;
mod tables;

use std::sync::RwLock;

use stateright::{Model, Property};

use self::{
    bugs::Bug,
    state::{Answer, Attempt, Flight, Invariant, Left, Number, PodState, State},
    tables::Tables,
};

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
        checks::all()
    }
}
