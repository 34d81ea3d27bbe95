//! The gate: never open by emptiness, only after readiness has lasted, and closed again by a lapse.

use std::sync::Arc;

use crds::v1alpha1::{ConditionType, E2ETest, IgnoredObjects, TestState};
use serde_json::{Value, json};

use super::{
    gate_support::{Gated, inventory_of, object},
    support::*,
};
use crate::{
    Observed,
    gate::{Pattern, Reading, Sighting},
};

/// A run with a gate on namespace `kf`, stable for 10 s, given up after 45 m.
pub(super) fn gated() -> E2ETest {
    run("kubeflow: {namespaces: [kf]}\ntests:\n- {name: a, image: i, script: {source: {inline: x}}}")
}

/// What is seen of a gate.
pub(super) fn observed(gated: &Gated) -> Observed {
    let readiness = Arc::new(gated.readiness());
    Observed {
        gate: Some(Sighting { readiness, ready_since: None, perhaps_longer: false }),
        ..Observed::default()
    }
}

/// Namespace `kf`.
fn namespace() -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kf"}, "status": {"phase": "Active"}})
}

/// A Deployment with so many of one replica available.
fn deployment(available: i32) -> Value {
    object(
        "apps/v1",
        "Deployment",
        &format!(
            "{{metadata: {{name: web, namespace: kf, generation: 2, labels: {{app.kubernetes.io/part-of: pipelines}}}}, \
         spec: {{selector: {{matchLabels: {{app: web}}}}, template: {{}}}}, \
         status: {{observedGeneration: 2, replicas: 1, updatedReplicas: 1, availableReplicas: {available}}}}}"
        ),
    )
}

/// A gate over namespace `kf` with these objects in it.
fn kf(objects: &[Value]) -> Gated {
    let mut gated = Gated::namespaces(&["kf"]);
    gated.put(&namespace());
    for object in objects {
        gated.put(object);
    }
    gated
}

/// Namespace `kf` with that Deployment and these pods.
pub(super) fn with(available: i32, pods: &[Value]) -> Observed {
    let mut gated = kf(&[deployment(available)]);
    for pod in pods {
        gated.put(pod);
    }
    observed(&gated)
}

/// `Status/Reason` of `KubeflowReady` after a pass of an operator that has never been away.
fn after(test: &mut E2ETest, observed: &Observed, seconds: i64) -> String {
    let mut observed = observed.clone();
    if let Some(seen) = observed.gate.as_mut().filter(|seen| seen.readiness.is_ready()) {
        let shown = test.status.as_ref().and_then(|status| status.kubeflow.as_ref());
        let since = shown.and_then(|shown| shown.ready_since.as_ref()).map(|since| since.0);
        seen.ready_since = Some(since.unwrap_or_else(|| at(seconds)));
    }
    pass(test, &observed, seconds);
    condition(test, ConditionType::KubeflowReady)
}

/// The message of `KubeflowReady`.
pub(super) fn said(test: &E2ETest) -> String {
    let status = test.status.as_ref().unwrap();
    crds::v1alpha1::find(&status.conditions, ConditionType::KubeflowReady).unwrap().message.clone()
}

