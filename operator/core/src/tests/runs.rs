//! A whole run: how it begins, how tests get their turns, how it ends, and that it then stays as it is.

use crds::v1alpha1::{
    ConditionType, E2ETestStatus, RunReason, TestReason, TestState, TestStatus, ZeroableDuration,
};

use std::time::Duration;

use super::support::*;
use crate::{
    Acted, Observed, Outcome, Requeue, Wanted, decide,
    ending::{Cause, RunsEnd},
    lags, verdict,
};

#[test]
fn an_attempt_is_written_down_before_its_job_is_asked_for() {
    let mut test = scripts(&["a"]);
    let first_pass = pass(&mut test, &Observed::default(), 0);
    assert_eq!(verbs(&first_pass), Vec::<String>::new());
    assert_eq!((first(&test).attempt, first(&test).state), (1, TestState::Running));
    assert_eq!(first_pass.requeue, Requeue::Now);
    let second_pass = pass(&mut test, &Observed::default(), 0);
    assert_eq!(verbs(&second_pass), ["a: apply ConfigMap", "a: create Job"]);
}

#[test]
fn the_first_pass_sets_every_condition() {
    let mut test = scripts(&["a"]);
    pass(&mut test, &Observed::default(), 0);
    assert_eq!(condition(&test, ConditionType::KubeflowReady), "Unknown/NotRequested");
    assert_eq!(condition(&test, ConditionType::Finished), "False/Running");
    assert_eq!(condition(&test, ConditionType::Succeeded), "Unknown/Running");
    assert!(test.status.unwrap().conditions.iter().all(|condition| condition.observed_generation == Some(1)));
}

#[test]
fn no_more_tests_run_at_once_than_allowed() {
    let mut test = scripts(&["a", "b", "c"]);
    test.spec.max_parallel = 2;
    pass(&mut test, &Observed::default(), 0);
    let states = |status: &E2ETestStatus| status.tests.iter().map(|test| test.state).collect::<Vec<_>>();
    assert_eq!(
        states(test.status.as_ref().unwrap()),
        [TestState::Running, TestState::Running, TestState::Pending]
    );
    let mut test = started(test);
    let done = seen("a", Some(complete("a")), vec![pod("a", &ended("Succeeded", 0, &passed_message(), ""))]);
    pass(&mut test, &done, 10);
    assert_eq!(states(test.status.as_ref().unwrap())[0], TestState::Passed);
    assert_eq!(states(test.status.as_ref().unwrap())[2], TestState::Running);
}

#[test]
fn a_passed_test_ends_the_run_for_good() {
    let mut test = started(scripts(&["a"]));
    let done = seen("a", Some(complete("a")), vec![pod("a", &ended("Succeeded", 0, &passed_message(), ""))]);
    let plan = pass(&mut test, &done, 10);
    assert_eq!(plan.requeue, Requeue::Never);
    assert_eq!(condition(&test, ConditionType::Finished), "True/TestsPassed");
    assert_eq!(condition(&test, ConditionType::Succeeded), "True/TestsPassed");
    assert_eq!(test.status.as_ref().unwrap().tests_summary.as_deref(), Some("1/1"));
    assert_eq!(message(test.status.as_ref().unwrap()), "the test passed");
    // Whatever happens later: the Job is deleted, years pass.
    let before = test.status.clone();
    assert_eq!(Wanted::of(&test), None);
    let plan = decide(&test, &Observed::default(), &settings(), at(1_000_000));
    assert_eq!((plan.settle(&Acted::new()).status, plan.effects.len()), (None, 0));
    assert_eq!(test.status, before);
}

#[test]
fn a_run_that_is_over_takes_up_a_new_spec_with_one_write_and_nothing_else() {
    let mut test = started(scripts(&["a"]));
    let done = seen("a", Some(complete("a")), vec![pod("a", &ended("Succeeded", 0, &passed_message(), ""))]);
    pass(&mut test, &done, 10);
    let mut expected = test.status.clone().unwrap();
    assert!(!lags(&test));
    test.spec.cancel = true;
    test.metadata.generation = Some(2);
    assert!(lags(&test));
    let report = decide(&test, &Observed::default(), &settings(), at(60)).settle(&Acted::new());
    expected.observed_generation = Some(2);
    expected.conditions.iter_mut().for_each(|condition| condition.observed_generation = Some(2));
    assert_eq!((report.status.as_ref(), report.events), (Some(&expected), Vec::new()));
    test.status = report.status;
    assert!(!lags(&test));
    let plan = decide(&test, &Observed::default(), &settings(), at(61));
    assert_eq!((plan.settle(&Acted::new()).status, plan.requeue), (None, Requeue::Never));
}

