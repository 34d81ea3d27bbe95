//! What is removed, what stays, and where a removal stops.

use serde_json::{Value, json};

use super::*;
use crate::api_server::ApiServer;

const NAMESPACE: &str = "/api/v1/namespaces/ours";
const CRD: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/foos.x.example.com";
const FOO: &str = "/apis/x.example.com/v1/namespaces/ours/foos/ours";
const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/ours/deployments/controller";

fn options() -> ApplyOptions {
    ApplyOptions { concurrency: 1, ..ApplyOptions::until(Instant::now() + Duration::from_mins(15)) }
}

fn made(api_version: &str, kind: &str, namespace: Option<&str>, name: &str) -> InventoryObject {
    InventoryObject {
        api_version: api_version.into(),
        kind: kind.into(),
        namespace: namespace.map(Into::into),
        name: name.into(),
        uid: Some(name.into()),
        made: true,
        needed_by: None,
    }
}

fn there(api_version: &str, kind: &str, namespace: Option<&str>, name: &str) -> Value {
    json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name, "namespace": namespace, "uid": name}})
}

/// A custom resource, the controller of it, their CRD and namespace.
fn installed() -> (ApiServer, Vec<InventoryObject>) {
    let server = ApiServer::default();
    let mut crd = there("apiextensions.k8s.io/v1", "CustomResourceDefinition", None, "foos.x.example.com");
    crd["spec"] = json!({
        "group": "x.example.com", "scope": "Namespaced", "names": {"kind": "Foo", "plural": "foos"},
        "versions": [{"name": "v1beta1", "served": true, "storage": false}, {"name": "v1", "served": true, "storage": true}],
    });
    server.put(CRD, crd);
    server.put(NAMESPACE, there("v1", "Namespace", None, "ours"));
    server.put(FOO, there("x.example.com/v1", "Foo", Some("ours"), "ours"));
    server.put(DEPLOYMENT, there("apps/v1", "Deployment", Some("ours"), "controller"));
    serve_kind(&server, "x.example.com/v1", "Foo", "foos");
    let inventory = vec![
        made("v1", "Namespace", None, "ours"),
        made("apiextensions.k8s.io/v1", "CustomResourceDefinition", None, "foos.x.example.com"),
        made("apps/v1", "Deployment", Some("ours"), "controller"),
        made("x.example.com/v1", "Foo", Some("ours"), "ours"),
    ];
    (server, inventory)
}

/// Lets the server say of a kind that it serves it.
fn serve_kind(server: &ApiServer, group_version: &str, kind: &str, plural: &str) {
    server.put(
        &format!("/apis/{group_version}"),
        json!({"kind": "APIResourceList", "groupVersion": group_version, "resources": [
            {"name": plural, "singularName": "", "namespaced": true, "kind": kind, "verbs": []}]}),
    );
}

async fn removed(server: &ApiServer, objects: &[InventoryObject]) -> Removed {
    remove(&server.client(), objects, &options(), &mut |_, _| ()).await.unwrap()
}

/// What stays, and for whose sake.
fn kept(removed: &Removed) -> Vec<(&str, &str)> {
    removed.kept.iter().map(|object| (object.name.as_str(), object.needed_by.as_deref().unwrap())).collect()
}

#[tokio::test(start_paused = true)]
async fn all_that_was_made_goes_and_twice_is_as_good_as_once() {
    let (server, inventory) = installed();
    let first = removed(&server, &inventory).await;
    assert_eq!((first.count, first.kept.len(), first.failures.len()), (4, 0, 0));
    for path in [NAMESPACE, CRD, FOO, DEPLOYMENT] {
        assert_eq!(server.get(path), None, "{path}");
    }
    assert_eq!(removed(&server, &inventory).await.count, 0);
}

#[tokio::test(start_paused = true)]
async fn an_object_made_anew_and_one_that_was_never_made_stay() {
    let (server, mut inventory) = installed();
    server.remove(DEPLOYMENT);
    server.put(DEPLOYMENT, there("apps/v1", "Deployment", Some("ours"), "theirs"));
    inventory.retain(|object| object.kind == "Deployment" || object.kind == "Foo");
    inventory[1].uid = None;
    assert_eq!(removed(&server, &inventory).await.count, 0);
    assert!(server.get(DEPLOYMENT).is_some() && server.get(FOO).is_some());
}

