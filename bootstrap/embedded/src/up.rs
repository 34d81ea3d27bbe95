//! Making a cluster: one of a name at a time, from nothing or not at all.

use std::{fs, net::Ipv4Addr, path::PathBuf, sync::mpsc, time::Duration};

use crate::{
    ClusterConfig, ClusterName, Error, Progress, Step,
    address::Subnet,
    assets::{self, Errand, KUBERNETES},
    config::{Component, Layout},
    disk,
    down::{lock_cluster, sweep},
    evidence::copy_logs,
    images,
    kubectl::Kubectl,
    leftovers,
    make::{Maker, Times},
    preflight::preflight,
    process,
    progress::Teller,
    state::State,
    watch::{Session, Watch},
};

/// A running cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Up {
    /// Its name.
    pub name: String,
    /// The administrator's kubeconfig.
    pub kubeconfig: PathBuf,
    /// The `kubectl` that came with it.
    pub kubectl: PathBuf,
    /// The API server's address, reachable from the host.
    pub endpoint: String,
    /// The node's address, where its NodePorts are.
    pub node_address: Ipv4Addr,
    /// The host's address as the cluster sees it.
    pub host_address: Ipv4Addr,
    /// Whether it was there already; nothing was measured then.
    pub already_running: bool,
    /// From the start until the API served the namespace `default`: the administrator can work.
    pub api_serving: Option<Duration>,
    /// From the start until the API server called itself ready: everybody's roles are there.
    pub api_ready: Option<Duration>,
    /// From the start until the node was Ready.
    pub node_ready: Option<Duration>,
    /// What loading images took, beside all else.
    pub image_load: Option<Duration>,
    /// From the start until the cluster's DNS was available.
    pub dns_ready: Option<Duration>,
    /// The images that were loaded.
    pub images: Vec<String>,
}

/// Makes the cluster, or returns it when it runs already. What an interrupted attempt left is removed first;
/// what this attempt made is removed when it fails or is cancelled.
pub fn up(config: &ClusterConfig, on: &mut dyn FnMut(Progress)) -> Result<Up, Error> {
    preflight(config)?;
    let name = ClusterName::new(&config.name)?;
    let layout = Layout::new(&config.roots, &name)?;
    let errand = Errand { cancel: &config.cancel, cluster: Some(&name) };
    let binaries = assets::provide(&config.assets, config.nodes, errand, on)?;
    let _lock = lock_cluster(&config.roots, &name, &config.cancel, || {
        let detail = "another command works on this cluster: waiting for its end".to_owned();
        on(Progress::Working { step: Step::ControlPlane, detail, elapsed: Duration::ZERO });
    })?;
    if let Some(state) = running(config, &layout)? {
        return join(config, &layout, &state, on);
    }
    if !leftovers::of(&config.roots, &layout)?.is_empty() {
        let teller = Teller::start(Step::Sweep, on);
        sweep(&config.roots, &layout)?;
        teller.finish();
    }
    let (send, receive) = mpsc::channel();
    let watch = Watch::new(&name, &config.cancel, config.timeout);
    let session = Session::new(watch, receive, on);
    let made = Maker::new(config, layout.clone(), binaries.clone()).make(session, &send);
    match made {
        Ok((subnet, times)) => Ok(describe(&layout, binaries.kubectl(), subnet, Some(times))),
        Err(reason) => Err(give_up(config, &layout, reason)),
    }
}

/// Keeps what tells about the failure and removes all else. The failure is what counts, but one of the
/// clean-up is not kept silent.
fn give_up(config: &ClusterConfig, layout: &Layout, reason: Error) -> Error {
    let reason = disk::explain(reason, &[&layout.state, &layout.run]);
    let kept = config.failure_logs.as_ref().map_or(Ok(Vec::new()), |folder| copy_logs(layout, folder));
    let swept = sweep(&config.roots, layout);
    match kept.map(drop).and_then(|()| swept.map(drop)) {
        Ok(()) => reason,
        Err(also) => Error::CleanUp { reason: Box::new(reason), also: Box::new(also) },
    }
}