#[test]
fn a_run_whose_time_has_come_takes_up_nothing_more() {
    let mut test = started(scripts(&["a"]));
    test.metadata.resource_version = Some("7".into());
    let done = seen("a", Some(complete("a")), vec![pod("a", &ended("Succeeded", 0, &passed_message(), ""))]);
    pass(&mut test, &done, 10);
    test.spec.ttl_after_finished = Some(ZeroableDuration("1m".into()));
    test.metadata.generation = Some(2);
    let kept = decide(&test, &Observed::default(), &settings(), at(60));
    assert!(kept.expired.is_none() && kept.settle(&Acted::new()).status.is_some());
    assert_eq!(kept.requeue, Requeue::After(Duration::from_secs(10)));
    let over = decide(&test, &Observed::default(), &settings(), at(70));
    assert!(over.expired.is_some() && over.settle(&Acted::new()).status.is_none());
    test.metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at(60)));
    assert!(!lags(&test));
    let gone = decide(&test, &Observed::default(), &settings(), at(70));
    assert_eq!((gone.expired.as_ref(), gone.settle(&Acted::new()).status), (None, None));
}

#[test]
fn a_failed_test_is_named_with_its_exception() {
    let mut test = started(scripts(&["notebook", "script"]));
    let said = crds::verdict::Verdict::failed(
        TestReason::CellFailed,
        "cell 3: ZeroDivisionError: division by zero",
        None,
    );
    let message_text = said.to_termination_message().unwrap();
    let mut done = seen(
        "notebook",
        Some(job("notebook", "{}")),
        vec![pod("notebook", &ended("Failed", 1, &message_text, ""))],
    );
    let passed = seen(
        "script",
        Some(complete("script")),
        vec![pod("script", &ended("Succeeded", 0, &passed_message(), ""))],
    );
    done.attempts.extend(passed.attempts);
    pass(&mut test, &done, 10);
    let status = test.status.unwrap();
    assert_eq!(
        message(&status),
        "1 of 2 tests failed: notebook: cell 3: ZeroDivisionError: division by zero"
    );
    assert_eq!(status.completion_time.unwrap().0, at(10));
    assert_eq!(status.tests[0].completion_time.as_ref().unwrap().0, at(5));
}

#[test]
fn failures_come_before_what_the_cluster_kept_from_running() {
    let mut test = started(scripts(&["a", "b"]));
    let mut seen_both = seen("a", Some(job("a", "{}")), vec![pod("a", &ended("Failed", 3, "", ""))]);
    seen_both.attempts.extend(seen("b", None, Vec::new()).attempts);
    pass(&mut test, &seen_both, 10);
    assert_eq!(condition(&test, ConditionType::Succeeded), "False/TestsFailed");
    assert_eq!(
        message(test.status.as_ref().unwrap()),
        "1 of 2 tests failed: a: exited with code 3; 1 more did not pass: b: JobVanished: Job profile/b-0f5e4a5c-1 was deleted before it ended"
    );
}

#[test]
fn the_runs_timeout_stops_what_runs_and_skips_the_rest() {
    let mut test = scripts(&["a", "b"]);
    test.spec.max_parallel = 1;
    let mut test = started(test);
    let alive = seen("a", Some(job("a", "{}")), vec![pod("a", RUNNING)]);
    let plan = pass(&mut test, &alive, minutes(90));
    assert_eq!(verbs(&plan), ["a: patch Pod"]);
    assert_eq!(first(&test).state, TestState::Running, "its pod is given time to end");
    assert_eq!(test.status.as_ref().unwrap().tests[1].state, TestState::NotRun);

    let mut killed = pod("a", &ended("Failed", 137, "", ""));
    killed.status.as_mut().unwrap().reason = Some("DeadlineExceeded".into());
    let plan = pass(&mut test, &seen("a", Some(job("a", "{}")), vec![killed]), minutes(90) + 5);
    assert_eq!(plan.requeue, Requeue::Never);
    assert_eq!(condition(&test, ConditionType::Succeeded), "False/TimedOut");
    assert_eq!(first(&test).reason, Some(TestReason::TimedOut));
}

