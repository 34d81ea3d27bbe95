//! The CRD's rules on a real API server: accepted, refused on create, refused on update.

#[path = "../../crds/testdata/specs.rs"]
mod table;

use std::{process::ExitCode, sync::Arc};

use bootstrap_embedded::KubernetesVersion;
use crds::v1alpha1::E2ETest;
use e2e_tests::{
    cluster::{Cluster, Shared, eventually},
    trials::{run, runtime, trial},
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api,
    api::{DynamicObject, Patch, PatchParams, PostParams},
    core::{ApiResource, CustomResourceExt as _},
    runtime::{conditions::is_crd_established, wait::await_condition},
};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use table::{cases, put, spec_of};

/// A bare API server of one version, with the CRD.
struct Server {
    version: KubernetesVersion,
    shared: Arc<Shared>,
}

fn main() -> ExitCode {
    let runtime = runtime();
    let servers = KubernetesVersion::ALL.map(|version| {
        let name = if version == KubernetesVersion::default() { "e2e-api" } else { "e2e-api-oldest" };
        Arc::new(Server { version, shared: Shared::new(name) })
    });
    let mut trials = Vec::new();
    for server in &servers {
        let line = server.version.line();
        let slow = server.version != KubernetesVersion::default();
        let mut add = |trial: Trial| trials.push(trial.with_ignored_flag(slow));
        add(trial(format!("{line} accepts what the rules allow"), &runtime, server, accepted));
        add(trial(format!("{line} refuses what the rules forbid"), &runtime, server, refused));
        add(trial(format!("{line} holds the bounds of the largest specs"), &runtime, server, bounded));
        add(trial(format!("{line} fills in the defaults"), &runtime, server, defaulted));
        add(trial(format!("{line} lets no created spec change"), &runtime, server, immutable));
        add(trial(format!("{line} lets a run be cancelled once"), &runtime, server, cancelled_once));
        add(trial(
            format!("{line} guards every field of the spec"),
            &runtime,
            server,
            every_field_is_guarded,
        ));
        add(trial(format!("{line} takes the largest status"), &runtime, server, largest_status));
        add(trial(format!("{line} shows a run in columns"), &runtime, server, columns));
        add(trial(format!("{line} explains every field"), &runtime, server, explained));
        if !slow {
            add(trial("a control plane alone serves soon", &runtime, server, serves_soon));
        }
    }
    run(trials, || servers.iter().for_each(|server| server.shared.remove()))
}

async fn cluster(server: Arc<Server>) -> Arc<Cluster> {
    let line = server.version.line();
    server
        .shared
        .get(|name| async move {
            let cluster = Cluster::up(name, &["--nodes", "0", "--kubernetes-version", line]).await;
            let crds: Api<CustomResourceDefinition> = Api::all(cluster.client.clone());
            let crd = E2ETest::crd();
            crds.create(&PostParams::default(), &crd).await.unwrap();
            let name = crd.metadata.name.unwrap();
            let established = await_condition(crds, &name, is_crd_established());
            tokio::time::timeout(std::time::Duration::from_secs(30), established).await.unwrap().unwrap();
            cluster
        })
        .await
}

fn api(cluster: &Cluster) -> Api<DynamicObject> {
    Api::all_with(cluster.client.clone(), &ApiResource::erase::<E2ETest>(&()))
}

/// The least spec, with these fields of its own and of its test; null removes one.
fn spec_with(spec: &Value, test: &Value) -> Value {
    spec_of(&json!({"spec": spec, "test": test}))
}

/// A test with an inline source of that length.
fn script(name: &str, characters: usize) -> Value {
    json!({"name": name, "image": "i", "script": {"source": {"inline": "ü".repeat(characters)}}})
}

/// Asks the API server to create the object, for nothing if `dry_run`; its answer.
async fn create(cluster: &Cluster, name: &str, spec: &Value, dry_run: bool) -> Result<DynamicObject, String> {
    let object = json!({"apiVersion": "e2e.kubeflow.org/v1alpha1", "kind": "E2ETest", "metadata": {"name": name}, "spec": spec});
    let params = PostParams { dry_run, ..PostParams::default() };
    let object: DynamicObject = serde_json::from_value(object).unwrap();
    answer(api(cluster).create(&params, &object).await)
}

/// Merges these fields into the spec of an object; the API server's answer.
async fn change(cluster: &Cluster, name: &str, spec: Value) -> Result<DynamicObject, String> {
    let patch = Patch::Merge(json!({"spec": spec}));
    answer(api(cluster).patch(name, &PatchParams::default(), &patch).await)
}

fn answer(answer: kube::Result<DynamicObject>) -> Result<DynamicObject, String> {
    answer.map_err(|error| match error {
        kube::Error::Api(status) => status.message.clone(),
        error => panic!("{error}"),
    })
}

