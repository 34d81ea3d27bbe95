//! Where Kubernetes comes from. A new kind of cluster is one file here and one variant of [`ClusterKind`].

mod blocking;
mod connect;
mod embedded;
mod exec_plugin;
mod existing;
mod flags;
mod kind;
mod kubectl;
mod made;
mod microk8s;
mod pick;
mod record;
mod supported;
mod usable;

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};

use bootstrap_embedded::ClusterName;
use clap::ValueEnum;

pub use connect::client;
pub(crate) use embedded::tell;
pub use embedded::{Embedded, EmbeddedArgs};
pub use existing::{Existing, ExistingArgs};
pub use flags::MADE;
pub use kind::{Kind, KindArgs};
pub use microk8s::{Microk8s, Microk8sArgs};
pub use pick::{Picked, pick};
pub use record::Record;
pub use supported::check as supported;

use crate::failure::Failure;

/// The kinds of cluster that `--cluster` knows.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum ClusterKind {
    /// Kubernetes in Docker or Podman, by the program `kind`.
    Kind,
    /// MicroK8s, Canonical's Kubernetes, as a snap on this machine.
    Microk8s,
    /// Upstream Kubernetes on this machine's containerd: no Docker, no registry.
    Embedded,
    /// A cluster that you have: --kubeconfig and --context name it.
    Existing,
}

impl ClusterKind {
    /// The kind as `--cluster` takes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Kind => "kind",
            Self::Microk8s => "microk8s",
            Self::Embedded => "embedded",
            Self::Existing => "existing",
        }
    }
}

impl fmt::Display for ClusterKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// What `--cluster` and its companions ask for.
#[derive(Clone, Debug)]
pub struct ClusterSettings {
    /// The kind.
    pub kind: ClusterKind,
    /// Whether `--cluster` named it; else it was taken for this machine.
    pub kind_is_named: bool,
    /// Name: clusters of other names live beside it.
    pub name: String,
    /// Nodes; 0 is a control plane alone, where the kind can have that.
    pub nodes: u8,
    /// Version of Kubernetes, such as 1.36; `None` for the kind's own default.
    pub kubernetes_version: Option<String>,
    /// Folders with OCI layouts to load.
    pub images: Vec<PathBuf>,
    /// Whether a cluster of this name that runs already is an error: it is somebody's.
    pub must_be_new: bool,
    /// Where the logs of the cluster's parts go when it cannot be made.
    pub failure_logs: PathBuf,
    /// Flags of the kind `kind`.
    pub for_kind: KindArgs,
    /// Flags of the kind `microk8s`.
    pub for_microk8s: Microk8sArgs,
    /// Flags of the kind `embedded`.
    pub for_embedded: EmbeddedArgs,
    /// Flags of the kind `existing`.
    pub for_existing: ExistingArgs,
}

impl ClusterSettings {
    /// The name of a cluster that is given none.
    pub const DEFAULT_NAME: &str = "kfe2e";
    /// The number of nodes where none is asked for.
    pub const DEFAULT_NODES: u8 = 1;
}

/// A cluster that was made, or found.
#[derive(Clone, Debug)]
pub struct Created {
    /// Kubeconfig of an administrator.
    pub kubeconfig: PathBuf,
    /// Which context of it; `None` for its current one.
    pub context: Option<String>,
    /// Whether it was there before, and stays: then only what is made in it is removed again.
    pub lasting: bool,
    /// Whether it runs on this machine, or is reached as if it did: then no proxy knows the way to it.
    pub local: bool,
    /// How long the parts took, in seconds by name.
    pub figures: BTreeMap<String, f64>,
}

/// A line for people.
pub type Say<'a> = &'a mut (dyn FnMut(String) + Send);

/// One cluster, whatever it is made of. The calls block: they wait for other programs.
pub trait Cluster: Send + Sync {
    /// What keeps this machine from having such a cluster, found without a side effect.
    fn check(&self) -> Result<(), Failure>;
    /// What keeps this machine from removing or using such a cluster once it was made: less than [`Cluster::check`], for
    /// what was made may outlive the programs that made it.
    fn check_made(&self) -> Result<(), Failure>;
    /// Makes the cluster, or finds it running where that is allowed. What it made is removed again when it fails or is
    /// interrupted; what it found is left as it was. It returns once pods can be made and names resolve.
    fn create(&self, say: Say<'_>) -> anyhow::Result<Created>;
    /// Makes a running [`Cluster::create`] end soon with an error; called from another thread.
    fn interrupt(&self);
    /// Loads the images of OCI layouts into every node.
    fn load_images(&self, layouts: &[PathBuf], say: Say<'_>) -> anyhow::Result<()>;
    /// A `kubectl` for this cluster; fetching it may take minutes, once.
    fn kubectl(&self, say: Say<'_>) -> anyhow::Result<PathBuf>;
    /// Copies what the cluster's own parts logged into `folder`.
    fn evidence(&self, folder: &Path) -> anyhow::Result<()>;
    /// Told before an invocation of `kfe2e` claims the cluster. Of one that lasts, what that makes in it is what
    /// [`Cluster::destroy`] removes from it, also in a later process.
    fn claims(&self, _invocation: &str, _say: Say<'_>) -> anyhow::Result<()> {
        Ok(())
    }
    /// Removes the cluster and everything that it left; nothing to remove is a success. Of a cluster that lasts, only
    /// what was made in it is removed. Returns what stays for somebody else's sake, in one sentence each.
    fn destroy(&self, say: Say<'_>) -> anyhow::Result<Vec<String>>;
}

/// The cluster that the settings ask for.
///
/// # Errors
/// A name that no cluster can have, or a flag of another kind of cluster.
pub fn of(settings: &ClusterSettings) -> Result<Box<dyn Cluster>, Failure> {
    ClusterName::new(&settings.name).map_err(|error| Failure::usage(error.to_string()))?;
    flags::check(settings).map_err(Failure::usage)?;
    Ok(match settings.kind {
        ClusterKind::Kind => Box::new(Kind::new(settings)?),
        ClusterKind::Microk8s => Box::new(Microk8s::new(settings)?),
        ClusterKind::Embedded => Box::new(Embedded::new(settings)?),
        ClusterKind::Existing => Box::new(Existing::new(settings)?),
    })
}
