//! The CRD's rules on a real API server: accepted, refused on create, refused on update.

use std::{process::ExitCode, sync::Arc};

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
use serde_json::{Value, json};

fn main() -> ExitCode {
    let (runtime, shared) = (runtime(), Shared::new("e2e-api"));
    let trials = vec![
        trial("a control plane alone serves within two seconds", &runtime, &shared, serves_soon),
        trial("the api server accepts what the rules allow", &runtime, &shared, accepted),
        trial("the api server refuses what the rules forbid", &runtime, &shared, refused),
        trial("a created spec cannot be changed", &runtime, &shared, immutable),
        trial("every field of the spec is guarded against change", &runtime, &shared, every_field_is_guarded),
        trial("kubectl explain describes every field", &runtime, &shared, explained),
    ];
    run(trials, || shared.remove())
}

async fn cluster(shared: Arc<Shared>) -> Arc<Cluster> {
    shared
        .get(|name| async move {
            let cluster = Cluster::up(name, &["--nodes", "0"]).await;
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

/// A minimal right spec with `changes` merged into it.
fn spec(changes: Value) -> Value {
    let mut spec = json!({"targetNamespace": "ns", "tests": [{"name": "a", "image": "i", "script": {"source": {"inline": "x"}}}]});
    for (key, value) in changes.as_object().unwrap() {
        spec[key] = value.clone();
    }
    spec
}

fn script(name: &str, more: Value) -> Value {
    let mut test = json!({"name": name, "image": "i", "script": {"source": {"inline": "x"}}});
    for (key, value) in more.as_object().unwrap() {
        test[key] = value.clone();
    }
    test
}

/// Creates the object for nothing; the API server's answer.
async fn try_create(cluster: &Cluster, name: &str, spec: &Value) -> Result<(), String> {
    let object = json!({"apiVersion": "e2e.kubeflow.org/v1alpha1", "kind": "E2ETest", "metadata": {"name": name}, "spec": spec});
    let params = PostParams { dry_run: true, ..PostParams::default() };
    let object: DynamicObject = serde_json::from_value(object).unwrap();
    match api(cluster).create(&params, &object).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) => Err(status.message.clone()),
        Err(error) => panic!("{error}"),
    }
}

async fn serves_soon(shared: Arc<Shared>) {
    let cluster = cluster(shared).await;
    let serving = cluster.figures["servingSeconds"].as_f64().unwrap();
    // Timings are judged in benchmarks; this bound only tells a control plane from one that waits for something.
    assert!(serving < 20.0, "{serving}");
    let namespaces: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(cluster.client.clone());
    assert!(namespaces.get_opt("default").await.unwrap().is_some());
}

async fn accepted(shared: Arc<Shared>) {
    let cluster = cluster(shared).await;
    let tests: Vec<Value> = (0..64).map(|index| script(&format!("t{index}"), json!({}))).collect();
    let half = "x".repeat(131_072);
    let inline = json!({"source": {"inline": half}});
    for (what, changes) in [
        ("nothing more", json!({})),
        ("64 tests", json!({"tests": tests})),
        ("a gate", json!({"kubeflow": {"namespaces": ["kubeflow"], "stableFor": "0s", "timeout": "45m"}})),
        (
            "quantities",
            json!({"tests": [script("a", json!({"resources": {"limits": {"cpu": 1, "memory": "1Gi"}}}))]}),
        ),
        ("a short run whose tests name no timeout", json!({"timeout": "10m"})),
        (
            "sources of 262144 characters",
            json!({"tests": [script("a", json!({"script": inline})), {"name": "b", "image": "i", "notebook": inline}]}),
        ),
    ] {
        try_create(&cluster, "a", &spec(changes)).await.unwrap_or_else(|refusal| panic!("{what}: {refusal}"));
    }
    try_create(&cluster, &"n".repeat(63), &spec(json!({}))).await.unwrap();
}

async fn refused(shared: Arc<Shared>) {
    let cluster = cluster(shared).await;
    let tests: Vec<Value> = (0..65).map(|index| script(&format!("t{index}"), json!({}))).collect();
    let (half, more) = ("x".repeat(131_072), "x".repeat(131_073));
    let two = json!([
        script("a", json!({"script": {"source": {"inline": half}}})),
        script("b", json!({"script": {"source": {"inline": more}}}))
    ]);
    let test = |more: Value| json!({"tests": [script("a", more)]});
    for (changes, message) in [
        (json!({"tests": []}), "should have at least 1 items"),
        (json!({"tests": tests}), "must have at most 64 items"),
        (json!({"tests": [script("a", json!({})), script("a", json!({}))]}), "Duplicate value"),
        (json!({"tests": [{"name": "a", "image": "i"}]}), "give exactly one of notebook, script and job"),
        (
            test(json!({"notebook": {"source": {"inline": "x"}}})),
            "give exactly one of notebook, script and job",
        ),
        (test(json!({"script": {"source": {}}})), "give exactly one of configMap, inline and bundled"),
        (
            test(json!({"script": {"source": {"inline": "x", "configMap": {"name": "n", "key": "k"}}}})),
            "give exactly one of configMap, inline and bundled",
        ),
        (test(json!({"name": "A_b"})), "should match"),
        (test(json!({"image": ""})), "at least 1 chars"),
        (test(json!({"runAsUser": 0})), "greater than or equal to 1"),
        (test(json!({"resources": {"limits": {"cpu": "abc"}}})), "should match"),
        (test(json!({"env": [{"name": "A"}, {"name": "A"}]})), "Duplicate value"),
        (test(json!({"timeout": "91m"})), "must be within spec.timeout"),
        (test(json!({"startTimeout": "91m"})), "must be within spec.timeout"),
        (json!({"kubeflow": {}}), "give exactly one of inventory and namespaces"),
        (json!({"kubeflow": {"namespaces": []}}), "should have at least 1 items"),
        (
            json!({"kubeflow": {"namespaces": ["a"], "timeout": "91m"}}),
            "kubeflow.timeout must be within spec.timeout",
        ),
        (json!({"maxParallel": 0}), "greater than or equal to 1"),
        (json!({"targetNamespace": "Ns"}), "should match"),
        (json!({"tests": two}), "at most 262144 characters"),
    ] {
        let refusal =
            try_create(&cluster, "a", &spec(changes.clone())).await.expect_err(&changes.to_string());
        assert!(refusal.contains(message), "{changes}: {refusal}");
    }
    for duration in ["0s", "90", "1.5h", "100ms", "-5m", "9999999h", ""] {
        let refusal =
            try_create(&cluster, "a", &spec(json!({"timeout": duration}))).await.expect_err(duration);
        assert!(refusal.contains("must be a duration of at least 1s"), "{duration}: {refusal}");
    }
    let refusal = try_create(&cluster, &"n".repeat(64), &spec(json!({}))).await.unwrap_err();
    assert!(refusal.contains("at most 63 characters"), "{refusal}");
}

async fn immutable(shared: Arc<Shared>) {
    let cluster = cluster(shared).await;
    let two = spec(
        json!({"tests": [script("a", json!({})), script("b", json!({}))], "kubeflow": {"namespaces": ["x"]}}),
    );
    let object = json!({"apiVersion": "e2e.kubeflow.org/v1alpha1", "kind": "E2ETest", "metadata": {"name": "immutable"}, "spec": two});
    let api = api(&cluster);
    api.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap();
    for change in [
        json!({"tests": [script("b", json!({})), script("a", json!({}))]}),
        json!({"tests": [script("a", json!({}))]}),
        json!({"kubeflow": null}),
        json!({"kubeflow": {"stableFor": "1s"}}),
        json!({"timeout": "95m"}),
        json!({"timeout": null, "maxParallel": 2}),
        json!({"targetNamespace": "other"}),
    ] {
        let answer =
            api.patch("immutable", &PatchParams::default(), &Patch::Merge(json!({"spec": change}))).await;
        let Err(kube::Error::Api(status)) = answer else { panic!("{change}: {answer:?}") };
        assert!(status.message.contains("spec cannot be changed"), "{change}: {}", status.message);
    }
    let labels = json!({"metadata": {"labels": {"a": "b"}}});
    api.patch("immutable", &PatchParams::default(), &Patch::Merge(labels)).await.unwrap();
}

/// A field that is added to the spec and forgotten in the rule could be changed in the middle of a run.
async fn every_field_is_guarded(shared: Arc<Shared>) {
    let cluster = cluster(shared).await;
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

async fn explained(shared: Arc<Shared>) {
    let cluster = cluster(shared).await;
    let served = || async {
        Some(cluster.kubectl(&["explain", "e2etests.spec.tests"])).filter(|ended| ended.code == Some(0))
    };
    let text = eventually("kubectl explain", std::time::Duration::from_secs(30), served).await.stdout;
    for field in ["notebook", "script", "pipelineAccess", "startTimeout"] {
        assert!(text.contains(field), "{text}");
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
