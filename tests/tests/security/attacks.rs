//! Runs as somebody would write them who wants more than a test. Eve may create runs, and pods in a namespace of her own.

use std::{collections::BTreeMap, sync::Arc};

use crds::v1alpha1::E2ETest;
use e2e_tests::{
    cluster::{Cluster, Shared},
    objects::TARGET,
};
use kube::{
    Api, Client, Config, ResourceExt as _,
    api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
    core::ApiResource,
};
use serde_json::{Value, json};

use super::{OTHER, cluster, job_of, operator, sentence, try_job};

/// An attack: what is tried, the spec as changes to a right one in Eve's own namespace, and what the refusal says; `None`
/// where the API server stores it, stripped of what the kind does not know.
type Attack = (&'static str, Value, Option<&'static str>);

/// A client of a user with the rights to make runs, and pods in her own namespace.
async fn eve(cluster: &Cluster) -> Client {
    let group = "rbac.authorization.k8s.io";
    let role = |kind: &str, namespace: Value, rules: Value| {
        json!({"apiVersion": format!("{group}/v1"), "kind": kind,
        "metadata": {"name": "eve", "namespace": namespace}, "rules": rules})
    };
    let binding = |kind: &str, role: &str, namespace: Value| {
        json!({"apiVersion": format!("{group}/v1"), "kind": kind,
        "metadata": {"name": "eve", "namespace": namespace}, "roleRef": {"apiGroup": group, "kind": role, "name": "eve"},
        "subjects": [{"apiGroup": group, "kind": "User", "name": "eve"}]})
    };
    let runs = json!([{"apiGroups": ["e2e.kubeflow.org"], "resources": ["e2etests"], "verbs": ["create", "get", "update", "patch"]}]);
    let pods = json!([{"apiGroups": [""], "resources": ["pods"], "verbs": ["create", "list"]}]);
    cluster.apply(&json!({"apiVersion": "v1", "kind": "List", "items": [
        role("ClusterRole", Value::Null, runs), binding("ClusterRoleBinding", "ClusterRole", Value::Null),
        role("Role", json!(OTHER), pods), binding("RoleBinding", "Role", json!(OTHER))]}));
    let kubeconfig = Kubeconfig::read_from(&cluster.kubeconfig).unwrap();
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    config.auth_info.impersonate = Some("eve".into());
    Client::try_from(config).unwrap()
}

/// `{"tests": […]}` with one right test, changed.
fn test(changes: Value) -> Value {
    let mut test = json!({"name": "a", "image": "i", "script": {"source": {"inline": "x"}}});
    for (key, value) in changes.as_object().unwrap() {
        test[key] = value.clone();
    }
    json!({ "tests": [test] })
}

/// A test whose script is changed.
fn script(changes: Value) -> Value {
    let mut script = json!({"source": {"inline": "x"}});
    for (key, value) in changes.as_object().unwrap() {
        script[key] = value.clone();
    }
    test(json!({ "script": script }))
}