#[test]
fn a_pod_that_could_not_be_told_to_end_is_told_again_soon() {
    let mut test = started(scripts(&["a"]));
    let mut told = pod("a", RUNNING);
    told.spec.as_mut().unwrap().active_deadline_seconds = Some(1);
    let refused = seen("a", Some(job("a", "{}")), vec![pod("a", RUNNING)]);
    for second in 0..3 {
        let plan = pass(&mut test, &refused, minutes(90) + second);
        assert_eq!(verbs(&plan), ["a: patch Pod"]);
        assert_eq!(plan.requeue, Requeue::After(Duration::from_secs(1)));
    }
    let plan = pass(&mut test, &seen("a", Some(job("a", "{}")), vec![told]), minutes(90) + 3);
    assert_eq!(verbs(&plan), Vec::<String>::new());
    assert_eq!(plan.requeue, Requeue::After(Duration::from_secs(57)));
}

#[test]
fn a_pod_that_does_not_end_is_not_waited_for_longer_than_the_grace() {
    let mut test = started(scripts(&["a"]));
    let alive = seen("a", Some(job("a", "{}")), vec![pod("a", RUNNING)]);
    pass(&mut test, &alive, minutes(92));
    assert_eq!(condition(&test, ConditionType::Finished), "True/TimedOut");
}

#[test]
fn tests_that_ended_in_time_decide_even_if_nobody_looked_until_later() {
    let mut test = started(scripts(&["a"]));
    let done = seen("a", Some(complete("a")), vec![pod("a", &ended("Succeeded", 0, &passed_message(), ""))]);
    pass(&mut test, &done, minutes(200));
    assert_eq!(condition(&test, ConditionType::Succeeded), "True/TestsPassed");
}

#[test]
fn an_invalid_spec_is_a_verdict_that_names_the_field() {
    let table = [
        ("tests:\n- {name: a, image: i}", "spec.tests[0]: give exactly one of notebook, script and job"),
        ("tests:\n- {name: A, image: i, script: {source: {inline: x}}}", "spec.tests[0].name: "),
        (
            "tests:\n- {name: a, image: ' ', script: {source: {inline: x}}}",
            "spec.tests[0].image: \" \" is no name",
        ),
        (
            "tests:\n- {name: a, image: i, script: {source: {}}}",
            "spec.tests[0].script.source: give exactly one of",
        ),
        (
            "tests:\n- {name: a, image: i, script: {interpreter: [], source: {inline: x}}}",
            "spec.tests[0].script.interpreter: ",
        ),
        (
            "tests:\n- {name: a, image: i, runAsUser: 0, script: {source: {inline: x}}}",
            "spec.tests[0].runAsUser: ",
        ),
        (
            "tests:\n- {name: a, image: i, timeout: soon, script: {source: {inline: x}}}",
            "spec.tests[0].timeout: \"soon\"",
        ),
        ("tests: []", "spec.tests: is empty"),
        ("timeout: 0s\ntests:\n- {name: a, image: i, script: {source: {inline: x}}}", "spec.timeout: "),
        (
            "maxParallel: 0\ntests:\n- {name: a, image: i, script: {source: {inline: x}}}",
            "spec.maxParallel: ",
        ),
        (
            "kubeflow: {namespaces: []}\ntests:\n- {name: a, image: i, script: {source: {inline: x}}}",
            "spec.kubeflow: give exactly one of",
        ),
        (
            "tests:\n- {name: a, image: i, script: {source: {inline: x}}}\n- {name: a, image: i, script: {source: {inline: x}}}",
            "spec.tests[1]: the name \"a\" is taken",
        ),
        (
            "tests:\n- {name: a, image: i, pipelineAccess: true, env: [{name: KF_PIPELINES_SA_TOKEN_PATH}], script: {source: {inline: x}}}",
            "spec.tests[0].env: sets KF_PIPELINES_SA_TOKEN_PATH",
        ),
    ];
    for (spec, expected) in table {
        let mut test = run(spec);
        let plan = pass(&mut test, &Observed::default(), 0);
        assert_eq!(condition(&test, ConditionType::Finished), "True/InvalidSpec", "{spec}");
        let said = message(test.status.as_ref().unwrap()).to_owned();
        assert!(said.starts_with(expected), "{spec}: {said}");
        assert_eq!((plan.requeue, plan.effects.len()), (Requeue::Never, 0));
    }
}

