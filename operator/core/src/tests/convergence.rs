//! Whatever is lost, repeated or delayed, the run comes to the same end, and makes at most one Job for each attempt.

use std::collections::BTreeSet;

use crds::v1alpha1::{ConditionType, E2ETest, E2ETestStatus, TestState, find};
use proptest::{prelude::*, sample::select};

use super::{
    support::run,
    world::{Decision, Fault, World},
};
use crate::lags;

/// One thing that happens.
#[derive(Clone, Copy, Debug)]
enum Happening {
    /// A pass, with a fault.
    Pass(Fault),
    /// Another operator, or a paused one, decides and does nothing yet.
    Decide,
    /// What was decided longest ago is carried out.
    Perform(Fault),
    JobController,
    Kubelet,
    /// Seconds pass.
    Time(i64),
    /// Kubeflow becomes ready or stops being so.
    Ready(bool),
    /// Somebody cancels the run.
    Cancel,
    DeleteJob,
    DeletePod,
    Evict,
}

/// Faults of a pass.
fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        2 => Just(Fault::None),
        1 => (0_usize..4).prop_map(Fault::CrashBefore),
        1 => (0_usize..4).prop_map(Fault::Lost),
        1 => (0_usize..4).prop_map(Fault::AnswerLost),
        1 => Just(Fault::CrashBeforeReport),
    ]
}

/// What can happen to any run, without anybody touching its children.
fn ordinary() -> impl Strategy<Value = Happening> {
    prop_oneof![
        4 => fault().prop_map(Happening::Pass),
        2 => Just(Happening::Decide),
        2 => fault().prop_map(Happening::Perform),
        2 => Just(Happening::JobController),
        2 => Just(Happening::Kubelet),
        2 => (1_i64..10).prop_map(Happening::Time),
        2 => any::<bool>().prop_map(Happening::Ready),
    ]
}

/// Everything, with one operator: people and nodes delete, and hours pass.
fn rough() -> impl Strategy<Value = Happening> {
    prop_oneof![
        6 => fault().prop_map(Happening::Pass),
        2 => Just(Happening::JobController),
        2 => Just(Happening::Kubelet),
        1 => (1_i64..3000).prop_map(Happening::Time),
        1 => any::<bool>().prop_map(Happening::Ready),
        1 => select(vec![Happening::DeleteJob, Happening::DeletePod, Happening::Evict, Happening::Cancel]),
    ]
}

/// A run of these tests behind a gate; `patient` with timeouts that nothing here reaches.
fn gated(names: &[&str], patient: bool) -> E2ETest {
    let timeouts = if patient { ", startTimeout: 80m, timeout: 80m" } else { "" };
    let one = |name: &&str| {
        let retries = if *name == "shaky" { ", retries: 2" } else { "" };
        format!(
            "- {{name: {name}, image: i, pipelineAccess: true{timeouts}{retries}, script: {{source: {{inline: x}}}}}}"
        )
    };
    let tests = names.iter().map(one).collect::<Vec<_>>().join("\n");
    run(&format!("maxParallel: 2\nkubeflow: {{namespaces: [kf], stableFor: 2s}}\ntests:\n{tests}"))
}

/// What every moment of every run has to keep to.
#[derive(Default)]
struct Invariants {
    over: Option<E2ETestStatus>,
}

impl Invariants {
    fn check(&mut self, world: &World) {
        let unique: BTreeSet<_> = world.made.iter().collect();
        assert_eq!(unique.len(), world.made.len(), "a Job was made twice: {:?}", world.made);
        let status = world.status();
        let succeeded = find(&status.conditions, ConditionType::Succeeded);
        if succeeded.is_some_and(|condition| condition.status == "True") {
            for entry in &status.tests {
                assert!(!matches!(entry.name.as_str(), "fails" | "mute"), "{} cannot pass", entry.name);
                assert_eq!(entry.state, TestState::Passed);
                let job = entry.job.as_ref().expect("a passed test has a Job");
                assert!(world.made.contains(&job.name));
            }
        }
        if let Some(over) = &self.over {
            assert_eq!(*over, without_generation(status), "a run that was over changed");
        } else if world.is_over() {
            self.over = Some(without_generation(status));
        }
    }
}

/// A status but for the generation that it speaks of.
fn without_generation(mut status: E2ETestStatus) -> E2ETestStatus {
    status.observed_generation = None;
    status.conditions.iter_mut().for_each(|condition| condition.observed_generation = None);
    status
}

