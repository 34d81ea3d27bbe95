//! The operator in a real cluster, installed as its users do: `kubectl apply -k`, `kubectl wait`, `kubectl get`.

use std::{collections::BTreeSet, process::ExitCode, sync::Arc, time::Duration};

use crds::v1alpha1::{
    ConditionType, E2ETest, Gate, PositiveDuration, TestReason, TestState, ZeroableDuration,
};
use e2e_tests::{
    audit,
    cluster::{Cluster, Shared, eventually},
    installed::installed,
    objects::{
        TARGET, conditions, e2etest, finished, gate, message, notebook, notebook_json, run_to_end, script,
        test_status,
    },
    trials::{is_whole, plain, run, runtime, trial},
};
use k8s_openapi::api::{batch::v1::Job, core::v1::Pod, rbac::v1::ClusterRole};
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, ListParams, PostParams},
};
use serde_json::json;

#[path = "cluster/course.rs"]
mod course;
#[path = "cluster/meshed.rs"]
mod meshed;

/// A namespace that does not let the operator in.
const SHUT: &str = "shut";

fn main() -> ExitCode {
    let (runtime, shared) = (runtime(), Shared::new("e2e-cluster"));
    let mut trials = vec![
        trial("a script and a notebook pass", &runtime, &shared, both_pass),
        trial("a failing script and a raising cell are told apart", &runtime, &shared, both_fail),
        trial("a run can be followed with kubectl", &runtime, &shared, kubectl_follows),
        trial("the gate opens when two deployments are ready", &runtime, &shared, gate_opens),
        trial("the gate names what keeps it closed", &runtime, &shared, gate_stays_closed),
        trial("the gate opens when an inventory is ready", &runtime, &shared, inventory_opens),
        trial(
            "a test cannot start in a namespace that does not let the operator in",
            &runtime,
            &shared,
            unbound_namespace,
        ),
        trial("what the image lacks is the test's outcome", &runtime, &shared, image_lacks),
        trial("an image that cannot be had is an infrastructure error", &runtime, &shared, image_missing),
        trial(
            "the kfp sdk reaches the pipelines api with the pod default's token",
            &runtime,
            &shared,
            pipelines,
        ),
        trial("a pod default that is not injected is noticed", &runtime, &shared, not_injected),
        trial("a test that runs too long is ended", &runtime, &shared, times_out),
        trial("a job that someone deletes is not made again", &runtime, &shared, job_vanishes),
        trial("a pod that someone deletes is tried again", &runtime, &shared, course::pod_deleted),
        trial("a pod that no node has is taken back", &runtime, &shared, course::no_node),
        trial("a pass after a failed attempt is flaky", &runtime, &shared, course::flaky),
        trial("a run that fails fast starts no further test", &runtime, &shared, course::fail_fast),
        trial("a cancelled run ends what runs", &runtime, &shared, course::cancelled),
        trial("a running notebook tells its progress", &runtime, &shared, course::progress),
        trial("a native sidecar of a mesh ends with the test", &runtime, &shared, meshed::passes),
        trial("a finished run is deleted when its time has come", &runtime, &shared, course::expires),
        trial("a missing config map is said with what to do", &runtime, &shared, course::missing_source),
        trial("an operator that is killed loses nothing", &runtime, &shared, operator_restarts),
        trial("deleting a run removes what it made", &runtime, &shared, deletion_cascades),
        trial("who may not create pods may not have them created", &runtime, &shared, confused_deputy),
        trial("a run leaves a cluster of its name alone", &runtime, &shared, name_is_taken),
        plain("a right that is missing, or that nobody used, is noticed", audit::planted::check),
    ];
    // Last: it looks back on all of them.
    if is_whole() {
        trials.push(trial(
            "the operator has the rights that it used, and no others",
            &runtime,
            &shared,
            rights_are_used,
        ));
    }
    run(trials, || shared.remove())
}

async fn cluster(shared: Arc<Shared>) -> Arc<Cluster> {
    shared.get(installed).await
}

async fn both_pass(shared: Arc<Shared>) {
    let cluster = cluster(shared).await;
    let tests = vec![
        script("script", "import os\nassert os.getuid() == 1000\nprint(6 * 7)"),
        notebook("notebook", &["x = 6 * 7", "print(x)\nassert x == 42"]),
    ];
    let ended = run_to_end(&cluster, &e2etest("both-pass", tests)).await;
    assert_eq!(conditions(&ended), ["Unknown NotRequested", "True TestsPassed", "True TestsPassed"]);
    assert_eq!(ended.status.as_ref().unwrap().tests_summary.as_deref(), Some("2/2"));
    let cells = test_status(&ended, "notebook").cells.unwrap();
    assert_eq!((cells.passed, cells.failed, cells.total), (2, 0, 2));
}

