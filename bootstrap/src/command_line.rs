//! The command line of `kfe2e`.

mod which_cluster;

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use crds::v1alpha1::PositiveDuration;

pub use self::which_cluster::{ClusterArgs, NewClusterArgs};
use self::which_cluster::{made_kinds, only_existing};
use crate::{
    cluster::{ClusterKind, ClusterSettings, EmbeddedArgs, ExistingArgs},
    manifests,
    progress::Output,
};

/// Image of tests that name none: the notebook server image of Kubeflow 1.10, which has Python, Jupyter and kfp.
const DEFAULT_TEST_IMAGE: &str = "ghcr.io/kubeflow/kubeflow/notebook-servers/jupyter-scipy:v1.10.0";

const EXAMPLES: &str = "\
Exit codes: 0 succeeded, 1 tests failed, 2 usage, 3 Kubeflow never became ready, 4 infrastructure, 5 timed out,
            6 inconclusive, 130 cancelled

Example:
  kfe2e run --kubeflow manifests/example --notebook my.ipynb";

const RUN_EXAMPLES: &str = "\
Examples:
  kfe2e run --kubeflow manifests/example --notebook my.ipynb
  kfe2e run --kubeflow manifests/example -f e2etest.yaml --cluster kind --nodes 3 --keep on-failure
  kfe2e run --kubeflow none --script test.py --cluster existing --kubeconfig ~/.kube/config --context staging";

const UP_EXAMPLES: &str = "\
Examples:
  settings=$(kfe2e up --cluster kind --nodes 3) && eval \"$settings\"    # sets KUBECONFIG
  sudo kfe2e up --cluster embedded --nodes 0 --name api                # an API server alone";

const DEPLOY_EXAMPLES: &str = "\
Examples:
  kfe2e deploy --kubeconfig ~/.kube/config --context staging --target team-a --target team-b
  kfe2e down --cluster existing --kubeconfig ~/.kube/config --context staging    # removes it again";

const DOWN_EXAMPLES: &str = "\
Examples:
  kfe2e down
  kfe2e down --cluster kind --name mine
  kfe2e down --cluster existing --kubeconfig ~/.kube/config --context staging";

/// What `kfe2e down` does where no kind is named.
const DOWN_CLUSTER: &str = "\
Kind of cluster [default: all clusters of this name that this user made, of whatever kind]";

const ASSETS_EXAMPLES: &str = "\
Example:
  kfe2e assets --kubernetes-version 1.36";

const INVENTORY_EXAMPLES: &str = "\
Example:
  kfe2e inventory --name kubeflow manifests/example | kubectl apply --server-side -f -";

const LOAD_EXAMPLES: &str = "\
Example:
  kfe2e image load --cluster kind --name mine images/my-image";

const WRITE_EXAMPLES: &str = "\
Example:
  kfe2e image write --spec image.json --out images/my-image

