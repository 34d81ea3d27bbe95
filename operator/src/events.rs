//! Publishes events beside the passes: nobody waits for one, so that a slow API for events delays no verdict.
//!
//! All events go through one queue, in the order in which they happened. It is bounded: what does not fit is lost, counted
//! and logged, for what an event tells is in the status too.

use std::{sync::Arc, time::Duration};

use crds::{names::OPERATOR, v1alpha1::E2ETest, verdict::truncate};
use k8s_openapi::api::{batch::v1::Job, core::v1::ObjectReference};
use kube::{
    Client, Resource as _,
    runtime::events::{Event, EventType, Recorder, Reporter},
};
use operator_core::EventDraft;
use tokio::{sync::mpsc, time::timeout};

use crate::{metrics::Metrics, reconcile::call::call};

/// Events that wait at most: a burst of a thousand runs fits, and takes about a megabyte.
const QUEUE: usize = 4096;
/// How long the operator's end waits for what is queued.
const FLUSH: Duration = Duration::from_millis(300);
/// Longest note of an event, in bytes: the API server takes 1 KiB.
const MAX_NOTE: usize = 1000;

/// One event about a run.
#[derive(Debug)]
struct Told {
    run: ObjectReference,
    /// Where its Jobs are.
    namespace: String,
    draft: EventDraft,
}

/// Takes events in.
#[derive(Clone, Debug)]
pub struct Events {
    queue: mpsc::Sender<Told>,
    metrics: Arc<Metrics>,
}

/// Publishes what was taken in.
#[derive(Debug)]
pub struct Publisher {
    queue: mpsc::Receiver<Told>,
    metrics: Arc<Metrics>,
}

impl Events {
    /// Both ends.
    pub fn channel(metrics: Arc<Metrics>) -> (Self, Publisher) {
        Self::with_room(QUEUE, metrics)
    }

    /// Both ends of a queue for so many events.
    fn with_room(room: usize, metrics: Arc<Metrics>) -> (Self, Publisher) {
        let (sender, receiver) = mpsc::channel(room);
        (Self { queue: sender, metrics: Arc::clone(&metrics) }, Publisher { queue: receiver, metrics })
    }

    /// Has events about a run published, at some time soon.
    pub(crate) fn tell(&self, run: &E2ETest, drafts: Vec<EventDraft>) {
        for draft in drafts {
            let namespace = run.spec.target_namespace.clone();
            let told = Told { run: run.object_ref(&()), namespace, draft };
            if let Err(error) = self.queue.try_send(told) {
                self.metrics.event_lost();
                let told = error.into_inner();
                tracing::warn!(
                    run = told.run.name,
                    reason = told.draft.reason,
                    "Event was lost: too many wait to be published"
                );
            }
        }
    }
}

impl Publisher {
    /// Publishes one event after the other. Once `ended` resolves, what is queued gets a moment more, and no event
    /// should follow.
    pub async fn publish(mut self, client: Client, ended: impl Future<Output = ()>) {
        let Self { queue, metrics } = &mut self;
        {
            let mut all = std::pin::pin!(async {
                while let Some(told) = queue.recv().await {
                    publish_one(&client, metrics, &told).await;
                }
            });
            tokio::select! {
                () = &mut all => return,
                () = ended => {}
            }
            if timeout(FLUSH, all).await.is_ok() {
                return;
            }
        }
        // The one that was being published counts too.
        tracing::warn!(lost = queue.len() + 1, "Events were lost: they could not be published in time");
    }
}

/// Publishes an event. One that is lost is counted: what it told is in the status.
async fn publish_one(client: &Client, metrics: &Metrics, told: &Told) {
    // A recorder of its own for each: one that is kept holds every event for minutes, and makes those of one reason a series
    // that shows only the note of the first.
    let reporter = Reporter { controller: OPERATOR.to_owned(), instance: None };
    let recorder = Recorder::new(client.clone(), reporter);
    if let Err(error) =
        call("publish", "an event".to_owned(), recorder.publish(&event_of(told), &told.run)).await
    {
        metrics.event_lost();
        tracing::warn!(%error, run = told.run.name, reason = told.draft.reason, "Event was lost");
    }
}

