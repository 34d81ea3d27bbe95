//! Stands in for the Job controller and a kubelet: it makes the one pod that a Job asks for, as the Job's template says it,
//! and writes the statuses that those two write, in their order. The API server checks each of them.

use std::time::{Duration, Instant};

use crds::{
    names::{label, pod::TEST_CONTAINER},
    verdict::{SCHEMA_VERSION, Verdict},
};
use k8s_openapi::api::{
    batch::v1::Job,
    core::v1::{ConfigMap, Pod},
};
use kube::{
    Api, ResourceExt as _,
    api::{ListParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

use crate::{again::assert_made, world::World};

/// Between a pod's end and its Job's: the real Job controller gathers changes of pods for a second.
const BETWEEN: Duration = Duration::from_millis(60);

/// The Job of a run, once it is there. It must be one that a Job controller can work with.
async fn job_of(world: &World, run: &str, namespace: &str) -> Job {
    world.own.add("LIST jobs");
    let mine = ListParams::default().labels(&format!("{}={run}", label::RUN));
    let jobs = Api::<Job>::namespaced(world.client.clone(), namespace).list(&mine).await.unwrap();
    let [job] = jobs.items.as_slice() else { panic!("{run} has {} Jobs", jobs.items.len()) };
    let spec = job.spec.clone().unwrap();
    assert_eq!((spec.backoff_limit, spec.parallelism.unwrap_or(1)), (Some(0), 1), "{run}: one pod, once");
    for volume in spec.template.spec.unwrap().volumes.into_iter().flatten() {
        if let Some(source) = volume.config_map {
            world.own.add("GET configmaps");
            let maps = Api::<ConfigMap>::namespaced(world.client.clone(), namespace);
            maps.get(&source.name).await.expect("a pod finds its ConfigMap");
        }
    }
    job.clone()
}

/// Plays a Job from its pod's creation until the pod has ended and has said that its test passed.
pub async fn play(world: &World, run: &str, namespace: &str) -> Job {
    let job = job_of(world, run, namespace).await;
    let (name, uid) = (job.name_any(), job.uid().unwrap());
    let template = job.spec.clone().unwrap().template;
    let mut labels = template.metadata.unwrap_or_default().labels.unwrap_or_default();
    labels.insert("batch.kubernetes.io/job-name".into(), name.clone());
    labels.insert("batch.kubernetes.io/controller-uid".into(), uid.clone());
    let owner = json!([{"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": uid, "controller": true,
        "blockOwnerDeletion": true}]);
    let pod = json!({"metadata": {"name": format!("{name}-stand"), "labels": labels, "ownerReferences": owner},
        "spec": template.spec});
    let pods = Api::<Pod>::namespaced(world.client.clone(), namespace);
    world.own.add("POST pods");
    assert_made(pods.create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await);
    let now = now();
    job_status(world, namespace, &name, json!({"startTime": now, "active": 1, "ready": 0, "terminating": 0}))
        .await;
    let running = json!({"running": {"startedAt": now}});
    pod_status(world, &pods, &name, "Running", &running).await;
    let verdict = Verdict {
        checks: None,
        schema_version: SCHEMA_VERSION,
        passed: true,
        reason: None,
        message: String::new(),
        cells: None,
    };
    let message = serde_json::to_string(&verdict).unwrap();
    let ended = json!({"terminated": {"exitCode": 0, "reason": "Completed", "startedAt": now, "finishedAt": now,
        "message": message}});
    pod_status(world, &pods, &name, "Succeeded", &ended).await;
    tokio::time::sleep(BETWEEN).await;
    job
}

/// Says that the Job is complete; when that was asked for.
pub async fn complete(world: &World, job: &Job) -> Instant {
    let now = now();
    let condition = |type_: &str| json!({"type": type_, "status": "True", "lastProbeTime": now, "lastTransitionTime": now});
    let status = json!({"completionTime": now, "active": 0, "ready": 0, "terminating": 0, "succeeded": 1,
        "conditions": [condition("SuccessCriteriaMet"), condition("Complete")]});
    let began = Instant::now();
    job_status(world, &job.namespace().unwrap(), &job.name_any(), status).await;
    began
}

async fn job_status(world: &World, namespace: &str, name: &str, status: Value) {
    world.own.add("PATCH jobs/status");
    let jobs = Api::<Job>::namespaced(world.client.clone(), namespace);
    let patch = Patch::Merge(json!({ "status": status }));
    jobs.patch_status(name, &PatchParams::default(), &patch).await.unwrap();
}

async fn pod_status(world: &World, pods: &Api<Pod>, job: &str, phase: &str, state: &Value) {
    world.own.add("PATCH pods/status");
    let container = json!({"name": TEST_CONTAINER, "image": "bench.local/python", "imageID": "", "ready": false,
        "restartCount": 0, "started": true, "state": state});
    let patch = Patch::Merge(json!({"status": {"phase": phase, "containerStatuses": [container]}}));
    pods.patch_status(&format!("{job}-stand"), &PatchParams::default(), &patch).await.unwrap();
}

fn now() -> String {
    jiff::Timestamp::from_second(jiff::Timestamp::now().as_second()).unwrap().to_string()
}
