//! What snapd says about the snap.

use super::{command::Call, mark};
use crate::tool::{Cancel, Ended, ToolError};

/// The snap as snapd sees it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Snap {
    /// Whether any revision of it is installed.
    pub(super) installed: bool,
    /// The mark of ours in its data.
    pub(super) mark: Option<String>,
    /// What was and is done with it, the newest last.
    pub(super) changes: Vec<Change>,
}

impl Snap {
    /// Whether something is being done with it.
    pub(super) fn is_changing(&self) -> bool {
        self.changes.iter().any(|change| change.status == Status::UnderWay)
    }
}

/// A change of snapd's.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Change {
    /// Its number, which snapd never gives again.
    pub(super) id: String,
    /// What it does.
    pub(super) kind: Kind,
    /// How far it is.
    pub(super) status: Status,
}

/// What a change does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    /// It installs the snap.
    Install,
    /// It removes the snap.
    Remove,
    /// Something else, such as a refresh.
    Other,
}

/// How far a change is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Status {
    /// It has not ended.
    UnderWay,
    /// It has done its work.
    Done,
    /// It has ended, and what it did is undone.
    CameToNothing,
}

/// Looks at the snap.
pub(super) fn look(cancel: &Cancel) -> Result<Snap, ToolError> {
    // In this order: an installation that ends between the two is seen as installed.
    let changes = Call::changes().tool().cancelled_by(cancel).ended()?;
    let list = Call::list().tool().cancelled_by(cancel).ended()?;
    Ok(Snap { installed: installed(list)?, mark: mark::read()?, changes: all_changes(changes)? })
}

/// The number of the change that `snap install --no-wait` has begun; `None` when it prints none, since the snap is
/// installed already.
pub(super) fn begun(said: &str) -> Option<&str> {
    let said = said.trim();
    (!said.is_empty() && said.bytes().all(|byte| byte.is_ascii_digit())).then_some(said)
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

/// The changes of `snap changes`: ID, STATUS and, in words of varying number, when and what.
fn all_changes(changes: Ended) -> Result<Vec<Change>, ToolError> {
    if changes.stderr.contains("no changes found") {
        return Ok(Vec::new());
    }
    let said = changes.expect_success()?;
    Ok(said.lines().skip(1).filter_map(change).collect())
}

fn change(line: &str) -> Option<Change> {
    let mut words = line.split_whitespace();
    let (id, status) = (words.next()?, words.next()?);
    // Of one snap, or of several at once.
    let does = |verb: &str| {
        line.contains(&format!("{verb} \"microk8s\"")) || line.contains(&format!("{verb} snaps \""))
    };
    Some(Change {
        id: id.to_owned(),
        kind: match () {
            () if does("Install") => Kind::Install,
            () if does("Remove") => Kind::Remove,
            () => Kind::Other,
        },
        status: match status {
            "Done" => Status::Done,
            "Undone" | "Hold" | "Error" => Status::CameToNothing,
            _ => Status::UnderWay,
        },
    })
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
    fn every_change_is_read() {
        let table = "ID   Status  Spawn                   Ready                   Summary\n\
                     4    Error   yesterday at 21:20 CST  yesterday at 21:31 CST  Install \"microk8s\" snap\n\
                     5    Done    2 days ago, at 09:55 UTC  today at 07:13 UTC  Remove \"microk8s\" snap\n\
                     6    Doing   today at 22:36 CST      -  Install \"microk8s\" snap from \"1.34/stable\" channel\n\
                     7    Undoing today at 22:36 CST      -  Refresh \"microk8s\" snap\n\
                     8    Done    today at 22:36 CST      today at 22:37 CST  Install snaps \"microk8s\", \"juju\"\n\n";
        let change = |id: &str, kind, status| Change { id: id.into(), kind, status };
        let read = [
            change("4", Kind::Install, Status::CameToNothing),
            change("5", Kind::Remove, Status::Done),
            change("6", Kind::Install, Status::UnderWay),
            change("7", Kind::Other, Status::UnderWay),
            change("8", Kind::Install, Status::Done),
        ];
        assert_eq!(all_changes(ended(true, table, "")).unwrap(), read);
        assert_eq!(all_changes(ended(true, "", "no changes found\n")).unwrap(), []);
        assert_eq!(all_changes(ended(false, "", "error: no changes found\n")).unwrap(), []);
    }

    #[test]
    fn a_begun_change_has_a_number() {
        assert_eq!(begun("42\n"), Some("42"));
        assert_eq!((begun(""), begun("microk8s v1.34.1 installed\n")), (None, None));
    }
}
