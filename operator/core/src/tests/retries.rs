//! Attempts that are followed by another, runs that are cancelled or fail fast, places under a cap, and a run's own end.

use crds::v1alpha1::{ConditionType, E2ETest, RunReason, TestReason, TestState};

use super::support::*;
use crate::{
    Acted, AttemptFacts, Observed, Outcome, Requeue, Wanted, decide, expires_at, observed::NamedPodDefault,
};

/// A run of one script with two retries.
fn retried() -> E2ETest {
    run("tests:\n- {name: a, image: i, retries: 2, script: {source: {inline: x}}}")
}

/// What is seen of a test whose pod ended with this exit code, of its attempt.
fn exited(attempt: i32, code: i32) -> Observed {
    let (phase, message) =
        if code == 0 { ("Succeeded", passed_message()) } else { ("Failed", String::new()) };
    let condition = if code == 0 { "Complete" } else { "Failed" };
    let mut job = job("a", &format!("{{conditions: [{{type: {condition}, status: 'True'}}]}}"));
    job.metadata.name = Some(crate::names::job("a", RUN_UID, attempt));
    seen("a", Some(job), vec![pod("a", &ended(phase, code, &message, ""))])
}

/// Reasons of the events between two passes.
fn told(test: &mut E2ETest, observed: &Observed, seconds: i64) -> Vec<String> {
    let report = decide(test, observed, &settings(), at(seconds)).settle(&Acted::new());
    test.status = report.status.or_else(|| test.status.take());
    report.events.into_iter().map(|event| event.reason).collect()
}

/// The run with the Job of its current attempt written down.
fn job_written_down(test: &mut E2ETest) {
    let entry = &mut test.status.as_mut().unwrap().tests[0];
    let name = crate::names::job("a", RUN_UID, entry.attempt);
    entry.job = Some(crds::v1alpha1::JobReference { name, uid: JOB_UID.to_owned() });
}

/// The Job that a plan asks for.
fn job_of(plan: &crate::Plan) -> Option<&k8s_openapi::api::batch::v1::Job> {
    plan.effects[0].effects.iter().find_map(|effect| match effect {
        crate::Effect::CreateJob(job) => Some(job.as_ref()),
        crate::Effect::ApplyConfigMap(_)
        | crate::Effect::ApplyPodDefault(_)
        | crate::Effect::StopPod(_)
        | crate::Effect::SuspendJob(_) => None,
    })
}

#[test]
fn an_attempt_that_did_not_pass_is_kept_and_followed_by_another() {
    let mut test = started(retried());
    assert_eq!(told(&mut test, &exited(1, 3), 10), ["NonZeroExit"]);
    let entry = first(&test).clone();
    assert_eq!((entry.state, entry.attempt, entry.reason, entry.job), (TestState::Running, 2, None, None));
    assert_eq!(entry.start_time.unwrap().0, at(10), "its time starts anew");
    let [before] = entry.attempts.as_slice() else { panic!("{:?}", entry.attempts) };
    assert_eq!(
        (before.attempt, before.state, before.reason),
        (1, TestState::Failed, Some(TestReason::NonZeroExit))
    );
    assert_eq!(before.job.as_ref().unwrap().uid, JOB_UID);
    let plan = decide(&test, &Observed::default(), &settings(), at(10));
    let created = job_of(&plan).and_then(|job| job.metadata.name.clone());
    assert_eq!(created.as_deref(), Some("a-0f5e4a5c-2"));

    job_written_down(&mut test);
    assert_eq!(told(&mut test, &exited(2, 0), 20), ["TestFlaky", "TestsPassed"]);
    assert!(first(&test).flaky);
    assert_eq!(condition(&test, ConditionType::Succeeded), "True/TestsPassed");
    assert_eq!(
        message(test.status.as_ref().unwrap()),
        "the test passed; flaky: a passed in attempt 2, attempt 1: NonZeroExit: exited with code 3"
    );
}

