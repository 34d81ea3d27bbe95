//! The gate: never open by emptiness, only after readiness has lasted, and closed again by a lapse.

use crds::v1alpha1::{ConditionType, E2ETest, TestState};
use k8s_openapi::api::{
    apps::v1::{DaemonSet, Deployment, StatefulSet},
    core::v1::Pod,
};

use super::support::*;
use crate::{
    Observed,
    gate::{NamespaceFacts, NamespaceSeen, Workload},
};

/// A run with a gate on namespace `kf`, stable for 10 s, given up after 45 m.
fn gated() -> E2ETest {
    run("kubeflow: {namespaces: [kf]}\ntests:\n- {name: a, image: i, script: {source: {inline: x}}}")
}

/// What is seen of namespace `kf`.
fn kf(seen: NamespaceSeen) -> Observed {
    Observed { gate: vec![NamespaceFacts { name: "kf".into(), seen }], ..Observed::default() }
}

/// A Deployment with so many of one replica available.
fn deployment(available: i32) -> Workload {
    let deployment: Deployment = yaml(&format!(
        "{{metadata: {{name: web, namespace: kf, generation: 2, labels: {{app.kubernetes.io/part-of: pipelines}}}}, \
         spec: {{selector: {{matchLabels: {{app: web}}}}, template: {{}}}}, \
         status: {{observedGeneration: 2, replicas: 1, updatedReplicas: 1, availableReplicas: {available}}}}}"
    ));
    Workload::from(&deployment)
}

/// Namespace `kf` with that Deployment and these pods.
fn with(available: i32, pods: Vec<Pod>) -> Observed {
    kf(NamespaceSeen::Present { workloads: vec![deployment(available)], pods })
}

/// `Status/Reason` of `KubeflowReady` after a pass.
fn after(test: &mut E2ETest, observed: &Observed, seconds: i64) -> String {
    pass(test, observed, seconds);
    condition(test, ConditionType::KubeflowReady)
}

/// The message of `KubeflowReady`.
fn said(test: &E2ETest) -> String {
    let status = test.status.as_ref().unwrap();
    crds::v1alpha1::find(&status.conditions, ConditionType::KubeflowReady).unwrap().message.clone()
}

#[test]
fn nothing_is_ready_by_emptiness() {
    let table = [
        (Observed::default(), "0 of 0 objects are ready: nothing has been seen yet"),
        (kf(NamespaceSeen::Missing), "0 of 1 objects are ready: Namespace kf: does not exist"),
        (
            kf(NamespaceSeen::Unreadable("forbidden".into())),
            "0 of 1 objects are ready: Namespace kf: cannot be read: forbidden",
        ),
        (
            kf(NamespaceSeen::Present { workloads: Vec::new(), pods: Vec::new() }),
            "0 of 1 objects are ready: Namespace kf: holds no Deployment, StatefulSet or DaemonSet",
        ),
    ];
    for (observed, expected) in table {
        let mut test = gated();
        for seconds in [0, 60, 120] {
            assert_eq!(after(&mut test, &observed, seconds), "False/Waiting");
        }
        assert_eq!(said(&test), expected);
        assert_eq!(first(&test).attempt, 0);
        assert_eq!(condition(&test, ConditionType::Succeeded), "Unknown/WaitingForKubeflow");
    }
}

#[test]
fn errors_that_take_turns_cost_one_write() {
    let unreadable = |why: &str| kf(NamespaceSeen::Unreadable(why.into()));
    let mut test = gated();
    after(&mut test, &unreadable("connection refused"), 0);
    let before = test.status.clone();
    for (why, seconds) in [("no answer within 10 s", 11), ("etcd is away", 12), ("connection refused", 13)] {
        assert_eq!(after(&mut test, &unreadable(why), seconds), "False/Waiting");
        assert_eq!(test.status, before);
    }
    after(&mut test, &with(0, Vec::new()), 14);
    after(&mut test, &unreadable("etcd is away"), 15);
    assert_eq!(said(&test), "0 of 1 objects are ready: Namespace kf: cannot be read: etcd is away");
    assert_eq!(after(&mut test, &unreadable("etcd is away"), minutes(45)), "False/TimedOut");
}

/// A Deployment, a StatefulSet and a DaemonSet that want so many pods each, and have them.
fn workloads(desired: [i32; 3]) -> Vec<Workload> {
    let [deployment, set, daemons] = desired;
    let object = |name: &str, spec: &str, status: &str| {
        format!(
            "{{metadata: {{name: {name}, namespace: kf, generation: 1}}, spec: {{{spec}selector: {{}}, template: {{}}}}, \
             status: {{observedGeneration: 1, {status}}}}}"
        )
    };
    let replicas = |count: i32| {
        (
            format!("replicas: {count}, "),
            format!("replicas: {count}, updatedReplicas: {count}, availableReplicas: {count}"),
        )
    };
    let scheduled = format!(
        "currentNumberScheduled: {daemons}, numberMisscheduled: 0, numberReady: {daemons}, desiredNumberScheduled: {daemons}, \
         updatedNumberScheduled: {daemons}, numberAvailable: {daemons}"
    );
    let (spec, status) = replicas(deployment);
    let deployment = Workload::from(&yaml::<Deployment>(&object("web", &spec, &status)));
    let (spec, status) = replicas(set);
    let set = Workload::from(&yaml::<StatefulSet>(&object("db", &spec, &status)));
    vec![deployment, set, Workload::from(&yaml::<DaemonSet>(&object("agent", "", &scheduled)))]
}

