//! Upstream Kubernetes on this machine's containerd, by the crate `bootstrap-embedded`.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use bootstrap_embedded::{AssetSource, Cancel, ClusterConfig, Error, Existing, KubernetesVersion, Progress};
use clap::Args;

use super::{Cluster, ClusterSettings, Created, Say};
use crate::failure::Failure;

/// Flags of `--cluster embedded`.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "With --cluster embedded")]
pub struct EmbeddedArgs {
    /// User whose requests the API server writes down, in logs/audit.log of the cluster's folder; may be repeated.
    #[arg(long, value_name = "USER")]
    pub audit: Vec<String>,
}

/// An embedded cluster.
pub struct Embedded {
    config: ClusterConfig,
    cancel: Cancel,
}

impl Embedded {
    /// The cluster that the settings ask for.
    pub fn new(settings: &ClusterSettings) -> Result<Self, Failure> {
        let kubernetes = settings.kubernetes_version.as_deref().map(str::parse).transpose();
        let kubernetes: Option<KubernetesVersion> =
            kubernetes.map_err(|error| Failure::usage(format!("--kubernetes-version: {error}")))?;
        let cancel = Cancel::default();
        let config = ClusterConfig {
            nodes: settings.nodes,
            kubernetes: kubernetes.unwrap_or_default(),
            controller_manager: settings.nodes > 0,
            images: settings.images.clone(),
            audited: settings.for_embedded.audit.clone(),
            cancel: cancel.clone(),
            existing: if settings.must_be_new { Existing::Refuse } else { Existing::Join },
            failure_logs: Some(settings.failure_logs.clone()),
            ..ClusterConfig::new(&settings.name)
        };
        Ok(Self { config, cancel })
    }
}

impl Cluster for Embedded {
    fn check(&self) -> Result<(), Failure> {
        bootstrap_embedded::preflight(&self.config).map_err(|error| refused(&error))
    }

    fn check_made(&self) -> Result<(), Failure> {
        bootstrap_embedded::preflight_down(&self.config.roots, &self.config.name)
            .map_err(|error| refused(&error))
    }

    fn create(&self, say: Say<'_>) -> anyhow::Result<Created> {
        let up =
            bootstrap_embedded::up(&self.config, &mut |progress| tell(&progress, say)).map_err(cancelled)?;
        let figures = [
            ("servingSeconds", up.api_serving),
            ("apiReadySeconds", up.api_ready),
            ("nodeReadySeconds", up.node_ready),
            ("imageLoadSeconds", up.image_load),
            ("dnsReadySeconds", up.dns_ready),
        ];
        let figures =
            figures.into_iter().filter_map(|(name, took)| Some((name.to_owned(), took?.as_secs_f64())));
        Ok(Created {
            kubeconfig: up.kubeconfig,
            context: None,
            lasting: false,
            local: true,
            figures: figures.collect::<BTreeMap<_, _>>(),
        })
    }

    fn interrupt(&self) {
        self.cancel.cancel();
    }

    fn load_images(&self, layouts: &[PathBuf], say: Say<'_>) -> anyhow::Result<()> {
        let config = &self.config;
        let loaded =
            bootstrap_embedded::load_images(&config.roots, &config.name, layouts, &mut |progress| {
                tell(&progress, say);
            })?;
        for name in loaded {
            say(name);
        }
        Ok(())
    }

    fn kubectl(&self, say: Say<'_>) -> anyhow::Result<PathBuf> {
        kubectl(self.config.kubernetes, &self.cancel, say)
    }

    fn evidence(&self, folder: &Path) -> anyhow::Result<()> {
        bootstrap_embedded::evidence(&self.config.roots, &self.config.name, folder)?;
        Ok(())
    }

    fn destroy(&self, say: Say<'_>) -> anyhow::Result<Vec<String>> {
        let report = bootstrap_embedded::down(&self.config.roots, &self.config.name)?;
        if report.is_empty() {
            say(format!("there is no embedded cluster {}", self.config.name));
        }
        Ok(Vec::new())
    }
}

/// The `kubectl` among the cluster's binaries, which are fetched or built where they are missing.
pub(super) fn kubectl(version: KubernetesVersion, cancel: &Cancel, say: Say<'_>) -> anyhow::Result<PathBuf> {
    let folders =
        bootstrap_embedded::fetch_assets(version, &AssetSource::from_env(), cancel, &mut |progress| {
            tell(&progress, say);
        })
        .map_err(cancelled)?;
    let found = folders.into_iter().map(|folder| folder.join("kubectl")).find(|path| path.is_file());
    found.ok_or_else(|| anyhow::anyhow!("there is no kubectl among the binaries of Kubernetes"))
}

/// What a check says: about the request, or about the machine.
fn refused(error: &Error) -> Failure {
    let message = error.to_string();
    if error.is_usage() { Failure::usage(message) } else { Failure::infrastructure(message) }
}

/// That a cancelled step ended is what was asked for, not an error of the machine.
fn cancelled(error: Error) -> anyhow::Error {
    match error {
        Error::Cancelled(_) => Failure::cancelled(error.to_string()).into(),
        error => error.into(),
    }
}

/// One line for what takes long enough to be told.
pub(crate) fn tell(progress: &Progress, say: Say<'_>) {
    match progress {
        Progress::Started(_) => {}
        Progress::Working { step, detail, elapsed } => {
            say(format!("{step}: {detail} ({} s)", elapsed.as_secs()));
        }
        Progress::Finished { step, took } => {
            if took.as_millis() >= 1000 {
                say(format!("{step}: done in {:.1} s", took.as_secs_f64()));
            }
        }
    }
}
