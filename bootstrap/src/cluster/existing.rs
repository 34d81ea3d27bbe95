//! A cluster that somebody has: used, and left as it was.

use std::path::{Path, PathBuf};

use clap::Args;

use super::{Cluster, ClusterSettings, Created, Say};
use crate::{failure::Failure, tool::Cancel};

/// Flags of `--cluster existing`.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "With --cluster existing")]
pub struct ExistingArgs {
    /// Kubeconfig of the cluster. KUBECONFIG and ~/.kube/config are never read unless you name them here.
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Context in it; the current one is never taken without being named.
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
}

impl ExistingArgs {
    /// The first flag that was given.
    pub fn given(&self) -> Option<&'static str> {
        [("--kubeconfig", self.kubeconfig.is_some()), ("--context", self.context.is_some())]
            .into_iter()
            .find_map(|(flag, given)| given.then_some(flag))
    }
}

/// A cluster that was there before.
pub struct Existing {
    cancel: Cancel,
}

impl Existing {
    /// The cluster that the settings ask for.
    pub fn new(_settings: &ClusterSettings) -> Result<Self, Failure> {
        Ok(Self { cancel: Cancel::default() })
    }
}

impl Cluster for Existing {
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
