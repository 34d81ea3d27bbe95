//! What goes over the wire: paths, field managers, preconditions, and what each answer of the API server leads to.
//!
//! Decisions have their tests in `operator-core`; here are only those of the shell around them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends by panicking")]

use std::{collections::VecDeque, sync::Arc, time::Duration};

use crds::v1alpha1::E2ETest;
use http::{Request, Response, StatusCode};
use kube::{Client, client::Body, core::DeserializeGuard, runtime::controller::Action};
use operator::{
    error::{Class, ReconcileError},
    events::Publisher,
    metrics::Metrics,
    reconcile::{Context, reconcile, retry_after},
};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tower_test::mock;

const UID: &str = "0f5e4a5c-19cd-4f6d-8d5e-3a3f6f0b8f11";
const RUN: &str = "/apis/e2e.kubeflow.org/v1alpha1/e2etests/nightly";
const JOBS: &str = "/apis/batch/v1/namespaces/profile/jobs";
const JOB: &str = "/apis/batch/v1/namespaces/profile/jobs/a-0f5e4a5c-1";
const PODS: &str = "/api/v1/namespaces/profile/pods";
const CONFIG_MAP: &str = "/api/v1/namespaces/profile/configmaps/a-0f5e4a5c-source";
const POD_DEFAULT: &str = "/apis/kubeflow.org/v1alpha1/namespaces/profile/poddefaults/kubeflow-e2e-0f5e4a5c";

/// One answer: for which method and path it is, and what it says.
type Answer = (&'static str, String, u16, Value);

/// One request as it came.
#[derive(Debug)]
struct Seen {
    method: String,
    path: String,
    query: String,
    body: Value,
}

/// Reconciles `run` against an API server that gives these answers, each once. Returns the result and all requests.
async fn against(run: Value, answers: Vec<Answer>) -> (Result<Action, ReconcileError>, Vec<Seen>) {
    let (result, seen, _) = counted(run, answers).await;
    (result, seen)
}

/// The same, and what was counted.
async fn counted(run: Value, answers: Vec<Answer>) -> (Result<Action, ReconcileError>, Vec<Seen>, String) {
    let metrics = Arc::new(Metrics::default());
    let (service, handle) = mock::pair::<Request<Body>, Response<Body>>();
    let server = serve(handle, answers.into());
    let client = Client::new(service, "default");
    let (context, _events) = context(client, Arc::clone(&metrics));
    let run: DeserializeGuard<E2ETest> = serde_json::from_value(run).unwrap();
    let result = reconcile(Arc::new(run), context).await;
    // The server ends with its last client: one that is forgotten somewhere would be waited for without an end.
    let seen = tokio::time::timeout(Duration::from_secs(30), server).await;
    (result, seen.expect("somebody still holds the client").unwrap(), metrics.text().unwrap())
}

/// What a pass needs, with this API server, and the other end of its events.
fn context(client: Client, metrics: Arc<Metrics>) -> (Arc<Context>, Publisher) {
    let settings = operator_core::Settings::with_image("image");
    let (context, _woken, publisher) = Context::new(client, settings, metrics, Arc::default());
    (context, publisher)
}

/// The API server: it answers until its client is gone.
fn serve(
    mut handle: mock::Handle<Request<Body>, Response<Body>>,
    mut answers: VecDeque<Answer>,
) -> JoinHandle<Vec<Seen>> {
    tokio::spawn(async move {
        let mut seen = Vec::new();
        while let Some((request, respond)) = handle.next_request().await {
            let (parts, body) = request.into_parts();
            let bytes = body.collect_bytes().await.unwrap();
            let (method, path) = (parts.method.to_string(), parts.uri.path().to_owned());
            let matching = answers.iter().position(|(verb, of, ..)| *verb == method && *of == path);
            let Some((.., status, answer)) = matching.and_then(|position| answers.remove(position)) else {
                panic!("nobody expected {method} {path}")
            };
            seen.push(Seen {
                method,
                path,
                query: parts.uri.query().unwrap_or_default().to_owned(),
                body: serde_json::from_slice(&bytes).unwrap_or_default(),
            });
            let body = Body::from(serde_json::to_vec(&answer).unwrap());
            respond.send_response(
                Response::builder().status(StatusCode::from_u16(status).unwrap()).body(body).unwrap(),
            );
        }
        seen
    })
}

/// A run of one script; `more` goes into its test.
fn run(more: &Value, status: &Value) -> Value {
    let mut test = json!({ "name": "a", "image": "python", "script": { "source": { "inline": "pass" } } });
    test.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({
        "apiVersion": "e2e.kubeflow.org/v1alpha1",
        "kind": "E2ETest",
        "metadata": { "name": "nightly", "uid": UID, "generation": 1, "resourceVersion": "7" },
        "spec": { "targetNamespace": "profile", "tests": [test] },
        "status": status,
    })
}

/// The status of a run that is over.
fn over() -> Value {
    let condition = |type_: &str| {
        json!({
            "type": type_, "status": "True", "reason": "TestsPassed", "message": "", "observedGeneration": 1,
            "lastTransitionTime": "2026-11-23T12:00:00Z",
        })
    };
    json!({
        "observedGeneration": 1, "completionTime": "2026-11-23T12:00:00Z",
        "conditions": [condition("Finished"), condition("Succeeded")],
    })
}

/// The status of a run whose first attempt is written down.
fn attempted(job: &Value) -> Value {
    let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    json!({ "startTime": now, "tests": [{ "name": "a", "state": "Running", "attempt": 1, "startTime": now, "job": job }] })
}

/// What the API server says to an error.
fn failure(code: u16, reason: &str, message: &str, name: Option<&str>) -> Value {
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code, "reason": reason, "message": message,
        "details": name.map_or_else(|| json!({}), |name| json!({ "name": name })),
    })
}

