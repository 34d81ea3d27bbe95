//! What the operator's account may do: so much does a stolen token of it reach, and no more.

use std::{collections::BTreeSet, sync::Arc};

use crds::{
    names::{SYSTEM_NAMESPACE, annotation},
    v1alpha1::{E2ETest, ZeroableDuration},
};
use e2e_tests::{
    cluster::Shared,
    objects::{TARGET, e2etest, script},
};
use k8s_openapi::api::{
    authorization::v1::{SelfSubjectRulesReview, SelfSubjectRulesReviewSpec},
    core::v1::{ConfigMap, Pod},
};
use kube::{
    Api, Client, ResourceExt as _,
    api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams},
};
use operator_core::{Effect, pod_default_resource};
use serde_json::{Value, json};

use super::{OTHER, as_account, children, cluster, job_of, operator, sentence, try_job};

/// What RBAC grants a client in a namespace, one `verb group/resource` each, as the API server itself says.
async fn rights(client: &Client, namespace: &str) -> BTreeSet<String> {
    let review = SelfSubjectRulesReview {
        spec: SelfSubjectRulesReviewSpec { namespace: Some(namespace.into()) },
        ..SelfSubjectRulesReview::default()
    };
    let answer = Api::all(client.clone()).create(&PostParams::default(), &review).await.unwrap();
    let status = answer.status.unwrap();
    assert!(!status.incomplete, "{status:?}");
    let mut all = BTreeSet::new();
    for rule in status.resource_rules {
        assert!(rule.resource_names.unwrap_or_default().is_empty());
        for group in rule.api_groups.unwrap_or_default() {
            for resource in rule.resources.iter().flatten() {
                let place = if group.is_empty() { resource.clone() } else { format!("{group}/{resource}") };
                all.extend(rule.verbs.iter().map(|verb| format!("{verb} {place}")));
            }
        }
    }
    all
}

pub async fn exactly_this(shared: Arc<Shared>) {
    let cluster = cluster(shared).await;
    let client = operator(&cluster).await;
    let everybody = rights(&as_account(&cluster, OTHER, "default").await, OTHER).await;
    let own = |namespace: &'static str| {
        let (client, everybody) = (client.clone(), everybody.clone());
        async move { &rights(&client, namespace).await - &everybody }
    };
    let everywhere = [
        "delete e2e.kubeflow.org/e2etests",
        "get e2e.kubeflow.org/e2etests",
        "get namespaces",
        "list apps/daemonsets",
        "list apps/deployments",
        "list apps/statefulsets",
        "list batch/jobs",
        "list e2e.kubeflow.org/e2etests",
        "list namespaces",
        "list pods",
        "patch e2e.kubeflow.org/e2etests/status",
        "watch apps/daemonsets",
        "watch apps/deployments",
        "watch apps/statefulsets",
        "watch batch/jobs",
        "watch e2e.kubeflow.org/e2etests",
        "watch namespaces",
        "watch pods",
    ];
    let in_target = [
        "create batch/jobs",
        "create configmaps",
        "create kubeflow.org/poddefaults",
        "get batch/jobs",
        "get kubeflow.org/poddefaults",
        "get pods",
        "get pods/log",
        "list events",
        "patch batch/jobs",
        "patch configmaps",
        "patch kubeflow.org/poddefaults",
        "patch pods",
    ];
    let set = |rights: &[&str]| rights.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
    assert_eq!(own(OTHER).await, set(&everywhere));
    let inventories = set(&["list configmaps", "watch configmaps"]);
    assert_eq!(&own(SYSTEM_NAMESPACE).await - &set(&everywhere), inventories);
    assert_eq!(&own(TARGET).await - &set(&everywhere), set(&in_target));
    let events = set(&["create events.k8s.io/events"]);
    assert_eq!(&own("default").await - &set(&everywhere), events);
}

/// A run whose children are of every kind.
fn example() -> E2ETest {
    let mut run = e2etest("rights", vec![script("one", "pass")]);
    run.spec.tests[0].pipeline_access = true;
    run
}

/// The Job of that run.
fn job() -> Value {
    serde_json::to_value(job_of(&example())).unwrap()
}

/// Creates a Job for nothing, as the operator; the API server's answer.
async fn try_value(client: &Client, namespace: &str, job: &Value) -> Result<(), String> {
    try_job(client, namespace, serde_json::from_value(job.clone()).unwrap()).await
}

