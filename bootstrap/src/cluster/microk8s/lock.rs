//! One `kfe2e` at a time works on the machine's one MicroK8s.

use std::fs;

use anyhow::{Context as _, anyhow};
use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
};

use crate::cluster::{ClusterKind, Record};

/// Keeps others away until it is dropped, or the process ends in whatever way.
pub(super) fn hold() -> anyhow::Result<Flock<fs::File>> {
    // Beside the folder of all records of the kind: whatever their names, there is one snap.
    let place = Record::of(ClusterKind::Microk8s, "").lock();
    if let Some(folder) = place.parent() {
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    }
    let file = fs::File::create(&place).with_context(|| format!("opening {}", place.display()))?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, error)| match error {
        Errno::EWOULDBLOCK => {
            anyhow!("another kfe2e is at work on this machine's MicroK8s: try again when it has ended")
        }
        error => anyhow!("locking {}: {error}", place.display()),
    })
}