async fn serves_soon(server: Arc<Server>) {
    let cluster = cluster(server).await;
    let serving = cluster.figures["servingSeconds"].as_f64().unwrap();
    // Timings are judged in benchmarks; this bound only tells a control plane from one that waits for something.
    assert!(serving < 20.0, "{serving}");
    let namespaces: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(cluster.client.clone());
    assert!(namespaces.get_opt("default").await.unwrap().is_some());
}

async fn accepted(server: Arc<Server>) {
    let cluster = cluster(server).await;
    for case in cases("accepted") {
        let spec = spec_with(&case["spec"], &case["test"]);
        let created = create(&cluster, "a", &spec, true).await;
        let created = created.unwrap_or_else(|refusal| panic!("{}: {refusal}", case["what"]));
        // What the API server stored is what was asked for: nothing that it does not know was dropped.
        let (mut asked, mut kept) = (Vec::new(), Vec::new());
        leaves(&spec, "", &mut asked);
        leaves(&created.data["spec"], "", &mut kept);
        asked.retain(|leaf| !kept.contains(leaf));
        assert_eq!(asked, Vec::<String>::new(), "{}", case["what"]);
    }
}

/// Every value that holds no other, with its path.
fn leaves(value: &Value, path: &str, all: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            fields.iter().for_each(|(name, value)| leaves(value, &format!("{path}.{name}"), all));
        }
        Value::Array(items) => {
            items
                .iter()
                .enumerate()
                .for_each(|(index, value)| leaves(value, &format!("{path}.{index}"), all));
        }
        leaf => all.push(format!("{path}: {leaf}")),
    }
}