#[test]
fn the_last_attempt_decides() {
    let mut test = started(retried());
    for attempt in 1..=3 {
        job_written_down(&mut test);
        assert_eq!(first(&test).attempt, attempt);
        told(&mut test, &exited(attempt, 3), i64::from(attempt) * 10);
    }
    let entry = first(&test);
    assert_eq!(
        (entry.state, entry.attempt, entry.attempts.len(), entry.flaky),
        (TestState::Failed, 3, 2, false)
    );
    assert_eq!(condition(&test, ConditionType::Succeeded), "False/TestsFailed");
}

#[test]
fn what_vanishes_is_retried_too_and_a_stop_that_failed_is_tried_again_first() {
    let mut test = started(retried());
    told(&mut test, &seen("a", None, Vec::new()), 5);
    assert_eq!(first(&test).attempts[0].reason, Some(TestReason::JobVanished));
    assert_eq!(first(&test).attempt, 2);

    let test = started(retried());
    let waiting = "{phase: Pending, containerStatuses: [{name: test, image: i, imageID: '', ready: false, restartCount: 0, \
                   state: {waiting: {reason: ErrImageNeverPull, message: not here}}}]}";
    let plan = decide(&test, &seen("a", Some(job("a", "{}")), vec![pod("a", waiting)]), &settings(), at(3));
    assert_eq!((verbs(&plan), plan.status.tests[0].attempt), (vec!["a: patch Pod".to_owned()], 2));
    let settle = |outcome| plan.settle(&[("a".to_owned(), outcome)].into()).status;
    assert_eq!(settle(Outcome::Failed { message: "no answer".into() }), None);
    let refused = settle(Outcome::Refused { message: "no right".into(), permanent: false }).unwrap();
    assert_eq!((refused.tests[0].attempt, refused.tests[0].message.as_deref()), (2, None));
}

#[test]
fn why_an_attempt_was_ended_survives_the_operator() {
    let test = started(scripts(&["a"]));
    let mut stopped = pod("a", "{phase: Failed, reason: DeadlineExceeded}");
    let note = "ImagePullFailed: no such image: x:1".to_owned();
    stopped.metadata.annotations = Some([(crds::names::annotation::ENDED.to_owned(), note.clone())].into());
    let mut suspended = job("a", "{}");
    suspended.metadata.annotations = Some([(crds::names::annotation::ENDED.to_owned(), note)].into());
    for facts in [seen("a", Some(job("a", "{}")), vec![stopped]), seen("a", Some(suspended), Vec::new())] {
        let plan = decide(&test, &facts, &settings(), at(3));
        let entry = &plan.status.tests[0];
        assert_eq!(
            (entry.reason, entry.message.as_deref()),
            (Some(TestReason::ImagePullFailed), Some("no such image: x:1"))
        );
    }
}

#[test]
fn a_cancelled_run_ends_its_pods_and_starts_nothing() {
    let mut test =
        run("maxParallel: 1\ntests:\n- {name: a, image: i, retries: 3, script: {source: {inline: x}}}\n\
                        - {name: b, image: i, script: {source: {inline: x}}}");
    test = started(test);
    test.spec.cancel = true;
    let running = seen("a", Some(job("a", "{}")), vec![pod("a", RUNNING)]);
    let plan = decide(&test, &running, &settings(), at(7));
    assert_eq!(verbs(&plan), ["a: patch Pod"]);
    let report = plan.settle(&Acted::new());
    assert_eq!(report.events.iter().map(|event| event.reason.as_str()).collect::<Vec<_>>()[0], "Cancelling");
    test.status = report.status;
    assert_eq!(test.status.as_ref().unwrap().cancel_time.as_ref().unwrap().0, at(7));
    assert_eq!(condition(&test, ConditionType::Finished), "False/Running", "the pod still ends");
    assert_eq!(test.status.as_ref().unwrap().tests[1].state, TestState::NotRun);

    let told = crds::verdict::Verdict::failed(TestReason::TimedOut, "the pod was told to end", None);
    let ending = ended("Failed", 1, &told.to_termination_message().unwrap(), "").replace(&time(5), &time(9));
    let mut over = pod("a", &ending);
    over.status.as_mut().unwrap().reason = Some("DeadlineExceeded".into());
    pass(&mut test, &seen("a", Some(job("a", "{}")), vec![over]), 10);
    assert_eq!(condition(&test, ConditionType::Finished), "True/Cancelled");
    assert_eq!(condition(&test, ConditionType::Succeeded), "False/Cancelled");
    let entry = first(&test);
    assert_eq!((entry.state, entry.reason, entry.attempts.len()), (TestState::Inconclusive, None, 0));
    assert_eq!(
        message(test.status.as_ref().unwrap()),
        "2 of 2 tests did not pass: a: cut short: the run was cancelled; b: not run: the run was cancelled"
    );
}