/// What reaches into places that are not Eve's.
fn elsewhere() -> Vec<Attack> {
    let pods = Some("you may not create pods in namespace");
    vec![
        ("a profile of somebody else", json!({"targetNamespace": TARGET}), pods),
        ("the system's namespace", json!({"targetNamespace": "kube-system"}), pods),
        ("the operator's namespace", json!({"targetNamespace": "kubeflow-e2e-system"}), pods),
        ("a namespace that does not exist", json!({"targetNamespace": "nowhere"}), pods),
        ("no namespace", json!({"targetNamespace": ""}), Some("at least 1 chars")),
        ("a path as namespace", json!({"targetNamespace": "../kube-system"}), Some("should match")),
        (
            "a second line in the namespace",
            json!({"targetNamespace": "other\nadmin: true"}),
            Some("should match"),
        ),
        (
            "a namespace with a letter that looks like another",
            json!({"targetNamespace": "оther"}),
            Some("should match"),
        ),
        ("a path as service account", json!({"serviceAccountName": "../admin"}), Some("should match")),
        ("a user as service account", json!({"serviceAccountName": "system:admin"}), Some("should match")),
        (
            "to see what fails in the system",
            json!({"kubeflow": {"namespaces": ["kube-system"]}}),
            Some("you may not list pods in each namespace"),
        ),
        (
            "to see it beside one's own",
            json!({"kubeflow": {"namespaces": [OTHER, TARGET]}}),
            Some("you may not list pods in each namespace"),
        ),
        (
            "an inventory of another namespace",
            json!({"kubeflow": {"inventory": "kube-system/coredns"}}),
            Some("should match"),
        ),
        (
            "a namespace of the gate as path",
            json!({"kubeflow": {"namespaces": ["other/../kube-system"]}}),
            Some("should match"),
        ),
        (
            "a config map of another namespace",
            script(json!({"source": {"configMap": {"name": "../kube-system/x", "key": "k"}}})),
            Some("should match"),
        ),
        (
            "a key that is a path",
            script(json!({"source": {"configMap": {"name": "x", "key": "../../etc/shadow"}}})),
            Some("should match"),
        ),
        (
            "a bundled test that is a path",
            script(json!({"source": {"bundled": "../../etc/passwd"}})),
            Some("should match"),
        ),
        (
            "a pod default of another namespace",
            test(json!({"podDefaults": ["kubeflow/admin"]})),
            Some("should match"),
        ),
    ]
}

