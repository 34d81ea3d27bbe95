//! A `kubectl` for clusters that bring none.

use std::path::PathBuf;

use bootstrap_embedded::{Cancel, KubernetesVersion};

use super::{Say, embedded};
use crate::tool::on_the_path;

/// The `kubectl` on the PATH; else the one among the embedded cluster's binaries, which is fetched or built once.
pub(super) fn on_the_path_or_fetched(cancel: &Cancel, say: Say<'_>) -> anyhow::Result<PathBuf> {
    on_the_path("kubectl").map_or_else(|| embedded::kubectl(KubernetesVersion::default(), cancel, say), Ok)
}
