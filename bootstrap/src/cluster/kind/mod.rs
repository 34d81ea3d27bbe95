//! KinD: Kubernetes in Docker or Podman, by the program `kind`.

mod runtime;

use std::path::{Path, PathBuf};

use clap::Args;

pub(crate) use runtime::Runtime;

use super::{Cluster, ClusterSettings, Created, Say};
use crate::{failure::Failure, tool::Cancel};

/// Flags of `--cluster kind`.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "With --cluster kind")]
pub struct KindArgs {
    /// A kind configuration of your own, such as Kubeflow's; what Kubeflow needs is added where it says nothing.
    #[arg(long, value_name = "FILE")]
    pub kind_config: Option<PathBuf>,
    /// Image of the nodes [default: kind's own for its version].
    #[arg(long, value_name = "IMAGE", env = "KFE2E_KIND_IMAGE")]
    pub kind_image: Option<String>,
    /// Use the cluster of this name if it runs already: it stays, and only what is made in it is removed.
    #[arg(long)]
    pub reuse: bool,
}

impl KindArgs {
    /// The first flag that was given.
    pub fn given(&self) -> Option<&'static str> {
        [("--kind-config", self.kind_config.is_some()), ("--reuse", self.reuse)]
            .into_iter()
            .find_map(|(flag, given)| given.then_some(flag))
    }
}

/// A KinD cluster.
pub struct Kind {
    cancel: Cancel,
}

impl Kind {
    /// The cluster that the settings ask for.
    pub fn new(_settings: &ClusterSettings) -> Result<Self, Failure> {
        Ok(Self { cancel: Cancel::default() })
    }
}

impl Cluster for Kind {
    fn check(&self) -> Result<(), Failure> {
        Err(Failure::infrastructure("not there yet"))
    }
    fn check_removal(&self) -> Result<(), Failure> {
        Ok(())
    }
    fn create(&self, _say: Say<'_>) -> anyhow::Result<Created> {
        anyhow::bail!("not there yet")
    }
    fn interrupt(&self) {
        self.cancel.cancel();
    }
    fn load_images(&self, _layouts: &[PathBuf], _say: Say<'_>) -> anyhow::Result<()> {
        Ok(())
    }
    fn kubectl(&self, _say: Say<'_>) -> anyhow::Result<PathBuf> {
        anyhow::bail!("not there yet")
    }
    fn evidence(&self, _folder: &Path) -> anyhow::Result<()> {
        Ok(())
    }
    fn destroy(&self, _say: Say<'_>) -> anyhow::Result<()> {
        Ok(())
    }
}
