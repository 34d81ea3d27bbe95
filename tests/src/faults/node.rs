//! A stand-in for scheduler and kubelet. It is strict: it writes what those write, in their order, and nothing else. The
//! Job controller and the garbage collector are Kubernetes' own.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use crds::{names::pod::TEST_CONTAINER, v1alpha1::TestReason, verdict::Verdict};
use futures::StreamExt as _;
use k8s_openapi::{
    api::core::v1::{Node, Pod},
    jiff::Timestamp,
};
use kube::{
    Api, Client, ResourceExt as _,
    api::{DeleteParams, Patch, PatchParams, PostParams},
    runtime::{WatchStreamExt as _, watcher},
};
use serde_json::{Value, json};
use tokio::task::JoinSet;

/// How often the node says that it lives.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// Name of the node.
const NODE: &str = "stand-in";

/// The node; dropping it ends what it does by itself.
pub struct StandIn {
    client: Client,
    _kubelet: JoinSet<()>,
}

impl StandIn {
    /// Registers the node, and does from then on what a kubelet does without being asked: a pod that is deleted goes, and
    /// a pod whose deadline passes ends.
    pub async fn start(client: Client) -> Arc<Self> {
        let node = json!({ "metadata": { "name": NODE }, "spec": {} });
        let nodes: Api<Node> = Api::all(client.clone());
        match nodes.create(&PostParams::default(), &serde_json::from_value(node).unwrap()).await {
            Err(kube::Error::Api(status)) if status.is_already_exists() => {}
            made => drop(made.unwrap()),
        }
        let mut kubelet = JoinSet::new();
        kubelet.spawn(beat(nodes));
        kubelet.spawn(obey(client.clone()));
        Arc::new(Self { client, _kubelet: kubelet })
    }

    /// The scheduler gives the pod to the node.
    pub async fn bind(&self, namespace: &str, name: &str) -> kube::Result<()> {
        let binding = json!({
            "apiVersion": "v1", "kind": "Binding", "metadata": { "name": name },
            "target": { "apiVersion": "v1", "kind": "Node", "name": NODE },
        });
        let answer =
            self.pods(namespace).create_subresource("binding", name, &PostParams::default(), &binding).await;
        answer.map(|_: Value| ())
    }

    /// Its images are pulled.
    pub async fn starting(&self, namespace: &str, name: &str) -> kube::Result<()> {
        let state = json!({ "waiting": { "reason": "ContainerCreating" } });
        self.say(namespace, name, json!({ "phase": "Pending", "containerStatuses": [container(state)] }))
            .await
    }

    /// Its test runs.
    pub async fn running(&self, namespace: &str, name: &str) -> kube::Result<()> {
        let state = json!({ "running": { "startedAt": now() } });
        let ready = json!({ "type": "Ready", "status": "True" });
        let status = json!({
            "phase": "Running", "startTime": now(), "conditions": [ready], "containerStatuses": [container(state)],
        });
        self.say(namespace, name, status).await
    }

    /// Its test ended: the runner leaves its verdict, and exits accordingly.
    pub async fn ended(&self, namespace: &str, name: &str, passed: bool) -> kube::Result<()> {
        let (phase, code, verdict) = if passed {
            ("Succeeded", 0, Verdict::passed(None))
        } else {
            ("Failed", 1, Verdict::failed(TestReason::NonZeroExit, "exit code 3", None))
        };
        self.say(namespace, name, over(phase, None, code, &verdict)).await
    }

    fn pods(&self, namespace: &str) -> Api<Pod> {
        Api::namespaced(self.client.clone(), namespace)
    }

    async fn say(&self, namespace: &str, name: &str, status: Value) -> kube::Result<()> {
        let patch = Patch::Strategic(json!({ "status": status }));
        self.pods(namespace).patch_status(name, &PatchParams::default(), &patch).await.map(drop)
    }
}

/// The kubelet's heart: without it the node would be given up after a minute, and its pods with it.
async fn beat(nodes: Api<Node>) {
    let mut ticks = tokio::time::interval(HEARTBEAT);
    loop {
        ticks.tick().await;
        let ready = json!({ "type": "Ready", "status": "True", "reason": "KubeletReady", "lastHeartbeatTime": now() });
        let status = Patch::Strategic(json!({ "status": { "conditions": [ready] } }));
        // One that is lost is made up for by the next.
        let _ = nodes.patch_status(NODE, &PatchParams::default(), &status).await;
    }
}

/// The kubelet's own loop.
async fn obey(client: Client) {
    let all = Api::<Pod>::all(client.clone());
    let config = watcher::Config::default().fields(&format!("spec.nodeName={NODE}"));
    let mut pods = watcher(all, config).default_backoff().applied_objects().boxed();
    let mut ended = BTreeSet::new();
    while let Some(seen) = pods.next().await {
        // A watch that broke is opened again by the stream itself.
        let Ok(pod) = seen else { continue };
        let api = Api::<Pod>::namespaced(client.clone(), &pod.namespace().unwrap());
        let name = pod.name_any();
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        let over_already = matches!(phase, Some("Succeeded" | "Failed"));
        let late = pod.spec.as_ref().and_then(|spec| spec.active_deadline_seconds) == Some(1);
        let deleted = pod.metadata.deletion_timestamp.is_some();
        if (late || deleted) && !over_already && ended.insert(pod.uid()) {
            // The runner is told to end, and writes down that it was.
            let verdict = Verdict::failed(TestReason::TimedOut, "the test was told to end", None);
            let status = json!({ "status": over("Failed", late.then_some("DeadlineExceeded"), 1, &verdict) });
            let _ = api.patch_status(&name, &PatchParams::default(), &Patch::Strategic(status)).await;
        }
        if deleted {
            // It may be gone already, with its namespace.
            let _ = api.delete(&name, &DeleteParams::default().grace_period(0)).await;
        }
    }
}

/// The status of a pod that ended.
fn over(phase: &str, reason: Option<&str>, code: i32, verdict: &Verdict) -> Value {
    let terminated = json!({
        "exitCode": code, "reason": if code == 0 { "Completed" } else { "Error" }, "startedAt": now(), "finishedAt": now(),
        "message": verdict.to_termination_message().unwrap(),
    });
    let mut status =
        json!({ "phase": phase, "containerStatuses": [container(json!({ "terminated": terminated }))] });
    if let Some(reason) = reason {
        status["reason"] = json!(reason);
        status["message"] = json!("Pod was active on the node longer than the specified deadline");
    }
    status
}

/// The status of the test's container.
fn container(state: Value) -> Value {
    let ready = state.get("running").is_some();
    json!({ "name": TEST_CONTAINER, "image": "any", "imageID": "any", "ready": ready, "restartCount": 0, "state": state })
}

/// Now, as Kubernetes writes it.
fn now() -> String {
    Timestamp::from_second(Timestamp::now().as_second()).unwrap().to_string()
}
