//! The pods of attempts.
//!
//! Since 1.31, an API server answers a list only once its cache is as new as its store, which takes up to a tenth of a second;
//! one object it reads from the store at once. So a pod that a watch has named is read by that name: what it says is as new
//! as in a list. Whatever the watch did not name, a list finds.

use std::collections::{BTreeSet, HashMap};

use crds::names::label;
use futures::future::try_join_all;
use k8s_openapi::api::{batch::v1::Job, core::v1::Pod};
use kube::{
    Api, Client, ResourceExt as _, api::ListParams, core::PartialObjectMeta, runtime::watcher::Event,
};
use parking_lot::Mutex;

use super::{
    Called,
    call::{call, list},
};

/// Pods that are read one by one at most: more are cheaper as a list.
const ONE_BY_ONE: usize = 8;

/// Names of the pods of each run's Jobs, as a watch told them. Nothing is decided by them: they only say what to read.
#[derive(Debug, Default)]
pub struct Pods {
    /// By the run's name and the Job's UID.
    names: Mutex<HashMap<String, HashMap<String, BTreeSet<String>>>>,
}

impl Pods {
    /// Takes in what the watch of all pods says.
    pub(crate) fn watched(&self, event: &Event<PartialObjectMeta<Pod>>) {
        let (Event::Apply(pod) | Event::InitApply(pod) | Event::Delete(pod)) = event else { return };
        let owners = pod.metadata.owner_references.iter().flatten();
        let job = owners.into_iter().find(|owner| owner.controller == Some(true));
        let (Some(run), Some(job)) = (pod.labels().get(label::RUN), job) else { return };
        let mut names = self.names.lock();
        let jobs = names.entry(run.clone()).or_default();
        jobs.entry(job.uid.clone()).or_default().insert(pod.name_any());
    }

    /// Nobody needs the run's pods any more.
    pub(super) fn forget(&self, run: &str) {
        self.names.lock().remove(run);
    }

    /// The name of the one pod of each Job; `None` where a Job is not known to have exactly one, or there are many.
    fn names(&self, run: &str, jobs: &[&Job]) -> Option<Vec<String>> {
        let all = self.names.lock();
        let known = all.get(run).filter(|_| jobs.len() <= ONE_BY_ONE)?;
        let only = |job: &&Job| {
            let names = known.get(job.metadata.uid.as_ref()?).filter(|names| names.len() == 1)?;
            names.first().cloned()
        };
        jobs.iter().map(only).collect()
    }

    /// The run's pods, among them those of these Jobs.
    pub(super) async fn read(
        &self,
        client: &Client,
        namespace: &str,
        run: (&str, &str),
        jobs: &[&Job],
    ) -> Called<Vec<Pod>> {
        let (name, uid) = run;
        if jobs.is_empty() {
            return Ok(Vec::new());
        }
        if let Some(names) = self.names(name, jobs) {
            let api = Api::<Pod>::namespaced(client.clone(), namespace);
            let one = |name: String| {
                let api = &api;
                async move { call("get", format!("Pod {namespace}/{name}"), api.get_opt(&name)).await }
            };
            let is_the_runs = |pod: &Pod| pod.labels().get(label::RUN_UID).is_some_and(|of| of == uid);
            let pods = try_join_all(names.into_iter().map(one)).await?;
            let pods: Option<Vec<Pod>> = pods.into_iter().map(|pod| pod.filter(is_the_runs)).collect();
            if let Some(pods) = pods {
                return Ok(pods);
            }
        }
        let mine = ListParams::default().labels(&format!("{}={uid}", label::RUN_UID));
        list(client, namespace, mine).await
    }
}

#[cfg(test)]
mod tests {
    use http::{Method, Request, Response};
    use kube::client::Body;
    use serde_json::{Value, json};
    use tower_test::mock;

    use super::*;

