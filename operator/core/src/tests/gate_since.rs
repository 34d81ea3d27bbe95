//! For how long a gate has been ready: only time in which somebody looked counts, and no restart decides anything.

use std::sync::Arc;

use crds::v1alpha1::{ConditionType, E2ETest};

use super::{
    gate::{gated, said, with},
    support::*,
};
use crate::{
    Acted, Observed, decide,
    gate::{Readiness, Sighting, Unbroken},
};

/// An operator, with what it remembers of the gate; a new one has just started.
#[derive(Default)]
struct Operator {
    unbroken: Unbroken,
}

impl Operator {
    /// `Status/Reason` of `KubeflowReady` after a pass.
    fn pass(&mut self, test: &mut E2ETest, seen: &Observed, seconds: i64) -> String {
        let gate = seen.gate.as_ref().map(|seen| self.unbroken.look(&seen.readiness, at(seconds)));
        pass(test, &Observed { gate, ..seen.clone() }, seconds);
        condition(test, ConditionType::KubeflowReady)
    }

    /// The same, after it has looked at the gate all the time since `from`.
    fn pass_after(&mut self, test: &mut E2ETest, seen: &Observed, from: i64, seconds: i64) -> String {
        for second in from..seconds {
            self.unbroken.look(&seen.gate.as_ref().unwrap().readiness, at(second));
        }
        self.pass(test, seen, seconds)
    }
}

/// A gate that is ready, or is not.
fn readiness(is_ready: bool) -> Arc<Readiness> {
    let gate = with(i32::from(is_ready), &[]).gate;
    gate.unwrap().readiness
}

#[test]
fn only_time_in_which_somebody_looked_counts() {
    let (ready, closed) = (readiness(true), readiness(false));
    let mut unbroken = Unbroken::default();
    let mut look = |readiness: &Arc<Readiness>, seconds| {
        let Sighting { ready_since, perhaps_longer, .. } = unbroken.look(readiness, at(seconds));
        ready_since.map(|since| (since.duration_since(at(0)).as_secs(), perhaps_longer))
    };
    assert_eq!(look(&ready, 0), Some((0, true)), "nobody knows what was before");
    assert_eq!(look(&ready, 5), Some((0, true)), "a blink is no break");
    assert_eq!(look(&ready, 11), Some((11, true)), "longer is one");
    assert_eq!(look(&closed, 12), None);
    assert_eq!(look(&ready, 13), Some((13, false)), "it was seen to become ready");
    assert_eq!(look(&ready, 3600), Some((3600, true)), "the clock was set, or the machine stood still");
    assert_eq!(look(&ready, 3599), Some((3599, true)), "the clock was set back");
    assert_eq!(look(&ready, 3600), Some((3599, true)));
    unbroken.looked_away();
    assert_eq!(unbroken.look(&ready, at(3601)).ready_since, Some(at(3601)));
}

#[test]
fn a_lapse_while_no_operator_ran_never_counts_as_stable() {
    let mut test = gated();
    assert_eq!(Operator::default().pass(&mut test, &with(1, &[]), 0), "False/Waiting");
    let mut restarted = Operator::default();
    assert_eq!(restarted.pass(&mut test, &with(1, &[]), 60), "False/Waiting");
    assert_eq!(restarted.pass_after(&mut test, &with(1, &[]), 60, 69), "False/Waiting");
    assert_eq!(said(&test), "the one object is ready, and must stay so for 10s");
    assert_eq!(first(&test).attempt, 0);
    assert_eq!(restarted.pass_after(&mut test, &with(1, &[]), 69, 70), "True/Ready");
    let since = test.status.unwrap().kubeflow.unwrap().ready_since.unwrap();
    assert_eq!(since.0, at(60));
}

#[test]
fn operators_that_began_at_different_times_do_not_correct_each_other() {
    let (mut test, seen) = (gated(), with(1, &[]));
    let since = |test: &E2ETest| test.status.clone().unwrap().kubeflow.unwrap().ready_since.unwrap().0;
    let (mut first, mut second) = (Operator::default(), Operator::default());
    first.pass(&mut test, &seen, 0);
    assert_eq!(since(&test), at(0));
    second.pass(&mut test, &seen, 2);
    assert_eq!(since(&test), at(2), "the later one");
    first.pass(&mut test, &seen, 3);
    assert_eq!(since(&test), at(2), "and it stays");
}

#[test]
fn a_lapse_while_the_operator_stood_still_never_counts_as_stable() {
    let (mut test, mut operator) = (gated(), Operator::default());
    operator.pass(&mut test, &with(1, &[]), 0);
    assert_eq!(operator.pass(&mut test, &with(1, &[]), 300), "False/Waiting");
    assert_eq!(operator.pass_after(&mut test, &with(1, &[]), 300, 310), "True/Ready");
}

