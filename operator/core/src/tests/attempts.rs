//! One attempt: what each state of Job and pod leads to.

use std::time::Duration;

use crds::v1alpha1::{TestReason, TestState};
use k8s_openapi::api::{
    batch::v1::Job,
    core::v1::{Pod, PodSpec},
};

use super::support::*;
use crate::{
    Requeue,
    observed::{PodDefaultFacts, Warning},
};

/// What a test ends with, seen at `seconds`: state, reason, message.
fn outcome(job: Option<Job>, pods: Vec<Pod>, seconds: i64) -> (TestState, Option<TestReason>, String) {
    let mut test = started(scripts(&["a"]));
    pass(&mut test, &seen("a", job, pods), seconds);
    let entry = first(&test);
    (entry.state, entry.reason, entry.message.clone().unwrap_or_default())
}

/// A pod that has not started, with this `waiting` of its test's container.
fn waiting(reason: &str, message: &str) -> Pod {
    pod(
        "a",
        &format!(
            "{{phase: Pending, containerStatuses: [{{name: test, image: 'docker.io/x:1', imageID: '', ready: false, restartCount: 0, \
             state: {{waiting: {{reason: {reason}, message: '{message}'}}}}}}]}}"
        ),
    )
}

#[test]
fn who_waits_for_long_is_looked_at_less_often() {
    let mut test = started(scripts(&["a"]));
    for (waited, next) in [(0, 2), (4, 4), (10, 10), (50, 30), (200, 30)] {
        let plan = pass(&mut test, &seen("a", Some(job("a", "{}")), Vec::new()), waited);
        assert_eq!(plan.requeue, Requeue::After(Duration::from_secs(next)), "after {waited} s");
    }
    // The limit of the start itself is never missed.
    let plan = pass(&mut test, &seen("a", Some(job("a", "{}")), Vec::new()), 595);
    assert_eq!(plan.requeue, Requeue::After(Duration::from_secs(5)));
}

#[test]
fn a_pass_needs_pod_container_verdict_and_job_to_agree() {
    let good = passed_message();
    let succeeded = || pod("a", &ended("Succeeded", 0, &good, ""));
    assert_eq!(outcome(Some(complete("a")), vec![succeeded()], 9).0, TestState::Passed);
    assert_eq!(
        outcome(Some(job("a", "{}")), vec![succeeded()], 9).0,
        TestState::Running,
        "the Job has not followed yet"
    );

    let mut deadline = pod("a", &ended("Failed", 0, &good, ", reason: Completed"));
    deadline.status.as_mut().unwrap().reason = Some("DeadlineExceeded".into());
    let table = [
        (deadline, TestReason::TimedOut),
        (pod("a", &ended("Failed", 0, &good, "")), TestReason::NoVerdict),
        (pod("a", &ended("Succeeded", 0, "", "")), TestReason::NoVerdict),
        (pod("a", &ended("Succeeded", 0, "all good, trust me", "")), TestReason::NoVerdict),
        (pod("a", &ended("Failed", 1, &good, "")), TestReason::NonZeroExit),
        (pod("a", "{phase: Succeeded}"), TestReason::StartTimedOut),
    ];
    for (pod, reason) in table {
        let text = format!("{pod:?}");
        let (state, seen, message) = outcome(Some(complete("a")), vec![pod], 9);
        assert_eq!((seen, state == TestState::Passed), (Some(reason), false), "{message}\n{text}");
    }
    let failed = job("a", "{conditions: [{type: Failed, status: 'True'}]}");
    assert_eq!(outcome(Some(failed), vec![succeeded()], 9).1, Some(TestReason::NoVerdict));
}