async fn both_fail(shared: Arc<Shared>) {
    let cluster = cluster(shared).await;
    let tests = vec![
        script("script", "import sys\nprint('no luck', file=sys.stderr)\nsys.exit(3)"),
        notebook("notebook", &["a = 1", "b = 0", "a / b", "print('never')"]),
        script("passes", "pass"),
    ];
    let ended = run_to_end(&cluster, &e2etest("both-fail", tests)).await;
    assert_eq!(conditions(&ended), ["Unknown NotRequested", "True TestsFailed", "False TestsFailed"]);
    let (script, notebook) = (test_status(&ended, "script"), test_status(&ended, "notebook"));
    assert_eq!((script.state, script.reason), (TestState::Failed, Some(TestReason::NonZeroExit)));
    assert!(script.message.unwrap().contains("exit code 3"));
    assert_eq!((notebook.state, notebook.reason), (TestState::Failed, Some(TestReason::CellFailed)));
    let text = notebook.message.unwrap();
    assert!(text.contains("cell 3") && text.contains("ZeroDivisionError: division by zero"), "{text}");
    assert_eq!(test_status(&ended, "passes").state, TestState::Passed);
    assert_eq!(ended.status.as_ref().unwrap().tests_summary.as_deref(), Some("1/3"));
    let summary = message(&ended, ConditionType::Succeeded);
    assert!(summary.contains("2 of 3") && summary.contains("ZeroDivisionError"), "{summary}");
}

async fn kubectl_follows(shared: Arc<Shared>) {
    let cluster = cluster(shared).await;
    let run = e2etest("kubectl", vec![script("slow", "import time\ntime.sleep(3)")]);
    Api::<E2ETest>::all(cluster.client.clone()).create(&PostParams::default(), &run).await.unwrap();
    let columns = || async {
        let table = cluster.kubectl(&["get", "e2e", "kubectl"]).expect(0).stdout;
        table.contains("Running").then_some(table)
    };
    let table = eventually("the run to be shown as Running", Duration::from_secs(60), columns).await;
    let (head, row) = table.split_once('\n').unwrap();
    assert_eq!(
        head.split_whitespace().collect::<Vec<_>>(),
        ["NAME", "SUCCEEDED", "REASON", "KUBEFLOW", "TESTS", "AGE"]
    );
    assert!(row.contains("Unknown") && row.contains("0/1"), "{row}");
    cluster.kubectl(&["wait", "--for=condition=Finished", "e2e/kubectl", "--timeout=120s"]).expect(0);
    let events = cluster.kubectl(&["get", "events", "-n", "default", "-o", "json"]).expect(0).stdout;
    assert!(events.contains("\"kind\": \"E2ETest\"") && events.contains("TestsPassed"), "{events}");
}

/// Two Deployments in a namespace of their own; the image of `second` is `image`.
fn two_deployments(cluster: &Cluster, namespace: &str, image: &str) {
    let deployment = |name: &str, image: &str| {
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": namespace}, "spec": {
            "selector": {"matchLabels": {"app": name}}, "template": {"metadata": {"labels": {"app": name}}, "spec": {
                "containers": [{"name": "main", "image": image, "imagePullPolicy": "IfNotPresent", "command": ["python3", "-c", "import time; time.sleep(3600)"]}],
                "terminationGracePeriodSeconds": 0}}}})
    };
    let good = e2e_tests::program::test_image();
    let list = json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}},
        deployment("first", &good), deployment("second", image)]});
    cluster.apply(&list);
}

async fn gate_opens(shared: Arc<Shared>) {
    let cluster = cluster(shared).await;
    two_deployments(&cluster, "gate-opens", &e2e_tests::program::test_image());
    let mut run = e2etest("gate-opens", vec![script("after", "pass")]);
    run.spec.kubeflow = Some(gate(&["gate-opens"], "2m"));
    let ended = run_to_end(&cluster, &run).await;
    assert_eq!(conditions(&ended), ["True Ready", "True TestsPassed", "True TestsPassed"]);
    assert_eq!(ended.status.unwrap().kubeflow.unwrap().summary, "2/2");
}