#[test]
fn nothing_is_ready_by_emptiness() {
    let namespaces = Gated::namespaces(&["kf"]);
    let mut forbidden = kf(&[deployment(1)]);
    forbidden.fail(&deployment(1), Reading::Unreadable("forbidden".into()));
    let mut unserved = Gated::inventory(&[deployment(1)]);
    unserved.fail(&deployment(1), Reading::NotServed);
    let mut unreadable = Gated::inventory(&[deployment(1)]);
    unreadable.fail(&deployment(1), Reading::Unreadable("forbidden".into()));
    let mut absent = Gated::inventory(&[]);
    absent.read(&crate::gate::Source::Inventories);
    let mut ignored = Gated::inventory(&[deployment(1)]);
    ignored.target.ignore = vec![pattern("Deployment", None, "*")];
    let mut all_ignored = kf(&[deployment(1)]);
    all_ignored.target.ignore = vec![pattern("Deployment", Some("kf"), "w*b")];
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a", "namespace": "kf"}});
    let table = [
        (namespaces, "0 of 1 objects are ready: Namespace kf: does not exist"),
        (forbidden, "0 of 1 objects are ready: Namespace kf: cannot be read: forbidden"),
        (kf(&[]), "0 of 1 objects are ready: Namespace kf: holds no Deployment, StatefulSet or DaemonSet"),
        (all_ignored, "0 of 1 objects are ready: Namespace kf: each of its workloads is ignored (1 ignored)"),
        (
            absent,
            "0 of 1 objects are ready: inventory kubeflow: there is no ConfigMap kubeflow-e2e-system/kubeflow with one: write it \
                  with `kfe2e inventory FILE --name kubeflow | kubectl apply --server-side -f -`",
        ),
        (Gated::inventory(&[]), "0 of 1 objects are ready: inventory kubeflow: names no object"),
        (
            Gated::without_objects("{"),
            "0 of 1 objects are ready: inventory kubeflow: ConfigMap kubeflow-e2e-system/kubeflow holds no inventory: EOF while parsing \
             an object at line 1 column 1",
        ),
        (
            Gated::without_objects(&inventory_of(&[deployment(1)])),
            "0 of 1 objects are ready: Deployment kf/web: does not exist",
        ),
        (
            unserved,
            "0 of 1 objects are ready: Deployment kf/web: no CRD serves its kind, Deployment of apps/v1",
        ),
        (unreadable, "0 of 1 objects are ready: Deployment kf/web: its kind cannot be read: forbidden"),
        (
            ignored,
            "0 of 1 objects are ready: inventory kubeflow: each object that it names is ignored, or is a Secret, which the operator \
             never reads (1 ignored)",
        ),
        (
            Gated::inventory(&[secret]),
            "0 of 1 objects are ready: inventory kubeflow: each object that it names is ignored, or is a Secret, which the operator \
             never reads (1 Secret not read)",
        ),
    ];
    for (gate, expected) in table {
        let seen = observed(&gate);
        let mut test = gated();
        for seconds in [0, 60, 120] {
            assert_eq!(after(&mut test, &seen, seconds), "False/Waiting");
        }
        assert_eq!(said(&test), expected);
        assert_eq!(first(&test).attempt, 0);
        assert_eq!(condition(&test, ConditionType::Succeeded), "Unknown/WaitingForKubeflow");
    }
}

/// A pattern of `spec.kubeflow.ignore`.
fn pattern(kind: &str, namespace: Option<&str>, name: &str) -> Pattern {
    let namespace = namespace.map(str::to_owned);
    Pattern::from(&IgnoredObjects { kind: kind.into(), namespace, name: name.into() })
}

#[test]
fn before_everything_is_read_what_was_said_holds() {
    let unknown = Observed::default();
    let mut test = gated();
    assert_eq!(after(&mut test, &unknown, 0), "False/Waiting");
    assert_eq!(said(&test), "Kubeflow is being looked at");
    after(&mut test, &with(1, &[]), 1);
    assert_eq!(after(&mut test, &with(1, &[]), 11), "True/Ready");
    let before = test.status.clone();
    assert_eq!(
        after(&mut test, &unknown, minutes(50)),
        "True/Ready",
        "an operator that starts takes nothing back"
    );
    assert_eq!(test.status.as_ref().unwrap().kubeflow, before.unwrap().kubeflow);
}

#[test]
fn errors_that_take_turns_cost_one_write() {
    let mut gate = kf(&[deployment(1)]);
    let mut test = gated();
    gate.fail(&deployment(1), Reading::Unreadable("connection refused".into()));
    after(&mut test, &observed(&gate), 0);
    let before = test.status.clone();
    for (why, seconds) in [("no answer within 10 s", 11), ("etcd is away", 12), ("connection refused", 13)] {
        gate.fail(&deployment(1), Reading::Unreadable(why.into()));
        assert_eq!(after(&mut test, &observed(&gate), seconds), "False/Waiting");
        assert_eq!(test.status, before);
    }
    assert_eq!(said(&test), "0 of 1 objects are ready: Namespace kf: cannot be read: connection refused");
    assert_eq!(after(&mut test, &observed(&gate), minutes(45)), "False/TimedOut");
}