async fn refused(server: Arc<Server>) {
    let cluster = cluster(server).await;
    let mut wrong = Vec::new();
    for case in cases("refused") {
        let spec = spec_with(&case["spec"], &case["test"]);
        let said = create(&cluster, "a", &spec, true).await.map(|_| "accepted".to_owned());
        let said = said.unwrap_or_else(|refusal| refusal);
        if !said.contains(case["api"].as_str().unwrap()) {
            wrong.push(format!("{}: {said}", case["what"]));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    let nothing = json!({});
    let refusal = create(&cluster, &"n".repeat(64), &spec_with(&nothing, &nothing), true).await.unwrap_err();
    assert!(refusal.contains("at most 63 characters"), "{refusal}");
    let object: DynamicObject = serde_json::from_value(
        json!({"apiVersion": "e2e.kubeflow.org/v1alpha1", "kind": "E2ETest", "metadata": {"name": "a"}}),
    )
    .unwrap();
    let refusal = answer(api(&cluster).create(&PostParams::default(), &object).await).unwrap_err();
    assert!(refusal.contains("spec: Required value"), "{refusal}");
}

async fn bounded(server: Arc<Server>) {
    let cluster = cluster(server).await;
    let tests =
        |count: usize| json!((0..count).map(|index| script(&format!("t{index}"), 1)).collect::<Vec<_>>());
    let two = |first: usize, second: usize| json!([script("a", first), script("b", second)]);
    let nothing = json!({});
    create(&cluster, &"n".repeat(63), &spec_with(&nothing, &nothing), true).await.unwrap();
    for (tests, refusal) in [
        (tests(64), None),
        (tests(65), Some("must have at most 64 items")),
        (json!([script("a", 1), script("a", 1)]), Some("Duplicate value")),
        (two(131_072, 131_072), None),
        (two(131_072, 131_073), Some("at most 262144 characters")),
    ] {
        let said = create(&cluster, "a", &json!({"targetNamespace": "ns", "tests": tests}), true).await;
        match refusal {
            None => assert_eq!(said.err(), None),
            Some(refusal) => {
                assert!(said.as_ref().is_err_and(|said| said.contains(refusal)), "{refusal}: {said:?}");
            }
        }
    }
    for case in cases("counted") {
        let fields = case["test"].to_string().replace("LONG", &"x".repeat(4000));
        let mut other = script("b", 1);
        put(&mut other, &serde_json::from_str(&fields).unwrap());
        let spec = |first: usize| json!({"targetNamespace": "ns", "tests": [script("a", first), other]});
        assert_eq!(create(&cluster, "a", &spec(200_000), true).await.err(), None, "{}", case["what"]);
        let said = create(&cluster, "a", &spec(262_144 - 5_000), true).await;
        assert!(
            said.as_ref().is_err_and(|said| said.contains("at most 262144")),
            "{}: {said:?}",
            case["what"]
        );
    }
}

async fn defaulted(server: Arc<Server>) {
    let cluster = cluster(server).await;
    let spec = spec_with(&json!({"kubeflow": {"inventory": "kubeflow"}}), &json!({}));
    let created = create(&cluster, "a", &spec, true).await.unwrap().data["spec"].clone();
    let expected = json!({
        "targetNamespace": "ns",
        "serviceAccountName": "default-editor",
        "kubeflow": {"inventory": "kubeflow", "stableFor": "10s"},
        "maxParallel": 4,
        "failFast": false,
        "timeout": "90m",
        "cancel": false,
        "tests": [{
            "name": "a", "image": "i", "script": {"source": {"inline": "x"}, "interpreter": ["python3"]},
            "pipelineAccess": false, "kubernetesAccess": false, "runAsUser": 1000, "podSecurity": "restricted", "retries": 0,
        }],
    });
    assert_eq!(created, expected);
    // What `kfe2e` makes from flags is the same as what a person writes.
    let read: crds::v1alpha1::E2ETestSpec = serde_json::from_value(spec).unwrap();
    assert_eq!(serde_json::to_value(read).unwrap(), expected);
}

async fn immutable(server: Arc<Server>) {
    let cluster = cluster(server).await;
    let spec = spec_with(
        &json!({"tests": [script("a", 1), script("b", 1)], "kubeflow": {"namespaces": ["x"]}}),
        &json!({"env": [{"name": "A", "value": "1"}]}),
    );
    create(&cluster, "immutable", &spec, false).await.unwrap();
    let with = |fields: Value| {
        let mut first = spec["tests"][0].clone();
        put(&mut first, &fields);
        json!({"tests": [first, script("b", 1)]})
    };
    for changes in [
        json!({"tests": [script("b", 1), spec["tests"][0]]}),
        json!({"tests": [spec["tests"][0]]}),
        json!({"tests": [spec["tests"][0], script("b", 1), script("c", 1)]}),
        json!({"kubeflow": null}),
        json!({"kubeflow": {"stableFor": "1s"}}),
        json!({"kubeflow": {"timeout": "1m"}}),
        json!({"kubeflow": {"ignore": [{"kind": "Pod", "name": "*"}]}}),
        json!({"timeout": "95m"}),
        json!({"timeout": null, "maxParallel": 2}),
        json!({"failFast": true}),
        json!({"targetNamespace": "other"}),
        json!({"serviceAccountName": "other"}),
        with(json!({"image": "other"})),
        with(json!({"env": null})),
        with(json!({"env": [{"name": "A", "value": "2"}]})),
        with(json!({"retries": 1})),
        with(json!({"receipt": "Required"})),
        with(json!({"timeout": "5m"})),
        with(json!({"podSecurity": "baseline"})),
        with(json!({"kubernetesAccess": true})),
        with(json!({"nodeSelector": {"a": "b"}})),
        with(json!({"tolerations": [{"operator": "Exists"}]})),
        with(json!({"script": null, "job": {"command": ["a"]}})),
    ] {
        let refusal = change(&cluster, "immutable", changes.clone()).await.expect_err(&changes.to_string());
        assert!(
            refusal.contains("spec cannot be changed, but for cancel and ttlAfterFinished"),
            "{changes}: {refusal}"
        );
    }
    let labels = Patch::Merge(json!({"metadata": {"labels": {"a": "b"}}}));
    api(&cluster).patch("immutable", &PatchParams::default(), &labels).await.unwrap();
    for time in [json!("1h"), json!("0s"), Value::Null] {
        change(&cluster, "immutable", json!({"ttlAfterFinished": time})).await.unwrap();
    }
    let refusal = change(&cluster, "immutable", json!({"ttlAfterFinished": "soon"})).await.unwrap_err();
    assert!(refusal.contains("must be a duration"), "{refusal}");
}

async fn cancelled_once(server: Arc<Server>) {
    let cluster = cluster(server).await;
    let nothing = json!({});
    create(&cluster, "cancelled", &spec_with(&nothing, &nothing), false).await.unwrap();
    change(&cluster, "cancelled", json!({"cancel": true})).await.unwrap();
    for taken_back in [json!(false), Value::Null] {
        let refusal = change(&cluster, "cancelled", json!({"cancel": taken_back})).await.unwrap_err();
        assert!(refusal.contains("cancel cannot be taken back"), "{refusal}");
    }
    change(&cluster, "cancelled", json!({"cancel": true, "ttlAfterFinished": "1h"})).await.unwrap();
}

/// 64 tests with 10 earlier attempts each, all with the longest messages, beside the longest sources.
async fn largest_status(server: Arc<Server>) {
    let cluster = cluster(server).await;
    let tests: Vec<Value> = (0..64).map(|index| script(&format!("t{index}"), 2_048)).collect();
    create(&cluster, "largest", &json!({"targetNamespace": "ns", "tests": tests}), false).await.unwrap();
    let time = "2026-11-23T12:00:00Z";
    let ended = |message: usize| {
        json!({
            "attempt": 11, "state": "Error", "reason": "PodDefaultNotInjected", "message": "m".repeat(message),
            "job": {"name": "n".repeat(63), "uid": "0f5e4a5c-19cd-4f6d-8d5e-3a3f6f0b8f11"}, "startTime": time, "completionTime": time,
        })
    };
    let status: Vec<Value> = (0..64)
        .map(|index| {
            let earlier = (1..=10).map(|attempt| {
                let mut earlier = ended(512);
                earlier["attempt"] = json!(attempt);
                earlier
            });
            let mut test = ended(1024);
            put(&mut test, &json!({"name": format!("t{index}"), "attempts": earlier.collect::<Vec<_>>()}));
            test
        })
        .collect();
    let components: Vec<Value> = (0..256)
        .map(|index| json!({"name": format!("c{index}"), "ready": 0, "total": 1, "blocking": "b".repeat(1024)}))
        .collect();
    let status =
        json!({"status": {"tests": status, "kubeflow": {"summary": "0/256", "components": components}}});
    let patch = Patch::Merge(status);
    answer(api(&cluster).patch_status("largest", &PatchParams::default(), &patch).await).unwrap();
}

async fn columns(server: Arc<Server>) {
    let cluster = cluster(server).await;
    let nothing = json!({});
    create(&cluster, "columns", &spec_with(&nothing, &nothing), false).await.unwrap();
    let condition = |type_: &str, status: &str| json!({"type": type_, "status": status, "reason": "TestsFailed", "message": "", "lastTransitionTime": "2026-11-23T12:00:00Z"});
    let status = json!({"status": {
        "conditions": [condition("Finished", "True"), condition("Succeeded", "False")],
        "testsSummary": "1/2",
        "kubeflow": {"summary": "48/52"},
    }});
    api(&cluster).patch_status("columns", &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
    let table = cluster.kubectl(&["get", "e2e", "columns"]).expect(0).stdout;
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["NAME", "SUCCEEDED", "REASON", "KUBEFLOW", "TESTS", "AGE"]);
    assert_eq!(rows[1][..5], ["columns", "False", "TestsFailed", "48/52", "1/2"]);
}

/// A field that is added to the spec and forgotten in the rule could be changed in the middle of a run.
async fn every_field_is_guarded(server: Arc<Server>) {
    let cluster = cluster(server).await;
    let crds: Api<CustomResourceDefinition> = Api::all(cluster.client.clone());
    let served = crds.get("e2etests.e2e.kubeflow.org").await.unwrap();
    let schema = serde_json::to_value(&served.spec.versions[0].schema).unwrap();
    let spec = &schema["openAPIV3Schema"]["properties"]["spec"];
    let rules = spec["x-kubernetes-validations"].as_array().unwrap();
    let rule =
        rules.iter().find(|rule| rule["message"].as_str().unwrap().contains("cannot be changed")).unwrap();
    let text = rule["rule"].as_str().unwrap();
    let fields = spec["properties"].as_object().unwrap().keys();
    for field in fields.filter(|field| !["cancel", "ttlAfterFinished"].contains(&field.as_str())) {
        assert!(
            text.contains(&format!("self.{field} == oldSelf.{field}")),
            "{field} is not guarded by {text}"
        );
    }
}

async fn explained(server: Arc<Server>) {
    let cluster = cluster(server).await;
    for (path, fields) in [
        ("spec", &["targetNamespace", "maxParallel", "cancel", "ttlAfterFinished"][..]),
        ("spec.tests", &["notebook", "script", "job", "pipelineAccess", "startTimeout", "receipt"]),
        ("spec.kubeflow.ignore", &["kind", "namespace", "name"]),
        ("status.tests.attempts", &["attempt", "state", "reason", "message"]),
    ] {
        let path = format!("e2etests.{path}");
        let served =
            || async { Some(cluster.kubectl(&["explain", &path])).filter(|ended| ended.code == Some(0)) };
        let text = eventually("kubectl explain", std::time::Duration::from_secs(30), served).await.stdout;
        for field in fields {
            assert!(text.contains(&format!("  {field}\t<")), "{field}: {text}");
        }
        assert!(!text.contains("<no description>"), "{text}");
    }
    let crd = serde_json::to_value(E2ETest::crd()).unwrap();
    let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"];
    let mut bare = Vec::new();
    undocumented(&schema["spec"], "spec", &mut bare);
    undocumented(&schema["status"], "status", &mut bare);
    assert_eq!(bare, Vec::<String>::new());
}

/// The paths of fields without a description.
fn undocumented(schema: &Value, path: &str, bare: &mut Vec<String>) {
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let place = format!("{path}.{name}");
        if field["description"].as_str().is_none_or(str::is_empty) {
            bare.push(place.clone());
        }
        undocumented(field, &place, bare);
        undocumented(&field["items"], &format!("{place}[]"), bare);
    }
}