#[test]
fn a_pod_that_failed_says_why() {
    let table = vec![
        (pod("a", &ended("Failed", 3, "", "")), TestReason::NonZeroExit, "exited with code 3"),
        (pod("a", &ended("Failed", 137, "", "")), TestReason::NonZeroExit, "exited with code 137 (signal 9)"),
        (
            pod("a", &ended("Failed", 137, "", ", reason: OOMKilled")),
            TestReason::OOMKilled,
            "the test used more memory",
        ),
        (
            pod("a", "{phase: Failed, reason: Evicted, message: 'The node was low on resource: memory.'}"),
            TestReason::Evicted,
            "Evicted: The node was low on resource: memory.",
        ),
        (
            pod("a", "{phase: Failed, reason: OutOfcpu, message: no room}"),
            TestReason::Evicted,
            "OutOfcpu: no room",
        ),
        (
            pod("a", "{phase: Failed, reason: DeadlineExceeded}"),
            TestReason::StartTimedOut,
            "ended by its node: not started within 10m",
        ),
        (
            pod(
                "a",
                "{phase: Running, conditions: [{type: DisruptionTarget, status: 'True', reason: DeletionByTaintManager, message: node is gone}]}",
            ),
            TestReason::Evicted,
            "DeletionByTaintManager: node is gone",
        ),
        (
            pod(
                "a",
                "{phase: Failed, initContainerStatuses: [{name: prepare, image: i, imageID: '', ready: false, restartCount: 0, \
                 state: {terminated: {exitCode: 1, message: disk full}}}]}",
            ),
            TestReason::StartTimedOut,
            "the test could not start: container prepare: exited with code 1: disk full",
        ),
    ];
    for (pod, reason, expected) in table {
        let (_, seen, message) = outcome(Some(job("a", "{}")), vec![pod], 9);
        assert_eq!(seen, Some(reason), "{message}");
        assert!(message.starts_with(expected), "{message}");
    }
}

#[test]
fn a_deleted_pod_is_nobodys_failure_unless_it_had_ended_before() {
    let deleted = |asked: i64| {
        let mut pod = pod("a", &ended("Failed", 143, "", ""));
        pod.metadata.deletion_timestamp =
            Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at(asked + 30)));
        pod.metadata.deletion_grace_period_seconds = Some(30);
        pod
    };
    assert_eq!(outcome(Some(job("a", "{}")), vec![deleted(4)], 9).1, Some(TestReason::JobVanished));
    assert_eq!(outcome(Some(job("a", "{}")), vec![deleted(7)], 9).1, Some(TestReason::NonZeroExit));
    let over = job("a", "{conditions: [{type: Failed, status: 'True', reason: BackoffLimitExceeded}]}");
    assert_eq!(outcome(Some(over), Vec::new(), 9).1, Some(TestReason::JobVanished));
    assert_eq!(outcome(Some(complete("a")), Vec::new(), 9).1, Some(TestReason::NoVerdict));
}

#[test]
fn a_recorded_job_that_is_gone_is_never_made_again() {
    assert_eq!(outcome(None, Vec::new(), 9).1, Some(TestReason::JobVanished));
    let mut other = job("a", "{}");
    other.metadata.uid = Some("another".into());
    assert_eq!(outcome(Some(other), Vec::new(), 9).1, Some(TestReason::JobVanished));
}

#[test]
fn a_job_of_that_name_is_adopted_only_if_it_is_ours() {
    let mut test = scripts(&["a"]);
    pass(&mut test, &crate::Observed::default(), 0);
    let mut adopted = test.clone();
    pass(&mut adopted, &seen("a", Some(job("a", "{}")), Vec::new()), 1);
    assert_eq!(first(&adopted).job.as_ref().unwrap().uid, JOB_UID);

    let mut foreign = job("a", "{}");
    foreign.metadata.owner_references.as_mut().unwrap()[0].uid = "someone".into();
    let plan = pass(&mut test, &seen("a", Some(foreign), Vec::new()), 1);
    assert_eq!(first(&test).reason, Some(TestReason::PodCreationRefused));
    assert!(plan.effects.is_empty(), "what is not ours is left alone");
    assert!(first(&test).message.as_ref().unwrap().contains("profile/a-0f5e4a5c-1"));
}

#[test]
fn images_are_waited_for_unless_they_can_never_come() {
    let never = [
        ("ErrImageNeverPull", "not here"),
        ("InvalidImageName", "bad"),
        ("ImagePullBackOff", "docker.io/x:1: not found"),
        ("ImagePullBackOff", "failed to authorize: 401 Unauthorized"),
    ];
    for (reason, said) in never {
        let (_, seen, message) = outcome(Some(job("a", "{}")), vec![waiting(reason, said)], 5);
        assert_eq!(seen, Some(TestReason::ImagePullFailed), "{message}");
        assert!(message.contains("docker.io/x:1") && message.contains(said), "{message}");
    }
    let perhaps = [
        ("ErrImagePull", "docker.io/x:1: not found"),
        ("ImagePullBackOff", "dial tcp: lookup docker.io: no such host"),
        ("ImagePullBackOff", "429 Too Many Requests"),
    ];
    for (reason, said) in perhaps {
        let pod = || vec![waiting(reason, said)];
        assert_eq!(outcome(Some(job("a", "{}")), pod(), 5).0, TestState::Running);
        let (_, seen, message) = outcome(Some(job("a", "{}")), pod(), minutes(10));
        assert_eq!(seen, Some(TestReason::ImagePullFailed));
        assert!(message.starts_with("not started within 10m: "), "{message}");
    }
}