#[tokio::test(start_paused = true)]
async fn controllers_stay_while_a_custom_resource_does_not_go() {
    let (server, inventory) = installed();
    let mut held = there("x.example.com/v1", "Foo", Some("ours"), "ours");
    held["metadata"]["finalizers"] = json!(["x.example.com/hold"]);
    server.put(FOO, held.clone());
    let stopped = removed(&server, &inventory).await;
    let sentences: Vec<String> = stopped.failures.iter().map(ToString::to_string).collect();
    assert_eq!(
        sentences[0],
        "Foo ours/ours is still being removed: the finalizer x.example.com/hold is held; the controller that owns it \
         must run, or remove the finalizer by hand"
    );
    assert!(
        sentences[1].starts_with("what comes after custom resources was not removed"),
        "{}",
        sentences[1]
    );
    for path in [NAMESPACE, CRD, DEPLOYMENT] {
        assert!(server.get(path).is_some(), "{path}");
    }
    // Once it has let go, the next removal goes through.
    server.remove(FOO);
    assert_eq!(removed(&server, &inventory).await.count, 3);
}

#[tokio::test(start_paused = true)]
async fn a_crd_stays_for_an_instance_that_somebody_else_controls() {
    let (server, inventory) = installed();
    let owner = "/apis/x.example.com/v1/namespaces/theirs/foos/owner";
    // One page and more of instances that go with their owner, which is ours; and one that is not.
    server.page(2);
    for name in ["a", "b", "c"] {
        let mut instance = there("x.example.com/v1", "Foo", Some("theirs"), name);
        instance["metadata"]["ownerReferences"] = json!([{"apiVersion": "apps/v1", "kind": "Deployment", "name": "controller", "uid": "controller", "controller": true}]);
        server.put(&format!("/apis/x.example.com/v1/namespaces/theirs/foos/{name}"), instance);
    }
    let mut theirs = there("x.example.com/v1", "Foo", Some("theirs"), "owned");
    theirs["metadata"]["ownerReferences"] =
        json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "app", "uid": "app", "controller": true}]);
    server.put("/apis/x.example.com/v1/namespaces/theirs/foos/z", theirs);
    server.put("/api/v1/namespaces/theirs", there("v1", "Namespace", None, "theirs"));
    server.put("/api/v1/namespaces/theirs/configmaps/app", there("v1", "ConfigMap", Some("theirs"), "app"));
    assert_eq!(kept(&removed(&server, &inventory).await), [("foos.x.example.com", "Foo theirs/owned")]);
    assert!(server.get(CRD).is_some() && server.get(owner).is_none());
    // Asked in the version in which they are stored: what converts may be gone.
    assert!(!server.requests().iter().any(|request| request.contains("/v1beta1/")));
}