pub async fn children_pass(shared: Arc<Shared>) {
    let cluster = cluster(shared).await;
    let client = operator(&cluster).await;
    let apply = PatchParams { dry_run: true, ..PatchParams::apply("kubeflow-e2e").force() };
    let effects = children(&example());
    assert_eq!(effects.len(), 3);
    for effect in effects {
        match effect {
            Effect::ApplyConfigMap(object) => {
                let api = Api::<ConfigMap>::namespaced(client.clone(), TARGET);
                api.patch(&object.name_any(), &apply, &Patch::Apply(&object)).await.unwrap();
            }
            Effect::ApplyPodDefault(object) => {
                let api =
                    Api::<DynamicObject>::namespaced_with(client.clone(), TARGET, &pod_default_resource());
                api.patch(&object.name_any(), &apply, &Patch::Apply(&object)).await.unwrap();
            }
            Effect::CreateJob(job) => try_job(&client, TARGET, *job).await.unwrap(),
            other => panic!("{other:?}"),
        }
    }
}

pub async fn hostile_jobs(shared: Arc<Shared>) {
    let cluster = cluster(shared).await;
    let client = operator(&cluster).await;
    let (spec, test) = ("/spec/template/spec", "/spec/template/spec/containers/0");
    let projected = |source: Value| json!([{"name": "run", "projected": {"sources": [source]}}]);
    for (at, field, value, refusal) in [
        (spec, "hostNetwork", json!(true), "host's network"),
        (spec, "hostPID", json!(true), "host's network"),
        (spec, "hostIPC", json!(true), "host's network"),
        (spec, "volumes", json!([{"name": "run", "hostPath": {"path": "/"}}]), "volumes only"),
        (spec, "volumes", json!([{"name": "run", "secret": {"secretName": "s"}}]), "volumes only"),
        (
            spec,
            "volumes",
            json!([{"name": "run", "persistentVolumeClaim": {"claimName": "c"}}]),
            "volumes only",
        ),
        (spec, "volumes", projected(json!({"secret": {"name": "s"}})), "volumes only"),
        (test, "envFrom", json!([{"secretRef": {"name": "s"}}]), "from no Secret"),
        (test, "envFrom", json!([{"configMapRef": {"name": "c"}}]), "from no Secret"),
        (
            test,
            "env",
            json!([{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]),
            "from no Secret",
        ),
        (spec, "automountServiceAccountToken", json!(true), "no token"),
        (spec, "automountServiceAccountToken", Value::Null, "no token"),
        (spec, "securityContext", json!({}), "within Pod Security"),
        (test, "securityContext", json!({"runAsUser": 0}), "never root"),
        (test, "securityContext", json!({"runAsNonRoot": false}), "never root"),
        (test, "ports", json!([{"containerPort": 80, "hostPort": 80}]), "within Pod Security"),
        (test, "securityContext", json!({"privileged": true}), "within Pod Security"),
    ] {
        let mut hostile = job();
        hostile.pointer_mut(at).unwrap()[field] = value.clone();
        // Mounts of a volume that was replaced would be refused for another reason.
        if field == "volumes" {
            let pod = hostile.pointer_mut(spec).unwrap();
            for list in ["containers", "initContainers"] {
                for container in pod[list].as_array_mut().unwrap() {
                    container.as_object_mut().unwrap().remove("volumeMounts");
                }
            }
        }
        let refused = try_value(&client, TARGET, &hostile).await.expect_err(&format!("{field}: {value}"));
        assert!(refused.contains(refusal), "{field}: {value}: {refused}");
    }
    let mut added = job();
    added["spec"]["template"]["spec"]["containers"][0]["securityContext"]["capabilities"]["add"] =
        json!(["NET_BIND_SERVICE"]);
    let refused = try_value(&client, TARGET, &added).await.unwrap_err();
    assert!(refused.contains("within Pod Security"), "{refused}");
    let mut own = job();
    own["metadata"].as_object_mut().unwrap().remove("ownerReferences");
    let refused = try_value(&client, TARGET, &own).await.unwrap_err();
    assert!(refused.contains("only objects that an E2ETest owns"), "{refused}");
    let refused = try_value(&client, OTHER, &job()).await.unwrap_err();
    assert!(refused.contains("cannot create resource \"jobs\""), "{refused}");
}

pub async fn things_of_others(shared: Arc<Shared>) {
    let cluster = cluster(shared).await;
    let client = operator(&cluster).await;
    let mine = json!({"metadata": {"name": "mine"}, "data": {"a": "b"}});
    let admin = Api::<ConfigMap>::namespaced(cluster.client.clone(), TARGET);
    admin.create(&PostParams::default(), &serde_json::from_value(mine).unwrap()).await.unwrap();
    let owner = json!([{"apiVersion": "e2e.kubeflow.org/v1alpha1", "kind": "E2ETest", "name": "x", "uid": "x", "controller": true}]);
    // Also not by claiming it for a run in the same breath.
    let taken = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "mine", "ownerReferences": owner}, "data": {"a": "c"}});
    let api = Api::<ConfigMap>::namespaced(client.clone(), TARGET);
    let refused = api.patch("mine", &PatchParams::apply("kubeflow-e2e").force(), &Patch::Apply(&taken)).await;
    let refused = sentence(refused.unwrap_err());
    assert!(refused.contains("only objects that an E2ETest owns"), "{refused}");
    assert_eq!(admin.get("mine").await.unwrap().data.unwrap()["a"], "b");
}

