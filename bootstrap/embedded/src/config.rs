//! What a caller asks for, and where a cluster keeps its files.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use crate::{ClusterName, Error, KubernetesVersion, assets::AssetSource};

/// The two folders below which all clusters of this host live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roots {
    /// What must survive a crash: state, data, logs, the kubeconfig.
    pub state: PathBuf,
    /// Sockets, mounts and locks, and the host's own settings while clusters exist. Clusters with different
    /// `run` folders do not know of each other: keep one for all clusters of a host.
    pub run: PathBuf,
}

impl Default for Roots {
    fn default() -> Self {
        Self { state: PathBuf::from("/var/lib/kfe2e"), run: PathBuf::from("/run/kfe2e") }
    }
}

/// A request to stop, shared between the caller and a running [`up`](crate::up).
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Asks for the end. [`up`](crate::up) then removes what it made, not what it found, and returns
    /// [`Error::Cancelled`].
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether the end was asked for.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// An error if the end was asked for.
    pub(crate) fn check(&self, awaited: &str) -> Result<(), Error> {
        if self.is_cancelled() { Err(Error::Cancelled(awaited.to_owned())) } else { Ok(()) }
    }
}

/// What [`up`](crate::up()) does where a cluster of the name runs already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Existing {
    /// Returns it, with the images loaded that it lacks. One of another version or with other parts is refused.
    #[default]
    Join,
    /// Fails with [`Error::AlreadyRunning`] and leaves it as it is, for callers that must have a cluster of their
    /// own.
    Refuse,
}

/// The cluster to make.
#[derive(Clone, Debug)]
pub struct ClusterConfig {
    /// Its name, see [`ClusterName`].
    pub name: String,
    /// The version of Kubernetes that it runs.
    pub kubernetes: KubernetesVersion,
    /// 1 for a whole cluster, 0 for a control plane alone.
    pub nodes: u8,
    /// Whether a control plane alone has a controller-manager too. A whole cluster always has one.
    pub controller_manager: bool,
    /// What to do where a cluster of this name runs already.
    pub existing: Existing,
    /// Where clusters live.
    pub roots: Roots,
    /// Where the binaries come from.
    pub assets: AssetSource,
    /// Users whose requests the API server writes into [`audit_log`](crate::audit_log): who asked for what, and by which
    /// right. Empty for no log.
    pub audited: Vec<String>,
    /// OCI layout folders whose images are loaded.
    pub images: Vec<PathBuf>,
    /// How long making the cluster may take, without fetching or building the binaries.
    pub timeout: Duration,
    /// The file that names the host's name servers.
    pub resolv_conf: PathBuf,
    /// Where the components' logs go when the cluster cannot be made, since it is removed then.
    pub failure_logs: Option<PathBuf>,
    /// How the caller asks for an early end.
    pub cancel: Cancel,
}

impl ClusterConfig {
    /// A whole cluster of this name with the defaults for everything else.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            kubernetes: KubernetesVersion::default(),
            nodes: 1,
            controller_manager: true,
            existing: Existing::default(),
            roots: Roots::default(),
            assets: AssetSource::from_env(),
            audited: Vec::new(),
            images: Vec::new(),
            timeout: Duration::from_mins(5),
            resolv_conf: PathBuf::from("/etc/resolv.conf"),
            failure_logs: None,
            cancel: Cancel::default(),
        }
    }

    /// A control plane alone, for tests of an API.
    pub fn control_plane(name: impl Into<String>) -> Self {
        Self { nodes: 0, controller_manager: false, ..Self::new(name) }
    }

    /// The parts that this cluster has, in the order in which they start.
    pub(crate) fn components(&self) -> Vec<Component> {
        match (self.nodes, self.controller_manager) {
            (0, false) => vec![Component::Etcd, Component::ApiServer],
            (0, true) => vec![Component::Etcd, Component::ApiServer, Component::ControllerManager],
            _ => Component::ALL.to_vec(),
        }
    }
}

/// A long-running part of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Component {
    Etcd,
    ApiServer,
    Containerd,
    Kubelet,
    ControllerManager,
    Scheduler,
    Proxy,
    Provisioner,
}

impl Component {
    pub(crate) const ALL: [Self; 8] = [
        Self::Etcd,
        Self::ApiServer,
        Self::Containerd,
        Self::Kubelet,
        Self::ControllerManager,
        Self::Scheduler,
        Self::Proxy,
        Self::Provisioner,
    ];

