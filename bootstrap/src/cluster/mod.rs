//! Where Kubernetes comes from. A new kind of cluster is one file here and one variant of [`ClusterKind`].

mod embedded;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use clap::ValueEnum;

pub use embedded::Embedded;

use crate::failure::Failure;

/// The kinds of cluster that `--cluster` knows.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub enum ClusterKind {
    /// Upstream Kubernetes on this machine's containerd: no Docker, no registry.
    #[default]
    Embedded,
}

/// What `--cluster` and its companions ask for.
#[derive(Clone, Debug)]
pub struct ClusterSettings {
    /// The kind.
    pub kind: ClusterKind,
    /// Name: clusters of other names live beside it.
    pub name: String,
    /// Nodes; 0 is a control plane alone.
    pub nodes: u8,
    /// Folders with OCI layouts to load.
    pub images: Vec<PathBuf>,
    /// Whether a cluster of this name that runs already is an error: it is somebody's.
    pub must_be_new: bool,
    /// Where the logs of the cluster's parts go when it cannot be made.
    pub failure_logs: PathBuf,
}

/// A cluster that was made.
#[derive(Clone, Debug)]
pub struct Created {
    /// Kubeconfig of an administrator.
    pub kubeconfig: PathBuf,
    /// How long the parts took, in seconds by name.
    pub figures: BTreeMap<String, f64>,
}

/// A line for people.
pub type Say<'a> = &'a mut (dyn FnMut(String) + Send);

/// One cluster, whatever it is made of. The calls block: they wait for other programs.
pub trait Cluster: Send + Sync {
    /// What keeps this machine from having such a cluster, found without a side effect.
    fn check(&self) -> Result<(), Failure>;
    /// What keeps this machine from removing such a cluster: less than [`Cluster::check`], for what was made may outlive
    /// the programs that made it.
    fn check_removal(&self) -> Result<(), Failure>;
    /// Makes the cluster, or finds it running where that is allowed. What it made is removed again when it fails or is
    /// interrupted; what it found is left as it was.
    fn create(&self, say: Say<'_>) -> anyhow::Result<Created>;
    /// Makes a running [`Cluster::create`] end soon with an error; called from another thread.
    fn interrupt(&self);
    /// Loads the images of OCI layouts into every node.
    fn load_images(&self, layouts: &[PathBuf], say: Say<'_>) -> anyhow::Result<()>;
    /// A `kubectl` of this cluster's version; fetching it may take minutes, once.
    fn kubectl(&self, say: Say<'_>) -> anyhow::Result<PathBuf>;
    /// Copies what the cluster's own parts logged into `folder`.
    fn evidence(&self, folder: &Path) -> anyhow::Result<()>;
    /// Removes the cluster and everything that it left; nothing to remove is a success.
    fn destroy(&self, say: Say<'_>) -> anyhow::Result<()>;
}

/// The cluster that the settings ask for.
pub fn of(settings: &ClusterSettings) -> Box<dyn Cluster> {
    match settings.kind {
        ClusterKind::Embedded => Box::new(Embedded::new(settings)),
    }
}
