//! The description of an image, as data.

use oci_spec::image::{Arch, Config, ConfigBuilder, ImageConfiguration, ImageConfigurationBuilder, Os};
use oci_spec::image::{History, HistoryBuilder, RootFsBuilder};

use crate::{ImageError, Layer};

/// When every image and file was made, as far as their bytes tell: a real time would change the digest of
/// an unchanged image.
const CREATED: &str = "1970-01-01T00:00:00Z";

/// The processor that an image's programs are built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Architecture {
    /// `x86_64`, which images call `amd64`.
    Amd64,
    /// `aarch64`, which images call `arm64`.
    Arm64,
}

impl Architecture {
    /// The architecture of this machine.
    pub const fn host() -> Self {
        if cfg!(target_arch = "aarch64") { Self::Arm64 } else { Self::Amd64 }
    }

    /// The name that Go, and with it every image, uses.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }
}

/// An image to write: its name, its files and how a container of it starts.
#[derive(Clone, Debug)]
pub struct Image {
    /// The name under which the runtime will know it, for example `ghcr.io/kubeflow/kubeflow-e2e:0.1.0`.
    pub name: String,
    /// The layers, lowest first.
    pub layers: Vec<Layer>,
    /// The program that a container starts.
    pub entrypoint: Vec<String>,
    /// Arguments that a container's own replace.
    pub cmd: Vec<String>,
    /// Environment variables.
    pub env: Vec<(String, String)>,
    /// `UID` or `UID:GID`; root when absent.
    pub user: Option<String>,
    /// The folder that the program starts in; `/` when absent.
    pub working_dir: Option<String>,
    /// The processor that the files are built for.
    pub architecture: Architecture,
}

impl Image {
    /// An image for this machine with no layer yet and nothing to start.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            layers: Vec::new(),
            entrypoint: Vec::new(),
            cmd: Vec::new(),
            env: Vec::new(),
            user: None,
            working_dir: None,
            architecture: Architecture::host(),
        }
    }

    /// The image's configuration over layers with these uncompressed digests.
    pub(crate) fn configuration(&self, diff_ids: Vec<String>) -> Result<ImageConfiguration, ImageError> {
        let refuse = |e: oci_spec::OciSpecError| ImageError::Description {
            name: self.name.clone(),
            reason: e.to_string(),
        };
        let history: Vec<History> = diff_ids
            .iter()
            .map(|_| HistoryBuilder::default().created(CREATED).created_by("kubeflow-e2e").build())
            .collect::<Result<_, _>>()
            .map_err(refuse)?;
        let rootfs = RootFsBuilder::default().typ("layers").diff_ids(diff_ids).build().map_err(refuse)?;
        ImageConfigurationBuilder::default()
            .created(CREATED)
            .architecture(match self.architecture {
                Architecture::Amd64 => Arch::Amd64,
                Architecture::Arm64 => Arch::ARM64,
            })
            .os(Os::Linux)
            .config(self.container_config().map_err(refuse)?)
            .rootfs(rootfs)
            .history(history)
            .build()
            .map_err(refuse)
    }

    fn container_config(&self) -> Result<Config, oci_spec::OciSpecError> {
        let mut config = ConfigBuilder::default()
            .env(self.env.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>());
        if !self.entrypoint.is_empty() {
            config = config.entrypoint(self.entrypoint.clone());
        }
        if !self.cmd.is_empty() {
            config = config.cmd(self.cmd.clone());
        }
        if let Some(user) = &self.user {
            config = config.user(user.clone());
        }
        if let Some(folder) = &self.working_dir {
            config = config.working_dir(folder.clone());
        }
        config.build()
    }
}