/// A list without objects.
fn nothing(kind: &str) -> Value {
    json!({ "kind": format!("{kind}List"), "apiVersion": "v1", "metadata": {}, "items": [] })
}

/// The Job, owned by the run.
fn job() -> Value {
    json!({
        "metadata": {
            "name": "a-0f5e4a5c-1", "namespace": "profile", "uid": "job-uid",
            "ownerReferences": [{ "apiVersion": "x", "kind": "E2ETest", "name": "nightly", "uid": UID, "controller": true }],
        },
        "spec": { "template": {} },
    })
}

/// The first request with that method and path.
fn find<'a>(seen: &'a [Seen], method: &str, path: &str) -> &'a Seen {
    let found = seen.iter().find(|seen| seen.method == method && seen.path == path);
    found.unwrap_or_else(|| panic!("no {method} {path} in {seen:#?}"))
}

/// The answers to a look at an attempt without a Job: without one, no pod is looked for.
fn unseen_attempt(run: &Value) -> Vec<Answer> {
    vec![
        ("GET", RUN.into(), 200, run.clone()),
        ("GET", JOB.into(), 404, failure(404, "NotFound", "not found", Some("a-0f5e4a5c-1"))),
    ]
}

#[tokio::test]
async fn a_run_that_is_over_costs_no_request() {
    let (result, seen) = against(run(&json!({}), &over()), Vec::new()).await;
    assert_eq!(result.unwrap(), Action::await_change());
    assert!(seen.is_empty(), "{seen:#?}");
}

#[tokio::test]
async fn a_run_that_is_over_says_once_that_a_new_spec_was_seen() {
    let mut run = run(&json!({}), &over());
    run["spec"]["cancel"] = true.into();
    run["metadata"]["generation"] = 2.into();
    let answers =
        vec![("GET", RUN.to_owned(), 200, run.clone()), ("PATCH", format!("{RUN}/status"), 200, run.clone())];
    let (result, seen, counted) = counted(run, answers).await;
    assert_eq!(result.unwrap(), Action::await_change());
    let paths: Vec<_> = seen.iter().map(|seen| (seen.method.as_str(), seen.path.as_str())).collect();
    assert_eq!(paths, [("GET", RUN), ("PATCH", &*format!("{RUN}/status"))]);
    let mut conditions = over()["conditions"].clone();
    for condition in conditions.as_array_mut().unwrap() {
        condition["observedGeneration"] = 2.into();
    }
    assert_eq!(seen[1].body["status"], json!({ "observedGeneration": 2, "conditions": conditions }));
    assert!(counted.contains("status_writes_total 1"), "{counted}");
    assert!(counted.contains("runs_finished_total{outcome=\"TestsPassed\"} 0"), "a run ends once: {counted}");
}