/// What makes more of a pod than a test's.
fn more_than_a_test() -> Vec<Attack> {
    let list = |value: Value| test(json!({"env": [value]}));
    vec![
        ("root", test(json!({"runAsUser": 0})), Some("greater than or equal to 1")),
        ("a user below root", test(json!({"runAsUser": -1})), Some("greater than or equal to 1")),
        ("privileged pods", test(json!({"podSecurity": "privileged"})), Some("Unsupported value")),
        ("the host's disk", test(json!({"volumes": [{"name": "h", "hostPath": {"path": "/"}}]})), None),
        ("the host's network", test(json!({"hostNetwork": true})), None),
        ("more capabilities", test(json!({"securityContext": {"privileged": true}})), None),
        (
            "a variable from a Secret",
            list(json!({"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}})),
            None,
        ),
        (
            "a variable given twice",
            test(json!({"env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]})),
            Some("Duplicate value"),
        ),
        (
            "a variable with an assignment in its name",
            list(json!({"name": "A=B\nC", "value": ""})),
            Some("should match"),
        ),
        (
            "options of pip",
            test(json!({"requirements": ["--index-url=http://169.254.169.254/"]})),
            Some("should match"),
        ),
        (
            "options of pip on a second line",
            test(json!({"requirements": ["kfp\n--index-url=http://evil/"]})),
            Some("should match"),
        ),
        (
            "an image with a second line",
            test(json!({"image": "i\n  securityContext: {}"})),
            Some("should match"),
        ),
        (
            "a toleration that makes no sense",
            test(json!({"tolerations": [{"operator": "Everything"}]})),
            Some("Unsupported value"),
        ),
    ]
}

/// Names that lie, and fields that are too much.
fn too_much() -> Vec<Attack> {
    let many = |count: usize, one: &dyn Fn(usize) -> Value| (0..count).map(one).collect::<Vec<_>>();
    let long = "x".repeat(262_145);
    vec![
        ("no name", test(json!({"name": ""})), Some("at least 1 chars")),
        ("a test that looks like another", test(json!({"name": "nоtebook"})), Some("should match")),
        ("a test whose name is a path", test(json!({"name": "../x"})), Some("should match")),
        ("a test whose name ends a line", test(json!({"name": "a\n"})), Some("should match")),
        ("a name that cuts off the run's UID", test(json!({"name": "n".repeat(41)})), Some("Too long")),
        (
            "two tests of one name",
            json!({"tests": [test(json!({}))["tests"][0], test(json!({}))["tests"][0]]}),
            Some("Duplicate value"),
        ),
        (
            "65 tests",
            json!({"tests": many(65, &|n| test(json!({"name": format!("t{n}")}))["tests"][0].clone())}),
            Some("at most 64"),
        ),
        ("too long a source", script(json!({"source": {"inline": long}})), Some("Too long")),
        ("too long an image", test(json!({"image": "i".repeat(1025)})), Some("Too long")),
        (
            "too long a variable",
            test(json!({"env": [{"name": "A", "value": "x".repeat(4097)}]})),
            Some("Too long"),
        ),
        (
            "65 variables",
            test(json!({"env": many(65, &|n| json!({"name": format!("V{n}")}))})),
            Some("at most 64"),
        ),
        ("65 arguments", script(json!({"args": many(65, &|_| json!("x"))})), Some("at most 64")),
        (
            "17 resources",
            test(json!({"resources": {"limits": many(17, &|n| json!([format!("r{n}"), "1"])).into_iter()
            .map(|pair| (pair[0].as_str().unwrap().to_owned(), pair[1].clone())).collect::<BTreeMap<_, _>>()}})),
            Some("at most 16"),
        ),
        (
            "a quantity that makes no sense",
            test(json!({"resources": {"limits": {"cpu": "1; rm -rf /"}}})),
            Some("should match"),
        ),
        ("a time that never ends", json!({"timeout": "99999999h"}), Some("must be a duration")),
        (
            "a test that outlives its run",
            test(json!({"timeout": "24h"})),
            Some("must be within spec.timeout"),
        ),
        ("thousands of pods at once", json!({"maxParallel": 1000}), Some("less than or equal to 64")),
        ("retries without an end", test(json!({"retries": 1_000_000})), Some("less than or equal to 10")),
        ("two kinds of test", test(json!({"job": {"command": ["sh"]}})), Some("exactly one of")),
        (
            "a job without a program",
            json!({"tests": [{"name": "a", "image": "i", "job": {"command": []}}]}),
            Some("at least 1 items"),
        ),
    ]
}

/// A right spec in Eve's own namespace with these changes.
fn spec(changes: &Value) -> Value {
    let mut spec = json!({"targetNamespace": OTHER, "serviceAccountName": "default"});
    for (key, value) in test(json!({})).as_object().unwrap().iter().chain(changes.as_object().unwrap()) {
        spec[key] = value.clone();
    }
    spec
}

fn api(client: Client) -> Api<DynamicObject> {
    Api::all_with(client, &ApiResource::erase::<E2ETest>(&()))
}

fn object(name: &str, spec: &Value) -> DynamicObject {
    let object = json!({"apiVersion": "e2e.kubeflow.org/v1alpha1", "kind": "E2ETest", "metadata": {"name": name}, "spec": spec});
    serde_json::from_value(object).unwrap()
}

pub async fn runs(shared: Arc<Shared>) {
    let cluster = cluster(shared).await;
    let (eve, operator) = (eve(&cluster).await, operator(&cluster).await);
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    let attempt =
        async |spec: &Value| api(eve.clone()).create(&dry, &object("attack", spec)).await.map_err(sentence);
    attempt(&spec(&json!({}))).await.expect("a right run is accepted");
    let attacks: Vec<Attack> = [elsewhere(), more_than_a_test(), too_much()].concat();
    let mut stored = 0;
    for (what, changes, refusal) in &attacks {
        match (attempt(&spec(changes)).await, refusal) {
            (Err(refused), Some(refusal)) => assert!(refused.contains(refusal), "{what}: {refused}"),
            (Ok(accepted), None) => {
                stored += 1;
                harmless(&operator, what, accepted).await;
            }
            (answer, _) => panic!("{what}: {answer:?}"),
        }
    }
    println!(
        "{} hostile runs: {} refused at admission, {stored} stored without what they asked for",
        attacks.len(),
        attacks.len() - stored
    );
    assert!(attacks.len() >= 40 && stored * 10 <= attacks.len());
    let name = attempt_name(&eve, &"n".repeat(64)).await;
    assert!(name.contains("at most 63 characters"), "{name}");
    let name = attempt_name(&eve, "kubeflоw").await;
    assert!(name.contains("lowercase RFC 1123"), "{name}");
}

/// The refusal of a run for its name.
async fn attempt_name(eve: &Client, name: &str) -> String {
    sentence(
        api(eve.clone()).create(&PostParams::default(), &object(name, &spec(&json!({})))).await.unwrap_err(),
    )
}

/// What was stored leads to the same pod as a run that asked for nothing.
async fn harmless(operator: &Client, what: &str, mut accepted: DynamicObject) {
    accepted.metadata.uid = None;
    let read = |object: DynamicObject| -> E2ETest { object.try_parse().unwrap() };
    let (stored, right) = (read(accepted), read(object("attack", &spec(&json!({})))));
    let pod = |run: &E2ETest| {
        let mut pod = job_of(run).spec.unwrap().template.spec.unwrap();
        // A variable whose source is not known is empty: nothing that the attack asked for.
        pod.containers[0].env = None;
        pod
    };
    assert_eq!(pod(&stored), pod(&right), "{what}");
    // In Eve's namespace nobody has let the operator in; where somebody has, the policy sees nothing wrong with it.
    let refused = try_job(operator, OTHER, job_of(&stored)).await.unwrap_err();
    assert!(refused.contains("cannot create resource \"jobs\""), "{what}: {refused}");
    try_job(operator, TARGET, job_of(&stored)).await.unwrap();
}

pub async fn runs_of_others(shared: Arc<Shared>) {
    let cluster = cluster(shared).await;
    let eve = api(eve(&cluster).await);
    let mut theirs = spec(&json!({"cancel": false}));
    theirs["targetNamespace"] = json!(TARGET);
    let admin = api(cluster.client.clone());
    admin.create(&PostParams::default(), &object("theirs", &theirs)).await.unwrap();
    let before = admin.get("theirs").await.unwrap();
    for (what, change) in [
        ("cancel", json!({"spec": {"cancel": true}})),
        ("delete soon", json!({"spec": {"ttlAfterFinished": "0s"}})),
        ("relabel", json!({"metadata": {"labels": {"a": "b"}}})),
        (
            "own",
            json!({"metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "Namespace", "name": OTHER, "uid": "x"}]}}),
        ),
        ("hold", json!({"metadata": {"finalizers": ["eve.example.com/hold"]}})),
    ] {
        let refused = eve.patch("theirs", &PatchParams::default(), &Patch::Merge(change)).await;
        let refused = sentence(refused.expect_err(what));
        assert!(refused.contains("you may not create pods in namespace"), "{what}: {refused}");
    }
    let moved = json!({"spec": {"targetNamespace": OTHER}});
    let refused =
        sentence(eve.patch("theirs", &PatchParams::default(), &Patch::Merge(moved)).await.unwrap_err());
    assert!(refused.contains("spec cannot be changed"), "{refused}");
    let verdict = json!({"status": {"testsSummary": "1/1"}});
    let refused = eve.patch_status("theirs", &PatchParams::default(), &Patch::Merge(verdict)).await;
    assert!(sentence(refused.unwrap_err()).contains("cannot patch resource \"e2etests/status\""));
    let refused = eve.delete("theirs", &DeleteParams::default()).await;
    assert!(sentence(refused.unwrap_err()).contains("cannot delete resource \"e2etests\""));
    assert_eq!(admin.get("theirs").await.unwrap().resource_version(), before.resource_version());
    // Whoever may delete it may do so in the foreground, too: Kubernetes then takes its own finalizer away.
    let foreground = json!({"metadata": {"finalizers": ["foregroundDeletion"]}});
    admin.patch("theirs", &PatchParams::default(), &Patch::Merge(foreground)).await.unwrap();
    admin.delete("theirs", &DeleteParams::default()).await.unwrap();
    let taken = json!({"metadata": {"finalizers": null}});
    eve.patch("theirs", &PatchParams::default(), &Patch::Merge(taken)).await.unwrap();
    assert!(admin.get_opt("theirs").await.unwrap().is_none());
    // A verdict that comes with the creation is not kept.
    let mut forged = object("forged", &spec(&json!({})));
    forged.data["status"] = json!({"testsSummary": "1/1"});
    let stored = eve.create(&PostParams::default(), &forged).await.unwrap();
    assert_eq!(stored.data.get("status"), None);
}