#[test]
fn a_pod_that_does_not_start_says_what_it_waited_for() {
    let unschedulable = || {
        let mut pod = pod(
            "a",
            "{phase: Pending, conditions: [{type: PodScheduled, status: 'False', reason: Unschedulable, message: 0/1 nodes are available}]}",
        );
        pod.spec.as_mut().unwrap().node_name = None;
        pod
    };
    let mut test = started(scripts(&["a"]));
    let plan = pass(&mut test, &seen("a", Some(job("a", "{}")), vec![unschedulable()]), 5);
    assert_eq!((first(&test).state, plan.effects.len()), (TestState::Running, 0));
    assert_eq!(first(&test).message.as_deref(), Some("Unschedulable: 0/1 nodes are available"));
    let plan = pass(&mut test, &seen("a", Some(job("a", "{}")), vec![unschedulable()]), minutes(10));
    assert_eq!(first(&test).reason, Some(TestReason::Unschedulable));
    assert_eq!(verbs(&plan), ["a: patch Job"], "no kubelet would end a pod that has no node");

    let mut test = started(scripts(&["a"]));
    let mut facts = seen("a", Some(job("a", "{}")), vec![waiting("ContainerCreating", "")]);
    facts.attempts.get_mut("a").unwrap().warnings =
        vec![Warning { reason: "FailedMount".into(), message: "configmap \"x\" not found".into() }];
    let plan = pass(&mut test, &facts, minutes(10));
    assert_eq!(first(&test).reason, Some(TestReason::StartTimedOut));
    assert_eq!(
        first(&test).message.as_deref(),
        Some("not started within 10m: FailedMount: configmap \"x\" not found")
    );
    assert_eq!(verbs(&plan), ["a: patch Pod"]);
}

#[test]
fn a_refused_pod_tells_the_webhooks_sentence() {
    let refused = |message: &str, seconds| {
        let mut test = started(scripts(&["a"]));
        let mut facts = seen("a", Some(job("a", "{}")), Vec::new());
        facts.attempts.get_mut("a").unwrap().warnings =
            vec![Warning { reason: "FailedCreate".into(), message: format!("Error creating: {message}") }];
        let plan = pass(&mut test, &facts, seconds);
        (first(&test).reason, first(&test).message.clone().unwrap(), verbs(&plan))
    };
    let denied = "admission webhook \"x\" denied the request: conflict on env FOO";
    assert_eq!(refused(denied, 9).0, None, "a webhook that has only just started may think again");
    let (reason, message, effects) = refused(denied, 10);
    assert_eq!(
        (reason, message),
        (Some(TestReason::PodCreationRefused), format!("the pod is refused: {denied}"))
    );
    assert_eq!(effects, ["a: patch Job"], "the Job must not make a pod after all");
    let quota = "pods \"a\" is forbidden: exceeded quota: q";
    assert_eq!(refused(quota, 3).0, None, "a quota may be freed");
    assert_eq!(refused(quota, minutes(10)).0, Some(TestReason::PodCreationRefused));
}

/// A look that saw nothing of the target namespace.
fn blind(why: &str, since: Option<i64>) -> crate::Observed {
    let unreadable = crate::Unreadable { why: why.into(), since: since.map(at) };
    crate::Observed { unreadable: Some(unreadable), ..crate::Observed::default() }
}

#[test]
fn a_read_error_that_lasts_is_said_once_and_leaves_the_timeouts_in_force() {
    let said = Some("the target namespace cannot be read: etcd is away");
    let mut test = scripts(&["a"]);
    pass(&mut test, &crate::Observed::default(), 0);
    pass(&mut test, &blind("etcd is away", Some(1)), 11);
    assert_eq!((first(&test).state, first(&test).message.as_deref()), (TestState::Running, said));
    let before = test.status.clone();
    for (why, seconds) in [("no answer within 10 s", 12), ("connection refused", 13), ("etcd is away", 14)] {
        pass(&mut test, &blind(why, Some(1)), seconds);
        assert_eq!(test.status, before, "errors that take turns cost no write");
    }
    pass(&mut test, &blind("etcd is away", Some(1)), minutes(10));
    assert_eq!(first(&test).reason, Some(TestReason::PodCreationRefused));

    let mut running = started(scripts(&["a"]));
    pass(&mut running, &blind("etcd is away", Some(1)), minutes(60));
    assert_eq!((first(&running).state, first(&running).message.as_deref()), (TestState::Running, said));
    pass(&mut running, &blind("etcd is away", Some(1)), minutes(90));
    assert_eq!(first(&running).reason, Some(TestReason::TimedOut));
    assert!(first(&running).message.as_ref().unwrap().ends_with("cannot be read: etcd is away"));
}