#[test]
fn a_run_that_is_being_deleted_is_left_alone() {
    let mut test = scripts(&["a"]);
    test.metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at(0)));
    let plan = pass(&mut test, &Observed::default(), 0);
    assert_eq!((plan.requeue, plan.effects.len(), test.status), (Requeue::Never, 0, None));
}

#[test]
fn what_was_not_done_is_not_said_to_be_done() {
    let mut test = scripts(&["a"]);
    pass(&mut test, &Observed::default(), 0);
    let plan = decide(&test, &Observed::default(), &settings(), at(1));
    let settle = |outcome: Outcome| plan.settle(&[("a".to_owned(), outcome)].into());

    let lost = settle(Outcome::Failed { message: "no answer".into() });
    assert_eq!(lost.status, None);

    let refused = settle(Outcome::Refused { message: "no binding".into(), permanent: false }).status.unwrap();
    assert_eq!(
        (refused.tests[0].state, refused.tests[0].message.as_deref()),
        (TestState::Running, Some("no binding"))
    );

    let invalid = settle(Outcome::Refused { message: "invalid".into(), permanent: true }).status.unwrap();
    assert_eq!(invalid.tests[0].reason, Some(TestReason::PodCreationRefused));
    assert!(crate::is_finished(&invalid));

    assert_eq!(settle(Outcome::JobExists).requeue, Requeue::Now);
    let unserved = settle(Outcome::PodDefaultNotServed).status.unwrap();
    assert_eq!(unserved.tests[0].reason, Some(TestReason::PodDefaultNotInjected));
}

#[test]
fn a_status_takes_a_refusal_of_any_length() {
    let mut test = scripts(&["a"]);
    pass(&mut test, &Observed::default(), 0);
    let message = "admission webhook denied the request; ".repeat(140);
    assert!(message.len() > 5000);
    for permanent in [false, true] {
        let plan = decide(&test, &Observed::default(), &settings(), at(1));
        let refused = Outcome::Refused { message: message.clone(), permanent };
        let status = plan.settle(&[("a".to_owned(), refused)].into()).status.unwrap();
        let said = status.tests[0].message.as_ref().unwrap();
        assert!((900..=1024).contains(&said.len()), "{} bytes", said.len());
        for condition in &status.conditions {
            assert!(
                condition.message.len() <= 2048,
                "{}: {} bytes",
                condition.type_,
                condition.message.len()
            );
        }
    }
}

#[test]
fn an_end_that_depends_on_a_failed_write_is_put_off() {
    let mut test = started(scripts(&["a"]));
    let waiting = "{phase: Pending, containerStatuses: [{name: test, image: i, imageID: '', ready: false, restartCount: 0, \
                   state: {waiting: {reason: ErrImageNeverPull, message: not here}}}]}";
    let plan = decide(&test, &seen("a", Some(job("a", "{}")), vec![pod("a", waiting)]), &settings(), at(3));
    assert_eq!(verbs(&plan), ["a: patch Pod"]);
    assert!(crate::is_finished(&plan.status));
    let failed = Outcome::Failed { message: "no answer".into() };
    let report = plan.settle(&[("a".to_owned(), failed)].into());
    assert!(report.status.is_none_or(|status| !crate::is_finished(&status)));
    let refused = Outcome::Refused { message: "no right".into(), permanent: false };
    test.status = plan.settle(&[("a".to_owned(), refused)].into()).status;
    assert_eq!(
        condition(&test, ConditionType::Finished),
        "True/InfrastructureError",
        "its own deadline ends the pod"
    );
}