#[tokio::test(start_paused = true)]
async fn a_namespace_that_somebody_made_anew_is_not_ours() {
    let (server, inventory) = installed();
    let mut anew = there("v1", "Namespace", None, "ours");
    anew["metadata"]["uid"] = "anew".into();
    server.put(NAMESPACE, anew);
    server.put(
        FOO.replace("foos/ours", "foos/theirs").as_str(),
        there("x.example.com/v1", "Foo", Some("ours"), "theirs"),
    );
    assert_eq!(kept(&removed(&server, &inventory).await), [("foos.x.example.com", "Foo ours/theirs")]);
    assert!(server.get(NAMESPACE).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_namespace_stays_for_whatever_somebody_runs_in_it() {
    for (api, api_version, kind, plural) in [
        ("/apis/batch/v1", "batch/v1", "Job", "jobs"),
        ("/apis/batch/v1", "batch/v1", "CronJob", "cronjobs"),
        ("/api/v1", "v1", "Pod", "pods"),
        ("/apis/apps/v1", "apps/v1", "StatefulSet", "statefulsets"),
    ] {
        let (server, inventory) = installed();
        let path = format!("{api}/namespaces/ours/{plural}/theirs");
        server.put(&path, there(api_version, kind, Some("ours"), "theirs"));
        let stays = format!("{kind} ours/theirs");
        let first = removed(&server, &inventory).await;
        assert_eq!(kept(&first), [("ours", stays.as_str())]);
        assert!(server.get(&path).is_some() && server.get(NAMESPACE).is_some());
        // Once that is gone, so is what stayed for it.
        server.remove(&path);
        assert_eq!(removed(&server, &first.kept).await.count, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_pod_goes_with_its_owners_and_stays_with_somebody_elses() {
    let pod = "/api/v1/namespaces/ours/pods/p";
    for (owner, api_version, kind, plural, stays) in [
        // Its owner has gone: it goes after it.
        (None, "apps/v1", "ReplicaSet", "replicasets", false),
        // An owner that lives on in another version than the reference names, of a custom resource and of a built-in kind.
        (Some("theirs"), "x.example.com/v1alpha1", "Foo", "foos", true),
        (Some("theirs"), "apps/v1beta2", "ReplicaSet", "replicasets", true),
        // A custom resource of a CRD that is not ours, and that nobody recorded.
        (Some("theirs"), "y.example.com/v1", "Bar", "bars", true),
        // A custom resource of a CRD of ours, and that nobody recorded either.
        (Some("theirs"), "x.example.com/v1", "Foo", "foos", true),
    ] {
        let (server, inventory) = installed();
        let mut owned = there("v1", "Pod", Some("ours"), "p");
        owned["metadata"]["ownerReferences"] = json!([{"apiVersion": api_version, "kind": kind, "name": "theirs", "uid": "theirs", "controller": true}]);
        server.put(pod, owned);
        serve_kind(&server, "y.example.com/v1", "Bar", "bars");
        if let Some(name) = owner {
            let group = api_version.split_once('/').unwrap().0;
            let path = format!("/apis/{group}/v1/namespaces/ours/{plural}/{name}");
            server.put(&path, there(api_version, kind, Some("ours"), name));
        }
        assert_eq!(!removed(&server, &inventory).await.kept.is_empty(), stays, "{kind}");
        assert_eq!(server.get(NAMESPACE).is_some(), stays, "{kind}");
    }
}

#[tokio::test(start_paused = true)]
async fn crds_stay_for_what_somebodys_own_custom_resource_controls() {
    let (server, mut inventory) = installed();
    let bars = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/bars.y.example.com";
    let mut crd = there("apiextensions.k8s.io/v1", "CustomResourceDefinition", None, "bars.y.example.com");
    crd["spec"] = json!({"group": "y.example.com", "scope": "Namespaced", "names": {"kind": "Bar", "plural": "bars"},
        "versions": [{"name": "v1", "served": true, "storage": true}]});
    server.put(bars, crd);
    inventory.push(made("apiextensions.k8s.io/v1", "CustomResourceDefinition", None, "bars.y.example.com"));
    server.put("/api/v1/namespaces/theirs", there("v1", "Namespace", None, "theirs"));
    let place = "/apis/x.example.com/v1/namespaces/theirs/foos/theirs";
    server.put(place, there("x.example.com/v1", "Foo", Some("theirs"), "theirs"));
    let mut controlled = there("y.example.com/v1", "Bar", Some("theirs"), "controlled");
    controlled["metadata"]["ownerReferences"] = json!([{"apiVersion": "x.example.com/v1", "kind": "Foo", "name": "theirs", "uid": "theirs", "controller": true}]);
    server.put("/apis/y.example.com/v1/namespaces/theirs/bars/controlled", controlled);
    let removed = removed(&server, &inventory).await;
    assert_eq!(
        kept(&removed),
        [("bars.y.example.com", "Bar theirs/controlled"), ("foos.x.example.com", "Foo theirs/theirs")]
    );
    assert!(server.get(bars).is_some() && server.get(CRD).is_some());
}

#[tokio::test(start_paused = true)]
async fn what_owns_a_namespace_stays_for_whatever_somebody_runs_in_it() {
    let (server, mut inventory) = installed();
    let namespace = "/api/v1/namespaces/user";
    let own = |object: &mut Value, api_version: &str, kind: &str, name: &str| {
        object["metadata"]["ownerReferences"] =
            json!([{"apiVersion": api_version, "kind": kind, "name": name, "uid": name, "controller": true}]);
    };
    // As a profile is: of the set, cluster-scoped, and its controller makes the namespace and what runs there for it.
    server.put(
        "/apis/x.example.com/v1",
        json!({"kind": "APIResourceList", "groupVersion": "x.example.com/v1", "resources": [
            {"name": "foos", "singularName": "", "namespaced": false, "kind": "Foo", "verbs": []}]}),
    );
    let foo = "/apis/x.example.com/v1/foos/profile";
    server.remove(FOO);
    inventory[3] = made("x.example.com/v1", "Foo", None, "profile");
    server.put(foo, there("x.example.com/v1", "Foo", None, "profile"));
    let mut made_for_it = there("v1", "Namespace", None, "user");
    own(&mut made_for_it, "x.example.com/v1", "Foo", "profile");
    server.put(namespace, made_for_it);
    let mut artifacts = there("apps/v1", "Deployment", Some("user"), "artifacts");
    own(&mut artifacts, "v1", "Namespace", "user");
    server.put("/apis/apps/v1/namespaces/user/deployments/artifacts", artifacts);
    let theirs = "/apis/apps/v1/namespaces/user/deployments/theirs";
    server.put(theirs, there("apps/v1", "Deployment", Some("user"), "theirs"));
    let first = removed(&server, &inventory).await;
    // The CRD stays for its instance, which is to stay.
    assert_eq!(kept(&first), [("profile", "Deployment user/theirs"), ("foos.x.example.com", "Foo profile")]);
    assert!(server.get(foo).is_some() && server.get(CRD).is_some());
    // Once the workload has gone, nothing in the namespace is anybody's but ours.
    server.remove(theirs);
    assert_eq!(removed(&server, &first.kept).await.count, 2);
}