#[tokio::test]
async fn a_job_is_posted_and_what_it_needs_is_applied() {
    let run = run(&json!({}), &attempted(&Value::Null));
    let mut answers = unseen_attempt(&run);
    answers.extend([
        ("PATCH", CONFIG_MAP.to_owned(), 200, json!({ "metadata": {} })),
        ("POST", JOBS.to_owned(), 201, job()),
        ("PATCH", format!("{RUN}/status"), 200, run.clone()),
    ]);
    let (result, seen) = against(run, answers).await;
    assert!(result.is_ok(), "{result:?}");

    let applied = find(&seen, "PATCH", CONFIG_MAP);
    assert!(
        applied.query.contains("fieldManager=kubeflow-e2e") && applied.query.contains("force=true"),
        "{}",
        applied.query
    );
    assert_eq!(applied.body["kind"], "ConfigMap", "server-side apply needs to know what it applies");
    let posted = find(&seen, "POST", JOBS);
    assert_eq!(posted.query.trim_start_matches('&'), "fieldManager=kubeflow-e2e");
    assert_eq!(posted.body["metadata"]["name"], "a-0f5e4a5c-1");

    let status = find(&seen, "PATCH", &format!("{RUN}/status"));
    assert!(status.query.contains("fieldManager=kubeflow-e2e%2Fstatus"), "{}", status.query);
    assert_eq!(status.body["metadata"]["resourceVersion"], "7", "nothing is written over what was not seen");
    assert_eq!(status.body["status"]["tests"][0]["job"], json!({ "name": "a-0f5e4a5c-1", "uid": "job-uid" }));
}

#[tokio::test]
async fn a_job_that_is_there_already_is_looked_at_again() {
    let run = run(&json!({}), &attempted(&Value::Null));
    let mut answers = unseen_attempt(&run);
    answers.extend([
        ("PATCH", CONFIG_MAP.to_owned(), 200, json!({ "metadata": {} })),
        ("POST", JOBS.to_owned(), 409, failure(409, "AlreadyExists", "already exists", Some("a-0f5e4a5c-1"))),
        ("PATCH", format!("{RUN}/status"), 200, run.clone()),
        // The next pass finds it, and that it is ours.
        ("GET", JOB.to_owned(), 200, job()),
        ("GET", PODS.to_owned(), 200, nothing("Pod")),
        ("GET", "/api/v1/namespaces/profile/events".to_owned(), 200, nothing("Event")),
        ("PATCH", format!("{RUN}/status"), 200, run.clone()),
    ]);
    let (result, seen) = against(run, answers).await;
    assert!(result.is_ok(), "{result:?}");
    let pods = find(&seen, "GET", PODS);
    assert!(
        pods.query.contains(&format!("labelSelector=e2e.kubeflow.org%2Frun-uid%3D{UID}")),
        "{}",
        pods.query
    );
    let adopted = seen.iter().rfind(|seen| seen.path.ends_with("/status")).unwrap();
    assert_eq!(adopted.body["status"]["tests"][0]["job"]["uid"], "job-uid");
    assert_eq!(seen.iter().filter(|seen| seen.method == "POST" && seen.path == JOBS).count(), 1);
}

#[tokio::test]
async fn a_status_that_somebody_else_wrote_first_is_read_again_soon() {
    let run = run(&json!({}), &json!({}));
    let answers = vec![
        ("GET", RUN.to_owned(), 200, run.clone()),
        (
            "PATCH",
            format!("{RUN}/status"),
            409,
            failure(409, "Conflict", "the object has been modified", None),
        ),
    ];
    let (result, _) = against(run, answers).await;
    let error = result.unwrap_err();
    assert_eq!((error.step(), error.class()), ("report", Class::Conflict));
    let (service, _handle) = mock::pair::<Request<Body>, Response<Body>>();
    let (context, _events) = context(Client::new(service, "default"), Arc::default());
    assert!(retry_after("nightly", &error, &context) < Duration::from_millis(100));
}