#[test]
fn a_read_error_that_passes_costs_neither_a_verdict_nor_a_write() {
    let mut test = started(scripts(&["a"]));
    let before = test.status.clone();
    pass(&mut test, &blind("etcd is away", Some(5)), 14);
    assert_eq!(test.status, before);
    // The operator comes back long after the test passed, and its first look fails.
    pass(&mut test, &blind("etcd is away", Some(minutes(200))), minutes(200));
    assert_eq!(test.status, before);
    let passed = vec![pod("a", &ended("Succeeded", 0, &passed_message(), ""))];
    pass(&mut test, &seen("a", Some(complete("a")), passed), minutes(200) + 1);
    assert_eq!(first(&test).state, TestState::Passed);
}

#[test]
fn a_namespace_that_may_not_be_read_is_waited_for_until_the_start_is_due() {
    let blind = blind("no right: bind it", None);
    let mut test = scripts(&["a"]);
    pass(&mut test, &blind, 0);
    let plan = pass(&mut test, &blind, 1);
    assert_eq!(
        (first(&test).state, first(&test).message.as_deref()),
        (TestState::Running, Some("no right: bind it"))
    );
    assert!(plan.effects.is_empty());
    pass(&mut test, &blind, minutes(10));
    assert_eq!(first(&test).reason, Some(TestReason::PodCreationRefused));

    let mut running = started(scripts(&["a"]));
    pass(&mut running, &blind, minutes(60));
    assert_eq!(first(&running).state, TestState::Running, "its pod may well run");
    pass(&mut running, &blind, minutes(90));
    assert_eq!(first(&running).reason, Some(TestReason::TimedOut));
}

#[test]
fn of_several_pods_only_the_first_counts() {
    let created = |seconds: i64, pod: Pod| {
        let mut pod = pod;
        pod.metadata.creation_timestamp =
            Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at(seconds)));
        pod
    };
    let bad = created(1, pod("a", &ended("Failed", 3, "", "")));
    let good = created(2, pod("a", &ended("Succeeded", 0, &passed_message(), "")));
    assert_eq!(outcome(Some(complete("a")), vec![good.clone(), bad], 9).0, TestState::Failed);
    let mut foreign = good;
    foreign.metadata.owner_references.as_mut().unwrap()[0].uid = "other".into();
    assert_eq!(outcome(Some(job("a", "{}")), vec![foreign], 9).0, TestState::Running, "not of our Job");
}

/// A run with pipelineAccess, its PodDefault at version 7, and a pod with this metadata, volume and container.
fn with_access(annotations: &str, account: &str, volume: bool) -> (Option<TestReason>, String, Vec<String>) {
    with_access_in("{app.kubernetes.io/part-of: kubeflow-profile}", annotations, account, volume)
}

/// The same in a namespace with these labels.
fn with_access_in(
    labels: &str,
    annotations: &str,
    account: &str,
    volume: bool,
) -> (Option<TestReason>, String, Vec<String>) {
    let spec = "tests:\n- {name: a, image: i, pipelineAccess: true, script: {source: {inline: x}}}";
    let mut test = started(run(spec));
    let mut pod = pod("a", RUNNING);
    pod.metadata.annotations = Some(yaml(annotations));
    let spec = pod.spec.as_mut().unwrap();
    spec.service_account_name = Some(account.to_owned());
    if volume {
        spec.volumes = Some(vec![yaml("{name: volume-kf-pipeline-token}")]);
        spec.containers = vec![yaml(
            "{name: test, env: [{name: KF_PIPELINES_SA_TOKEN_PATH, value: x}], volumeMounts: [{name: volume-kf-pipeline-token, mountPath: /x}]}",
        )];
    }
    let mut facts = seen("a", Some(job("a", "{}")), vec![pod]);
    facts.pod_default = PodDefaultFacts::Present { resource_version: "7".into() };
    facts.target_labels = Some(yaml(labels));
    let plan = pass(&mut test, &facts, 5);
    (first(&test).reason, first(&test).message.clone().unwrap_or_default(), verbs(&plan))
}