    /// The program's name, which the log is called after as well.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::ApiServer => "kube-apiserver",
            Self::Containerd => "containerd",
            Self::Kubelet => "kubelet",
            Self::ControllerManager => "kube-controller-manager",
            Self::Scheduler => "kube-scheduler",
            Self::Proxy => "kube-proxy",
            Self::Provisioner => "volume-provisioner",
        }
    }
}

/// The files and folders of one cluster.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub(crate) name: ClusterName,
    /// Below the state root.
    pub(crate) state: PathBuf,
    /// Below the run root.
    pub(crate) run: PathBuf,
}

impl Layout {
    pub(crate) fn new(roots: &Roots, name: &ClusterName) -> Result<Self, Error> {
        let layout = Self {
            name: name.clone(),
            state: roots.state.join(name.as_str()),
            run: roots.run.join(name.as_str()),
        };
        // The kernel's limit is 108 bytes with the final zero; kubelet and containerd add these names.
        for socket in [layout.kubelet().join("pod-resources/kubelet.sock"), layout.socket_with(".ttrpc")] {
            if socket.as_os_str().len() > 107 {
                return Err(Error::Setting(format!(
                    "the socket {} would have a path of more than 107 bytes: choose a shorter name or state folder",
                    socket.display()
                )));
            }
        }
        Ok(layout)
    }

    pub(crate) fn state_file(&self) -> PathBuf {
        self.state.join("state.json")
    }
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.state.join("kubeconfig")
    }
    pub(crate) fn pki(&self) -> PathBuf {
        self.state.join("pki")
    }
    pub(crate) fn config(&self) -> PathBuf {
        self.state.join("config")
    }
    pub(crate) fn cni(&self) -> PathBuf {
        self.state.join("config/cni")
    }
    pub(crate) fn logs(&self) -> PathBuf {
        self.state.join("logs")
    }
    pub(crate) fn log(&self, component: Component) -> PathBuf {
        self.logs().join(format!("{}.log", component.name()))
    }
    pub(crate) fn audit_log(&self) -> PathBuf {
        self.logs().join("audit.log")
    }
    pub(crate) fn etcd(&self) -> PathBuf {
        self.state.join("etcd")
    }
    pub(crate) fn kubelet(&self) -> PathBuf {
        self.state.join("kubelet")
    }
    pub(crate) fn volumes(&self) -> PathBuf {
        self.state.join("volumes")
    }
    pub(crate) fn volume_plugins(&self) -> PathBuf {
        self.state.join("config/volume-plugins")
    }
    pub(crate) fn pod_logs(&self) -> PathBuf {
        self.state.join("pod-logs")
    }
    pub(crate) fn containerd(&self) -> PathBuf {
        self.state.join("containerd")
    }
    pub(crate) fn containerd_state(&self) -> PathBuf {
        self.run.join("containerd")
    }
    pub(crate) fn socket(&self) -> PathBuf {
        self.socket_with("")
    }
    fn socket_with(&self, suffix: &str) -> PathBuf {
        self.run.join(format!("containerd.sock{suffix}"))
    }
    /// Where the cluster's network namespace is mounted.
    pub(crate) fn netns(&self) -> PathBuf {
        self.run.join("netns")
    }
    /// kubectl's cache of what the API server serves.
    pub(crate) fn kubectl_cache(&self) -> PathBuf {
        self.run.join("kubectl")
    }
    /// Whether a path is inside one of the cluster's two folders.
    pub(crate) fn owns(&self, path: &Path) -> bool {
        path.starts_with(&self.state) || path.starts_with(&self.run)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_control_plane_alone_has_what_was_asked_for() {
        let alone = ClusterConfig::control_plane("a");
        assert_eq!(alone.components(), [Component::Etcd, Component::ApiServer]);
        let with = ClusterConfig { controller_manager: true, ..alone };
        assert_eq!(with.components().len(), 3);
        assert_eq!(ClusterConfig::new("a").components().len(), Component::ALL.len());
    }

    #[test]
    fn a_state_folder_too_deep_for_sockets_is_refused() {
        let name = ClusterName::new(&"a".repeat(32)).unwrap();
        assert!(Layout::new(&Roots::default(), &name).is_ok());
        let deep = Roots { state: PathBuf::from(format!("/{}", "d".repeat(60))), ..Roots::default() };
        assert!(Layout::new(&deep, &name).unwrap_err().to_string().contains("107 bytes"));
    }

    #[test]
    fn ownership_is_by_folder_not_by_prefix() {
        let layout = Layout::new(&Roots::default(), &ClusterName::new("a").unwrap()).unwrap();
        assert!(layout.owns(Path::new("/run/kfe2e/a/netns")));
        assert!(!layout.owns(Path::new("/run/kfe2e/ab/netns")));
    }
}