#[test]
fn what_follows_from_a_failed_write_waits_for_it() {
    let mut test = scripts(&["a", "b"]);
    (test.spec.fail_fast, test.spec.max_parallel) = (true, 1);
    let test = started(test);
    let waiting = "{phase: Pending, containerStatuses: [{name: test, image: i, imageID: '', ready: false, restartCount: 0, \
                   state: {waiting: {reason: ErrImageNeverPull, message: not here}}}]}";
    let plan = decide(&test, &seen("a", Some(job("a", "{}")), vec![pod("a", waiting)]), &settings(), at(3));
    assert_eq!(plan.status.tests[1].state, TestState::NotRun);
    let settle = |outcome: Outcome| {
        let status = plan.settle(&[("a".to_owned(), outcome)].into()).status;
        status.or_else(|| test.status.clone()).unwrap().tests[1].state
    };
    assert_eq!(settle(Outcome::Failed { message: "no answer".into() }), TestState::Pending);
    assert_eq!(settle(Outcome::Done), TestState::NotRun);
}

#[test]
fn the_first_of_the_verdicts_in_order_is_the_runs() {
    let entry = |reason: Option<TestReason>| TestStatus {
        name: "t".into(),
        state: reason.map_or(TestState::Passed, crate::attempt_state),
        reason,
        completion_time: Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at(1))),
        ..TestStatus::default()
    };
    let table = [
        (vec![None], RunReason::TestsPassed),
        (vec![None, Some(TestReason::NoVerdict)], RunReason::Inconclusive),
        (vec![Some(TestReason::NoVerdict), Some(TestReason::Evicted)], RunReason::InfrastructureError),
        (vec![Some(TestReason::Evicted), Some(TestReason::CellFailed)], RunReason::TestsFailed),
    ];
    for (reasons, expected) in table {
        let tests = reasons.iter().copied().map(entry).collect();
        let status = E2ETestStatus { tests, ..E2ETestStatus::default() };
        let end = |seconds, cause| RunsEnd { at: at(seconds), cause };
        let timeout = Cause::Timeout(Duration::from_secs(9));
        assert_eq!(verdict::of(&status, &end(10, timeout)).0, expected, "{reasons:?}");
        assert_eq!(verdict::of(&status, &end(1, timeout)).0, RunReason::TimedOut, "{reasons:?}");
        assert_eq!(verdict::of(&status, &end(9, Cause::Cancelled)).0, RunReason::Cancelled, "{reasons:?}");
    }
    let end = RunsEnd { at: at(10), cause: Cause::Timeout(Duration::from_secs(9)) };
    let nothing = verdict::of(&E2ETestStatus::default(), &end).0;
    assert_ne!(nothing, RunReason::TestsPassed, "no tests are no pass");
}

#[test]
fn events_tell_each_transition_once() {
    let mut test = scripts(&["a"]);
    let reasons = |test: &crds::v1alpha1::E2ETest, observed: &Observed, acted: &Acted, seconds| {
        let report = decide(test, observed, &settings(), at(seconds)).settle(acted);
        let events = report.events.iter().map(|event| event.reason.clone()).collect::<Vec<_>>();
        (report.status, events)
    };
    let (status, events) = reasons(&test, &Observed::default(), &Acted::new(), 0);
    assert_eq!(events, ["Started"]);
    test.status = status;
    let created = crds::v1alpha1::JobReference { name: "j".into(), uid: JOB_UID.into() };
    let acted: Acted = [("a".to_owned(), Outcome::JobCreated(created))].into();
    let (status, events) = reasons(&test, &Observed::default(), &acted, 1);
    assert_eq!(events, ["TestStarted"]);
    test.status = status;
    let done = seen("a", Some(complete("a")), vec![pod("a", &ended("Succeeded", 0, &passed_message(), ""))]);
    let (status, events) = reasons(&test, &done, &Acted::new(), 9);
    assert_eq!(events, ["TestPassed", "TestsPassed"]);
    test.status = status;
    assert_eq!(reasons(&test, &done, &Acted::new(), 10), (None, Vec::new()));
}
