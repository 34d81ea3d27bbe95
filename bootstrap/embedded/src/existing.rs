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

/// The state of a cluster that runs, if one does: it is what is asked for, and healthy.
pub(crate) fn running(config: &ClusterConfig, layout: &Layout) -> Result<Option<State>, Error> {
    let Some((state, dead)) = found(config, layout)? else { return Ok(None) };
    if !dead.is_empty() {
        let ended = dead.iter().map(|component| component.name()).collect::<Vec<_>>().join(", ");
        return Err(unhealthy(layout, format!("{ended} ended; logs are in {}", layout.logs().display())));
    }
    await_health(config, layout, &state.binaries).map(|()| Some(state))
}

/// The state of a cluster that is what is asked for, and those of its parts that live no more. Without any record
/// of its completion, or with neither etcd nor an API server, there is nothing that could be anybody's: that is
/// no cluster but what is left of one.
pub(crate) fn found(
    config: &ClusterConfig,
    layout: &Layout,
) -> Result<Option<(State, Vec<Component>)>, Error> {
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
    if let Some(other) = difference(&state, &kept, config) {
        return Err(Error::AnotherRuns { name: layout.name.to_string(), how: other });
    }
    Ok(Some((state, dead)))
}

/// In what the running cluster, which was `kept` as its record says, is another than the one that is asked for.
fn difference(state: &State, kept: &ClusterConfig, asked: &ClusterConfig) -> Option<String> {
    if state.kubernetes != asked.kubernetes.release() {
        return Some(format!("with Kubernetes {} and not {}", state.kubernetes, asked.kubernetes));
    }
    if let Some(user) = asked.audited.iter().find(|user| !state.audited.contains(user)) {
        return Some(format!("without an audit log of {user}"));
    }
    (kept.components() != asked.components()).then(|| {
        let lacks = if state.controller_manager { "" } else { " and without a controller-manager" };
        format!("with {} node(s){lacks}", state.nodes)
    })
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
    use crate::{ClusterName, KubernetesVersion};

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
    fn a_running_cluster_of_another_version_or_with_other_parts_is_not_the_one_asked_for() {
        let state = State {
            subnet: 0,
            nodes: 1,
            controller_manager: true,
            kubernetes: "v1.33.13".into(),
            audited: vec!["a".into()],
            binaries: "/b".into(),
            complete: true,
        };
        let kept = ClusterConfig::new("a");
        let old = ClusterConfig { kubernetes: KubernetesVersion::V1_33, ..kept.clone() };
        assert_eq!(difference(&state, &kept, &old), None);
        let audited = |user: &str| ClusterConfig { audited: vec![user.into()], ..old.clone() };
        assert_eq!(difference(&state, &kept, &audited("a")), None);
        assert_eq!(difference(&state, &kept, &audited("b")).unwrap(), "without an audit log of b");
        assert_eq!(
            difference(&state, &kept, &ClusterConfig::new("a")).unwrap(),
            "with Kubernetes v1.33.13 and not v1.36.3"
        );
        let alone = ClusterConfig { kubernetes: old.kubernetes, ..ClusterConfig::control_plane("a") };
        assert_eq!(difference(&state, &kept, &alone).unwrap(), "with 1 node(s)");
    }

    #[test]
    fn an_unhealthy_cluster_is_named_with_the_way_to_remove_it() {
        let config = ClusterConfig::new("a");
        let layout = Layout::new(&config.roots, &ClusterName::new("a").unwrap()).unwrap();
        let error = unhealthy(&layout, "kubelet ended".into());
        assert!(!error.is_usage());
        assert_eq!(
            error.to_string(),
            "cluster `a` runs but is not healthy: kubelet ended; remove it with `kfe2e down --cluster embedded --name a`"
        );
    }
}