#[test]
fn an_injected_pod_default_is_proven_or_the_test_ends() {
    let ours = "poddefault.admission.kubeflow.org/poddefault-kubeflow-e2e-0f5e4a5c";
    let right = format!("{{{ours}: '7'}}");
    assert_eq!(with_access(&right, "default-editor", true).0, None);
    let table = [
        (
            "{}".to_owned(),
            "default-editor",
            true,
            "was not injected: is the admission webhook of PodDefaults installed",
        ),
        (format!("{{{ours}: '6'}}"), "default-editor", true, "(6 instead of 7)"),
        (right.clone(), "admin", true, "service account from default-editor to admin"),
        (right, "default-editor", false, "lacks its volume volume-kf-pipeline-token"),
    ];
    for (annotations, account, volume, expected) in table {
        let (reason, message, effects) = with_access(&annotations, account, volume);
        assert_eq!(reason, Some(TestReason::PodDefaultNotInjected), "{message}");
        assert!(message.contains(expected), "{message}");
        assert_eq!(effects, ["a: patch Pod"], "it is stopped");
    }
    let sign = "lacks the label app.kubernetes.io/part-of=kubeflow-profile";
    for annotations in ["{}".to_owned(), format!("{{{ours}: '7'}}")] {
        let (reason, message, _) = with_access_in("{}", &annotations, "default-editor", true);
        assert_eq!(reason, Some(TestReason::PodDefaultNotInjected), "{message}");
        assert!(message.contains(sign), "{message}");
    }
}

#[test]
fn no_test_runs_with_other_rights_than_it_asked_for() {
    // A PodDefault that selects every pod reaches those of tests that ask for none.
    let changed = |change: fn(&mut PodSpec)| {
        let mut test = started(scripts(&["a"]));
        let mut pod = pod("a", RUNNING);
        change(pod.spec.as_mut().unwrap());
        let mut job = job("a", "{}");
        let template: PodSpec = yaml("{automountServiceAccountToken: false, containers: []}");
        job.spec.as_mut().unwrap().template.spec = Some(template);
        pass(&mut test, &seen("a", Some(job), vec![pod]), 5);
        (first(&test).reason, first(&test).message.clone().unwrap_or_default())
    };
    assert_eq!(changed(|pod| pod.automount_service_account_token = Some(false)), (None, String::new()));
    for (change, expected) in [
        (
            (|pod| {
                pod.automount_service_account_token = Some(false);
                pod.service_account_name = Some("admin".to_owned());
            }) as fn(&mut PodSpec),
            "service account from default-editor to admin",
        ),
        (|pod| pod.automount_service_account_token = Some(true), "whether the pod gets a token"),
        (|pod| pod.automount_service_account_token = None, "whether the pod gets a token"),
    ] {
        let (reason, message) = changed(change);
        assert_eq!(reason, Some(TestReason::PodDefaultNotInjected), "{message}");
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn without_pod_defaults_no_job_is_made() {
    let mut test = run("tests:\n- {name: a, image: i, pipelineAccess: true, script: {source: {inline: x}}}");
    let facts = crate::Observed { pod_default: PodDefaultFacts::NotServed, ..crate::Observed::default() };
    pass(&mut test, &facts, 0);
    let plan = pass(&mut test, &facts, 1);
    assert_eq!((first(&test).reason, plan.effects.len()), (Some(TestReason::PodDefaultNotInjected), 0));
}

#[test]
fn events_are_read_only_where_they_say_more() {
    let wants = |job: Option<Job>, pods: Vec<Pod>| {
        let facts = crate::AttemptFacts { job, pods, ..crate::AttemptFacts::default() };
        crate::wants_warnings_of(&facts).and_then(|reference| reference.kind)
    };
    assert_eq!(wants(None, Vec::new()), None);
    assert_eq!(wants(Some(job("a", "{}")), Vec::new()).as_deref(), Some("Job"));
    assert_eq!(wants(Some(complete("a")), Vec::new()), None);
    assert_eq!(wants(Some(job("a", "{}")), vec![waiting("ContainerCreating", "")]).as_deref(), Some("Pod"));
    assert_eq!(wants(Some(job("a", "{}")), vec![waiting("ErrImagePull", "x")]), None);
    assert_eq!(wants(Some(job("a", "{}")), vec![pod("a", "{phase: Running}")]), None);
}
