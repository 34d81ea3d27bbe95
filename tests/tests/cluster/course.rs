//! A run's course: attempts that follow each other, runs that are cancelled, fail fast, tell their progress, and go.

use std::{sync::Arc, time::Duration};

use crds::v1alpha1::{
    ConfigMapKey, E2ETest, PositiveDuration, RunReason, Script, Source, Test, TestReason, TestState,
    TestStatus, ZeroableDuration,
};
use e2e_tests::{
    cluster::{Cluster, Shared, eventually},
    objects::{
        TARGET, conditions, dump, e2etest, finished, message, notebook, run_to_end, script, test_status,
    },
    program::test_image,
};
use k8s_openapi::api::{batch::v1::Job, core::v1::Pod, events::v1::Event};
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use serde_json::json;

/// The reason of events that say that a test was not run.
const NOT_RUN: &str = "NotRun";

const PATIENCE: Duration = Duration::from_secs(90);

/// Creates a run.
async fn create(cluster: &Cluster, run: &E2ETest) {
    Api::<E2ETest>::all(cluster.client.clone()).create(&PostParams::default(), run).await.unwrap();
}

/// What a run's status says of a test, if it says anything yet.
async fn seen(cluster: &Cluster, run: &str, test: &str) -> Option<TestStatus> {
    let run = Api::<E2ETest>::all(cluster.client.clone()).get(run).await.unwrap();
    run.status?.tests.into_iter().find(|entry| entry.name == test)
}

/// Waits until the pod of a run's test runs.
async fn running_pod(cluster: &Cluster, run: &str) -> Pod {
    let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), TARGET);
    let params = ListParams::default().labels(&format!("e2e.kubeflow.org/run={run}"));
    let running = || async {
        let phase = |pod: &Pod| pod.status.as_ref().and_then(|status| status.phase.clone());
        let pod = pods.list(&params).await.unwrap().items.pop();
        pod.filter(|pod| phase(pod).as_deref() == Some("Running"))
    };
    eventually("the test's pod to run", PATIENCE, running).await
}

/// Jobs of a run.
async fn jobs(cluster: &Cluster, run: &str) -> Vec<Job> {
    let api: Api<Job> = Api::namespaced(cluster.client.clone(), TARGET);
    api.list(&ListParams::default().labels(&format!("e2e.kubeflow.org/run={run}"))).await.unwrap().items
}

pub(super) async fn flaky(shared: Arc<Shared>) {
    let cluster = super::cluster(shared).await;
    let source = "import os, sys\nsys.exit(3 if os.environ['E2E_ATTEMPT'] == '1' else 0)";
    let test = Test { retries: 2, ..script("shaky", source) };
    let ended = run_to_end(&cluster, &e2etest("flaky", vec![test])).await;
    assert_eq!(conditions(&ended)[2], "True TestsPassed", "{}", dump(&cluster, "flaky"));
    let status = test_status(&ended, "shaky");
    assert_eq!((status.state, status.flaky, status.attempt), (TestState::Passed, true, 2));
    assert_eq!(status.attempts[0].reason, Some(TestReason::NonZeroExit));
    assert_eq!(jobs(&cluster, "flaky").await.len(), 2, "the Job of each attempt is kept");
    let said = message(&ended, crds::v1alpha1::ConditionType::Succeeded);
    assert!(said.contains("flaky: shaky passed in attempt 2"), "{said}");
}

pub(super) async fn pod_deleted(shared: Arc<Shared>) {
    let cluster = super::cluster(shared).await;
    let source = "import os, time\ntime.sleep(600 if os.environ['E2E_ATTEMPT'] == '1' else 0)";
    create(&cluster, &e2etest("pod-deleted", vec![Test { retries: 1, ..script("victim", source) }])).await;
    let pod = running_pod(&cluster, "pod-deleted").await;
    let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), TARGET);
    pods.delete(&pod.name_any(), &DeleteParams::default().grace_period(1)).await.unwrap();
    let ended = finished(&cluster, "pod-deleted").await;
    let status = test_status(&ended, "victim");
    assert_eq!((status.state, status.flaky), (TestState::Passed, true), "{status:?}");
    assert_eq!(status.attempts[0].reason, Some(TestReason::JobVanished), "{status:?}");
}

pub(super) async fn no_node(shared: Arc<Shared>) {
    let cluster = super::cluster(shared).await;
    let test = Test {
        node_selector: [("e2e.kubeflow.org/no-such-label".into(), "true".into())].into(),
        start_timeout: Some(PositiveDuration("5s".into())),
        ..script("waits", "pass")
    };
    let ended = run_to_end(&cluster, &e2etest("no-node", vec![test])).await;
    let status = test_status(&ended, "waits");
    assert_eq!(status.reason, Some(TestReason::Unschedulable), "{status:?}");
    let job = jobs(&cluster, "no-node").await.pop().expect("the Job is kept");
    assert_eq!(job.spec.unwrap().suspend, Some(true), "a Job that goes on would make another pod");
    let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), TARGET);
    let params = ListParams::default().labels("e2e.kubeflow.org/run=no-node");
    let gone = || async { pods.list(&params).await.unwrap().items.is_empty().then_some(()) };
    eventually("the pod that no node has to be taken back", PATIENCE, gone).await;
}

