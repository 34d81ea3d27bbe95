//! Scenarios against an API server of a few scripted answers: what is on the wire, what is repeated, what is final.

use std::sync::atomic::{AtomicUsize, Ordering};

use http::{Request, Response, StatusCode};
use kube::client::Body;
use serde_json::{Value, json};
use tower_test::mock::Handle;

use super::*;

type Requests = Handle<Request<Body>, Response<Body>>;

fn server() -> (Client, Requests) {
    let (service, handle) = tower_test::mock::pair::<Request<Body>, Response<Body>>();
    (Client::new(service, "default"), handle)
}

/// Method, path with query, and body.
async fn answer(handle: &mut Requests, code: u16, body: Value) -> (String, String, Value) {
    let (request, respond) = handle.next_request().await.expect("a request");
    let line = (request.method().to_string(), request.uri().to_string());
    let sent = request.into_body().collect_bytes().await.unwrap();
    let response = Response::builder().status(StatusCode::from_u16(code).unwrap());
    respond.send_response(response.body(Body::from(body.to_string().into_bytes())).unwrap());
    (line.0, line.1, serde_json::from_slice(&sent).unwrap_or_default())
}

fn status(code: u16, message: &str, details: &Value) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "message": message, "reason": "Any", "details": details})
}

fn taken(name: &str) -> Value {
    json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": {"name": name, "uid": "u1", "generation": 1}})
}

fn object(manifest: Value) -> Object {
    Object::new(manifest).unwrap()
}

fn deployment() -> Object {
    object(
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a", "namespace": "kubeflow"}, "spec": {"paused": true}}),
    )
}

fn namespace(name: &str) -> Object {
    object(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}))
}

fn options() -> ApplyOptions {
    ApplyOptions { concurrency: 1, ..ApplyOptions::until(Instant::now() + Duration::from_mins(1)) }
}

/// Collects what progress says, as lines.
fn lines() -> (tokio::sync::mpsc::UnboundedReceiver<String>, impl Fn(Progress<'_>) + Sync) {
    let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
    let say = move |progress: Progress<'_>| {
        let line = match progress {
            Progress::WaveStarted { wave, objects } => format!("{}: {objects}", wave.as_str()),
            Progress::Applied { object, done, total } => format!("{object} {done}/{total}"),
            Progress::Waiting { object, reason } => format!("{object} waits: {reason}"),
        };
        sender.send(line).unwrap();
    };
    (receiver, say)
}

fn drain(mut receiver: tokio::sync::mpsc::UnboundedReceiver<String>) -> Vec<String> {
    let mut lines = Vec::new();
    while let Ok(line) = receiver.try_recv() {
        lines.push(line);
    }
    lines
}

#[tokio::test(start_paused = true)]
async fn an_object_goes_out_as_it_was_rendered() {
    let (client, mut handle) = server();
    let set = [deployment()];
    let api_server = tokio::spawn(async move { answer(&mut handle, 201, taken("a")).await });
    let applied = apply(&client, &set, &options(), &|_| ()).await.unwrap();
    let (method, uri, body) = api_server.await.unwrap();
    assert_eq!(method, "PATCH");
    assert_eq!(
        uri,
        "/apis/apps/v1/namespaces/kubeflow/deployments/a?&fieldManager=kfe2e&fieldValidation=Strict"
    );
    assert_eq!(&body, set[0].manifest());
    let expected = AppliedObject { index: 0, uid: Some("u1".into()), generation: Some(1) };
    assert_eq!(applied, Applied { objects: vec![expected], ..Applied::default() });
}

