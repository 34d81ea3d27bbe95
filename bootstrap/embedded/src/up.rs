//! Making a cluster: one of a name at a time, from nothing or not at all.

use std::{fs, net::Ipv4Addr, path::PathBuf, sync::mpsc, time::Duration};

use crate::{
    Cancel, ClusterConfig, ClusterName, Error, KubernetesVersion, Progress, Step,
    address::Subnet,
    assets::{self, Errand},
    config::Layout,
    disk,
    down::{lock_cluster, remove_empty_roots, sweep},
    evidence::copy_logs,
    existing::running,
    images, leftovers,
    lock::Lock,
    make::{Maker, Times},
    preflight::preflight,
    progress::Teller,
    state::State,
    watch::{Session, Watch},
};

/// How long loading images into a running cluster may take.
const LOAD_LIMIT: Duration = Duration::from_mins(15);

/// A running cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Up {
    /// Its name.
    pub name: String,
    /// The version of Kubernetes that it runs.
    pub kubernetes: KubernetesVersion,
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

/// Makes the cluster, or returns it when it runs already and is what is asked for, unless
/// [`Existing::Refuse`](crate::Existing::Refuse) is asked for. What an interrupted attempt left is removed first;
/// what this attempt made is removed when it fails or is cancelled. A cluster that runs is never removed here,
/// healthy or not.
pub fn up(config: &ClusterConfig, on: &mut dyn FnMut(Progress)) -> Result<Up, Error> {
    preflight(config)?;
    join_or_make(config, on).map_err(|reason| match remove_empty_roots(&config.roots) {
        Ok(()) => reason,
        Err(also) => Error::CleanUp { reason: Box::new(reason), also: Box::new(also) },
    })
}

fn join_or_make(config: &ClusterConfig, on: &mut dyn FnMut(Progress)) -> Result<Up, Error> {
    let name = ClusterName::new(&config.name)?;
    let layout = Layout::new(&config.roots, &name)?;
    // Whoever joins or is refused needs no binaries.
    if let (_lock, Some(state)) = look(config, &layout, on)? {
        return join(config, &layout, &state, on);
    }
    let errand = Errand { cancel: &config.cancel, cluster: Some(&name) };
    let binaries = assets::provide(&config.assets, config.kubernetes, config.nodes, errand, on)?;
    // Another command may have made it meanwhile.
    let (_lock, found) = look(config, &layout, on)?;
    if let Some(state) = found {
        return join(config, &layout, &state, on);
    }
    if !leftovers::of(&config.roots, &layout).is_empty() {
        let teller = Teller::start(Step::Sweep, on);
        sweep(&config.roots, &layout)?;
        teller.finish();
    }
    let (send, receive) = mpsc::channel();
    let watch = Watch::new(&name, &config.cancel, config.timeout);
    let session = Session::new(watch, receive, on);
    let made = Maker::new(config, layout.clone(), binaries.clone()).make(session, &send);
    match made {
        Ok((subnet, times)) => Ok(describe(config, &layout, binaries.kubectl(), subnet, Some(times))),
        Err(reason) => Err(give_up(config, &layout, reason)),
    }
}

/// What runs under the name, and the lock under which that stays so.
fn look(
    config: &ClusterConfig,
    layout: &Layout,
    on: &mut dyn FnMut(Progress),
) -> Result<(Lock, Option<State>), Error> {
    let lock = lock_cluster(&config.roots, &layout.name, &config.cancel, || {
        let detail = "another command works on this cluster: waiting for its end".to_owned();
        on(Progress::Working { step: Step::ControlPlane, detail, elapsed: Duration::ZERO });
    })?;
    let found = running(config, layout)?;
    Ok((lock, found))
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
        Some(state) if state.complete && state.nodes > 0 => {
            load(&layout, folders, &Watch::new(&name, &Cancel::default(), LOAD_LIMIT), on)
        }
        Some(state) if state.complete => {
            Err(Error::Setting(format!("cluster `{name}` has no node to load images into")))
        }
        Some(_) | None => Err(Error::NoCluster(name.to_string())),
    }
}

fn load(
    layout: &Layout,
    folders: &[PathBuf],
    watch: &Watch,
    on: &mut dyn FnMut(Progress),
) -> Result<Vec<String>, Error> {
    let mut teller = Teller::start(Step::Images, on);
    let mut loaded = Vec::new();
    for folder in folders {
        let tick = &mut || {
            teller.remind(|| format!("loading {}", folder.display()));
            watch.check(&format!("the images of {}", folder.display()))
        };
        loaded.extend(images::load(layout, folder, tick)?);
    }
    teller.finish();
    Ok(loaded)
}

fn join(
    config: &ClusterConfig,
    layout: &Layout,
    state: &State,
    on: &mut dyn FnMut(Progress),
) -> Result<Up, Error> {
    let watch = Watch::new(&layout.name, &config.cancel, config.timeout);
    let images =
        if config.images.is_empty() { Vec::new() } else { load(layout, &config.images, &watch, on)? };
    let found = describe(config, layout, state.binaries.join("kubectl"), Subnet(state.subnet), None);
    Ok(Up { images, ..found })
}

fn describe(
    config: &ClusterConfig,
    layout: &Layout,
    kubectl: PathBuf,
    subnet: Subnet,
    times: Option<Times>,
) -> Up {
    let already_running = times.is_none();
    let times = times.unwrap_or_default();
    Up {
        name: layout.name.to_string(),
        kubernetes: config.kubernetes,
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
        kubernetes: config.kubernetes.release().to_owned(),
        audited: config.audited.clone(),
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
