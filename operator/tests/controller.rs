//! The controller against an API server full of what is not its own.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends by panicking")]

use std::{collections::BTreeSet, future::pending, num::NonZeroUsize, sync::Arc, time::Duration};

use crds::names::label;
use http::{Request, Response};
use kube::{Client, client::Body};
use operator::{controller, reconcile::Context};
use operator_core::Settings;
use serde_json::{Value, json};
use tokio::sync::watch;
use tower_test::mock;

/// More than a task does before it gives way to others.
const MANY: usize = 1000;

const RUNS: &str = "/apis/e2e.kubeflow.org/v1alpha1/e2etests";
const JOBS: &str = "/apis/batch/v1/jobs";
const PODS: &str = "/api/v1/pods";
/// How often it is tried: what stops it depends on how the answers meet.
const ROUNDS: usize = 20;
/// What the controller watches.
const WATCHED: [&str; 3] = [RUNS, JOBS, PODS];

/// Children of runs that are gone.
fn orphans() -> Value {
    let orphan = |number: usize| {
        let job = json!({ "apiVersion": "batch/v1", "kind": "Job", "name": "a", "uid": number.to_string(), "controller": true });
        json!({ "metadata": {
            "name": format!("a-{number}"), "namespace": "profile", "uid": number.to_string(),
            "labels": { label::RUN: format!("gone-{number}") }, "ownerReferences": [job],
        }})
    };
    (0..MANY).map(orphan).collect()
}

/// Watches are polled beside what is done about what they bring: neither may wait for the other.
#[tokio::test]
async fn a_crowd_of_strangers_stops_nothing() {
    for _ in 0..ROUNDS {
        watches_all().await;
    }
}

/// Runs the controller until it watches everything.
async fn watches_all() {
    let (service, mut handle) = mock::pair::<Request<Body>, Response<Body>>();
    let client = Client::new(service, "default");
    let settings = Settings { max_running: NonZeroUsize::new(100), ..Settings::with_image("image") };
    let (context, woken, _publisher) = Context::new(client.clone(), settings, Arc::default(), Arc::default());
    let (missing, _) = watch::channel(vec![]);
    let controller = controller::run(client, context, woken, missing, pending());
    let watched = async {
        let mut open = Vec::new();
        let mut watched = BTreeSet::new();
        let mut listing = None;
        while watched.len() < WATCHED.len() {
            let (request, respond) = handle.next_request().await.unwrap();
            let path = request.uri().path();
            let query = request.uri().query().unwrap_or_default();
            let list = |items: Value| {
                Response::new(Body::from(
                    json!({ "metadata": { "resourceVersion": "7" }, "items": items })
                        .to_string()
                        .into_bytes(),
                ))
            };
            match (WATCHED.into_iter().find(|known| *known == path).unwrap(), query.contains("watch=true")) {
                // Nothing changes.
                (path, true) => {
                    watched.insert(path);
                    open.push(respond);
                }
                (RUNS, false) => respond.send_response(list(json!([]))),
                // The Jobs' runs are looked for while the pods are taken in.
                (PODS, false) => listing = Some(respond),
                (_, false) => respond.send_response(list(orphans())),
            }
            if watched.contains(JOBS)
                && let Some(respond) = listing.take()
            {
                respond.send_response(list(orphans()));
            }
        }
        watched
    };
    let watched = async {
        tokio::time::timeout(Duration::from_secs(30), watched).await.expect("the controller stands still")
    };
    tokio::select! {
        () = controller => panic!("the controller has ended"),
        watched = watched => assert_eq!(watched, BTreeSet::from(WATCHED)),
    }
}