/// Loads the images of layouts into a running cluster; what it has already is not loaded again. Returns the
/// names of those that were loaded.
pub fn load_images(
    roots: &crate::Roots,
    name: &str,
    folders: &[PathBuf],
    on: &mut dyn FnMut(Progress),
) -> Result<Vec<String>, Error> {
    let name = ClusterName::new(name)?;
    let layout = Layout::new(roots, &name)?;
    images::inspect(folders)?;
    match State::read(&layout)? {
        Some(state) if state.complete && state.nodes > 0 => load(&layout, folders, on),
        Some(state) if state.complete => {
            Err(Error::Setting(format!("cluster `{name}` has no node to load images into")))
        }
        Some(_) | None => Err(Error::NoCluster(name.to_string())),
    }
}

fn load(layout: &Layout, folders: &[PathBuf], on: &mut dyn FnMut(Progress)) -> Result<Vec<String>, Error> {
    let mut teller = Teller::start(Step::Images, on);
    let mut loaded = Vec::new();
    for folder in folders {
        let tick = &mut || {
            teller.remind(|| format!("loading {}", folder.display()));
            Ok(())
        };
        loaded.extend(images::load(layout, folder, tick)?);
    }
    teller.finish();
    Ok(loaded)
}

/// The state of a cluster that was completed, whose every part lives, and whose API answers.
fn running(config: &ClusterConfig, layout: &Layout) -> Result<Option<State>, Error> {
    let Some(state) = State::read(layout)?.filter(|state| state.complete) else { return Ok(None) };
    let alive = process::find(&layout.name, &layout.netns());
    let lives = |component: &Component| {
        alive.iter().any(|process| process.component.as_deref() == Some(component.name()))
    };
    let kept =
        ClusterConfig { nodes: state.nodes, controller_manager: state.controller_manager, ..config.clone() };
    if !kept.components().iter().all(lives) {
        return Ok(None);
    }
    let kubectl = Kubectl::new(state.binaries.join("kubectl"), layout);
    if kubectl.raw("/readyz", &mut || Ok(())).is_err() {
        return Ok(None);
    }
    if kept.components() != config.components() {
        return Err(Error::Setting(format!(
            "cluster `{}` runs already with {} node(s){}: end it first with `kfe2e down`",
            layout.name,
            state.nodes,
            if state.controller_manager { "" } else { " and without a controller-manager" },
        )));
    }
    Ok(Some(state))
}

fn join(
    config: &ClusterConfig,
    layout: &Layout,
    state: &State,
    on: &mut dyn FnMut(Progress),
) -> Result<Up, Error> {
    let images = if config.images.is_empty() { Vec::new() } else { load(layout, &config.images, on)? };
    let found = describe(layout, state.binaries.join("kubectl"), Subnet(state.subnet), None);
    Ok(Up { images, ..found })
}

fn describe(layout: &Layout, kubectl: PathBuf, subnet: Subnet, times: Option<Times>) -> Up {
    let already_running = times.is_none();
    let times = times.unwrap_or_default();
    Up {
        name: layout.name.to_string(),
        kubeconfig: layout.kubeconfig(),
        kubectl,
        endpoint: subnet.endpoint(),
        node_address: subnet.node(),
        host_address: subnet.host(),
        already_running,
        api_serving: times.serving,
        api_ready: times.ready,
        node_ready: times.node,
        image_load: times.image_load,
        dns_ready: times.dns,
        images: times.images,
    }
}

/// The state that a new cluster begins with.
pub(crate) fn promise(config: &ClusterConfig, subnet: Subnet, binaries: &assets::Binaries) -> State {
    State {
        subnet: subnet.0,
        nodes: config.nodes,
        controller_manager: config.controller_manager || config.nodes > 0,
        kubernetes: KUBERNETES.version.to_owned(),
        binaries: binaries.kubernetes.clone(),
        complete: false,
    }
}

/// Makes a cluster's folders. The state folder comes first: from then on the cluster is known to exist.
pub(crate) fn make_folders(layout: &Layout) -> Result<(), Error> {
    for folder in [
        &layout.state,
        &layout.run,
        &layout.logs(),
        &layout.cni(),
        &layout.volumes(),
        &layout.kubelet(),
        &layout.pod_logs(),
        &layout.volume_plugins(),
    ] {
        fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
    }
    Ok(())
}