#[test]
fn a_cancelled_run_waits_for_a_lost_node_no_longer_than_the_grace() {
    let mut test = started(scripts(&["a"]));
    test.spec.cancel = true;
    let mut stopping = pod("a", RUNNING);
    stopping.spec.as_mut().unwrap().active_deadline_seconds = Some(1);
    let seen = seen("a", Some(job("a", "{}")), vec![stopping]);
    let plan = pass(&mut test, &seen, 7);
    assert_eq!(
        (verbs(&plan).len(), condition(&test, ConditionType::Finished)),
        (0, "False/Running".to_owned())
    );
    pass(&mut test, &seen, 7 + minutes(1));
    assert_eq!(condition(&test, ConditionType::Finished), "True/Cancelled");
}

#[test]
fn a_run_that_is_cancelled_before_it_starts_makes_nothing() {
    let mut test = scripts(&["a"]);
    test.spec.cancel = true;
    let plan = pass(&mut test, &Observed::default(), 0);
    assert_eq!((plan.effects.len(), plan.requeue), (0, Requeue::Never));
    assert_eq!(condition(&test, ConditionType::Finished), "True/Cancelled");
    assert_eq!((first(&test).state, first(&test).attempt), (TestState::NotRun, 0));
}

#[test]
fn after_a_failure_a_run_that_fails_fast_starts_no_further_test() {
    let mut test = scripts(&["a", "b", "c"]);
    test.spec.max_parallel = 2;
    test.spec.fail_fast = true;
    let mut test = started(test);
    let mut facts = exited(1, 3);
    let on =
        AttemptFacts { job: Some(job("b", "{}")), pods: vec![pod("b", RUNNING)], ..AttemptFacts::default() };
    facts.attempts.insert("b".into(), on);
    pass(&mut test, &facts, 10);
    let states = |test: &E2ETest| {
        test.status.as_ref().unwrap().tests.iter().map(|test| test.state).collect::<Vec<_>>()
    };
    assert_eq!(states(&test), [TestState::Failed, TestState::Running, TestState::NotRun]);
    let mut b = exited(1, 0);
    b.attempts = [(
        "b".to_owned(),
        AttemptFacts {
            job: Some(complete("b")),
            pods: vec![pod("b", &ended("Succeeded", 0, &passed_message(), ""))],
            ..AttemptFacts::default()
        },
    )]
    .into();
    pass(&mut test, &b, 20);
    assert_eq!(states(&test), [TestState::Failed, TestState::Passed, TestState::NotRun]);
    assert_eq!(condition(&test, ConditionType::Succeeded), format!("False/{}", RunReason::TestsFailed));
    let said = message(test.status.as_ref().unwrap());
    assert!(said.contains("c: not run: test a did not pass, and failFast is set"), "{said}");
}

#[test]
fn tests_wait_for_a_place_and_say_so_once() {
    let mut test = scripts(&["a", "b", "c"]);
    let settings = crate::Settings { max_running: std::num::NonZeroUsize::new(5), ..settings() };
    let seen = Observed { places: Some(1), ..Observed::default() };
    let plan = decide(&test, &seen, &settings, at(0));
    test.status = plan.settle(&Acted::new()).status;
    let entries = &test.status.as_ref().unwrap().tests;
    assert_eq!(entries.iter().map(|test| test.attempt).collect::<Vec<_>>(), [1, 0, 0]);
    assert_eq!(
        entries[1].message.as_deref(),
        Some("waits for its turn: the operator runs at most 5 pods at once")
    );
    let none = Observed { places: Some(0), ..Observed::default() };
    let mut without = scripts(&["a"]);
    without.status = decide(&without, &none, &settings, at(0)).settle(&Acted::new()).status;
    let again = decide(&without, &none, &settings, at(1));
    assert_eq!(again.settle(&Acted::new()).status, None, "a run that waits is not written again");
    assert!(matches!(again.requeue, Requeue::After(_)));
    let then = decide(&without, &Observed { places: Some(1), ..Observed::default() }, &settings, at(2));
    assert_eq!((then.status.tests[0].attempt, &then.status.tests[0].message), (1, &None));
}