#[test]
fn a_namespace_that_is_scaled_to_zero_is_not_ready() {
    let asleep = "0 of 1 objects are ready: Namespace kf: none of its workloads asks for a pod";
    let awake = "all 3 objects are ready";
    for (desired, opens, sentence) in [
        ([0, 0, 0], false, asleep),
        ([1, 0, 0], true, awake),
        ([0, 2, 0], true, awake),
        ([0, 0, 3], true, awake),
    ] {
        let seen = kf(NamespaceSeen::Present { workloads: workloads(desired), pods: Vec::new() });
        let mut test = gated();
        after(&mut test, &seen, 0);
        assert_eq!(after(&mut test, &seen, 60) == "True/Ready", opens, "{desired:?}");
        assert_eq!(said(&test), sentence);
    }
}

#[test]
fn daemons_that_nobody_has_counted_yet_are_not_taken_for_none() {
    let new = "{metadata: {name: agent, namespace: kf, generation: 1}, spec: {selector: {}, template: {}}, \
               status: {currentNumberScheduled: 0, numberMisscheduled: 0, numberReady: 0, desiredNumberScheduled: 0}}";
    let agent = Workload::from(&yaml::<DaemonSet>(new));
    let mut test = gated();
    after(&mut test, &kf(NamespaceSeen::Present { workloads: vec![agent], pods: Vec::new() }), 0);
    assert_eq!(
        said(&test),
        "0 of 1 objects are ready: DaemonSet kf/agent: its newest spec has not been observed yet"
    );
}

#[test]
fn the_gate_opens_once_readiness_has_lasted() {
    let mut test = gated();
    assert_eq!(after(&mut test, &with(0, Vec::new()), 0), "False/Waiting");
    assert_eq!(after(&mut test, &with(1, Vec::new()), 5), "False/Waiting");
    assert_eq!(said(&test), "the one object is ready, and must stay so for 10s");
    assert_eq!(after(&mut test, &with(1, Vec::new()), 14), "False/Waiting");
    assert_eq!(after(&mut test, &with(1, Vec::new()), 15), "True/Ready");
    assert_eq!(first(&test).attempt, 1);
    assert_eq!(test.status.as_ref().unwrap().kubeflow.as_ref().unwrap().summary, "1/1");
}

#[test]
fn a_break_starts_the_wait_anew() {
    let mut test = gated();
    after(&mut test, &with(1, Vec::new()), 0);
    after(&mut test, &with(0, Vec::new()), 8);
    assert_eq!(after(&mut test, &with(1, Vec::new()), 9), "False/Waiting");
    assert_eq!(after(&mut test, &with(1, Vec::new()), 18), "False/Waiting");
    assert_eq!(after(&mut test, &with(1, Vec::new()), 19), "True/Ready");
}

#[test]
fn a_lapse_while_tests_run_is_shown_and_changes_no_verdict() {
    let mut test = run(
        "kubeflow: {namespaces: [kf], stableFor: 0s}\ntests:\n- {name: a, image: i, script: {source: {inline: x}}}",
    );
    assert_eq!(after(&mut test, &with(1, Vec::new()), 0), "True/Ready");
    let mut test = started(test);
    let mut lapsed = with(0, Vec::new());
    lapsed.attempts = seen("a", Some(job("a", "{}")), vec![pod("a", RUNNING)]).attempts;
    assert_eq!(after(&mut test, &lapsed, minutes(50)), "False/Lapsed");
    assert_eq!(
        condition(&test, ConditionType::Finished),
        "False/Running",
        "the gate's timeout is past and does not count"
    );
    lapsed.attempts =
        seen("a", Some(complete("a")), vec![pod("a", &ended("Succeeded", 0, &passed_message(), ""))])
            .attempts;
    after(&mut test, &lapsed, minutes(51));
    assert_eq!(condition(&test, ConditionType::Succeeded), "True/TestsPassed");
}

#[test]
fn a_gate_that_never_opens_ends_the_run_with_one_sentence() {
    let crash = "metadata: {name: web-1, labels: {app: web}}\nspec: {containers: []}\nstatus: {phase: Running, containerStatuses: [\
                 {name: web, image: i, imageID: '', ready: false, restartCount: 4, state: {waiting: {reason: CrashLoopBackOff}}, \
                 lastState: {terminated: {exitCode: 2, reason: Error, message: no database}}}]}";
    let mut test = gated();
    after(&mut test, &with(0, vec![yaml(crash)]), 0);
    assert_eq!(after(&mut test, &with(0, vec![yaml(crash)]), minutes(45)), "False/TimedOut");
    assert_eq!(condition(&test, ConditionType::Succeeded), "False/KubeflowNotReady");
    assert_eq!(
        message(test.status.as_ref().unwrap()),
        "not ready within 45m: Deployment kf/web: CrashLoopBackOff: container web exited with code 2: no database"
    );
    assert_eq!(first(&test).state, TestState::NotRun);
}

