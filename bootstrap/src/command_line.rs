//! The command line of `kfe2e`.

use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};
use crds::v1alpha1::PositiveDuration;

use crate::{
    cluster::{ClusterKind, ClusterSettings, ExistingArgs, KindArgs, Microk8sArgs, Picked, pick},
    progress::Output,
};

/// Image of tests that name none: the notebook server image of Kubeflow 1.10, which has Python, Jupyter and kfp.
const DEFAULT_TEST_IMAGE: &str = "ghcr.io/kubeflow/kubeflow/notebook-servers/jupyter-scipy:v1.10.0";

/// End-to-end tests for Kubeflow: one command, one true verdict, nothing left behind.
///
/// Exit codes: 0 succeeded, 1 tests failed, 2 usage, 3 Kubeflow never became ready, 4 infrastructure, 5 timed out,
/// 6 inconclusive, 130 cancelled.
#[derive(Clone, Debug, Parser)]
// The last of a repeated option wins, so that a script can add to a command line that it did not write.
#[command(name = "kfe2e", version, args_override_self = true)]
pub struct CommandLine {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What `kfe2e` can do.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Make a cluster, install Kubeflow, run the tests, bring back the evidence, remove everything.
    Run(Box<RunArgs>),
    /// Make a cluster, or find it running, and print its kubeconfig.
    Up(UpArgs),
    /// Remove a cluster and everything that it left. Nothing to remove is a success.
    Down(DownArgs),
    /// Fetch or build the binaries of the embedded cluster once, and print the folders that hold them.
    Assets {
        /// Version of Kubernetes, such as 1.36 [default: the newest].
        #[arg(long, value_name = "VERSION")]
        kubernetes_version: Option<String>,
    },
    /// Print the inventory that a gate needs to judge any rendered manifests, with the right to read their kinds, for
    /// `kubectl apply --server-side -f -`.
    Inventory {
        /// A rendered file (also .gz, .zst), a folder, or `-` for standard input.
        #[arg(value_name = "FILE|DIR|-")]
        from: PathBuf,
        /// Name of the inventory, which a gate gives as `spec.kubeflow.inventory`.
        #[arg(long, value_name = "NAME", default_value = crds::gate_inventory::KUBEFLOW)]
        name: String,
    },
    /// Write, list and load container images without a registry.
    Image {
        /// What to do.
        #[command(subcommand)]
        command: ImageCommand,
    },
}

/// Which cluster.
#[derive(Args, Clone, Debug)]
pub struct ClusterArgs {
    /// Kind of cluster [default: kind where Docker or Podman answers, else embedded].
    #[arg(long, value_enum)]
    pub cluster: Option<ClusterKind>,
    /// Name of the cluster: a DNS label of at most 32 characters; clusters of other names live beside it.
    #[arg(long, default_value = "kfe2e", value_name = "NAME")]
    pub name: String,
    /// Version of Kubernetes, such as 1.36 [default: the newest that the kind of cluster has].
    #[arg(long, value_name = "VERSION")]
    pub kubernetes_version: Option<String>,
    /// Flags of one kind.
    #[command(flatten)]
    pub for_kind: KindArgs,
    /// Flags of one kind.
    #[command(flatten)]
    pub for_microk8s: Microk8sArgs,
    /// Flags of one kind.
    #[command(flatten)]
    pub for_existing: ExistingArgs,
}

impl ClusterArgs {
    /// Settings of a cluster of this kind with so many nodes and these images.
    pub fn settings(&self, kind: ClusterKind, nodes: u8, images: &[PathBuf]) -> ClusterSettings {
        ClusterSettings {
            kind,
            name: self.name.clone(),
            nodes,
            kubernetes_version: self.kubernetes_version.clone(),
            images: images.to_vec(),
            must_be_new: false,
            failure_logs: Path::new("kfe2e-results").join(&self.name),
            for_kind: self.for_kind.clone(),
            for_microk8s: self.for_microk8s.clone(),
            for_existing: self.for_existing.clone(),
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

/// `kfe2e run`.
#[derive(Args, Clone, Debug)]
pub struct RunArgs {
    /// Kubeflow: a rendered file (also .gz, .zst), a kustomize folder, or `none`.
    #[arg(long, value_name = "DIR|FILE|none")]
    pub kubeflow: String,
    /// An E2ETest to run; tests from --notebook and --script are added to it.
    #[arg(short = 'f', long = "file", value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Run this notebook; may be repeated.
    #[arg(long, value_name = "FILE")]
    pub notebook: Vec<PathBuf>,
    /// Run this Python script; may be repeated.
    #[arg(long, value_name = "FILE")]
    pub script: Vec<PathBuf>,
    /// Image for --notebook and --script.
    #[arg(long, value_name = "IMAGE", default_value = DEFAULT_TEST_IMAGE)]
    pub image: String,
    /// Folder with OCI layouts to load into the cluster, so that nothing has to be pulled; may be repeated.
    #[arg(long, value_name = "DIR", env = "KFE2E_IMAGES", value_delimiter = ':')]
    pub images: Vec<PathBuf>,
    /// Namespace in which the tests run [default: kubeflow-user-example-com, or what the file says].
    #[arg(long, value_name = "NAMESPACE")]
    pub target_namespace: Option<String>,
    /// Folder for the results; must be empty or absent [default: kfe2e-results/TIME].
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Number of nodes: 1 with embedded and microk8s, 1 to 16 with kind.
    #[arg(long, default_value_t = 1)]
    pub nodes: u8,
    /// When to keep the cluster.
    #[arg(long, value_enum, default_value_t, value_name = "WHEN")]
    pub keep: Keep,
    /// How long everything may take, clean-up apart, such as 90m or 1h30m.
    #[arg(long, value_name = "DURATION", default_value = "90m")]
    pub timeout: PositiveDuration,
    /// How the run shows itself.
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
    /// Which cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
}

/// When a run leaves its cluster behind.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub enum Keep {
    /// Always remove it.
    #[default]
    Never,
    /// Keep it when the run did not succeed.
    OnFailure,
    /// Keep it.
    Always,
}

/// `kfe2e up`.
#[derive(Args, Clone, Debug)]
pub struct UpArgs {
    /// Number of nodes; 0 is a control plane alone, for tests of the API (embedded only).
    #[arg(long, default_value_t = 1)]
    pub nodes: u8,
    /// Folder with OCI layouts to load; may be repeated.
    #[arg(long, value_name = "DIR", env = "KFE2E_IMAGES", value_delimiter = ':')]
    pub images: Vec<PathBuf>,
    /// How the command shows itself.
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
    /// Which cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
}

/// `kfe2e down`.
#[derive(Args, Clone, Debug)]
pub struct DownArgs {
    /// How the command shows itself.
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
    /// Which cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
}

/// `kfe2e image …`.
#[derive(Clone, Debug, Subcommand)]
pub enum ImageCommand {
    /// Load the images of an OCI layout into a running cluster.
    Load {
        /// Folder of the layout.
        folder: PathBuf,
        /// Which cluster.
        #[command(flatten)]
        cluster: Box<ClusterArgs>,
    },
    /// Write an image into an OCI layout, as a JSON description says.
    Write {
        /// The description: name, layers (tar files, or files with their place in the image), env, entrypoint, user.
        #[arg(long, value_name = "FILE")]
        spec: PathBuf,
        /// Folder of the layout; an image of the same name in it is replaced.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
    /// List the images of an OCI layout.
    List {
        /// Folder of the layout.
        folder: PathBuf,
    },
}
