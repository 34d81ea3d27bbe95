//! MicroK8s as a snap on this machine.

use std::path::{Path, PathBuf};

use clap::Args;

use super::{Cluster, ClusterSettings, Created, Say};
use crate::{failure::Failure, tool::Cancel};

/// Flags of `--cluster microk8s`.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "With --cluster microk8s")]
pub struct Microk8sArgs {
    /// Channel of the snap, such as 1.34/stable [default: that of --kubernetes-version, else latest/stable].
    #[arg(long, value_name = "CHANNEL")]
    pub channel: Option<String>,
    /// Addons to enable, separated by commas [default: dns,hostpath-storage,ingress,metallb,rbac].
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub addons: Vec<String>,
    /// Addresses for the addon metallb [default: 10.64.140.43-10.64.140.49].
    #[arg(long, value_name = "FROM-TO")]
    pub metallb_addresses: Option<String>,
}

impl Microk8sArgs {
    /// The first flag that was given.
    pub fn given(&self) -> Option<&'static str> {
        [
            ("--channel", self.channel.is_some()),
            ("--addons", !self.addons.is_empty()),
            ("--metallb-addresses", self.metallb_addresses.is_some()),
        ]
        .into_iter()
        .find_map(|(flag, given)| given.then_some(flag))
    }
}

/// A MicroK8s cluster.
pub struct Microk8s {
    cancel: Cancel,
}

impl Microk8s {
    /// The cluster that the settings ask for.
    pub fn new(_settings: &ClusterSettings) -> Result<Self, Failure> {
        Ok(Self { cancel: Cancel::default() })
    }
}

impl Cluster for Microk8s {
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