#[test]
fn the_first_useful_cause_of_a_pod_is_told() {
    let waiting = |reason: &str, text: &str| {
        format!(
            "{{metadata: {{labels: {{app: web}}}}, spec: {{containers: []}}, status: {{phase: Pending, containerStatuses: [{{name: web, \
             image: docker.io/x:1, imageID: '', ready: false, restartCount: 0, state: {{waiting: {{reason: {reason}, message: '{text}'}}}}}}]}}}}"
        )
    };
    let table = [
        (waiting("ImagePullBackOff", "no such host"), "ImagePullBackOff: image docker.io/x:1 of container web: no such host"),
        (waiting("CreateContainerConfigError", "no key x"), "CreateContainerConfigError: container web: no key x"),
        (
            "{metadata: {labels: {app: web}}, spec: {containers: []}, status: {phase: Pending, conditions: [{type: PodScheduled, \
             status: 'False', reason: Unschedulable, message: 0/1 nodes are available}]}}"
                .to_owned(),
            "Unschedulable: 0/1 nodes are available",
        ),
        (
            "{metadata: {labels: {app: web}}, spec: {containers: [{name: web, readinessProbe: {httpGet: {port: 8080, path: /ready}}}]}, \
             status: {phase: Running, containerStatuses: [{name: web, image: i, imageID: '', ready: false, started: true, restartCount: 0, \
             state: {running: {}}}]}}"
                .to_owned(),
            "container web runs and its readiness probe (GET :8080/ready) does not succeed",
        ),
        ("{metadata: {labels: {app: other}}, status: {phase: Pending}}".to_owned(), "0 of 1 replicas are available"),
    ];
    for (pod, expected) in table {
        let mut test = gated();
        after(&mut test, &with(0, vec![yaml(&pod)]), 0);
        assert_eq!(said(&test), format!("0 of 1 objects are ready: Deployment kf/web: {expected}"));
    }
}

#[test]
fn workloads_are_rolled_out_or_say_what_is_missing() {
    let deployment = |more: &str, status: &str| {
        let text = format!(
            "{{metadata: {{name: x, namespace: kf, generation: 2{more}}}, spec: {{replicas: 2, selector: {{}}, template: {{}}}}, status: {status}}}"
        );
        Workload::from(&yaml::<Deployment>(&text)).blocked
    };
    let full = "{observedGeneration: 2, replicas: 2, updatedReplicas: 2, availableReplicas: 2}";
    assert_eq!(deployment("", full), None);
    let being_deleted = format!(", deletionTimestamp: '{}'", time(0));
    assert_eq!(deployment(&being_deleted, full).as_deref(), Some("is being deleted"));
    let table = [
        ("{}", "its newest spec has not been observed yet"),
        (
            "{observedGeneration: 1, replicas: 2, updatedReplicas: 2, availableReplicas: 2}",
            "its newest spec has not been observed yet",
        ),
        (
            "{observedGeneration: 2, replicas: 2, updatedReplicas: 1, availableReplicas: 2}",
            "1 of 2 replicas are of the newest spec",
        ),
        (
            "{observedGeneration: 2, replicas: 3, updatedReplicas: 2, availableReplicas: 2}",
            "1 replicas of an older spec are still there",
        ),
        (
            "{observedGeneration: 2, conditions: [{type: ReplicaFailure, status: 'True', message: quota exceeded}]}",
            "quota exceeded",
        ),
    ];
    for (status, expected) in table {
        assert_eq!(deployment("", status).as_deref(), Some(expected), "{status}");
    }

    let set = |spec: &str, status: &str| {
        let text = format!(
            "{{metadata: {{name: x, namespace: kf, generation: 1}}, spec: {{replicas: 3, selector: {{}}, template: {{}}{spec}}}, status: {status}}}"
        );
        Workload::from(&yaml::<StatefulSet>(&text)).blocked
    };
    let part = "{observedGeneration: 1, replicas: 3, updatedReplicas: 1, availableReplicas: 3}";
    assert!(set("", part).is_some());
    assert_eq!(set(", updateStrategy: {type: RollingUpdate, rollingUpdate: {partition: 2}}", part), None);
    assert_eq!(set(", updateStrategy: {type: OnDelete}", part), None);

    let daemons = |status: &str| {
        let text = format!(
            "{{metadata: {{name: x, namespace: kf, generation: 1}}, spec: {{selector: {{}}, template: {{}}}}, status: {status}}}"
        );
        Workload::from(&yaml::<DaemonSet>(&text)).blocked
    };
    let counts = "currentNumberScheduled: 2, numberMisscheduled: 0, numberReady: 2, observedGeneration: 1, desiredNumberScheduled: 2";
    assert_eq!(daemons(&format!("{{{counts}, updatedNumberScheduled: 2, numberAvailable: 2}}")), None);
    assert!(daemons(&format!("{{{counts}, updatedNumberScheduled: 2, numberAvailable: 1}}")).is_some());
}