#[test]
fn a_restart_takes_nothing_back_and_starts_nothing() {
    let (mut test, mut operator) = (gated(), Operator::default());
    let no_place = Observed { places: Some(0), ..with(1, &[]) };
    operator.pass(&mut test, &no_place, 0);
    assert_eq!(operator.pass_after(&mut test, &no_place, 0, 10), "True/Ready");
    let mut restarted = Operator::default();
    let gate = with(1, &[]).gate.map(|seen| restarted.unbroken.look(&seen.readiness, at(60)));
    let report =
        decide(&test, &Observed { gate, ..Observed::default() }, &settings(), at(60)).settle(&Acted::new());
    assert_eq!(report.events, Vec::new(), "nothing has lapsed");
    assert_eq!(restarted.pass(&mut test, &with(1, &[]), 61), "True/Ready");
    assert_eq!(first(&test).attempt, 0);
    assert_eq!(restarted.pass_after(&mut test, &with(1, &[]), 61, 70), "True/Ready");
    assert_eq!(first(&test).attempt, 1);
    assert_eq!(Operator::default().pass(&mut test, &with(0, &[]), 120), "False/Lapsed");
}

#[test]
fn a_restart_costs_the_wait_anew_and_not_the_verdict() {
    let (mut test, mut operator) = (gated(), Operator::default());
    operator.pass(&mut test, &with(0, &[]), 0);
    let late = minutes(45) - 5;
    assert_eq!(operator.pass_after(&mut test, &with(0, &[]), 0, late - 1), "False/Waiting");
    assert_eq!(operator.pass(&mut test, &with(1, &[]), late), "False/Waiting");
    let mut same = test.clone();
    assert_eq!(
        operator.pass_after(&mut same, &with(1, &[]), late, late + 5),
        "False/TimedOut",
        "it was seen to be late"
    );
    let mut restarted = Operator::default();
    assert_eq!(
        restarted.pass(&mut test, &with(1, &[]), late + 7),
        "False/Waiting",
        "it may have been ready in time"
    );
    assert_eq!(restarted.pass_after(&mut test, &with(1, &[]), late + 7, late + 17), "True/Ready");
    assert_eq!(first(&test).attempt, 1);
}

#[test]
fn restarts_without_an_end_delay_a_run_until_its_own_end_at_most() {
    let mut test = gated();
    for seconds in (0..=minutes(90)).step_by(9) {
        Operator::default().pass(&mut test, &with(1, &[]), seconds);
        assert_eq!(first(&test).attempt, 0);
    }
    assert_eq!(condition(&test, ConditionType::Finished), "True/KubeflowNotReady");
    assert_eq!(test.status.as_ref().unwrap().completion_time.as_ref().unwrap().0, at(minutes(90)));
    assert_eq!(said(&test), "not ready within 45m: the one object is ready, and must stay so for 10s");
}

#[test]
fn of_two_deadlines_that_passed_while_nobody_looked_the_first_decides() {
    let late = minutes(200);
    let waiting = || {
        let mut test = gated();
        Operator::default().pass(&mut test, &with(0, &[]), 0);
        test
    };
    let unknown = Observed::default();
    let ready_since = |seconds| {
        let seen = with(1, &[]).gate.unwrap();
        let seen = Sighting { ready_since: Some(at(seconds)), perhaps_longer: true, ..seen };
        Observed { gate: Some(seen), ..Observed::default() }
    };
    for (what, observed, expected) in [
        ("nothing is known yet", unknown.clone(), "False/KubeflowNotReady"),
        ("it is not ready", with(0, &[]), "False/KubeflowNotReady"),
        ("it became ready in time", ready_since(minutes(45) - 10), "False/TimedOut"),
        ("it became ready too late", ready_since(minutes(45) - 9), "False/KubeflowNotReady"),
    ] {
        let mut test = waiting();
        pass(&mut test, &observed, late);
        assert_eq!(condition(&test, ConditionType::Succeeded), expected, "{what}");
    }

    let mut test = waiting();
    pass(&mut test, &unknown, minutes(89));
    assert_eq!(
        condition(&test, ConditionType::Finished),
        "False/WaitingForKubeflow",
        "somebody will look yet"
    );
    pass(&mut test, &unknown, late);
    assert_eq!(
        said(&test),
        "not ready within 45m: 0 of 1 objects are ready: Deployment kf/web: 0 of 1 replicas are available"
    );
    assert_eq!(first(&test).message.as_deref(), Some("Kubeflow did not become ready"));

    let mut cancelled = waiting();
    cancelled.spec.cancel = true;
    pass(&mut cancelled, &unknown, minutes(50));
    assert_eq!(condition(&cancelled, ConditionType::Succeeded), "False/Cancelled");

    let (mut opened, mut operator) = (gated(), Operator::default());
    let no_place = Observed { places: Some(0), ..with(1, &[]) };
    operator.pass(&mut opened, &no_place, 0);
    operator.pass_after(&mut opened, &no_place, 0, 10);
    pass(&mut opened, &unknown, late);
    assert_eq!(condition(&opened, ConditionType::Succeeded), "False/TimedOut", "the gate was open in time");
}