#[tokio::test]
async fn a_run_whose_status_has_no_room_ends_with_the_little_that_fits() {
    let known = json!({ "name": "a-0f5e4a5c-1", "uid": "job-uid" });
    let run = run(&json!({}), &attempted(&known));
    let too_large = failure(500, "InternalError", "etcdserver: request is too large", None);
    let answers = vec![
        ("GET", RUN.to_owned(), 200, run.clone()),
        ("GET", JOB.to_owned(), 404, failure(404, "NotFound", "not found", Some("a-0f5e4a5c-1"))),
        ("GET", PODS.to_owned(), 200, nothing("Pod")),
        ("PATCH", format!("{RUN}/status"), 500, too_large),
        ("PATCH", format!("{RUN}/status"), 200, run.clone()),
    ];
    let (result, seen) = against(run, answers).await;
    assert_eq!(result.unwrap(), Action::await_change());
    let status = &seen.iter().rfind(|seen| seen.path.ends_with("/status")).unwrap().body["status"];
    assert_eq!(status["tests"], Value::Null, "what took room is taken back");
    let reasons: Vec<&Value> =
        status["conditions"].as_array().unwrap().iter().map(|condition| &condition["reason"]).collect();
    assert_eq!(reasons, ["NotRequested", "InvalidSpec", "InvalidSpec"]);
}

#[tokio::test]
async fn a_missing_binding_is_said_where_people_look() {
    let run = run(&json!({}), &attempted(&Value::Null));
    let forbidden =
        failure(403, "Forbidden", "jobs.batch is forbidden: User \"x\" cannot get resource", None);
    let answers = vec![
        ("GET", RUN.to_owned(), 200, run.clone()),
        ("GET", JOB.to_owned(), 403, forbidden),
        ("GET", PODS.to_owned(), 200, nothing("Pod")),
        ("GET", "/api/v1/namespaces/profile".to_owned(), 200, json!({ "metadata": { "name": "profile" } })),
        ("PATCH", format!("{RUN}/status"), 200, run.clone()),
    ];
    let (result, seen) = against(run, answers).await;
    assert!(result.is_ok(), "{result:?}");
    let said =
        find(&seen, "PATCH", &format!("{RUN}/status")).body["status"]["tests"][0]["message"].to_string();
    assert!(said.contains("RoleBinding kubeflow-e2e-target"), "{said}");
}

#[tokio::test]
async fn what_cannot_be_read_is_decided_on_and_tried_again_soon() {
    let away = || failure(500, "InternalError", "etcd is away", None);
    let run = run(&json!({}), &attempted(&json!({ "name": "a-0f5e4a5c-1", "uid": "job-uid" })));
    let answers = vec![
        ("GET", RUN.to_owned(), 200, run.clone()),
        ("GET", JOB.to_owned(), 500, away()),
        ("GET", PODS.to_owned(), 200, nothing("Pod")),
        ("PATCH", format!("{RUN}/status"), 200, run.clone()),
    ];
    let (result, seen) = against(run, answers).await;
    let error = result.unwrap_err();
    assert_eq!((error.step(), error.class()), ("observe", Class::Transient));
    assert!(error.to_string().contains("Job profile/a-0f5e4a5c-1: etcd is away"), "{error}");
    let status = &find(&seen, "PATCH", &format!("{RUN}/status")).body["status"];
    assert!(status.get("completionTime").is_none() && status.get("tests").is_none(), "{status}");
}

#[tokio::test]
async fn an_answer_of_500_ends_the_pass_and_not_the_run() {
    let run = run(&json!({}), &attempted(&Value::Null));
    let mut answers = unseen_attempt(&run);
    answers.extend([
        ("PATCH", CONFIG_MAP.to_owned(), 200, json!({ "metadata": {} })),
        ("POST", JOBS.to_owned(), 500, failure(500, "InternalError", "etcd is away", None)),
        ("PATCH", format!("{RUN}/status"), 200, run.clone()),
    ]);
    let (result, seen) = against(run, answers).await;
    let error = result.unwrap_err();
    assert_eq!((error.step(), error.class()), ("act", Class::Transient));
    assert!(error.to_string().contains("Job profile/a-0f5e4a5c-1: etcd is away"), "{error}");
    let status = find(&seen, "PATCH", &format!("{RUN}/status"));
    assert!(status.body["status"]["completionTime"].is_null());
}