async fn gate_stays_closed(shared: Arc<Shared>) {
    let cluster = cluster(shared).await;
    two_deployments(&cluster, "gate-closed", "localhost/does-not-exist:1");
    let mut run = e2etest("gate-closed", vec![script("never", "pass")]);
    run.spec.kubeflow = Some(gate(&["gate-closed"], "20s"));
    let ended = run_to_end(&cluster, &run).await;
    assert_eq!(conditions(&ended), ["False TimedOut", "True KubeflowNotReady", "False KubeflowNotReady"]);
    let text = message(&ended, ConditionType::KubeflowReady);
    assert!(
        text.contains("Deployment gate-closed/second") && text.contains("localhost/does-not-exist:1"),
        "{text}"
    );
    assert_eq!(test_status(&ended, "never").state, TestState::NotRun);
    let jobs: Api<Job> = Api::namespaced(cluster.client.clone(), TARGET);
    let params = ListParams::default().labels("e2e.kubeflow.org/run=gate-closed");
    assert_eq!(jobs.list(&params).await.unwrap().items.len(), 0);

    let mut empty = e2etest("gate-empty", vec![script("never", "pass")]);
    empty.spec.kubeflow = Some(gate(&["default"], "3s"));
    let ended = run_to_end(&cluster, &empty).await;
    assert_eq!(conditions(&ended)[0], "False TimedOut", "a namespace without workloads is never ready");
}

/// The small Kubeflow, by the inventory that a person makes of it.
async fn inventory_opens(shared: Arc<Shared>) {
    let cluster = cluster(shared).await;
    let limit = Duration::from_secs(60);
    let printed = e2e_tests::program::run(&["inventory", "tests/kubeflow-mini"], limit).expect(0);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), printed.stdout).unwrap();
    cluster.kubectl(&["apply", "--server-side", "-f", file.path().to_str().unwrap()]).expect(0);
    // Kubernetes' own controller adds the rules to the role that is bound.
    let roles: Api<ClusterRole> = Api::all(cluster.client.clone());
    let added = || async {
        roles.get("kubeflow-e2e-inventory").await.unwrap().rules.filter(|rules| !rules.is_empty())
    };
    eventually("the inventory's kinds to be readable", limit, added).await;
    let mut run = e2etest("inventory-opens", vec![script("after", "pass")]);
    run.spec.kubeflow = Some(Gate {
        timeout: Some(PositiveDuration("2m".into())),
        stable_for: ZeroableDuration("0s".into()),
        ..Gate::over_inventory(crds::gate_inventory::KUBEFLOW)
    });
    let ended = run_to_end(&cluster, &run).await;
    assert_eq!(conditions(&ended), ["True Ready", "True TestsPassed", "True TestsPassed"]);
}

async fn unbound_namespace(shared: Arc<Shared>) {
    let cluster = cluster(shared).await;
    cluster.kubectl(&["create", "namespace", SHUT]).expect(0);
    let mut test = script("never", "pass");
    test.start_timeout = Some(PositiveDuration("5s".into()));
    let mut run = e2etest("unbound", vec![test]);
    run.spec.target_namespace = SHUT.into();
    run.spec.service_account_name = "default".into();
    let ended = run_to_end(&cluster, &run).await;
    assert_eq!(conditions(&ended)[2], "False InfrastructureError");
    let text = test_status(&ended, "never").message.unwrap();
    assert!(text.contains(SHUT) && text.contains("forbidden"), "{text}");
}

async fn image_lacks(shared: Arc<Shared>) {
    let cluster = cluster(shared).await;
    let mut interpreter = script("interpreter", "puts 1");
    interpreter.script.as_mut().unwrap().interpreter = vec!["ruby".into()];
    let mut kernel = notebook("kernel", &["1"]);
    kernel.notebook.as_mut().unwrap().source.inline = Some(notebook_json(&["1"], "julia-1.9").to_string());
    let ended = run_to_end(&cluster, &e2etest("image-lacks", vec![interpreter, kernel])).await;
    assert_eq!(conditions(&ended)[2], "False TestsFailed");
    let (interpreter, kernel) = (test_status(&ended, "interpreter"), test_status(&ended, "kernel"));
    assert!(interpreter.message.as_ref().unwrap().contains("ruby"), "{interpreter:?}");
    assert_eq!(kernel.reason, Some(TestReason::KernelDied));
    let text = kernel.message.unwrap();
    assert!(text.contains("julia-1.9") && text.contains("python3"), "{text}");
}

async fn image_missing(shared: Arc<Shared>) {
    let cluster = cluster(shared).await;
    let mut test = script("image", "pass");
    test.image = "localhost/does-not-exist:1".into();
    test.start_timeout = Some(PositiveDuration("20s".into()));
    let ended = run_to_end(&cluster, &e2etest("image-missing", vec![test])).await;
    assert_eq!(conditions(&ended)[2], "False InfrastructureError");
    let status = test_status(&ended, "image");
    assert_eq!((status.state, status.reason), (TestState::Error, Some(TestReason::ImagePullFailed)));
    assert!(status.message.as_ref().unwrap().contains("localhost/does-not-exist:1"), "{status:?}");
}

