//! The gate on a real API server without nodes or controllers: whatever is ready is so because a trial has written it.

#[path = "readiness/kubeflow.rs"]
mod kubeflow;

use std::{
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use crds::v1alpha1::{ConditionType, E2ETest, Gate, PositiveDuration, ZeroableDuration, find};
use e2e_tests::{
    cluster::{Cluster, Shared, eventually},
    objects::{e2etest, message, script},
    operator::Operator,
    program,
    trials::{run, runtime, trial},
};
use kube::{
    Api,
    api::{DeleteParams, PostParams},
    runtime::wait::await_condition,
};
use serde_json::{Value, json};

/// How long anything may take here before a trial fails.
const LIMIT: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    let (runtime, shared) = (runtime(), Shared::new("e2e-readiness"));
    let trials = vec![
        trial("a whole Kubeflow is judged by its inventory", &runtime, &shared, whole_kubeflow),
        trial("a webhook without an endpoint keeps the gate closed", &runtime, &shared, webhook),
        trial("a claim without a volume keeps the gate closed", &runtime, &shared, claim),
        trial("a custom resource that is not ready keeps the gate closed", &runtime, &shared, custom),
        trial("an inventory that is missing keeps the gate closed", &runtime, &shared, missing),
        trial("a restarted operator counts anew, and takes nothing back", &runtime, &shared, restarted),
        trial("a run that is over takes up what is changed of its spec", &runtime, &shared, cancelled_late),
    ];
    run(trials, || shared.remove())
}

async fn cluster(shared: Arc<Shared>) -> Arc<Cluster> {
    shared
        .get(|name| async move {
            let cluster = Cluster::up(name, &["--nodes", "0"]).await;
            cluster
                .kubectl(&["apply", "--server-side", "-f", "manifests/crd/e2etests.e2e.kubeflow.org.yaml"])
                .expect(0);
            for namespace in [crds::names::SYSTEM_NAMESPACE, "tests", "kf"] {
                cluster.apply(
                    &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}),
                );
            }
            cluster
        })
        .await
}

/// Makes the inventory of these objects as a person would: `kfe2e inventory FILE | kubectl apply -f -`.
fn inventory(cluster: &Cluster, name: &str, objects: &[Value]) {
    let folder = tempfile::tempdir().unwrap();
    let (rendered, manifest) = (folder.path().join("rendered.json"), folder.path().join("inventory.yaml"));
    std::fs::write(&rendered, json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string())
        .unwrap();
    let printed = program::run(&["inventory", rendered.to_str().unwrap(), "--name", name], LIMIT).expect(0);
    std::fs::write(&manifest, printed.stdout).unwrap();
    cluster.kubectl(&["apply", "--server-side", "-f", manifest.to_str().unwrap()]).expect(0);
}

/// Creates a run with a gate over that inventory, which opens at once.
async fn waiting(cluster: &Cluster, name: &str) -> Api<E2ETest> {
    let gate = Gate { stable_for: ZeroableDuration("0s".into()), ..Gate::over_inventory(name) };
    behind(cluster, name, gate).await
}

/// Creates a run with that gate.
async fn behind(cluster: &Cluster, name: &str, gate: Gate) -> Api<E2ETest> {
    let mut run = e2etest(name, vec![script("never", "pass")]);
    run.spec.target_namespace = "tests".into();
    run.spec.kubeflow = Some(gate);
    let api: Api<E2ETest> = Api::all(cluster.client.clone());
    api.create(&PostParams::default(), &run).await.unwrap();
    api
}

/// Waits until `KubeflowReady` has this status and reason, and a message with this text in it.
async fn becomes(api: &Api<E2ETest>, name: &str, wanted: &str, text: &str) -> E2ETest {
    let is = |run: Option<&E2ETest>| {
        let status = run.and_then(|run| run.status.as_ref());
        status.and_then(|status| find(&status.conditions, ConditionType::KubeflowReady)).is_some_and(
            |ready| format!("{} {}", ready.status, ready.reason) == wanted && ready.message.contains(text),
        )
    };
    let Ok(run) = tokio::time::timeout(LIMIT, await_condition(api.clone(), name, is)).await else {
        let status = api.get_status(name).await.unwrap().status;
        panic!("{name} did not become {wanted} with {text:?}: {status:#?}")
    };
    run.unwrap().unwrap()
}

/// The gate is closed for this reason, and opens once `fixed` is applied.
async fn closed_until(
    cluster: &Cluster,
    name: &str,
    objects: &[Value],
    reason: &str,
    fixed: &[(Value, bool)],
) {
    let _operator = Operator::start(cluster);
    inventory(cluster, name, objects);
    let api = waiting(cluster, name).await;
    becomes(&api, name, "False Waiting", reason).await;
    for (object, is_status) in fixed {
        kubeflow::apply(cluster, object, *is_status).await;
    }
    becomes(&api, name, "True Ready", "ready").await;
    api.delete(name, &DeleteParams::default()).await.unwrap();
}

