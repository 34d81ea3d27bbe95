//! A cluster that somebody has: used, and left as it was.

mod access;
mod rights;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use bootstrap_install::Patience;
use clap::Args;

use super::{
    Cluster, ClusterSettings, Created, Say,
    blocking::block_on,
    made::{Whose, remove_made},
};
use crate::{failure::Failure, tool::Cancel};
use access::Access;

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

/// A cluster that was there before.
#[derive(Debug)]
pub struct Existing {
    access: Access,
    /// Ends what is fetched.
    fetching: Cancel,
    /// The invocation whose things are removed; whoever's, where this process made none.
    invocation: OnceLock<String>,
}

impl Existing {
    /// The cluster that the settings name.
    pub fn new(settings: &ClusterSettings) -> Result<Self, Failure> {
        let ExistingArgs { kubeconfig, context } = &settings.for_existing;
        let (Some(kubeconfig), Some(context)) = (kubeconfig, context) else {
            return Err(Failure::usage(
                "--cluster existing needs --kubeconfig FILE and --context NAME: no cluster is used that you did not name",
            ));
        };
        Ok(Self {
            access: Access { kubeconfig: kubeconfig.clone(), context: context.clone() },
            fetching: Cancel::default(),
            invocation: OnceLock::new(),
        })
    }
}

impl Cluster for Existing {
    fn check(&self) -> Result<(), Failure> {
        block_on(self.access.check())?
    }

    fn check_made(&self) -> Result<(), Failure> {
        self.access.read().map(drop)
    }

    fn create(&self, say: Say<'_>) -> anyhow::Result<Created> {
        let version = block_on(self.access.version())??;
        say(format!(
            "context {} of {}: Kubernetes {version}",
            self.access.context,
            self.access.kubeconfig.display()
        ));
        Ok(Created {
            kubeconfig: self.access.kubeconfig.clone(),
            context: Some(self.access.context.clone()),
            lasting: true,
            local: false,
            figures: BTreeMap::new(),
        })
    }

    fn interrupt(&self) {
        // Every other step has a deadline of seconds.
        self.fetching.cancel();
    }

    fn load_images(&self, _layouts: &[PathBuf], _say: Say<'_>) -> anyhow::Result<()> {
        anyhow::bail!(
            "images cannot be loaded into an existing cluster; push them to a registry that its nodes reach"
        )
    }

    fn kubectl(&self, say: Say<'_>) -> anyhow::Result<PathBuf> {
        super::kubectl::on_the_path_or_fetched(&self.fetching, say)
    }

    fn evidence(&self, _folder: &Path) -> anyhow::Result<()> {
        // The logs of its parts are its owner's.
        Ok(())
    }

    fn claims(&self, invocation: &str, _say: Say<'_>) -> anyhow::Result<()> {
        // A process runs once.
        self.invocation.get_or_init(|| invocation.to_owned());
        Ok(())
    }

    fn destroy(&self, say: Say<'_>) -> anyhow::Result<Vec<String>> {
        let own = self.invocation.get();
        let whose = own.map_or(Whose::Anyones, |invocation| Whose::Of([invocation.clone()].into()));
        block_on(async {
            // The first answer says in words why there is none.
            self.access.answers(Patience::of_a_restart(), say).await?;
            let client = self.access.client().await?;
            Box::pin(remove_made(&client, &whose, say)).await
        })?
    }
}
