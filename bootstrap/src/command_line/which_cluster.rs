//! The flags that say which cluster.

use std::path::{Path, PathBuf};

use clap::{
    Args, ValueEnum as _,
    builder::{PossibleValuesParser, TypedValueParser},
};

use crate::cluster::{
    ClusterKind, ClusterSettings, EmbeddedArgs, ExistingArgs, KindArgs, MADE, Microk8sArgs, Picked, pick,
};

/// What `--cluster` takes where a cluster that is somebody's is of no use.
pub(super) fn made_kinds() -> impl TypedValueParser<Value = ClusterKind> {
    one_of(MADE)
}

/// What `--cluster` takes where no cluster is made or found by its name.
pub(super) fn only_existing() -> impl TypedValueParser<Value = ClusterKind> {
    one_of(&[ClusterKind::Existing])
}

fn one_of(kinds: &[ClusterKind]) -> impl TypedValueParser<Value = ClusterKind> + use<> {
    PossibleValuesParser::new(kinds.iter().filter_map(ClusterKind::to_possible_value))
        .try_map(|kind| ClusterKind::from_str(&kind, false))
}

/// A cluster that is there.
#[derive(Args, Clone, Debug)]
pub struct ClusterArgs {
    /// Kind of cluster [default: kind where Docker or Podman answers, else embedded].
    #[arg(long, value_enum)]
    pub cluster: Option<ClusterKind>,
    /// Name of the cluster, a DNS label; clusters of other names live beside it.
    #[arg(long, default_value = ClusterSettings::DEFAULT_NAME, value_name = "NAME")]
    pub name: String,
}

impl ClusterArgs {
    /// Settings of a cluster of this kind that is there.
    pub fn settings(&self, kind: ClusterKind) -> ClusterSettings {
        ClusterSettings {
            kind,
            kind_is_named: self.cluster.is_some(),
            name: self.name.clone(),
            nodes: ClusterSettings::DEFAULT_NODES,
            kubernetes_version: None,
            images: Vec::new(),
            must_be_new: false,
            failure_logs: Path::new("kfe2e-results").join(&self.name),
            for_kind: KindArgs::default(),
            for_microk8s: Microk8sArgs::default(),
            for_embedded: EmbeddedArgs::default(),
            for_existing: ExistingArgs::default(),
        }
    }

    /// The kind that was asked for, or the one that fits this machine, with what to say about it.
    pub fn kind(&self) -> (ClusterKind, Option<String>) {
        self.cluster.map_or_else(
            || {
                let Picked { kind, because } = pick();
                (kind, Some(because))
            },
            |kind| (kind, None),
        )
    }
}

/// A cluster that is made, or found.
#[derive(Args, Clone, Debug)]
pub struct NewClusterArgs {
    /// Number of nodes: 1 to 16 with kind; 0 with embedded is an API server without nodes.
    #[arg(long, default_value_t = ClusterSettings::DEFAULT_NODES)]
    pub nodes: u8,
    /// Version of Kubernetes, such as 1.36 [default: the newest that the kind of cluster has].
    #[arg(long, value_name = "VERSION")]
    pub kubernetes_version: Option<String>,
    /// Folder with OCI layouts to load into the cluster instead of pulling; may be repeated.
    #[arg(long, value_name = "DIR", env = "KFE2E_IMAGES", hide_env_values = true, value_delimiter = ':')]
    pub images: Vec<PathBuf>,
    /// Which one.
    // After the flags above: with it comes a heading.
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// Flags of one kind.
    #[command(flatten)]
    pub for_kind: KindArgs,
    /// Flags of one kind.
    #[command(flatten)]
    pub for_microk8s: Microk8sArgs,
}

impl NewClusterArgs {
    /// Settings of a cluster of this kind.
    pub fn settings(&self, kind: ClusterKind) -> ClusterSettings {
        ClusterSettings {
            nodes: self.nodes,
            kubernetes_version: self.kubernetes_version.clone(),
            images: self.images.clone(),
            for_kind: self.for_kind.clone(),
            for_microk8s: self.for_microk8s.clone(),
            ..self.cluster.settings(kind)
        }
    }

    /// The kind that was asked for, or the one that fits this machine, with what to say about it.
    pub fn kind(&self) -> (ClusterKind, Option<String>) {
        self.cluster.kind()
    }
}
