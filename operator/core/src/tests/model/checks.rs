//! What has to hold in every state of a world.

use crds::v1alpha1::{ConditionType, find};
use stateright::Property;

use super::{
    World,
    state::{Invariant, State},
};

/// Most status writes that one run may cost in a world.
const MOST_WRITES: u8 = 16;

/// The invariants.
pub(super) fn all() -> Vec<Property<World>> {
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
            |world: &World, state: &State| {
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

impl World {
    /// Whether nothing happens any more unless somebody meddles.
    pub(super) fn is_at_rest(&self, state: &State) -> bool {
        let mut jobs = state.jobs.clone();
        state.operators.iter().all(Option::is_none)
            && state.left.ticks == 0
            && self.decide(state).is_none()
            && jobs.iter_mut().all(|(attempt, job)| {
                Self::controller(job).is_none() && self.kubelet(*attempt, job).is_none()
            })
    }

    /// The verdict that a state's status tells.
    pub(super) fn verdict(&self, state: &State) -> String {
        self.tables(|tables| {
            find(&tables.status(state.status).status.conditions, ConditionType::Succeeded)
                .map(|condition| condition.reason.clone())
                .unwrap_or_default()
        })
    }

    /// The verdict where nobody meddles.
    pub(super) fn clean_verdict(&self) -> &'static str {
        if self.names.contains(&"fails") { "TestsFailed" } else { "TestsPassed" }
    }
}
