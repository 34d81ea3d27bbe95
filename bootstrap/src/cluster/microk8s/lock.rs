//! One `kfe2e` at a time works on the machine's one MicroK8s.

use std::{path::Path, time::Duration};

use bootstrap_embedded::{Error, Lock};

use crate::cluster::{ClusterKind, Record, Say};

/// How long another command may be at work before a removal gives up.
const BUSY_LIMIT: Duration = Duration::from_mins(30);

/// Keeps others away until it is dropped, or the process ends in whatever way. Who comes second is refused: what it
/// asks for may not be what the first makes.
pub(super) fn hold() -> Result<Lock, Error> {
    // Beside the folder of all records of the kind: whatever their names, there is one snap.
    let place = Record::of(ClusterKind::Microk8s, "").lock();
    let refuse = "another kfe2e is at work on this machine's MicroK8s: try again when it has ended";
    Lock::take(&place, Duration::ZERO, || {}, &mut || Err(Error::Host(refuse.to_owned())))
}

/// As [`hold`], for a removal, which nobody else makes up for: it waits for whoever is at work, even if only to be refused.
pub(super) fn hold_for_removal(say: Say<'_>) -> Result<Lock, Error> {
    wait(&Record::of(ClusterKind::Microk8s, "").lock(), BUSY_LIMIT, say)
}

fn wait(place: &Path, limit: Duration, say: Say<'_>) -> Result<Lock, Error> {
    let busy = || say("another kfe2e is at work on this machine's MicroK8s: waiting for it".to_owned());
    Lock::take(place, limit, busy, &mut || Ok(()))
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, thread};

    use super::*;

    #[test]
    fn a_removal_waits_for_another_and_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("microk8s.lock");
        let other = Lock::take(&place, Duration::ZERO, || {}, &mut || Ok(())).unwrap();
        let (sender, said) = mpsc::channel();
        thread::scope(|scope| {
            let removal = scope.spawn(|| wait(&place, BUSY_LIMIT, &mut |line| sender.send(line).unwrap()));
            assert!(said.recv().unwrap().ends_with("waiting for it"));
            drop(other);
            removal.join().unwrap().unwrap();
        });
    }
}