#[tokio::test(start_paused = true)]
async fn a_custom_resource_is_sent_again_until_its_crd_serves() {
    let (client, mut handle) = server();
    let set = [
        object(json!({"apiVersion": "kubeflow.org/v1", "kind": "Profile", "metadata": {"name": "user"}})),
        object(json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "profiles.kubeflow.org"},
            "spec": {"group": "kubeflow.org", "scope": "Cluster", "names": {"kind": "Profile", "plural": "profiles"},
                "versions": [{"name": "v1", "served": true}]},
        })),
    ];
    let api_server = tokio::spawn(async move {
        let mut uris = Vec::new();
        for (code, body) in [
            (201, taken("profiles.kubeflow.org")),
            (404, status(404, "the server could not find the requested resource", &json!({}))),
            (404, status(404, "the server could not find the requested resource", &json!({}))),
            (201, taken("user")),
        ] {
            uris.push(answer(&mut handle, code, body).await.1);
        }
        uris
    });
    let (receiver, say) = lines();
    let applied = apply(&client, &set, &options(), &say).await.unwrap();
    assert_eq!(applied.retries, 2);
    assert!(api_server.await.unwrap()[3].starts_with("/apis/kubeflow.org/v1/profiles/user?"));
    assert_eq!(
        drain(receiver),
        [
            "namespaces and CRDs: 1",
            "CustomResourceDefinition profiles.kubeflow.org 1/2",
            "workloads and custom resources: 1",
            "Profile user waits: kubeflow.org/v1 Profile is not served yet",
            "Profile user 2/2",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_final_refusal_names_object_and_reason_and_is_not_repeated() {
    let (client, mut handle) = server();
    let api_server = tokio::spawn(async move {
        answer(
            &mut handle,
            422,
            status(422, "Deployment.apps \"a\" is invalid: spec.selector: Required value", &json!({})),
        )
        .await;
        handle.next_request().await.is_none()
    });
    let error = apply(&client, &[deployment()], &options(), &|_| ()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "Deployment kubeflow/a: Deployment.apps \"a\" is invalid: spec.selector: Required value"
    );
    drop(client);
    assert!(api_server.await.unwrap(), "there was a second request");
}

#[tokio::test(start_paused = true)]
async fn a_conflict_is_final_and_names_the_other_manager() {
    let (client, mut handle) = server();
    let details = json!({"causes": [{"reason": "FieldManagerConflict", "message": "conflict with \"helm\" using apps/v1", "field": ".spec.paused"}]});
    let api_server = tokio::spawn(async move {
        answer(&mut handle, 409, status(409, "Apply failed with 1 conflict", &details)).await
    });
    let error = apply(&client, &[deployment()], &options(), &|_| ()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "Deployment kubeflow/a: .spec.paused is managed by \"helm\"; take over with force, or leave them to the other"
    );
    assert!(!api_server.await.unwrap().1.contains("force"));
}

#[tokio::test(start_paused = true)]
async fn force_is_sent_when_asked_for() {
    let (client, mut handle) = server();
    let api_server = tokio::spawn(async move { answer(&mut handle, 200, taken("a")).await });
    apply(&client, &[deployment()], &ApplyOptions { force: true, ..options() }, &|_| ()).await.unwrap();
    assert!(api_server.await.unwrap().1.contains("force=true"));
}

/// What the API server says of an object that was there when ours came.
fn there(manager: &str) -> Value {
    let mut there = taken("a");
    there["metadata"]["managedFields"] = json!([{"manager": manager, "operation": "Apply"}]);
    there
}

#[tokio::test(start_paused = true)]
async fn what_somebody_made_in_the_meantime_is_left_alone() {
    let only_new = || ApplyOptions { only_new: true, ..options() };
    for (manager, ours) in [("kubectl", false), ("kfe2e", true)] {
        let (client, mut handle) = server();
        let api_server = tokio::spawn(async move {
            let modified = status(409, "the object has been modified", &json!({}));
            let sent = answer(&mut handle, 409, modified).await;
            let looked = answer(&mut handle, 200, there(manager)).await;
            (sent.2, looked.0)
        });
        let applied = apply(&client, &[deployment()], &only_new(), &|_| ()).await.unwrap();
        assert_eq!((applied.objects.len(), applied.found), if ours { (1, vec![]) } else { (0, vec![0]) });
        let (sent, looked) = api_server.await.unwrap();
        // Of no object is this the version: the request cannot change one that is there.
        assert_eq!(sent["metadata"]["resourceVersion"], "1");
        assert_eq!(looked, "GET");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_there_and_has_gone_is_made() {
    let (client, mut handle) = server();
    let api_server = tokio::spawn(async move {
        answer(&mut handle, 409, status(409, "the object has been modified", &json!({}))).await;
        answer(&mut handle, 404, status(404, "deployments.apps \"a\" not found", &json!({}))).await;
        answer(&mut handle, 201, taken("a")).await
    });
    let only_new = ApplyOptions { only_new: true, ..options() };
    let applied = apply(&client, &[deployment()], &only_new, &|_| ()).await.unwrap();
    assert_eq!((applied.objects.len(), applied.found.len(), applied.retries), (1, 0, 1));
    assert_eq!(api_server.await.unwrap().0, "PATCH");
}

#[tokio::test(start_paused = true)]
async fn the_deadline_says_what_was_waited_for() {
    let (client, mut handle) = server();
    let api_server = tokio::spawn(async move {
        while let Some((_, respond)) = handle.next_request().await {
            let body = status(500, "failed calling webhook \"a.example\": connection refused", &json!({}))
                .to_string();
            respond
                .send_response(Response::builder().status(500).body(Body::from(body.into_bytes())).unwrap());
        }
    });
    let error = apply(&client, &[deployment(), namespace("b")], &options(), &|_| ()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the deadline passed while Namespace b waited: failed calling webhook \"a.example\": connection refused"
    );
    drop(client);
    api_server.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_request_without_an_answer_is_made_again() {
    let (client, mut handle) = server();
    let api_server = tokio::spawn(async move {
        let (_, never) = handle.next_request().await.unwrap();
        answer(&mut handle, 201, taken("b")).await;
        drop(never);
    });
    let (receiver, say) = lines();
    apply(&client, &[namespace("b")], &options(), &say).await.unwrap();
    api_server.await.unwrap();
    assert!(drain(receiver).contains(&"Namespace b waits: the API server does not answer".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn an_unknown_kind_costs_one_question_and_nothing_is_sent_without_an_answer() {
    let pod_default = || {
        object(
            json!({"apiVersion": "kubeflow.org/v1alpha1", "kind": "PodDefault", "metadata": {"name": "a"}}),
        )
    };
    let (client, mut handle) = server();
    let known = json!({"kind": "APIResourceList", "groupVersion": "kubeflow.org/v1alpha1", "resources": [
        {"name": "poddefaults", "singularName": "", "namespaced": true, "kind": "PodDefault", "verbs": []},
        {"name": "poddefaults/status", "singularName": "", "namespaced": true, "kind": "PodDefault", "verbs": []}]});
    let api_server = tokio::spawn(async move {
        let asked = answer(&mut handle, 200, known).await;
        let sent = answer(&mut handle, 201, taken("a")).await;
        (asked.1, sent.1)
    });
    apply(&client, &[pod_default()], &options(), &|_| ()).await.unwrap();
    let (asked, sent) = api_server.await.unwrap();
    assert_eq!(asked, "/apis/kubeflow.org/v1alpha1");
    assert!(sent.starts_with("/apis/kubeflow.org/v1alpha1/namespaces/default/poddefaults/a?"), "{sent}");

    let (client, mut handle) = server();
    let api_server =
        tokio::spawn(async move { answer(&mut handle, 404, status(404, "not found", &json!({}))).await });
    let error = apply(&client, &[namespace("first"), pod_default()], &options(), &|_| ()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "PodDefault a is of a kind that neither the set nor the cluster knows: kubeflow.org/v1alpha1 PodDefault; add its CRD"
    );
    api_server.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn no_more_requests_are_under_way_than_asked_for() {
    let (client, mut handle) = server();
    let set: Vec<Object> = (0..20).map(|number| namespace(&format!("n{number}"))).collect();
    let most = std::sync::Arc::new(AtomicUsize::new(0));
    let seen = most.clone();
    let api_server = tokio::spawn(async move {
        let mut open = Vec::new();
        let mut answered = 0;
        while answered < 20 {
            if let Some(respond) = timeout_of(&mut handle).await {
                open.push(respond);
                continue;
            }
            seen.fetch_max(open.len(), Ordering::Relaxed);
            for respond in open.drain(..) {
                answered += 1;
                respond.send_response(Response::new(Body::from(taken("n").to_string().into_bytes())));
            }
        }
    });
    apply(&client, &set, &ApplyOptions { concurrency: 3, ..options() }, &|_| ()).await.unwrap();
    api_server.await.unwrap();
    assert_eq!(most.load(Ordering::Relaxed), 3);
}

/// The next request, or `None` when none comes any more.
async fn timeout_of(handle: &mut Requests) -> Option<tower_test::mock::SendResponse<Response<Body>>> {
    tokio::time::timeout(Duration::from_millis(10), handle.next_request())
        .await
        .ok()
        .flatten()
        .map(|(_, respond)| respond)
}
