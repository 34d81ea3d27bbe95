//! One `kfe2e` at a time works on the machine's one MicroK8s.

use std::time::Duration;

use bootstrap_embedded::{Error, Lock};

use crate::cluster::{ClusterKind, Record};

/// Keeps others away until it is dropped, or the process ends in whatever way. Who comes second is refused: what it
/// asks for may not be what the first makes.
pub(super) fn hold() -> Result<Lock, Error> {
    // Beside the folder of all records of the kind: whatever their names, there is one snap.
    let place = Record::of(ClusterKind::Microk8s, "").lock();
    let refuse = "another kfe2e is at work on this machine's MicroK8s: try again when it has ended";
    Lock::take(&place, Duration::ZERO, || {}, &mut || Err(Error::Host(refuse.to_owned())))
}
