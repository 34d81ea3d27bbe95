//! What the cases of a test binary share: a bare API server with the Job controller and the garbage collector, the
//! operator's roles, a node's stand-in, and a record of everything that happens.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use crds::{
    names::{OPERATOR, SYSTEM_NAMESPACE, TARGET_ROLE_BINDING},
    v1alpha1::E2ETest,
};
use k8s_openapi::{
    api::{authorization::v1::SubjectAccessReview, rbac::v1::RoleBinding},
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client, Config, CustomResourceExt, ResourceExt,
    api::{DeleteParams, PostParams},
    config::{AuthInfo, KubeConfigOptions, Kubeconfig},
    runtime::{conditions::is_crd_established, wait::await_condition},
};
use serde_json::{Value, json};

use super::{
    control_plane::Part,
    history::History,
    judge::Finding,
    node::StandIn,
    outcome::{GATE, Outcome},
    score::Score,
};
use crate::cluster::{self, Cluster, eventually};
use tokio::sync::{OnceCell, watch};

/// How long a small thing may take on a busy machine.
const SOON: Duration = Duration::from_secs(30);

/// How long an API server that is there may take for an answer on a busy machine.
const SHORTLY: Duration = Duration::from_secs(5);

/// The shared world.
pub struct World {
    /// The API server.
    pub cluster: Cluster,
    /// What happened.
    pub history: History,
    /// The node.
    pub node: Arc<StandIn>,
    /// The operator's token.
    pub token: String,
    /// A client without any identity: the proxies pass on the operator's.
    pub upstream: Client,
    /// Whether runs can be cancelled.
    pub can_cancel: bool,
    /// Sums over the cases.
    pub score: Arc<Score>,
    /// Runs without faults, by outcome.
    clean: watch::Sender<BTreeMap<String, Arc<Finding>>>,
    cases: AtomicUsize,
}

impl World {
    /// Makes it.
    pub async fn make(name: &str, score: Arc<Score>) -> Self {
        let cluster = Cluster::control_plane(name).await;
        for arguments in [
            &["-f", "manifests/manager/namespace.yaml"][..],
            &["-k", "manifests/crd"],
            &["-k", "manifests/rbac"],
            &["-f", "tests/kubeflow-mini/crds/poddefaults.yaml"],
        ] {
            cluster.kubectl(&[&["apply", "--server-side"], arguments].concat()).expect(0);
        }
        let crds: Api<CustomResourceDefinition> = Api::all(cluster.client.clone());
        for crd in [E2ETest::crd_name(), "poddefaults.kubeflow.org"] {
            let established = await_condition(crds.clone(), crd, is_crd_established());
            tokio::time::timeout(SOON, established).await.unwrap().unwrap();
        }
        // The garbage collector looks for new kinds every half a minute; one that starts knows them all.
        let manager = Part::find(&cluster.name, "kube-controller-manager");
        manager.kill();
        manager.start();
        let schema = serde_json::to_value(&E2ETest::crd().spec.versions[0].schema).unwrap();
        let can_cancel = schema.pointer("/openAPIV3Schema/properties/spec/properties/cancel").is_some();
        let world = Self {
            history: History::begin(cluster.client.clone()).await,
            node: StandIn::start(cluster.client.clone()).await,
            token: token(&cluster),
            upstream: anonymous(&cluster.kubeconfig).await,
            can_cancel,
            score,
            clean: watch::Sender::default(),
            cases: AtomicUsize::new(0),
            cluster,
        };
        world.open_gate().await;
        world
    }

    /// The same cluster, with everything that happens in it from now on.
    pub async fn anew(&self) -> Self {
        Self {
            cluster: self.cluster.clone(),
            history: History::begin(self.cluster.client.clone()).await,
            node: StandIn::start(self.cluster.client.clone()).await,
            token: self.token.clone(),
            upstream: self.upstream.clone(),
            can_cancel: self.can_cancel,
            score: Arc::clone(&self.score),
            clean: watch::Sender::new(self.clean.borrow().clone()),
            cases: AtomicUsize::new(self.cases.load(Ordering::SeqCst)),
        }
    }

    /// A name that no other case has.
    pub fn next_name(&self) -> String {
        format!("case-{}", self.cases.fetch_add(1, Ordering::SeqCst))
    }

    /// The run without faults of that outcome, if it was run already.
    pub fn known_clean(&self, outcome: Outcome) -> Option<Arc<Finding>> {
        self.clean.borrow().get(&outcome.to_string()).cloned()
    }

    /// Keeps a run without faults.
    pub fn remember_clean(&self, outcome: Outcome, found: Finding) -> Arc<Finding> {
        let found = Arc::new(found);
        self.clean.send_modify(|all| drop(all.insert(outcome.to_string(), Arc::clone(&found))));
        found
    }

    /// The outcomes that the API serves.
    pub fn outcomes(&self) -> Vec<Outcome> {
        Outcome::ALL.into_iter().filter(|outcome| *outcome != Outcome::Cancel || self.can_cancel).collect()
    }

    /// Makes the namespace of a case: bound to the operator, with the service account of a profile.
    pub async fn make_namespace(&self, name: &str) {
        let core = format!("/api/v1/namespaces/{name}");
        self.create("/api/v1/namespaces", object("v1", "Namespace", name, json!({}))).await;
        self.create(
            &format!("{core}/serviceaccounts"),
            object("v1", "ServiceAccount", "default-editor", json!({})),
        )
        .await;
        self.let_in(name).await;
    }