#[test]
fn a_finished_run_is_deleted_once_its_time_has_come_and_never_written() {
    let mut test = started(scripts(&["a"]));
    test.metadata.resource_version = Some("42".into());
    test.spec.ttl_after_finished = Some(crds::v1alpha1::ZeroableDuration("1m".into()));
    assert_eq!(expires_at(&test), None, "a run that goes on is kept");
    pass(&mut test, &exited(1, 0), 10);
    assert_eq!(expires_at(&test), Some(at(70)));
    assert_eq!(Wanted::of(&test), None);
    let early = decide(&test, &Observed::default(), &settings(), at(30));
    assert_eq!(
        (early.expired.clone(), early.requeue),
        (None, Requeue::After(std::time::Duration::from_secs(40)))
    );
    let due = decide(&test, &Observed::default(), &settings(), at(70));
    let expired = due.expired.as_ref().unwrap();
    assert_eq!((expired.uid.as_str(), expired.resource_version.as_str()), (RUN_UID, "42"));
    for plan in [early, due] {
        assert_eq!((plan.effects.len(), plan.settle(&Acted::new()).status), (0, None));
    }
    test.spec.ttl_after_finished = None;
    assert_eq!(decide(&test, &Observed::default(), &settings(), at(1_000_000)).expired, None);
}

#[test]
fn a_pod_opts_into_the_pod_defaults_that_its_test_names() {
    let mut test =
        run("tests:\n- {name: a, image: i, podDefaults: [proxy, ca], script: {source: {inline: x}}}");
    pass(&mut test, &Observed::default(), 0);
    assert_eq!(Wanted::of(&test).unwrap().named, ["ca".to_owned(), "proxy".to_owned()].into());
    let selecting = |labels: &[(&str, &str)], by_labels_alone| NamedPodDefault::Present {
        match_labels: labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        by_labels_alone,
    };
    let named = |proxy: NamedPodDefault| Observed {
        named: [("proxy".to_owned(), proxy), ("ca".to_owned(), selecting(&[("ca", "yes")], true))].into(),
        ..Observed::default()
    };
    let plan = decide(&test, &named(selecting(&[("use-proxy", "true")], true)), &settings(), at(1));
    let labels =
        job_of(&plan).and_then(|job| job.spec.as_ref().unwrap().template.metadata.clone().unwrap().labels);
    let labels = labels.unwrap();
    assert_eq!((labels["use-proxy"].as_str(), labels["ca"].as_str()), ("true", "yes"));

    for (proxy, expected) in [
        (
            NamedPodDefault::Absent,
            "PodDefault profile/proxy does not exist: create it, or leave it out of podDefaults",
        ),
        (selecting(&[], false), "selects by matchExpressions"),
        (selecting(&[("ca", "no")], true), "selects by another value of the label ca"),
        (selecting(&[("e2e.kubeflow.org/run-uid", "x")], true), "is the operator's own"),
    ] {
        let mut test = test.clone();
        let plan = pass(&mut test, &named(proxy.clone()), 1);
        let said = first(&test).message.clone().unwrap();
        assert_eq!((plan.effects.len(), first(&test).state), (0, TestState::Running));
        assert!(said.contains(expected), "{said}");
        pass(&mut test, &named(proxy), minutes(10));
        assert_eq!(first(&test).reason, Some(TestReason::PodDefaultNotInjected));
        assert!(first(&test).message.as_ref().unwrap().contains(expected));
    }
}
