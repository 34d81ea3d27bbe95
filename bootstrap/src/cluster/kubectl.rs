//! A `kubectl` for clusters that bring none.

use std::{
    env,
    path::{Path, PathBuf},
};

use bootstrap_embedded::{Cancel, KubernetesVersion};

use super::Say;

/// The `kubectl` on the PATH; else the one among the embedded cluster's binaries, which is fetched or built once.
pub(super) fn on_path_or_fetched(say: Say<'_>) -> anyhow::Result<PathBuf> {
    let folders = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&folders).map(|folder| folder.join("kubectl")).find(|path| is_program(path));
    found.map_or_else(|| super::embedded::kubectl(KubernetesVersion::default(), &Cancel::default(), say), Ok)
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    path.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}