async fn pipelines(shared: Arc<Shared>) {
    let cluster = cluster(shared).await;
    let source = std::fs::read_to_string(
        e2e_tests::program::checkout().join("manifests/samples/kubeflow-pipelines.py"),
    )
    .unwrap();
    let mut test = script("pipelines", &source);
    test.pipeline_access = true;
    let mut run = e2etest("pipelines", vec![test]);
    run.spec.kubeflow = Some(gate(&["kubeflow"], "3m"));
    let ended = run_to_end(&cluster, &run).await;
    assert_eq!(
        conditions(&ended)[2],
        "True TestsPassed",
        "{}",
        e2e_tests::objects::dump(&cluster, "pipelines")
    );

    let mut without = script("without", &source);
    without.pipeline_access = false;
    let ended = run_to_end(&cluster, &e2etest("no-token", vec![without])).await;
    assert_eq!(conditions(&ended)[2], "False TestsFailed", "without the token the API must refuse");
}

async fn not_injected(shared: Arc<Shared>) {
    let cluster = cluster(shared).await;
    let namespace = "not-a-profile";
    let list = json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}},
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default-editor", "namespace": namespace}},
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "kubeflow-e2e-target", "namespace": namespace},
         "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "kubeflow-e2e-target"},
         "subjects": [{"kind": "ServiceAccount", "name": "kubeflow-e2e-operator", "namespace": crds::names::SYSTEM_NAMESPACE}]}]});
    cluster.apply(&list);
    let mut test = script("access", "pass");
    test.pipeline_access = true;
    let mut run = e2etest("not-injected", vec![test]);
    run.spec.target_namespace = namespace.into();
    let ended = run_to_end(&cluster, &run).await;
    assert_eq!(conditions(&ended)[2], "False InfrastructureError");
    let status = test_status(&ended, "access");
    assert_eq!(status.reason, Some(TestReason::PodDefaultNotInjected));
    assert!(status.message.as_ref().unwrap().contains("kubeflow-profile"), "{status:?}");
}

async fn times_out(shared: Arc<Shared>) {
    let cluster = cluster(shared).await;
    let mut test = notebook("slow", &["x = 1", "import time\ntime.sleep(600)"]);
    test.timeout = Some(PositiveDuration("10s".into()));
    let ended = run_to_end(&cluster, &e2etest("times-out", vec![test])).await;
    assert_eq!(conditions(&ended)[2], "False TestsFailed");
    let status = test_status(&ended, "slow");
    assert_eq!(status.reason, Some(TestReason::TimedOut));
    assert!(status.message.as_ref().unwrap().contains("cell 2"), "{status:?}");
}

async fn job_vanishes(shared: Arc<Shared>) {
    let cluster = cluster(shared).await;
    let run = e2etest("job-vanishes", vec![script("victim", "import time\ntime.sleep(600)")]);
    Api::<E2ETest>::all(cluster.client.clone()).create(&PostParams::default(), &run).await.unwrap();
    let jobs: Api<Job> = Api::namespaced(cluster.client.clone(), TARGET);
    let params = ListParams::default().labels("e2e.kubeflow.org/run=job-vanishes");
    let recorded = || async {
        let run = Api::<E2ETest>::all(cluster.client.clone()).get("job-vanishes").await.unwrap();
        run.status.and_then(|status| status.tests.first().and_then(|test| test.job.clone()))
    };
    let job = eventually("the job to be recorded", Duration::from_secs(60), recorded).await;
    jobs.delete(&job.name, &DeleteParams::background()).await.unwrap();
    let ended = finished(&cluster, "job-vanishes").await;
    assert_eq!(test_status(&ended, "victim").reason, Some(TestReason::JobVanished));
    assert_eq!(jobs.list(&params).await.unwrap().items.len(), 0, "a vanished job must not be made again");
}

