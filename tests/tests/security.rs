//! Who may have what done: rights and admission on a real API server, without a node.

#[path = "security/attacks.rs"]
mod attacks;
#[path = "security/rights.rs"]
mod rights;

use std::{process::ExitCode, sync::Arc, time::Duration};

use crds::{
    names::{OPERATOR, SYSTEM_NAMESPACE},
    v1alpha1::E2ETest,
};
use e2e_tests::{
    cluster::{Cluster, Shared, eventually},
    objects::TARGET,
    trials::{run, runtime, trial},
};
use jiff::Timestamp;
use k8s_openapi::api::{batch::v1::Job, core::v1::ConfigMap};
use kube::{
    Api, Client, Config,
    api::PostParams,
    config::{KubeConfigOptions, Kubeconfig},
};
use operator_core::{Effect, Observed, Settings, decide};
use serde_json::json;

/// A namespace that has not let the operator in.
const OTHER: &str = "other";

fn main() -> ExitCode {
    let (runtime, shared) = (runtime(), Shared::new("e2e-security"));
    let trials = vec![
        trial("the operator's account may do exactly this", &runtime, &shared, rights::exactly_this),
        trial("it makes the children of a run", &runtime, &shared, rights::children_pass),
        trial("it makes no job that reaches further than a test", &runtime, &shared, rights::hostile_jobs),
        trial("it changes nothing that no run owns", &runtime, &shared, rights::things_of_others),
        trial("it changes nothing of a pod but its deadline", &runtime, &shared, rights::pods_stay),
        trial("it deletes only runs that may go", &runtime, &shared, rights::runs_stay),
        trial(
            "no hostile run succeeds, and nearly all are refused at once",
            &runtime,
            &shared,
            attacks::runs,
        ),
        trial("no run of somebody else can be touched", &runtime, &shared, attacks::runs_of_others),
    ];
    run(trials, || shared.remove())
}

async fn cluster(shared: Arc<Shared>) -> Arc<Cluster> {
    shared.get(installed).await
}

/// An API server with everything that decides what the operator may do, and two namespaces, one of which let it in.
async fn installed(name: &str) -> Cluster {
    let cluster = Cluster::up(name, &["--nodes", "0"]).await;
    for namespace in [TARGET, OTHER] {
        cluster.kubectl(&["create", "namespace", namespace]).expect(0);
        // No controller manager runs here that would make it.
        cluster.kubectl(&["-n", namespace, "create", "serviceaccount", "default"]).expect(0);
    }
    for file in ["manifests/crd", "manifests/target"] {
        cluster.kubectl(&["apply", "--server-side", "-k", file]).expect(0);
    }
    for file in ["manifests/manager/namespace.yaml", "tests/kubeflow-mini/crds/poddefaults.yaml"] {
        cluster.kubectl(&["apply", "--server-side", "-f", file]).expect(0);
    }
    cluster.kubectl(&["apply", "--server-side", "-k", "manifests/rbac"]).expect(0);
    for crd in ["e2etests.e2e.kubeflow.org", "poddefaults.kubeflow.org"] {
        cluster.kubectl(&["wait", "--for=condition=Established", "crd", crd, "--timeout=30s"]).expect(0);
    }
    // A new policy is enforced once the API server's own watch of policies has seen it.
    let client = operator(&cluster).await;
    let stray: ConfigMap = serde_json::from_value(json!({"metadata": {"name": "stray"}})).unwrap();
    let enforced = || async {
        let api = Api::<ConfigMap>::namespaced(client.clone(), TARGET);
        let dry = PostParams { dry_run: true, ..PostParams::default() };
        api.create(&dry, &stray).await.is_err().then_some(())
    };
    eventually("the policies to be enforced", Duration::from_secs(30), enforced).await;
    cluster
}

/// A client with a token of the operator's account.
async fn operator(cluster: &Cluster) -> Client {
    as_account(cluster, SYSTEM_NAMESPACE, OPERATOR).await
}

/// A client with a token of a service account.
async fn as_account(cluster: &Cluster, namespace: &str, account: &str) -> Client {
    let token = cluster.kubectl(&["-n", namespace, "create", "token", account]).expect(0).stdout;
    let mut kubeconfig = Kubeconfig::read_from(&cluster.kubeconfig).unwrap();
    for user in &mut kubeconfig.auth_infos {
        user.auth_info = Some(serde_json::from_value(json!({ "token": token.trim() })).unwrap());
    }
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    config.default_retry = false;
    Client::try_from(config).unwrap()
}

/// What the operator would write for this run in its first two passes.
fn children(run: &E2ETest) -> Vec<Effect> {
    let mut run = run.clone();
    run.metadata.uid.get_or_insert_with(|| "0f5e4a5c-19cd-4f6d-8d5e-3a3f6f0b8f11".into());
    let settings = Settings::with_image("ghcr.io/kubeflow/kubeflow-e2e:test");
    let plan = |run: &E2ETest| decide(run, &Observed::default(), &settings, Timestamp::now());
    run.status = Some(plan(&run).status);
    plan(&run).effects.into_iter().flat_map(|batch| batch.effects).collect()
}

/// The Job among them.
fn job_of(run: &E2ETest) -> Job {
    let job = children(run).into_iter().find_map(|effect| match effect {
        Effect::CreateJob(job) => Some(*job),
        _ => None,
    });
    job.expect("a run's second pass makes its Job")
}

/// Creates a Job for nothing; the API server's answer.
async fn try_job(client: &Client, namespace: &str, mut job: Job) -> Result<(), String> {
    job.metadata.namespace = Some(namespace.into());
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    Api::namespaced(client.clone(), namespace).create(&dry, &job).await.map(|_| ()).map_err(sentence)
}

/// The API server's own sentence.
fn sentence(error: kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => panic!("{other}"),
    }
}