pub(super) async fn fail_fast(shared: Arc<Shared>) {
    let cluster = super::cluster(shared).await;
    let mut run = e2etest(
        "fail-fast",
        vec![script("first", "raise SystemExit(1)"), script("second", "pass"), script("third", "pass")],
    );
    run.spec.max_parallel = 1;
    run.spec.fail_fast = true;
    let ended = run_to_end(&cluster, &run).await;
    assert_eq!(conditions(&ended)[2], "False TestsFailed");
    let second = test_status(&ended, "second");
    assert_eq!((second.state, second.attempt), (TestState::NotRun, 0));
    assert!(second.message.unwrap().contains("failFast"));
    // That a test was not run is told of each, by its name.
    let told_of_both = || async {
        let events =
            Api::<Event>::namespaced(cluster.client.clone(), "default").list(&ListParams::default()).await;
        let of_run = |event: &&Event| {
            event.regarding.as_ref().and_then(|run| run.name.as_deref()) == Some("fail-fast")
                && event.reason.as_deref() == Some(NOT_RUN)
        };
        let all = events.unwrap().items;
        let notes: Vec<&str> = all.iter().filter(of_run).filter_map(|event| event.note.as_deref()).collect();
        let told = |test: &str| notes.iter().filter(|note| note.contains(test)).count() == 1;
        (notes.len() == 2 && told("second") && told("third")).then_some(())
    };
    eventually("an event for each test that was not run", PATIENCE, told_of_both).await;
}

pub(super) async fn cancelled(shared: Arc<Shared>) {
    let cluster = super::cluster(shared).await;
    let mut run =
        e2etest("cancelled", vec![script("long", "import time\ntime.sleep(600)"), script("next", "pass")]);
    run.spec.max_parallel = 1;
    create(&cluster, &run).await;
    let pod = running_pod(&cluster, "cancelled").await;
    let patch = Patch::Merge(json!({"spec": {"cancel": true}}));
    let api = Api::<E2ETest>::all(cluster.client.clone());
    api.patch("cancelled", &PatchParams::default(), &patch).await.unwrap();
    let ended = finished(&cluster, "cancelled").await;
    let reason = RunReason::Cancelled;
    assert_eq!(conditions(&ended)[1..], [format!("True {reason}"), format!("False {reason}")]);
    assert_eq!(test_status(&ended, "long").state, TestState::Inconclusive);
    assert_eq!(test_status(&ended, "next").state, TestState::NotRun);
    let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), TARGET);
    let pod = pods.get(&pod.name_any()).await.expect("a cancelled pod is ended and not deleted");
    assert_eq!(pod.status.unwrap().phase.as_deref(), Some("Failed"));
}

pub(super) async fn progress(shared: Arc<Shared>) {
    let cluster = super::cluster(shared).await;
    let cells = ["x = 1", "import time", "time.sleep(12)", "x"];
    create(&cluster, &e2etest("progress", vec![notebook("cells", &cells)])).await;
    let third = || async {
        let cells = seen(&cluster, "progress", "cells").await?.cells?;
        (cells.current == Some(3)).then_some(cells)
    };
    let cells = eventually("the third cell to be shown", PATIENCE, third).await;
    assert_eq!((cells.passed, cells.failed, cells.total), (2, 0, 4));
    let ended = finished(&cluster, "progress").await;
    let cells = test_status(&ended, "cells").cells.unwrap();
    assert_eq!((cells.passed, cells.total, cells.current), (4, 4, None));
}

pub(super) async fn expires(shared: Arc<Shared>) {
    let cluster = super::cluster(shared).await;
    let mut run = e2etest("expires", vec![script("any", "pass")]);
    run.spec.ttl_after_finished = Some(ZeroableDuration("5s".into()));
    run_to_end(&cluster, &run).await;
    let api = Api::<E2ETest>::all(cluster.client.clone());
    let gone = || async { api.get_opt("expires").await.unwrap().is_none().then_some(()) };
    eventually("the run to be deleted", PATIENCE, gone).await;
    let gone = || async { jobs(&cluster, "expires").await.is_empty().then_some(()) };
    eventually("its Jobs to follow", PATIENCE, gone).await;
}

pub(super) async fn missing_source(shared: Arc<Shared>) {
    let cluster = super::cluster(shared).await;
    let key = ConfigMapKey { name: "not-there".into(), key: "test.py".into() };
    let source = Source { config_map: Some(key), ..Source::default() };
    let test = Test {
        script: Some(Script::python(source)),
        start_timeout: Some(PositiveDuration("10s".into())),
        ..Test::new("lost", test_image())
    };
    let ended = run_to_end(&cluster, &e2etest("missing-source", vec![test])).await;
    assert_eq!(conditions(&ended)[2], "False InfrastructureError");
    let said = test_status(&ended, "lost").message.unwrap();
    assert!(said.contains(&format!("create ConfigMap {TARGET}/not-there with the key test.py")), "{said}");
}