    fn job(uid: &str) -> Job {
        serde_json::from_value(json!({ "metadata": { "name": uid, "uid": uid } })).unwrap()
    }

    fn watched(pods: &Pods, name: &str, job: &str) {
        let owner =
            json!({ "apiVersion": "batch/v1", "kind": "Job", "name": job, "uid": job, "controller": true });
        let pod = json!({ "metadata": { "name": name, "labels": { label::RUN: "nightly" }, "ownerReferences": [owner] } });
        pods.watched(&Event::Apply(serde_json::from_value(pod).unwrap()));
    }

    #[test]
    fn only_who_has_one_known_pod_for_each_job_needs_no_list() {
        let pods = Pods::default();
        let (a, b) = (job("a"), job("b"));
        assert_eq!(pods.names("nightly", &[&a]), None);
        watched(&pods, "a-pod", "a");
        watched(&pods, "a-pod", "a");
        assert_eq!(pods.names("nightly", &[&a]), Some(vec!["a-pod".to_owned()]));
        assert_eq!(pods.names("nightly", &[&a, &b]), None, "nobody told of a pod of b");
        assert_eq!(pods.names("other", &[&a]), None);
        watched(&pods, "b-pod", "b");
        assert_eq!(pods.names("nightly", &[&a, &b]).map(|names| names.len()), Some(2));
        assert_eq!(pods.names("nightly", &[&a; ONE_BY_ONE + 1]), None, "so many are cheaper as a list");
        watched(&pods, "a-other", "a");
        assert_eq!(pods.names("nightly", &[&a]), None, "two pods of one Job");
        pods.forget("nightly");
        assert_eq!(pods.names("nightly", &[&b]), None);
    }

    /// What is read where the API server has this pod by its name and `listed` in the list, and the paths that were asked for.
    async fn read(found: Option<Value>, listed: Value) -> (Vec<String>, Vec<String>) {
        let (service, mut handle) = mock::pair::<Request<Body>, Response<Body>>();
        let server = tokio::spawn(async move {
            let mut paths = Vec::new();
            while let Some((request, respond)) = handle.next_request().await {
                assert_eq!(request.method(), Method::GET);
                let path = request.uri().path().to_owned();
                let answer = if path.ends_with("/pods") { Some(listed.clone()) } else { found.clone() };
                let code = if answer.is_some() { 200 } else { 404 };
                let status =
                    json!({ "kind": "Status", "code": 404, "reason": "NotFound", "status": "Failure" });
                let body = serde_json::to_vec(&answer.unwrap_or(status)).unwrap();
                respond.send_response(Response::builder().status(code).body(Body::from(body)).unwrap());
                paths.push(path);
            }
            paths
        });
        let client = Client::new(service, "default");
        let pods = Pods::default();
        watched(&pods, "a-pod", "a");
        let read = pods.read(&client, "profile", ("nightly", "uid"), &[&job("a")]).await.unwrap();
        drop(client);
        (read.iter().map(Pod::name_any).collect(), server.await.unwrap())
    }

    #[tokio::test]
    async fn a_known_pod_is_read_by_its_name_and_what_is_not_it_by_a_list() {
        const LIST: &str = "/api/v1/namespaces/profile/pods";
        let pod = |name: &str, uid: &str| json!({ "metadata": { "name": name, "labels": { label::RUN_UID: uid } } });
        let listed = json!({ "metadata": {}, "items": [pod("b-pod", "uid")] });
        let by_name = format!("{LIST}/a-pod");
        let known = read(Some(pod("a-pod", "uid")), listed.clone()).await;
        assert_eq!(known, (vec!["a-pod".to_owned()], vec![by_name.clone()]));
        for other in [None, Some(pod("a-pod", "another run's"))] {
            let found = read(other, listed.clone()).await;
            assert_eq!(found, (vec!["b-pod".to_owned()], vec![by_name.clone(), LIST.to_owned()]));
        }
    }
}