#[test]
fn what_does_not_count_is_said() {
    let spark =
        object("apps/v1", "Deployment", "{metadata: {name: spark-operator, namespace: kf}, spec: {}}");
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a", "namespace": "kf"}});
    let mut gate = Gated::inventory(&[deployment(1), spark, secret]);
    assert!(!gate.readiness().is_ready());
    gate.target.ignore = vec![pattern("Deployment", None, "spark-*")];
    let mut test = gated();
    after(&mut test, &observed(&gate), 0);
    assert_eq!(after(&mut test, &observed(&gate), 10), "True/Ready");
    assert_eq!(said(&test), "the one object is ready (1 ignored, 1 Secret not read)");
}

#[test]
fn a_component_keeps_the_time_at_which_it_was_ready_first() {
    let mut test = gated();
    let first_ready = |test: &E2ETest| {
        let shown = test.status.as_ref().unwrap().kubeflow.as_ref().unwrap();
        shown.components[0].first_ready_time.as_ref().map(|time| time.0)
    };
    after(&mut test, &with(0, &[]), 0);
    assert_eq!(first_ready(&test), None);
    after(&mut test, &with(1, &[]), 5);
    after(&mut test, &with(0, &[]), 6);
    after(&mut test, &with(1, &[]), 7);
    assert_eq!(first_ready(&test), Some(at(5)));
}