async fn operator_restarts(shared: Arc<Shared>) {
    let cluster = cluster(shared).await;
    let run = e2etest("restart", vec![script("long", "import time\ntime.sleep(8)")]);
    Api::<E2ETest>::all(cluster.client.clone()).create(&PostParams::default(), &run).await.unwrap();
    let jobs: Api<Job> = Api::namespaced(cluster.client.clone(), TARGET);
    let params = ListParams::default().labels("e2e.kubeflow.org/run=restart");
    let created = || async { jobs.list(&params).await.unwrap().items.pop() };
    let job = eventually("the job", Duration::from_secs(60), created).await;
    let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), crds::names::SYSTEM_NAMESPACE);
    for pod in pods.list(&ListParams::default()).await.unwrap() {
        pods.delete(&pod.name_any(), &DeleteParams::default().grace_period(0)).await.unwrap();
    }
    let ended = finished(&cluster, "restart").await;
    assert_eq!(conditions(&ended)[2], "True TestsPassed");
    let all = jobs.list(&params).await.unwrap().items;
    assert_eq!(
        all.iter().map(kube::ResourceExt::uid).collect::<Vec<_>>(),
        [job.uid()],
        "one job per attempt"
    );
}

async fn deletion_cascades(shared: Arc<Shared>) {
    let cluster = cluster(shared).await;
    run_to_end(&cluster, &e2etest("deleted", vec![script("any", "pass")])).await;
    cluster.kubectl(&["delete", "e2etest", "deleted", "--wait=true", "--timeout=60s"]).expect(0);
    let gone = || async {
        let selector = "e2e.kubeflow.org/run=deleted";
        let text = cluster
            .kubectl(&["get", "jobs,pods,configmaps,poddefaults", "-n", TARGET, "-l", selector, "-o", "name"])
            .expect(0)
            .stdout;
        text.trim().is_empty().then_some(())
    };
    eventually(
        "jobs, pods, config maps and pod defaults of a deleted run to go",
        Duration::from_secs(60),
        gone,
    )
    .await;
}

/// A user who may create runs and nothing else cannot use the operator to get pods.
async fn confused_deputy(shared: Arc<Shared>) {
    let cluster = cluster(shared).await;
    let group = "rbac.authorization.k8s.io";
    let list = json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": format!("{group}/v1"), "kind": "ClusterRole", "metadata": {"name": "eve"},
         "rules": [{"apiGroups": ["e2e.kubeflow.org"], "resources": ["e2etests"], "verbs": ["create", "get"]}]},
        {"apiVersion": format!("{group}/v1"), "kind": "ClusterRoleBinding", "metadata": {"name": "eve"},
         "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "eve"},
         "subjects": [{"apiGroup": group, "kind": "User", "name": "eve"}]}]});
    let run = serde_json::to_string(&e2etest("eve", vec![script("any", "pass")])).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let object = folder.path().join("run.json");
    std::fs::write(&object, run).unwrap();
    cluster.apply(&list);
    let create = ["create", "--dry-run=server", "-f", object.to_str().unwrap()];
    cluster.kubectl(&create).expect(0);
    let refused = cluster.kubectl(&[&create[..], &["--as", "eve"]].concat());
    assert_eq!(refused.code, Some(1), "{}", refused.stdout);
    assert!(refused.stderr.contains("you may not create pods in namespace"), "{}", refused.stderr);
}

async fn name_is_taken(shared: Arc<Shared>) {
    let cluster = cluster(shared).await;
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let arguments =
        ["run", "--cluster", "embedded", "--name", &cluster.name, "--kubeflow", "none", "--script"];
    let script = folder.path().join("a.py");
    std::fs::write(&script, "pass").unwrap();
    let mut arguments: Vec<&str> = arguments.into();
    arguments.extend([script.to_str().unwrap(), "--out", out.to_str().unwrap()]);
    let ended = e2e_tests::program::run(&arguments, Duration::from_secs(20)).expect(4);
    assert!(
        ended.stderr.contains(&format!("kfe2e down --cluster embedded --name {}", cluster.name)),
        "{}",
        ended.stderr
    );
    assert!(!out.exists(), "the output folder was made");
    cluster.kubectl(&["get", "--raw", "/readyz"]).expect(0);
}

async fn rights_are_used(shared: Arc<Shared>) {
    let cluster = cluster(shared).await;
    let (used, granted) = (audit::used(&cluster.name), audit::granted(&cluster.client).await);
    let unused = used.unused(&granted);
    let on_purpose: BTreeSet<String> = [SHUT.to_owned()].into();
    let missing = used.missing_outside(&on_purpose);
    println!(
        "the operator's rights: {} granted, {} unused, {} requests refused of {} ({} more in namespace {SHUT})",
        granted.len(),
        unused.len(),
        missing.len(),
        used.requests,
        used.missing.len() - missing.len()
    );
    assert!(used.missing.len() > missing.len(), "no refusal was written down");
    assert_eq!(used.passing, 0, "requests were refused that were allowed at another time");
    assert_eq!((unused, missing), (Vec::new(), Vec::new()));
}
