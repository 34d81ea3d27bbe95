//! The searches: of the real decisions, which must hold, and of decisions with a mistake in them, which must not.

use stateright::{Checker, Model};

use super::{Bug, Left, World};

/// Two operators, two crashes, one answer that is lost.
const FAULTS: Left = Left { crashes: 2, lost_answers: 1, deletions: 0, evictions: 0, cancels: 0, ticks: 0 };

/// A test that fails once, and may be tried again.
const SHAKY: (&[&str], &str) =
    (&["shaky"], "tests:\n- {name: shaky, image: i, retries: 1, script: {source: {inline: x}}}");

/// Two tests one after the other, of which the first fails.
const FAILS: (&[&str], &str) = (
    &["fails", "next"],
    "maxParallel: 1\nfailFast: true\ntests:\n- {name: fails, image: i, script: {source: {inline: x}}}\n\
     - {name: next, image: i, script: {source: {inline: x}}}",
);

/// Two tests side by side.
const BOTH: (&[&str], &str) = (
    &["one", "other"],
    "tests:\n- {name: one, image: i, script: {source: {inline: x}}}\n- {name: other, image: i, script: {source: {inline: x}}}",
);

/// A world of these tests with two operators.
fn world((names, spec): (&'static [&'static str], &'static str), left: Left, bug: Bug) -> World {
    World { names, spec, left, operators: 2, bug, tables: std::sync::RwLock::default() }
}

/// The same with one operator, for worlds in which Jobs are deleted.
fn alone(tests: (&'static [&'static str], &'static str), left: Left, bug: Bug) -> World {
    World { operators: 1, ..world(tests, left, bug) }
}

/// Searches all of a world. Returns what it found to be broken, with the shortest way there.
fn search(what: &str, world: World) -> Vec<(&'static str, String)> {
    let real = world.bug == Bug::None;
    let checker = world.checker();
    // Of a world with a mistake in it one way that shows it is enough.
    let checker = if real { checker } else { checker.finish_when(stateright::HasDiscoveries::AnyFailures) };
    let checker = checker.spawn_bfs().join();
    let seen: std::io::Result<()> = std::io::Write::write_fmt(
        &mut std::io::stderr(),
        format_args!(
            "{what}: {} states, {} of them different\n",
            checker.state_count(),
            checker.unique_state_count()
        ),
    );
    seen.unwrap();
    checker
        .discoveries()
        .into_iter()
        .filter(|(name, _)| name.starts_with("I-"))
        .map(|(name, path)| {
            let last = path.last_state().clone();
            let status = checker.model().tables(|tables| tables.status(last.status));
            (name, format!("{last:#?}\n{:#?}\n{:?}", status.status, path.into_actions()))
        })
        .collect()
}

/// Searches a world that has to hold.
fn holds(what: &str, world: World) {
    let broken = search(what, world);
    assert!(
        broken.is_empty(),
        "{what}: {}",
        broken
            .iter()
            .map(|(name, way)| format!("{name} does not hold: {way}"))
            .collect::<Vec<_>>()
            .join("\n")
    );
}

#[test]
fn a_retried_test_survives_two_crashes_and_a_lost_answer() {
    holds("a test that is tried again", world(SHAKY, FAULTS, Bug::None));
}

#[test]
fn a_run_that_fails_fast_survives_them_too() {
    holds("a run that fails fast", world(FAILS, FAULTS, Bug::None));
}

#[test]
fn what_others_take_away_is_made_up_for_at_most_once() {
    let left = Left { deletions: 1, evictions: 1, ..FAULTS };
    holds("deletions and evictions", alone(SHAKY, left, Bug::None));
}

#[test]
fn a_cancelled_run_ends() {
    let left = Left { crashes: 1, cancels: 1, ticks: 2, ..FAULTS };
    holds("a run that is cancelled", alone(SHAKY, left, Bug::None));
}

#[test]
fn a_stale_create_after_a_deletion_is_the_one_thing_that_is_not_promised() {
    let left = Left { deletions: 1, ..Left::default() };
    let found = search("two operators and a deletion", world(SHAKY, left, Bug::None));
    let names: Vec<_> = found.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["I-1 one Job for an attempt, written down first"], "{found:?}");
    holds("one operator and a deletion", alone(SHAKY, left, Bug::None));
}

/// They are 42 million different states in three worlds, nearly all in the one of two operators and a run that is cancelled:
/// 11 minutes and 7 GB with `cargo test --release -p operator-core everything_at_once -- --ignored --nocapture`.
#[test]
#[ignore = "11 minutes and 7 GB in a release build: everything that can go wrong, at once"]
fn everything_at_once() {
    let left = Left { crashes: 2, lost_answers: 1, deletions: 1, evictions: 1, cancels: 1, ticks: 2 };
    holds("one operator, everything", alone(SHAKY, left, Bug::None));
    let left = Left { evictions: 1, cancels: 1, ticks: 2, ..FAULTS };
    holds("two operators, a cancelled run", world(SHAKY, left, Bug::None));
    holds("two tests", world(BOTH, FAULTS, Bug::None));
}

#[test]
fn a_mistake_of_each_kind_is_found() {
    let one = Left { crashes: 1, lost_answers: 1, deletions: 1, ..Left::default() };
    let late = Left { ticks: 1, ..Left::default() };
    for (bug, left, expected) in [
        (Bug::ForgetsTheJob, one, "I-1"),
        (Bug::ActsBeforeItWrites, one, "I-1"),
        (Bug::TrustsThePod, one, "I-2"),
        (Bug::ForgetsTheEnd, late, "I-3"),
        (Bug::LeavesOrphans, one, "I-4"),
        (Bug::WritesElsewhere, one, "I-5"),
        (Bug::GivesUp, one, "I-6"),
        (Bug::Chatters, one, "I-7"),
    ] {
        let found = search(&format!("{bug:?}"), alone(SHAKY, left, bug));
        assert!(found.iter().any(|(name, _)| name.starts_with(expected)), "{bug:?}: {found:?}");
    }
}
