//! Whether a cluster of the name runs already, and whether it can be used.

use std::{path::Path, time::Duration};

use crate::{
    ClusterConfig, Error, Existing,
    config::{Component, Layout},
    kubectl::Kubectl,
    process,
    state::State,
    watch::Watch,
};

/// How long a cluster that runs already may take to call itself ready, on a machine that is busy.
const HEALTH_LIMIT: Duration = Duration::from_secs(10);

/// The state of a cluster that runs, if one does. Without any record of its completion, or with neither etcd nor
/// an API server, there is nothing that could be anybody's: that is no cluster but what is left of one.
pub(crate) fn running(config: &ClusterConfig, layout: &Layout) -> Result<Option<State>, Error> {
    let Some(state) = State::read(layout)?.filter(|state| state.complete) else { return Ok(None) };
    let kept =
        ClusterConfig { nodes: state.nodes, controller_manager: state.controller_manager, ..config.clone() };
    let alive = process::find(&layout.name, &layout.netns());
    let lives = |component: &Component| {
        alive.iter().any(|process| process.component.as_deref() == Some(component.name()))
    };
    let Some(dead) = dead_parts(&kept.components(), lives) else { return Ok(None) };
    if config.existing == Existing::Refuse {
        return Err(Error::AlreadyRunning { name: layout.name.to_string() });
    }
    if kept.components() != config.components() {
        return Err(Error::Setting(format!(
            "cluster `{name}` runs already with {} node(s){}: end it first with `kfe2e down --name {name}`",
            state.nodes,
            if state.controller_manager { "" } else { " and without a controller-manager" },
            name = layout.name,
        )));
    }
    if !dead.is_empty() {
        let ended = dead.iter().map(|component| component.name()).collect::<Vec<_>>().join(", ");
        return Err(unhealthy(layout, format!("{ended} ended; logs are in {}", layout.logs().display())));
    }
    await_health(config, layout, &state.binaries).map(|()| Some(state))
}

/// The parts of a cluster that live no more; `None` where what all others need is gone, and so the cluster.
fn dead_parts(components: &[Component], lives: impl Fn(&Component) -> bool) -> Option<Vec<Component>> {
    if ![Component::Etcd, Component::ApiServer].iter().any(&lives) {
        return None;
    }
    Some(components.iter().copied().filter(|component| !lives(component)).collect())
}

fn unhealthy(layout: &Layout, reason: String) -> Error {
    Error::Unhealthy { cluster: layout.name.to_string(), reason }
}

/// Waits until the API server calls itself ready: one slow answer says little about it.
fn await_health(config: &ClusterConfig, layout: &Layout, binaries: &Path) -> Result<(), Error> {
    let awaited = "the running cluster's API server to be ready";
    let kubectl = Kubectl::new(binaries.join("kubectl"), layout);
    let watch = Watch::new(&layout.name, &config.cancel, HEALTH_LIMIT);
    let mut heard = "no answer".to_owned();
    let mut ask = || match kubectl.raw("/readyz", &mut || watch.check(awaited)) {
        // What was heard before says more than that the time is over.
        Err(Error::Timeout { .. }) => Err(heard.clone()),
        Err(e) => {
            heard = match e {
                Error::Program { reason, .. } => reason,
                other => other.to_string(),
            };
            Err(heard.clone())
        }
        Ok(_) => Ok(()),
    };
    watch.poll(awaited, &mut || watch.check(awaited), &mut ask).map_err(|e| match e {
        Error::Timeout { limit, detail, .. } => unhealthy(
            layout,
            format!("its API server did not call itself ready within {}s: {detail}", limit.as_secs()),
        ),
        other => other,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ClusterName;

    #[test]
    fn a_cluster_is_gone_only_without_etcd_and_without_an_api_server() {
        let all = Component::ALL;
        let dead = |alive: &[Component]| dead_parts(&all, |component| alive.contains(component));
        assert_eq!(dead(&all), Some(Vec::new()));
        assert_eq!(dead(&[Component::Containerd, Component::Kubelet]), None);
        assert_eq!(dead(&[Component::Etcd]).map(|parts| parts.len()), Some(all.len() - 1));
        let without_proxy: Vec<_> = all.into_iter().filter(|part| *part != Component::Proxy).collect();
        assert_eq!(dead(&without_proxy), Some(vec![Component::Proxy]));
    }

    #[test]
    fn an_unhealthy_cluster_is_named_with_the_way_to_remove_it() {
        let config = ClusterConfig::new("a");
        let layout = Layout::new(&config.roots, &ClusterName::new("a").unwrap()).unwrap();
        let error = unhealthy(&layout, "kubelet ended".into());
        assert!(!error.is_usage());
        assert_eq!(
            error.to_string(),
            "cluster `a` runs but is not healthy: kubelet ended; remove it with `kfe2e down --name a`"
        );
    }
}
