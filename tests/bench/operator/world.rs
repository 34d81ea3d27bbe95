//! A bare API server with what a run needs, and the runs themselves.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use crds::{names::label, v1alpha1::E2ETest};
use e2e_tests::cluster::Cluster;
use futures::{StreamExt as _, stream};
use k8s_openapi::{
    api::{
        batch::v1::Job,
        core::v1::{ConfigMap, Event, Namespace, Pod, ServiceAccount},
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
    core::{CustomResourceExt as _, NamespaceResourceScope},
    runtime::{conditions::is_crd_established, wait::await_condition},
};
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::{
    again::{self, assert_gone, assert_made},
    calls::Own,
    seen::{FLOOR, Sight, Sights},
};

/// Namespaces in which runs are started in turn.
pub const NAMESPACES: usize = 10;
/// Requests of this program that are under way at once at most.
pub const AT_ONCE: usize = 32;

/// The API server and all that is seen of it.
pub struct World {
    /// Kubeconfig of an administrator.
    pub kubeconfig: String,
    /// A client of an administrator.
    pub client: Client,
    /// What the watches saw.
    pub sights: Sights,
    /// The requests that are not the operator's.
    pub own: Own,
    marks: AtomicUsize,
}

impl World {
    /// An API server without nodes and controllers, with the kind and the namespaces.
    pub async fn up(name: &str) -> Self {
        let Cluster { kubeconfig, .. } = Cluster::up(name, &["--nodes", "0"]).await;
        let client = again::client(&kubeconfig).await;
        let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
        let crd = E2ETest::crd();
        crds.create(&PostParams::default(), &crd).await.unwrap();
        let established = await_condition(crds, crd.metadata.name.as_deref().unwrap(), is_crd_established());
        tokio::time::timeout(Duration::from_secs(30), established).await.unwrap().unwrap();
        for index in 0..NAMESPACES {
            let name = namespace(index);
            let object = serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
            Api::<Namespace>::all(client.clone()).create(&PostParams::default(), &object).await.unwrap();
            let account = serde_json::from_value(json!({"metadata": {"name": "default-editor"}})).unwrap();
            let accounts = Api::<ServiceAccount>::namespaced(client.clone(), &name);
            accounts.create(&PostParams::default(), &account).await.unwrap();
        }
        let sights = Sights::watch(&client);
        Self { kubeconfig, client, sights, own: Own::default(), marks: AtomicUsize::new(1) }
    }

    /// All runs.
    pub fn runs(&self) -> Api<E2ETest> {
        Api::all(self.client.clone())
    }

    /// Creates a run of one script without a gate; when that was asked for.
    pub async fn create(&self, name: &str, namespace: &str) -> Instant {
        let run = run(name, namespace);
        self.own.add("POST e2etests");
        let began = Instant::now();
        assert_made(self.runs().create(&PostParams::default(), &run).await);
        began
    }

    /// Creates the run whose status is written for the floor: one that is over, so that no operator does anything about it.
    pub async fn create_floor(&self) {
        self.create(FLOOR, &namespace(0)).await;
        let now = jiff::Timestamp::from_second(jiff::Timestamp::now().as_second()).unwrap();
        let condition = |type_: &str| {
            json!({"type": type_, "status": "True", "reason": "TestsPassed", "message": "all tests passed",
                "observedGeneration": 1, "lastTransitionTime": now.to_string()})
        };
        let status = json!({"observedGeneration": 1, "startTime": now.to_string(), "completionTime": now.to_string(),
            "conditions": [condition("Finished"), condition("Succeeded")], "testsSummary": "0",
            "tests": [{"name": "script", "state": "Passed", "attempt": 1, "job": {"name": "script", "uid": "1"},
                "startTime": now.to_string(), "completionTime": now.to_string()}]});
        self.patch_status(FLOOR, &json!({ "status": status })).await;
    }

    /// One write of a status, until a watcher sees it: nothing that an operator does can be faster.
    pub async fn floor(&self) -> Duration {
        let mark = self.marks.fetch_add(1, Ordering::Relaxed).to_string();
        let seen = self.sights.when(Sight::Floor(mark.clone()));
        let patch = json!({"status": {"testsSummary": mark}});
        let began = Instant::now();
        let ((), at) = futures::join!(self.patch_status(FLOOR, &patch), seen);
        at - began
    }

    async fn patch_status(&self, name: &str, patch: &serde_json::Value) {
        self.own.add("PATCH e2etests/status");
        self.runs().patch_status(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }

    /// Deletes a run and what belongs to it: no garbage collector runs here.
    pub async fn delete(&self, name: &str, namespace: &str) {
        let at_once = DeleteParams::background().grace_period(0);
        let mine = ListParams::default().labels(&format!("{}={name}", label::RUN));
        assert_gone(self.runs().delete(name, &at_once).await);
        let jobs = Api::<Job>::namespaced(self.client.clone(), namespace);
        jobs.delete_collection(&at_once, &mine).await.unwrap();
        let pods = Api::<Pod>::namespaced(self.client.clone(), namespace);
        pods.delete_collection(&at_once, &mine).await.unwrap();
        let maps = Api::<ConfigMap>::namespaced(self.client.clone(), namespace);
        maps.delete_collection(&at_once, &mine).await.unwrap();
        self.sights.forget(name);
    }

    /// Deletes all runs and everything that belongs to them.
    pub async fn delete_all(&self) {
        let (at_once, all) = (DeleteParams::background().grace_period(0), ListParams::default());
        let names: Vec<String> =
            self.runs().list_metadata(&all).await.unwrap().iter().map(ResourceExt::name_any).collect();
        self.runs().delete_collection(&at_once, &all).await.unwrap();
        for index in 0..NAMESPACES {
            self.clear::<Job>(&namespace(index)).await;
            self.clear::<Pod>(&namespace(index)).await;
            self.clear::<ConfigMap>(&namespace(index)).await;
        }
        self.clear::<Event>("default").await;
        for name in &names {
            self.sights.forget(name);
        }
    }

    async fn clear<K>(&self, namespace: &str)
    where
        K: kube::Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + std::fmt::Debug
            + DeserializeOwned,
    {
        let at_once = DeleteParams::background().grace_period(0);
        let api = Api::<K>::namespaced(self.client.clone(), namespace);
        api.delete_collection(&at_once, &ListParams::default()).await.unwrap();
    }

    /// Does `work` for each number below `count`, a bounded number of them at once.
    pub async fn each<F: Future<Output = T>, T>(&self, count: usize, work: impl FnMut(usize) -> F) -> Vec<T> {
        stream::iter(0..count).map(work).buffered(AT_ONCE).collect().await
    }
}

/// The namespace of a number.
pub fn namespace(index: usize) -> String {
    format!("bench-{}", index % NAMESPACES)
}

fn run(name: &str, namespace: &str) -> E2ETest {
    // About as long as a small script, so that what caches hold of it can be seen.
    let source = "print('one line of a script that a test runs')\n".repeat(40);
    let script = json!({"source": {"inline": source}});
    let spec = json!({"targetNamespace": namespace, "serviceAccountName": "default-editor", "timeout": "1h",
        "tests": [{"name": "script", "image": "bench.local/python", "script": script}]});
    serde_json::from_value(json!({"apiVersion": "e2e.kubeflow.org/v1alpha1", "kind": "E2ETest",
        "metadata": {"name": name}, "spec": spec}))
    .unwrap()
}