async fn whole_kubeflow(shared: Arc<Shared>) {
    let cluster = cluster(shared).await;
    let objects = kubeflow::objects();
    assert_eq!(objects.len(), 683);
    kubeflow::create(&cluster, &objects).await;
    let operator = Operator::start(&cluster);
    inventory(&cluster, "kubeflow", &objects);
    let api = waiting(&cluster, "kubeflow").await;
    becomes(&api, "kubeflow", "False Waiting", "11 Secrets not read").await;

    let (last, before) = kubeflow::make_ready(&cluster, &objects).await;
    let all_but_one = becomes(&api, "kubeflow", "False Waiting", "671 of 672 objects are ready").await;
    let text = message(&all_but_one, ConditionType::KubeflowReady);
    assert!(text.contains(&last), "{text}");

    let mut samples = Vec::new();
    for round in 0..10 {
        let opened =
            becomes(&api, "kubeflow", "True Ready", "all 672 objects are ready (11 Secrets not read)");
        let written = async {
            kubeflow::apply(&cluster, &before.ready, true).await;
            Instant::now()
        };
        let (_, written) = tokio::join!(opened, written);
        samples.push(written.elapsed().as_millis());
        if round < 9 {
            kubeflow::apply(&cluster, &before.unready, true).await;
            becomes(&api, "kubeflow", "False Lapsed", "671 of 672").await;
        }
    }
    samples.sort_unstable();
    println!(
        "last of 683 objects ready -> KubeflowReady=True (goal 100 ms): {} ms at the median, {} ms at most (n = {}); operator {} MiB",
        samples[samples.len() / 2],
        samples[samples.len() - 1],
        samples.len(),
        operator.resident()
    );
    let shown = api.get_status("kubeflow").await.unwrap().status.unwrap().kubeflow.unwrap();
    assert_eq!(shown.summary, "672/672");
    assert!(shown.components.iter().all(|component| component.first_ready_time.is_some()));
    // An operator that starts again takes nothing back, and sees what changes.
    drop(operator);
    let version = api.get("kubeflow").await.unwrap().metadata.resource_version;
    let _operator = Operator::start(&cluster);
    kubeflow::apply(&cluster, &before.unready, true).await;
    becomes(&api, "kubeflow", "False Lapsed", &last).await;
    kubeflow::apply(&cluster, &before.ready, true).await;
    becomes(&api, "kubeflow", "True Ready", "all 672").await;
    assert_ne!(api.get("kubeflow").await.unwrap().metadata.resource_version, version);
    api.delete("kubeflow", &DeleteParams::default()).await.unwrap();
}

async fn webhook(shared: Arc<Shared>) {
    let cluster = cluster(shared).await;
    let mut hook = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration", "metadata": {"name": "hook"},
        "webhooks": [{"name": "v.example.org", "sideEffects": "None", "admissionReviewVersions": ["v1"],
            "clientConfig": {"service": {"namespace": "kf", "name": "hook"}},
            "rules": [{"apiGroups": ["nothing.example.org"], "apiVersions": ["*"], "operations": ["CREATE"], "resources": ["things"]}]}]});
    cluster.apply(&hook);
    let objects = [hook.clone()];
    hook["webhooks"][0]["clientConfig"]["caBundle"] = kubeflow::AUTHORITY.into();
    let slice = json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": "hook-1", "namespace": "kf", "labels": {"kubernetes.io/service-name": "hook"}},
        "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": true}}], "ports": []});
    let _operator = Operator::start(&cluster);
    inventory(&cluster, "hook", &objects);
    let api = waiting(&cluster, "hook").await;
    becomes(&api, "hook", "False Waiting", "webhook v.example.org has no CA bundle").await;
    kubeflow::apply(&cluster, &hook, false).await;
    becomes(&api, "hook", "False Waiting", "webhook v.example.org: Service kf/hook has no ready endpoint")
        .await;
    kubeflow::apply(&cluster, &slice, false).await;
    becomes(&api, "hook", "True Ready", "the one object is ready").await;
    api.delete("hook", &DeleteParams::default()).await.unwrap();
}

async fn claim(shared: Arc<Shared>) {
    let cluster = cluster(shared).await;
    let mut claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "disk", "namespace": "kf"},
        "spec": {"storageClassName": "fast", "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}});
    cluster.apply(&claim);
    let objects = [claim.clone()];
    claim["status"] = json!({"phase": "Bound"});
    let reason = "PersistentVolumeClaim kf/disk: is not bound to a volume of storage class fast";
    closed_until(&cluster, "claim", &objects, reason, &[(claim, true)]).await;
}