#[tokio::test]
async fn a_cluster_without_pod_defaults_is_told_from_a_missing_one() {
    let unserved = failure(404, "NotFound", "the server could not find the requested resource", None);
    let run = run(&json!({ "pipelineAccess": true }), &attempted(&Value::Null));
    let mut answers = unseen_attempt(&run);
    answers.extend([
        ("GET", "/api/v1/namespaces/profile".to_owned(), 200, json!({ "metadata": { "name": "profile" } })),
        ("GET", POD_DEFAULT.to_owned(), 404, unserved),
        ("PATCH", format!("{RUN}/status"), 200, run.clone()),
    ]);
    let (result, seen) = against(run, answers).await;
    assert!(result.is_ok(), "{result:?}");
    let status = find(&seen, "PATCH", &format!("{RUN}/status"));
    assert_eq!(status.body["status"]["tests"][0]["reason"], "PodDefaultNotInjected");
    assert!(seen.iter().all(|seen| seen.path != JOBS), "no Job is made");
}

#[tokio::test]
async fn a_pod_is_stopped_only_while_it_is_the_same() {
    let known = json!({ "name": "a-0f5e4a5c-1", "uid": "job-uid" });
    let run = run(&json!({}), &attempted(&known));
    let pod = json!({
        "metadata": {
            "name": "a-pod", "namespace": "profile", "uid": "pod-uid", "labels": { "e2e.kubeflow.org/test": "a" },
            "ownerReferences": [{ "apiVersion": "x", "kind": "Job", "name": "x", "uid": "job-uid", "controller": true }],
        },
        "spec": { "nodeName": "node", "serviceAccountName": "default-editor", "containers": [{ "name": "test" }] },
        "status": { "phase": "Pending", "containerStatuses": [{
            "name": "test", "image": "python", "imageID": "", "ready": false, "restartCount": 0,
            "state": { "waiting": { "reason": "ErrImageNeverPull", "message": "not here" } },
        }] },
    });
    let answers = vec![
        ("GET", RUN.to_owned(), 200, run.clone()),
        ("GET", JOB.to_owned(), 200, job()),
        (
            "GET",
            PODS.to_owned(),
            200,
            json!({ "kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": [pod] }),
        ),
        ("PATCH", format!("{PODS}/a-pod"), 404, failure(404, "NotFound", "not found", Some("a-pod"))),
        ("PATCH", format!("{RUN}/status"), 200, run.clone()),
    ];
    let (result, seen) = against(run, answers).await;
    assert_eq!(result.unwrap(), Action::await_change(), "a pod that is gone has ended");
    let stopped = find(&seen, "PATCH", &format!("{PODS}/a-pod"));
    assert_eq!(stopped.body["spec"], json!({ "activeDeadlineSeconds": 1 }));
    assert_eq!(stopped.body["metadata"]["uid"], "pod-uid");
    let why = stopped.body["metadata"]["annotations"]["e2e.kubeflow.org/ended"].as_str().unwrap();
    assert!(why.starts_with("ImagePullFailed: "), "{why}");
    let status = find(&seen, "PATCH", &format!("{RUN}/status"));
    assert_eq!(status.body["status"]["tests"][0]["reason"], "ImagePullFailed");
}

#[tokio::test(start_paused = true)]
async fn no_call_is_waited_for_longer_than_ten_seconds() {
    let (service, handle) = mock::pair::<Request<Body>, Response<Body>>();
    let client = Client::new(service, "default");
    let (context, _events) = context(client, Arc::default());
    let run = serde_json::from_value(run(&json!({}), &json!({}))).unwrap();
    let began = tokio::time::Instant::now();
    let error = reconcile(Arc::new(run), context).await.unwrap_err();
    assert_eq!(began.elapsed().as_secs(), 10);
    assert_eq!(error.to_string(), "cannot get E2ETest nightly: no answer within 10 s");
    drop(handle);
}