/// A Deployment, a StatefulSet and a DaemonSet that want so many pods each, and have them.
fn workloads(desired: [i32; 3]) -> Vec<Value> {
    let [deployment, set, daemons] = desired;
    let workload = |kind: &str, name: &str, spec: &str, status: &str| {
        object(
            "apps/v1",
            kind,
            &format!(
                "{{metadata: {{name: {name}, namespace: kf, generation: 1}}, spec: {{{spec}selector: {{}}, template: {{}}}}, \
             status: {{observedGeneration: 1, {status}}}}}"
            ),
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
    let deployment = workload("Deployment", "web", &spec, &status);
    let (spec, status) = replicas(set);
    vec![
        deployment,
        workload("StatefulSet", "db", &spec, &status),
        workload("DaemonSet", "agent", "", &scheduled),
    ]
}

#[test]
fn what_is_scaled_to_zero_as_a_whole_is_not_ready() {
    for (desired, opens) in [([0, 0, 0], false), ([1, 0, 0], true), ([0, 2, 0], true), ([0, 0, 3], true)] {
        for (gate, asleep) in [
            (kf(&workloads(desired)), "Namespace kf"),
            (Gated::inventory(&workloads(desired)), "inventory kubeflow"),
        ] {
            let mut test = gated();
            after(&mut test, &observed(&gate), 0);
            assert_eq!(after(&mut test, &observed(&gate), 60) == "True/Ready", opens, "{desired:?}");
            let expected = if opens {
                "all 3 objects are ready".to_owned()
            } else {
                format!("3 of 4 objects are ready: {asleep}: none of its workloads asks for a pod")
            };
            assert_eq!(said(&test), expected);
        }
    }
}

#[test]
fn daemons_that_nobody_has_counted_yet_are_not_taken_for_none() {
    let new = "{metadata: {name: agent, namespace: kf, generation: 1}, spec: {selector: {}, template: {}}, \
               status: {currentNumberScheduled: 0, numberMisscheduled: 0, numberReady: 0, desiredNumberScheduled: 0}}";
    let gate = kf(&[object("apps/v1", "DaemonSet", new)]);
    assert_eq!(
        gate.blocking().as_deref(),
        Some("DaemonSet kf/agent: its newest spec has not been observed yet")
    );
}

#[test]
fn the_gate_opens_once_readiness_has_lasted() {
    let mut test = gated();
    assert_eq!(after(&mut test, &with(0, &[]), 0), "False/Waiting");
    assert_eq!(after(&mut test, &with(1, &[]), 5), "False/Waiting");
    assert_eq!(said(&test), "the one object is ready, and must stay so for 10s");
    assert_eq!(after(&mut test, &with(1, &[]), 14), "False/Waiting");
    assert_eq!(after(&mut test, &with(1, &[]), 15), "True/Ready");
    assert_eq!(first(&test).attempt, 1);
    assert_eq!(test.status.as_ref().unwrap().kubeflow.as_ref().unwrap().summary, "1/1");
}

#[test]
fn a_break_starts_the_wait_anew() {
    let mut test = gated();
    after(&mut test, &with(1, &[]), 0);
    after(&mut test, &with(0, &[]), 8);
    assert_eq!(after(&mut test, &with(1, &[]), 9), "False/Waiting");
    assert_eq!(after(&mut test, &with(1, &[]), 18), "False/Waiting");
    assert_eq!(after(&mut test, &with(1, &[]), 19), "True/Ready");
}

#[test]
fn a_lapse_while_tests_run_is_shown_and_changes_no_verdict() {
    let mut test = run(
        "kubeflow: {namespaces: [kf], stableFor: 0s}\ntests:\n- {name: a, image: i, script: {source: {inline: x}}}",
    );
    assert_eq!(after(&mut test, &with(1, &[]), 0), "True/Ready");
    let mut test = started(test);
    let mut lapsed = with(0, &[]);
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
fn a_gate_that_was_open_in_time_gives_up_no_more() {
    let mut test = gated();
    let no_place = |available| Observed { places: Some(0), ..with(available, &[]) };
    after(&mut test, &no_place(1), 0);
    assert_eq!(after(&mut test, &no_place(1), 10), "True/Ready");
    assert_eq!(after(&mut test, &no_place(0), minutes(50)), "False/Lapsed");
    assert_eq!(condition(&test, ConditionType::Finished), "False/WaitingForKubeflow");
    after(&mut test, &with(1, &[]), minutes(51));
    assert_eq!(after(&mut test, &with(1, &[]), minutes(52)), "True/Ready");
    assert_eq!(first(&test).attempt, 1);
}

#[test]
fn a_gate_that_never_opens_ends_the_run_with_one_sentence() {
    let crash = "metadata: {name: web-1, namespace: kf, labels: {app: web}}\nspec: {containers: []}\nstatus: {phase: Running, containerStatuses: [\
                 {name: web, image: i, imageID: '', ready: false, restartCount: 4, state: {waiting: {reason: CrashLoopBackOff}}, \
                 lastState: {terminated: {exitCode: 2, reason: Error, message: no database}}}]}";
    let crash = object("v1", "Pod", crash);
    let mut test = gated();
    after(&mut test, &with(0, std::slice::from_ref(&crash)), 0);
    assert_eq!(after(&mut test, &with(0, std::slice::from_ref(&crash)), minutes(45)), "False/TimedOut");
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
            "{{metadata: {{name: p, namespace: kf, labels: {{app: web}}}}, spec: {{containers: []}}, status: {{phase: Pending, containerStatuses: [{{name: web, \
             image: docker.io/x:1, imageID: '', ready: false, restartCount: 0, state: {{waiting: {{reason: {reason}, message: '{text}'}}}}}}]}}}}"
        )
    };
    let table = [
        (waiting("ImagePullBackOff", "no such host"), "ImagePullBackOff: image docker.io/x:1 of container web: no such host"),
        (waiting("CreateContainerConfigError", "no key x"), "CreateContainerConfigError: container web: no key x"),
        (
            "{metadata: {name: p, namespace: kf, labels: {app: web}}, spec: {containers: []}, status: {phase: Pending, conditions: [{type: PodScheduled, \
             status: 'False', reason: Unschedulable, message: 0/1 nodes are available}]}}"
                .to_owned(),
            "Unschedulable: 0/1 nodes are available",
        ),
        (
            "{metadata: {name: p, namespace: kf, labels: {app: web}}, spec: {containers: [{name: web, readinessProbe: {httpGet: {port: 8080, path: /ready}}}]}, \
             status: {phase: Running, containerStatuses: [{name: web, image: i, imageID: '', ready: false, started: true, restartCount: 0, \
             state: {running: {}}}]}}"
                .to_owned(),
            "container web runs and its readiness probe (GET :8080/ready) does not succeed",
        ),
        ("{metadata: {name: p, namespace: kf, labels: {app: other}}, status: {phase: Pending}}".to_owned(), "0 of 1 replicas are available"),
    ];
    for (pod, expected) in table {
        let pod = object("v1", "Pod", &pod);
        let mut test = gated();
        after(&mut test, &with(0, &[pod]), 0);
        assert_eq!(said(&test), format!("0 of 1 objects are ready: Deployment kf/web: {expected}"));
    }
}
