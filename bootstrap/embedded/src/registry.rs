//! Which clusters there are.

use std::path::PathBuf;

use crate::{ClusterName, Error, Roots, config::Layout, leftovers::clusters, state::State};

/// A cluster of this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterInfo {
    /// Its name.
    pub name: String,
    /// Its nodes, if it was recorded.
    pub nodes: Option<u8>,
    /// Whether it was once complete. One that was not is the rest of an interrupted attempt.
    pub complete: bool,
    /// The administrator's kubeconfig, if it exists.
    pub kubeconfig: Option<PathBuf>,
}

/// All clusters of this host, whole or not, by name.
pub fn list(roots: &Roots) -> Result<Vec<ClusterInfo>, Error> {
    clusters(roots)?.iter().map(|name| info(roots, &ClusterName::new(name)?)).collect()
}

/// The administrator's kubeconfig of a complete cluster.
pub fn kubeconfig(roots: &Roots, name: &str) -> Result<PathBuf, Error> {
    let info = info(roots, &ClusterName::new(name)?)?;
    info.kubeconfig.filter(|_| info.complete).ok_or(Error::NoCluster(info.name))
}

fn info(roots: &Roots, name: &ClusterName) -> Result<ClusterInfo, Error> {
    let layout = Layout::new(roots, name)?;
    let state = State::read(&layout)?;
    let kubeconfig = layout.kubeconfig();
    Ok(ClusterInfo {
        name: name.to_string(),
        nodes: state.as_ref().map(|state| state.nodes),
        complete: state.is_some_and(|state| state.complete),
        kubeconfig: kubeconfig.exists().then_some(kubeconfig),
    })
}