image.json:
  {\"name\": \"example.org/hello:1\", \"minimalRoot\": true, \"layers\": [{\"programs\": {\"/hello\": \"hello\"}}],
   \"entrypoint\": [\"/hello\"]}";

const LIST_EXAMPLES: &str = "\
Example:
  kfe2e image list images/my-image";

/// End-to-end tests for Kubeflow: one command, one true verdict, nothing left behind.
#[derive(Clone, Debug, Parser)]
// The last of a repeated option wins, so that a script can add to a command line that it did not write.
#[command(name = "kfe2e", version, args_override_self = true, disable_help_flag = true, after_help = EXAMPLES)]
pub struct CommandLine {
    /// Print help.
    // One help for both: the long form of clap leaves a blank line between flags, and fits no screen.
    #[arg(short, long, global = true, action = ArgAction::HelpShort, display_order = 99)]
    help: Option<bool>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What `kfe2e` can do.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Make a cluster, install Kubeflow, run the tests, bring back the evidence, remove everything.
    #[command(after_help = RUN_EXAMPLES)]
    Run(Box<RunArgs>),
    /// Make a cluster, or find it running, and print its kubeconfig.
    #[command(after_help = UP_EXAMPLES, mut_arg("cluster", |kind| kind.value_parser(made_kinds())))]
    Up(UpArgs),
    /// Install the operator in a cluster that you have, and let it run tests in your namespaces.
    #[command(after_help = DEPLOY_EXAMPLES)]
    Deploy(DeployArgs),
    /// Remove a cluster and everything that it left. Nothing to remove is a success.
    #[command(after_help = DOWN_EXAMPLES, mut_arg("cluster", |kind| kind.help(DOWN_CLUSTER)))]
    Down(DownArgs),
    /// Fetch or build the binaries of the embedded cluster, or the program kind, once, and print the folders that hold them.
    #[command(after_help = ASSETS_EXAMPLES)]
    Assets {
        /// The program kind instead.
        #[arg(long, conflicts_with = "kubernetes_version")]
        kind: bool,
        /// Version of Kubernetes, such as 1.36 [default: the newest].
        #[arg(long, value_name = "VERSION")]
        kubernetes_version: Option<String>,
    },
    /// Print the inventory that a gate needs to judge any rendered manifests, with the right to read their kinds, for
    /// `kubectl apply --server-side -f -`.
    #[command(after_help = INVENTORY_EXAMPLES)]
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
    /// Image of the operator, such as one in a registry of your own.
    #[arg(long, value_name = "IMAGE", default_value_t = manifests::released_image())]
    pub operator_image: String,
    /// Namespace of the tests [default: kubeflow-user-example-com, or what the file says].
    #[arg(long, value_name = "NAMESPACE")]
    pub target_namespace: Option<String>,
    /// Folder for the results; must be empty or absent [default: kfe2e-results/TIME].
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
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
    pub cluster: NewClusterArgs,
    /// Flags of one kind.
    #[command(flatten)]
    pub for_existing: ExistingArgs,
}

impl RunArgs {
    /// Settings of a cluster of this kind.
    pub fn settings(&self, kind: ClusterKind) -> ClusterSettings {
        ClusterSettings { for_existing: self.for_existing.clone(), ..self.cluster.settings(kind) }
    }
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
    /// How the command shows itself.
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
    /// Which cluster.
    #[command(flatten)]
    pub cluster: NewClusterArgs,
    /// Flags of one kind.
    #[command(flatten)]
    pub for_embedded: EmbeddedArgs,
}

impl UpArgs {
    /// Settings of a cluster of this kind.
    pub fn settings(&self, kind: ClusterKind) -> ClusterSettings {
        ClusterSettings { for_embedded: self.for_embedded.clone(), ..self.cluster.settings(kind) }
    }
}

/// `kfe2e deploy`.
#[derive(Args, Clone, Debug)]
pub struct DeployArgs {
    /// Namespace that lets the operator run tests in it; may be repeated, also in a later call.
    #[arg(long, value_name = "NAMESPACE", required = true, value_parser = namespace)]
    pub target: Vec<String>,
    /// Image of the operator, such as one in a registry of your own.
    #[arg(long, value_name = "IMAGE", default_value_t = manifests::released_image())]
    pub operator_image: String,
    /// How the command shows itself.
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
    /// Kind of cluster; also one that `kfe2e up` made is named by its kubeconfig.
    #[arg(long, value_parser = only_existing(), default_value_t = ClusterKind::Existing)]
    pub cluster: ClusterKind,
    /// Which cluster.
    #[command(flatten)]
    pub for_existing: ExistingArgs,
}

impl DeployArgs {
    /// Settings of the cluster.
    pub fn settings(&self) -> ClusterSettings {
        let cluster =
            ClusterArgs { cluster: Some(self.cluster), name: ClusterSettings::DEFAULT_NAME.to_owned() };
        ClusterSettings { for_existing: self.for_existing.clone(), ..cluster.settings(self.cluster) }
    }
}

/// The name of a namespace.
fn namespace(name: &str) -> Result<String, String> {
    let outer = |character: char| character.is_ascii_lowercase() || character.is_ascii_digit();
    let is_label = name.len() <= 63
        && name.starts_with(outer)
        && name.ends_with(outer)
        && name.chars().all(|character| outer(character) || character == '-');
    let refused = || "a namespace has 1 to 63 small letters, digits and `-`, a letter or digit at both ends";
    is_label.then(|| name.to_owned()).ok_or_else(|| refused().to_owned())
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
    /// Flags of one kind.
    #[command(flatten)]
    pub for_existing: ExistingArgs,
}

impl DownArgs {
    /// Settings of a cluster of this kind.
    pub fn settings(&self, kind: ClusterKind) -> ClusterSettings {
        ClusterSettings { for_existing: self.for_existing.clone(), ..self.cluster.settings(kind) }
    }
}

/// `kfe2e image …`.
#[derive(Clone, Debug, Subcommand)]
pub enum ImageCommand {
    /// Load the images of an OCI layout into a running cluster.
    #[command(after_help = LOAD_EXAMPLES, mut_arg("cluster", |kind| kind.value_parser(made_kinds())))]
    Load {
        /// Folder of the layout.
        folder: PathBuf,
        /// Which cluster.
        #[command(flatten)]
        cluster: ClusterArgs,
    },
    /// Write an image into an OCI layout, as a JSON description says.
    #[command(after_help = WRITE_EXAMPLES)]
    Write {
        /// The description: name, layers (tar files, or files with their place in the image), env, entrypoint, user.
        #[arg(long, value_name = "FILE")]
        spec: PathBuf,
        /// Folder of the layout; an image of the same name in it is replaced.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
    /// List the images of an OCI layout.
    #[command(after_help = LIST_EXAMPLES)]
    List {
        /// Folder of the layout.
        folder: PathBuf,
    },
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    const COMMANDS: [&str; 9] =
        ["run", "up", "deploy", "down", "assets", "inventory", "image load", "image write", "image list"];

    /// The help of a command, as `kfe2e … --help` prints it.
    fn help(words: &str) -> String {
        let words = words.split(' ').chain(["--help"]);
        CommandLine::command().try_get_matches_from(words).unwrap_err().to_string()
    }

    #[test]
    fn each_help_fits_a_screen_and_has_an_example() {
        for command in COMMANDS {
            let help = help(&format!("kfe2e {command}"));
            assert!(help.contains(&format!("kfe2e {command} ")), "{help}");
            assert!(help.contains("Example"), "{help}");
            assert!(help.lines().count() <= 42, "{help}");
        }
        assert!(help("kfe2e").contains("Example"));
    }

    #[test]
    fn examples_are_command_lines() {
        for command in [""].into_iter().chain(COMMANDS) {
            let help = help(format!("kfe2e {command}").trim());
            let examples = help.split("Example").nth(1).unwrap();
            for line in examples.lines().filter_map(|line| Some(line.split_once("kfe2e ")?.1)) {
                let line = line.split([')', '#', '|']).next().unwrap();
                let words = ["kfe2e"].into_iter().chain(line.split_whitespace());
                CommandLine::try_parse_from(words).unwrap_or_else(|error| panic!("{line}: {error}"));
            }
        }
    }

    #[test]
    fn the_operator_is_deployed_into_named_namespaces_of_a_named_cluster() {
        let parsed = |line: &str| match CommandLine::try_parse_from(line.split(' ')) {
            Ok(CommandLine { command: Command::Deploy(args), .. }) => Ok(args),
            Ok(other) => panic!("{other:?}"),
            Err(error) => Err(error.to_string()),
        };
        let cluster = "--kubeconfig a --context b";
        let two = parsed(&format!("kfe2e deploy {cluster} --target one --target two")).unwrap();
        assert_eq!(two.target, ["one", "two"]);
        assert_eq!(two.settings().kind, ClusterKind::Existing);
        assert_eq!(two.settings().for_existing.context.as_deref(), Some("b"));
        assert!(parsed(&format!("kfe2e deploy {cluster}")).unwrap_err().contains("--target <NAMESPACE>"));
        for wrong in ["Team", "a-", "a.b", "a/b", &"a".repeat(64)] {
            let refused = parsed(&format!("kfe2e deploy {cluster} --target {wrong}")).unwrap_err();
            assert!(refused.contains("a namespace has 1 to 63"), "{wrong}: {refused}");
        }
        let refused = parsed(&format!("kfe2e deploy --cluster kind {cluster} --target one")).unwrap_err();
        assert!(refused.contains("[possible values: existing]"), "{refused}");
    }

    #[test]
    fn commands_on_a_cluster_that_is_there_have_no_flags_for_making_one() {
        let (down, load) = (help("kfe2e down"), help("kfe2e image load"));
        for flag in ["--kubernetes-version", "--nodes", "--images", "--kind-config", "--reuse", "--addons"] {
            assert!(!down.contains(flag) && !load.contains(flag), "{flag}");
        }
        assert!(down.contains("--kubeconfig") && !load.contains("--kubeconfig"));
    }

    #[test]
    fn a_cluster_that_is_somebodys_is_no_choice_where_it_is_of_no_use() {
        for (command, is_of_use) in
            [("run", true), ("deploy", true), ("down", true), ("up", false), ("image load", false)]
        {
            let help = help(&format!("kfe2e {command}"));
            for text in ["--kubeconfig", "--context", "existing"] {
                assert_eq!(help.contains(text), is_of_use, "{command}, {text}: {help}");
            }
            let is_for_made = command != "deploy";
            for kind in ["kind", "microk8s", "embedded"].into_iter().filter(|_| is_for_made) {
                let line = format!("kfe2e {command} --cluster {kind} --help");
                let ended = CommandLine::try_parse_from(line.split(' ')).unwrap_err();
                assert_eq!(ended.kind(), clap::error::ErrorKind::DisplayHelp, "{line}: {ended}");
            }
        }
    }

    #[test]
    fn each_command_says_what_it_takes_where_no_kind_is_named() {
        let picked = "[default: kind where Docker or Podman answers, else embedded]";
        for (command, text) in
            [("run", picked), ("up", picked), ("image load", picked), ("down", DOWN_CLUSTER)]
        {
            let help = help(&format!("kfe2e {command}"));
            let words: Vec<&str> = help.split_whitespace().collect();
            assert!(words.join(" ").contains(text), "{help}");
        }
        assert!(!help("kfe2e down").contains("Docker or Podman"));
    }
}
