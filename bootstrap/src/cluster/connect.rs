//! The way from a cluster that was made or found to its API server.

use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};

use super::{Created, exec_plugin};
use crate::{failure::Failure, tool::on_the_path};

/// A client of the cluster.
pub async fn client(created: &Created) -> Result<Client, Failure> {
    let fails = |why| Failure::infrastructure(format!("{}: {why}", created.kubeconfig.display()));
    let kubeconfig = Kubeconfig::read_from(&created.kubeconfig).map_err(|error| fails(chain(&error)))?;
    through(kubeconfig, created.context.as_deref(), created.local).await.map_err(|why| fails(why.message))
}

/// A client by a kubeconfig and one of its contexts, else its current one; else why there is none. Retries are ours,
/// with a deadline and a reason that is shown.
pub(super) async fn through(
    mut kubeconfig: Kubeconfig,
    context: Option<&str>,
    local: bool,
) -> Result<Client, Failure> {
    let plugin = context.and_then(|context| exec_plugin::of(&kubeconfig, context)).unwrap_or_default();
    let timeout = on_the_path("timeout");
    if let Some(reason) =
        context.and_then(|context| exec_plugin::unbounded(&kubeconfig, context, timeout.is_some()))
    {
        return Err(Failure::usage(reason));
    }
    if let Some(timeout) = timeout {
        exec_plugin::bound(&mut kubeconfig, &timeout, exec_plugin::WITHIN);
    }
    let options = KubeConfigOptions { context: context.map(str::to_owned), ..KubeConfigOptions::default() };
    let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
    let mut config = config.map_err(|error| Failure::usage(chain(&error)))?;
    config.default_retry = false;
    if local {
        // A proxy of the environment knows the way out, not the way to a cluster on this machine.
        config.proxy_url = None;
    }
    Client::try_from(config).map_err(|error| {
        // Credentials that are not to be had now, as when they expired, are no wrong flag.
        let why = exec_plugin::explained(&error, &plugin, exec_plugin::WITHIN);
        why.map_or_else(|| Failure::usage(chain(&error)), Failure::infrastructure)
    })
}

/// An error with its causes, each said once, in one line: of a kubeconfig, the outer ones name the file that is meant.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let said = inner.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = inner.source();
    }
    text
}