/// The event as Kubernetes knows it.
fn event_of(Told { draft, namespace, .. }: &Told) -> Event {
    Event {
        type_: if draft.warning { EventType::Warning } else { EventType::Normal },
        reason: draft.reason.clone(),
        note: Some(truncate(&draft.note, MAX_NOTE)),
        action: draft.action.to_owned(),
        secondary: draft.job.as_ref().map(|job| ObjectReference {
            api_version: Some(Job::api_version(&()).into_owned()),
            kind: Some(Job::kind(&()).into_owned()),
            namespace: Some(namespace.clone()),
            name: Some(job.name.clone()),
            uid: Some(job.uid.clone()),
            ..ObjectReference::default()
        }),
    }
}

#[cfg(test)]
mod tests {
    use http::{Request, Response};
    use kube::client::Body;
    use serde_json::{Value, json};
    use tokio::time::Instant;
    use tower_test::mock;

    use super::*;

    fn run() -> E2ETest {
        serde_json::from_value(json!({
            "apiVersion": "e2e.kubeflow.org/v1alpha1", "kind": "E2ETest", "metadata": { "name": "nightly", "uid": "uid" },
            "spec": { "targetNamespace": "profile", "tests": [] },
        }))
        .unwrap()
    }

    fn drafts(reasons: &[&str]) -> Vec<EventDraft> {
        let draft = |reason: &&str| EventDraft {
            warning: false,
            reason: (*reason).to_owned(),
            action: "Test",
            note: "x".repeat(2 * MAX_NOTE),
            job: None,
        };
        reasons.iter().map(draft).collect()
    }

    fn client() -> (Client, mock::Handle<Request<Body>, Response<Body>>) {
        let (service, handle) = mock::pair::<Request<Body>, Response<Body>>();
        (Client::new(service, "default"), handle)
    }

    fn lost(metrics: &Metrics) -> bool {
        !metrics.text().unwrap().contains("e2etest_operator_events_lost_total 0")
    }

    #[tokio::test]
    async fn events_are_published_in_their_order_and_what_does_not_fit_is_counted() {
        let metrics = Arc::new(Metrics::default());
        let (events, publisher) = Events::with_room(3, Arc::clone(&metrics));
        events.tell(&run(), drafts(&["A", "B"]));
        // One of a reason that was there before is told with its own note.
        events.tell(&run(), drafts(&["A"]));
        assert!(!lost(&metrics));
        events.tell(&run(), drafts(&["D"]));
        assert!(metrics.text().unwrap().contains("e2etest_operator_events_lost_total 1"));
        drop(events);
        let (client, mut handle) = client();
        let server = tokio::spawn(async move {
            let mut reasons = Vec::new();
            while let Some((request, respond)) = handle.next_request().await {
                let method = request.method().clone();
                let bytes = request.into_body().collect_bytes().await.unwrap();
                let body: Value = serde_json::from_slice(&bytes).unwrap();
                assert_eq!(
                    body["note"].as_str().unwrap().len(),
                    MAX_NOTE,
                    "the API server takes no longer one"
                );
                reasons.push(format!("{method} {}", body["reason"].as_str().unwrap()));
                respond
                    .send_response(Response::builder().status(201).body(Body::from(bytes.to_vec())).unwrap());
            }
            reasons
        });
        publisher.publish(client, std::future::pending()).await;
        assert_eq!(server.await.unwrap(), ["POST A", "POST B", "POST A"]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_operators_end_does_not_wait_for_an_api_that_does_not_answer() {
        let (events, publisher) = Events::channel(Arc::default());
        events.tell(&run(), drafts(&["A", "B"]));
        let (client, handle) = client();
        let began = Instant::now();
        // Somebody may still hold the other end.
        publisher.publish(client, std::future::ready(())).await;
        assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
        drop((events, handle));
    }
}
