//! The way from a cluster that was made or found to its API server.

use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};

use super::Created;
use crate::failure::Failure;

/// A client of the cluster. Retries are ours, with a deadline and a reason that is shown.
pub async fn client(created: &Created) -> Result<Client, Failure> {
    let kubeconfig = Kubeconfig::read_from(&created.kubeconfig)
        .map_err(|error| Failure::infrastructure(format!("{}: {error}", created.kubeconfig.display())))?;
    let options = KubeConfigOptions { context: created.context.clone(), ..KubeConfigOptions::default() };
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &options)
        .await
        .map_err(|error| Failure::infrastructure(format!("{}: {error}", created.kubeconfig.display())))?;
    config.default_retry = false;
    if created.local {
        // A proxy of the environment knows the way out, not the way to a cluster on this machine.
        config.proxy_url = None;
    }
    Client::try_from(config).map_err(|error| Failure::infrastructure(error.to_string()))
}