/// Lets everything happen, checking after each step.
fn live(world: &mut World, happenings: &[Happening], invariants: &mut Invariants) {
    let mut decided: Vec<Decision> = Vec::new();
    for happening in happenings {
        match *happening {
            Happening::Pass(fault) => {
                let decision = world.decide();
                world.perform(decision, fault);
            }
            Happening::Decide => decided.push(world.decide()),
            Happening::Perform(fault) => {
                if !decided.is_empty() {
                    world.perform(decided.remove(0), fault);
                }
            }
            Happening::JobController => world.job_controller(),
            Happening::Kubelet => world.kubelet(),
            Happening::Time(seconds) => world.wait(seconds),
            Happening::Ready(ready) => world.become_ready(ready),
            Happening::Cancel => world.cancel(),
            Happening::DeleteJob => world.delete_a_recorded_job(),
            Happening::DeletePod => world.delete_a_pod(),
            Happening::Evict => world.evict_a_pod(),
        }
        invariants.check(world);
    }
}

/// Lets the world take its course, with these faults and then none; it has to come to an end, and to leave nothing behind.
fn settle(world: &mut World, invariants: &mut Invariants, step: i64, faults: &[Fault]) {
    for fault in faults.iter().copied().chain([Fault::None; 200]) {
        let course = [
            Happening::Ready(true),
            Happening::Pass(fault),
            Happening::JobController,
            Happening::Kubelet,
            Happening::Time(step),
        ];
        live(world, &course, invariants);
        if world.is_over() {
            break;
        }
    }
    assert!(world.is_over(), "the run never ends: {:#?}", world.status());
    world.cancel();
    let writes = world.writes + usize::from(lags(&world.test));
    live(
        world,
        &[Happening::Pass(Fault::None), Happening::Time(100_000), Happening::Pass(Fault::None)],
        invariants,
    );
    assert_eq!(world.writes, writes, "a run that is over is written only to take up a new spec");
    assert!(!lags(&world.test), "a run that is over never takes up its new spec");
    live(world, &[Happening::JobController, Happening::Kubelet].repeat(3), invariants);
    assert!(!world.has_a_living_pod(), "a run that is over left a pod that does not end");
    assert!(world.decide().0.effects.is_empty());
}

/// States and reasons of all tests, and the verdict.
fn essence(status: &E2ETestStatus) -> (Vec<String>, String) {
    let tests = status
        .tests
        .iter()
        .map(|test| format!("{} {:?} {:?} {}", test.name, test.state, test.reason, test.flaky))
        .collect();
    let verdict =
        find(&status.conditions, ConditionType::Succeeded).map(|condition| condition.reason.clone());
    (tests, verdict.unwrap_or_default())
}

/// Sets of tests, each with the verdict of a run in which nothing goes wrong.
const SETS: [(&[&str], &str); 4] = [
    (&["a", "b"], "TestsPassed"),
    (&["a", "fails", "b"], "TestsFailed"),
    (&["a", "mute"], "Inconclusive"),
    (&["a", "shaky", "b"], "TestsPassed"),
];

/// How many Jobs a run of these tests makes where nobody takes anything away: `shaky` passes in its second attempt.
fn attempts(names: &[&str]) -> usize {
    names.len() + names.iter().filter(|name| **name == "shaky").count()
}

/// Tests of which one never ends by itself.
const HANGS: (&[&str], &str) = (&["a", "hangs", "b"], "TimedOut");

#[test]
fn without_faults_the_verdict_is_the_tests() {
    for (names, verdict) in SETS {
        let mut world = World::new(gated(names, true));
        settle(&mut world, &mut Invariants::default(), 1, &[]);
        assert_eq!(essence(&world.status()).1, verdict);
        assert_eq!(world.made.len(), attempts(names));
    }
    let mut world = World::new(gated(HANGS.0, true));
    settle(&mut world, &mut Invariants::default(), 120, &[]);
    assert_eq!(essence(&world.status()).1, HANGS.1);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn faults_and_a_second_operator_change_nothing(
        set in select(SETS.to_vec()),
        happenings in prop::collection::vec(ordinary(), 0..40),
    ) {
        let mut clean = World::new(gated(set.0, true));
        settle(&mut clean, &mut Invariants::default(), 1, &[]);
        let mut world = World::new(gated(set.0, true));
        let mut invariants = Invariants::default();
        live(&mut world, &happenings, &mut invariants);
        settle(&mut world, &mut invariants, 1, &[]);
        prop_assert_eq!(essence(&world.status()), essence(&clean.status()));
        prop_assert_eq!(world.made.len(), attempts(set.0));
    }

    #[test]
    fn whatever_is_deleted_or_delayed_no_job_is_made_twice_and_the_run_ends(
        set in select([SETS.as_slice(), &[HANGS]].concat()),
        happenings in prop::collection::vec(rough(), 0..60),
        faults in prop::collection::vec(fault(), 0..80),
    ) {
        let mut world = World::new(gated(set.0, false));
        let mut invariants = Invariants::default();
        live(&mut world, &happenings, &mut invariants);
        settle(&mut world, &mut invariants, 120, &faults);
    }
}
