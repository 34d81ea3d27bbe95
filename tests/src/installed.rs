//! A cluster with the small Kubeflow of the tests and the operator, installed with kubectl as their users do.

use std::time::Duration;

use crate::{
    audit,
    cluster::{Cluster, eventually},
    docker::Docker,
    program,
};

/// An embedded cluster with both, whose API server writes down what the operator asks for.
pub async fn installed(name: &str) -> Cluster {
    let mut arguments = program::image_flags();
    arguments.extend(["--audit".to_owned(), audit::operator()]);
    let cluster = Cluster::up(name, &arguments.iter().map(String::as_str).collect::<Vec<_>>()).await;
    install(&cluster).await;
    cluster
}

/// A kind cluster with both.
pub async fn on_kind(name: &str, docker: &Docker) -> Cluster {
    let cluster = Cluster::up_on_kind(name, docker).await;
    install(&cluster).await;
    cluster
}

/// Installs both, as their users do.
pub async fn install(cluster: &Cluster) {
    // Custom resources need their definitions served first: Kubeflow's own guide applies until it works, with force.
    let applied = || async {
        Some(cluster.kubectl(&["apply", "--server-side", "--force-conflicts", "-k", "tests/kubeflow-mini"]))
            .filter(|ended| ended.code == Some(0))
    };
    eventually("the small Kubeflow to be accepted", Duration::from_secs(60), applied).await;
    cluster.kubectl(&["apply", "--server-side", "-k", "manifests/default"]).expect(0);
    cluster.kubectl(&["apply", "--server-side", "-k", "manifests/target"]).expect(0);
    for (namespace, deployment) in [
        (crds::names::SYSTEM_NAMESPACE, "kubeflow-e2e-operator"),
        ("kubeflow", "admission-webhook-deployment"),
    ] {
        cluster
            .kubectl(&[
                "-n",
                namespace,
                "rollout",
                "status",
                &format!("deployment/{deployment}"),
                "--timeout=120s",
            ])
            .expect(0);
    }
}