pub async fn pods_stay(shared: Arc<Shared>) {
    let cluster = cluster(shared).await;
    let client = operator(&cluster).await;
    let admin = Api::<Pod>::namespaced(cluster.client.clone(), TARGET);
    for (name, labels) in
        [("theirs", json!({})), ("ours", json!({"app.kubernetes.io/managed-by": "kubeflow-e2e"}))]
    {
        let pod = json!({"metadata": {"name": name, "labels": labels},
            "spec": {"serviceAccountName": "default", "containers": [{"name": "a", "image": "i"}]}});
        admin.create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap();
    }
    let api = Api::<Pod>::namespaced(client, TARGET);
    let patch = |name: &'static str, patch: Value| {
        let api = api.clone();
        async move {
            let patched = api.patch(name, &PatchParams::default(), &Patch::Strategic(patch)).await;
            patched.map(|_| ()).map_err(sentence)
        }
    };
    let deadline = json!({"spec": {"activeDeadlineSeconds": 1}});
    let refused = patch("theirs", deadline.clone()).await.unwrap_err();
    assert!(refused.contains("only pods of its own tests"), "{refused}");
    for change in [
        json!({"spec": {"containers": [{"name": "a", "image": "hostile"}]}}),
        json!({"metadata": {"labels": {"app": "hostile"}}}),
        json!({"metadata": {"annotations": {"hostile": "yes"}}}),
    ] {
        let refused = patch("ours", change.clone()).await.expect_err(&change.to_string());
        assert!(refused.contains("nothing of a pod but its deadline"), "{change}: {refused}");
    }
    let with_reason = json!({"metadata": {"annotations": {annotation::ENDED: "ImagePullFailed"}}, "spec": {"activeDeadlineSeconds": 1}});
    patch("ours", with_reason).await.unwrap();
}

pub async fn runs_stay(shared: Arc<Shared>) {
    let cluster = cluster(shared).await;
    let operator = Api::<E2ETest>::all(operator(&cluster).await);
    let admin = Api::<E2ETest>::all(cluster.client.clone());
    let finished = json!({"status": {"conditions": [{"type": "Finished", "status": "True", "reason": "TestsPassed",
        "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}});
    for (name, ttl, ends) in [("under-way", true, false), ("kept", false, true), ("may-go", true, true)] {
        let mut run = e2etest(name, vec![script("one", "pass")]);
        run.spec.ttl_after_finished = ttl.then(|| ZeroableDuration("1h".into()));
        admin.create(&PostParams::default(), &run).await.unwrap();
        if ends {
            admin.patch_status(name, &PatchParams::default(), &Patch::Merge(&finished)).await.unwrap();
        }
    }
    for name in ["under-way", "kept"] {
        let refused = sentence(operator.delete(name, &DeleteParams::default()).await.unwrap_err());
        assert!(refused.contains("only runs that are finished"), "{name}: {refused}");
    }
    operator.delete("may-go", &DeleteParams::default()).await.unwrap();
}