    /// Lets the operator into a namespace.
    pub async fn let_in(&self, name: &str) {
        let group = "rbac.authorization.k8s.io";
        let binding = json!({
            "roleRef": { "apiGroup": group, "kind": "ClusterRole", "name": "kubeflow-e2e-target" },
            "subjects": [{ "kind": "ServiceAccount", "name": OPERATOR, "namespace": SYSTEM_NAMESPACE }],
        });
        let binding = object(&format!("{group}/v1"), "RoleBinding", TARGET_ROLE_BINDING, binding);
        self.create(&format!("/apis/{group}/v1/namespaces/{name}/rolebindings"), binding).await;
        self.await_access(name, true).await;
    }

    /// Takes the operator's rights in a namespace away.
    pub async fn shut_out(&self, name: &str) {
        let bindings: Api<RoleBinding> = Api::namespaced(self.cluster.client.clone(), name);
        bindings.delete(TARGET_ROLE_BINDING, &DeleteParams::default()).await.unwrap();
        self.await_access(name, false).await;
    }

    /// Makes the namespace at which the gates look, with a Deployment that becomes ready.
    async fn open_gate(&self) {
        self.create("/api/v1/namespaces", object("v1", "Namespace", GATE, json!({}))).await;
        let deployment = json!({ "selector": { "matchLabels": { "app": "any" } }, "template": {
            "metadata": { "labels": { "app": "any" } }, "spec": { "containers": [{ "name": "any", "image": "any" }] },
        }});
        let deployment = object("apps/v1", "Deployment", "any", json!({ "spec": deployment }));
        let deployments = format!("/apis/apps/v1/namespaces/{GATE}/deployments");
        self.create(&deployments, deployment).await;
        let pod = |history: &History| history.objects("Pod", GATE).first().map(ResourceExt::name_any);
        let pod = self.history.until("the Deployment's pod", SOON, pod).await.unwrap();
        self.node.bind(GATE, &pod).await.unwrap();
        self.node.running(GATE, &pod).await.unwrap();
        let available = || async {
            let request = hyper::Request::get(format!("{deployments}/any")).body(Vec::new()).unwrap();
            let seen: Value = self.cluster.client.request(request).await.ok()?;
            (seen["status"]["availableReplicas"] == 1).then_some(())
        };
        eventually("the Deployment to be available", SOON, available).await;
    }

    /// Waits until the operator may, or may not, make Jobs in a namespace: the API server learns of bindings by watches.
    pub async fn await_access(&self, namespace: &str, wanted: bool) {
        let review = json!({ "metadata": {}, "spec": {
            "user": format!("system:serviceaccount:{SYSTEM_NAMESPACE}:{OPERATOR}"),
            "resourceAttributes": { "namespace": namespace, "verb": "create", "group": "batch", "resource": "jobs" },
        }});
        let review: SubjectAccessReview = serde_json::from_value(review).unwrap();
        let reviews: Api<SubjectAccessReview> = Api::all(self.cluster.client.clone());
        let allowed = || async {
            let answer = reviews.create(&PostParams::default(), &review).await.ok()?;
            (answer.status?.allowed == wanted).then_some(())
        };
        eventually("the operator's binding to count", SOON, allowed).await;
    }

    /// Waits until the API server answers.
    pub async fn await_server(&self) {
        let client = &self.cluster.client;
        let ready = || async {
            let request = hyper::Request::get("/readyz").body(Vec::new()).unwrap();
            tokio::time::timeout(SHORTLY, client.request_text(request)).await.ok()?.ok()
        };
        eventually("the API server to be ready", SOON, ready).await;
    }

    /// Creates any object.
    pub async fn create(&self, collection: &str, object: Value) {
        let request = hyper::Request::post(collection).header("content-type", "application/json");
        let request = request.body(object.to_string().into_bytes()).unwrap();
        let _: Value = self
            .cluster
            .client
            .request(request)
            .await
            .unwrap_or_else(|error| panic!("{collection}: {error}"));
    }
}

/// An object of any kind.
fn object(version: &str, kind: &str, name: &str, more: Value) -> Value {
    let mut all = json!({ "apiVersion": version, "kind": kind, "metadata": { "name": name } });
    all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    all
}

/// A world that is made when the first trial asks for it.
pub struct Shared {
    name: &'static str,
    world: OnceCell<World>,
    asked: OnceCell<()>,
    score: Arc<Score>,
}

impl Shared {
    /// A world whose cluster has this name, not made yet.
    pub fn new(name: &'static str, score: Arc<Score>) -> Arc<Self> {
        Arc::new(Self { name, world: OnceCell::new(), asked: OnceCell::new(), score })
    }

    /// The world.
    pub async fn get(&self) -> &World {
        let first = self.asked.set(()).is_ok();
        // Trying again for every trial would hide the first failure behind many slow ones.
        assert!(
            first || self.world.initialized(),
            "the shared world could not be made: see the first failure"
        );
        self.world.get_or_init(|| World::make(self.name, Arc::clone(&self.score))).await
    }

    /// Removes the cluster if a trial asked for it, also one that was made only half.
    pub fn remove(&self) {
        if self.asked.initialized() {
            cluster::down(self.name).expect(0);
        }
    }
}

/// A token of the operator's service account.
pub fn token(cluster: &Cluster) -> String {
    let asked = ["create", "token", OPERATOR, "--namespace", SYSTEM_NAMESPACE, "--duration", "2h"];
    cluster.kubectl(&asked).expect(0).stdout.trim().to_owned()
}

/// A client that knows the API server and has no identity.
async fn anonymous(kubeconfig: &str) -> Client {
    let kubeconfig = Kubeconfig::read_from(kubeconfig).unwrap();
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    config.auth_info = AuthInfo::default();
    config.default_retry = false;
    config.connect_timeout = Some(Duration::from_secs(3));
    Client::try_from(config).unwrap()
}