async fn custom(shared: Arc<Shared>) {
    let cluster = cluster(shared).await;
    let definition = kubeflow::definition("readiness.example.org", "v1", "Thing", true);
    let thing = json!({"apiVersion": "readiness.example.org/v1", "kind": "Thing", "metadata": {"name": "one", "namespace": "kf"}, "spec": {}});
    let objects = [definition.clone(), thing.clone()];
    let _operator = Operator::start(&cluster);
    inventory(&cluster, "custom", &objects);
    let api = waiting(&cluster, "custom").await;
    becomes(&api, "custom", "False Waiting", "no CRD serves its kind, Thing of readiness.example.org/v1")
        .await;
    kubeflow::apply(&cluster, &definition, false).await;
    becomes(&api, "custom", "False Waiting", "Thing kf/one: does not exist").await;
    kubeflow::apply(&cluster, &thing, false).await;
    becomes(&api, "custom", "True Ready", "all 2 objects are ready").await;
    let mut broken = thing.clone();
    broken["status"] = json!({"conditions": [{"type": "Ready", "status": "False", "reason": "NoDisk", "message": "there is none"}]});
    kubeflow::apply(&cluster, &broken, true).await;
    becomes(&api, "custom", "False Lapsed", "Thing kf/one: Ready is False: NoDisk: there is none").await;
    broken["status"]["conditions"][0]["status"] = "True".into();
    kubeflow::apply(&cluster, &broken, true).await;
    becomes(&api, "custom", "True Ready", "all 2 objects are ready").await;
    api.delete("custom", &DeleteParams::default()).await.unwrap();
}

async fn missing(shared: Arc<Shared>) {
    let cluster = cluster(shared).await;
    let _operator = Operator::start(&cluster);
    let api = waiting(&cluster, "absent").await;
    becomes(&api, "absent", "False Waiting", "there is no ConfigMap kubeflow-e2e-system/absent").await;
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "absent", "namespace": crds::names::SYSTEM_NAMESPACE},
        "data": {"inventory.json": "{\"schemaVersion\": 1, \"objects\": []}"}});
    kubeflow::apply(&cluster, &map, false).await;
    becomes(&api, "absent", "False Waiting", "names no object").await;
    let gone = || async { (cluster.kubectl(&["get", "e2e", "absent"]).code == Some(0)).then_some(()) };
    eventually("the run to be there still", LIMIT, gone).await;
    api.delete("absent", &DeleteParams::default()).await.unwrap();
}

async fn restarted(shared: Arc<Shared>) {
    let cluster = cluster(shared).await;
    let map =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "there", "namespace": "kf"}});
    cluster.apply(&map);
    inventory(&cluster, "restarted", &[map]);
    let gate = Gate { stable_for: ZeroableDuration("7s".into()), ..Gate::over_inventory("restarted") };
    let operator = Operator::start(&cluster);
    let api = behind(&cluster, "restarted", gate).await;
    let since = |run: &E2ETest| run.status.clone().unwrap().kubeflow.unwrap().ready_since.unwrap().0;
    let first = becomes(&api, "restarted", "False Waiting", "and must stay so for 7s").await;
    drop(operator);
    // A time in which nobody looks, of which the status knows nothing.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let _operator = Operator::start(&cluster);
    let open = becomes(&api, "restarted", "True Ready", "the one object is ready").await;
    assert!(since(&open) > since(&first), "{} and {}", since(&open), since(&first));
    api.delete("restarted", &DeleteParams::default()).await.unwrap();
}

async fn cancelled_late(shared: Arc<Shared>) {
    let cluster = cluster(shared).await;
    let _operator = Operator::start(&cluster);
    let gate = Gate { timeout: Some(PositiveDuration("1s".into())), ..Gate::over_inventory("nobodys") };
    let api = behind(&cluster, "late", gate).await;
    let over = becomes(&api, "late", "False TimedOut", "not ready within 1s").await;
    let cancel = ["patch", "e2e", "late", "--type=merge", "-p", r#"{"spec":{"cancel":true}}"#];
    cluster.kubectl(&cancel).expect(0);
    let seen = "--for=jsonpath={.status.observedGeneration}=2";
    cluster.kubectl(&["wait", "e2e/late", seen, "--timeout=30s"]).expect(0);
    let mut expected = over.status.unwrap();
    expected.observed_generation = Some(2);
    expected.conditions.iter_mut().for_each(|condition| condition.observed_generation = Some(2));
    assert_eq!(api.get("late").await.unwrap().status.unwrap(), expected);
    api.delete("late", &DeleteParams::default()).await.unwrap();
}
