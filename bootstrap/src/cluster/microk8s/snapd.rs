//! What snapd says about the snap.

use super::command::Call;
use crate::tool::{Cancel, Ended, ToolError};

/// The snap as snapd sees it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Snap {
    /// Whether any revision of it is installed.
    pub(super) installed: bool,
    /// What is being done with it.
    pub(super) changes: Vec<Change>,
}

/// A change of snapd's that has not ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Change {
    /// Its number.
    pub(super) id: String,
    /// Whether it installs the snap.
    pub(super) installs: bool,
}

/// Looks at the snap.
pub(super) fn look(cancel: &Cancel) -> Result<Snap, ToolError> {
    // In this order: an installation that ends between the two is seen as installed.
    let changes = Call::changes().tool().cancelled_by(cancel).ended()?;
    let list = Call::list().tool().cancelled_by(cancel).ended()?;
    Ok(Snap { installed: installed(list)?, changes: under_way(changes)? })
}

/// Whether `snap list` lists it.
fn installed(list: Ended) -> Result<bool, ToolError> {
    if list.stderr.contains("no matching snaps installed")
        || list.stderr.contains("No snaps are installed yet")
    {
        return Ok(false);
    }
    let said = list.expect_success()?;
    Ok(said.lines().any(|line| line.split_whitespace().next() == Some("microk8s")))
}

/// The changes of `snap changes` that have not ended: ID, STATUS and, in words of varying number, when and what.
fn under_way(changes: Ended) -> Result<Vec<Change>, ToolError> {
    if changes.stderr.contains("no changes found") {
        return Ok(Vec::new());
    }
    let said = changes.expect_success()?;
    Ok(said.lines().skip(1).filter_map(change).collect())
}

fn change(line: &str) -> Option<Change> {
    let mut words = line.split_whitespace();
    let (id, status) = (words.next()?, words.next()?);
    let ended = ["Done", "Undone", "Hold", "Error"].contains(&status);
    (!ended).then(|| Change { id: id.to_owned(), installs: line.contains("Install \"microk8s\"") })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(success: bool, stdout: &str, stderr: &str) -> Ended {
        Ended {
            line: "snap".into(),
            failed: (!success).then(|| "it exited with code 1".into()),
            stdout: stdout.into(),
            stderr: stderr.into(),
        }
    }

    #[test]
    fn an_installed_snap_is_listed() {
        let listed = "Name      Version  Rev   Tracking     Publisher   Notes\n\
                      microk8s  v1.34.1  8398  1.34/stable  canonical✓  classic\n";
        assert!(installed(ended(true, listed, "")).unwrap());
        assert!(!installed(ended(false, "", "error: no matching snaps installed\n")).unwrap());
        let none = "No snaps are installed yet. Try 'snap install hello-world'.\n";
        assert!(!installed(ended(true, "", none)).unwrap());
        let silent = "error: cannot list snaps: cannot communicate with server: Get \
                      \"http://localhost/v2/snaps?snaps=microk8s\": dial unix /run/snapd.socket: connect: no such \
                      file or directory\n";
        assert!(installed(ended(false, "", silent)).is_err());
    }

    #[test]
    fn only_what_has_not_ended_is_under_way() {
        let table = "ID   Status  Spawn                   Ready                   Summary\n\
                     4    Error   yesterday at 21:20 CST  yesterday at 21:31 CST  Install \"microk8s\" snap\n\
                     5    Done    2 days ago, at 09:55 UTC  today at 07:13 UTC  Remove \"microk8s\" snap\n\
                     6    Doing   today at 22:36 CST      -  Install \"microk8s\" snap from \"1.34/stable\" channel\n\
                     7    Undoing today at 22:36 CST      -  Remove \"microk8s\" snap\n\n";
        let change = |id: &str, installs| Change { id: id.into(), installs };
        assert_eq!(under_way(ended(true, table, "")).unwrap(), [change("6", true), change("7", false)]);
        assert_eq!(under_way(ended(true, "", "no changes found\n")).unwrap(), []);
        assert_eq!(under_way(ended(false, "", "error: no changes found\n")).unwrap(), []);
    }
}
