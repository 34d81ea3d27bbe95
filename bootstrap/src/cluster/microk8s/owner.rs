//! Whose the snap is. A record alone does not say: it may be from before an installation that came to nothing, or from
//! one that has been removed since, and somebody may have installed the snap for themselves.

use serde::{Deserialize, Serialize};

use super::snapd::{Identity, Kind, Snap, Status};

/// What is written down of a cluster. Records of earlier versions say the channel alone.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Recorded {
    /// Channel of the snap, written before it is installed.
    pub(super) channel: String,
    /// The change of snapd's that installs it, written once snapd has begun.
    #[serde(default)]
    pub(super) change: Option<String>,
    /// The installed snap, written once it is there: snapd forgets its changes after about a day.
    #[serde(default)]
    pub(super) installed: Option<Identity>,
}

/// Whose the snap is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Whose {
    /// It is not installed, and nothing is being done with it.
    Absent,
    /// Our change of this number is installing it.
    Installing(String),
    /// A change of this number is under way that installs nothing, such as a removal: after it there is more to see.
    Changing(String),
    /// We installed it.
    Ours,
    /// Somebody else installed it, or is doing so.
    Theirs,
    /// It cannot be told.
    Unclear,
}

/// Whose the snap is, by our record and what snapd says.
pub(super) fn whose(recorded: Option<&Recorded>, snap: &Snap) -> Whose {
    let under_way = snap.changes.iter().find(|change| change.status == Status::UnderWay);
    let Some(recorded) = recorded else {
        return if snap.installed || under_way.is_some() { Whose::Theirs } else { Whose::Absent };
    };
    if let Some(change) = under_way {
        return match &recorded.change {
            _ if change.kind != Kind::Install => Whose::Changing(change.id.clone()),
            Some(ours) if *ours == change.id => Whose::Installing(change.id.clone()),
            Some(_) => Whose::Theirs,
            // Whoever was killed after snapd began it, and before that was written down, was perhaps ours.
            None => Whose::Unclear,
        };
    }
    if !snap.installed {
        return Whose::Absent;
    }
    match (&recorded.installed, &snap.identity) {
        (Some(ours), Some(found)) if ours == found => Whose::Ours,
        (Some(_), Some(_)) => Whose::Theirs,
        (Some(_), None) => Whose::Unclear,
        (None, _) => by_changes(recorded, snap),
    }
}

/// Whose the installed snap is, by the last change that installed or removed it.
fn by_changes(recorded: &Recorded, snap: &Snap) -> Whose {
    let mut done = snap.changes.iter().rev().filter(|change| change.status == Status::Done);
    let last = done.find(|change| change.kind != Kind::Other);
    match (&recorded.change, last) {
        (Some(ours), Some(last)) if *ours == last.id => Whose::Ours,
        (Some(_), Some(last)) if last.kind == Kind::Install => Whose::Theirs,
        _ => Whose::Unclear,
    }
}

#[cfg(test)]
mod tests {
    use super::{super::snapd::Change, *};

    fn change(id: &str, kind: Kind, status: Status) -> Change {
        Change { id: id.into(), kind, status }
    }

    fn snap(identity: Option<&str>, changes: &[Change]) -> Snap {
        Snap { installed: true, identity: identity.map(of), changes: changes.to_vec() }
    }

    fn of(since: &str) -> Identity {
        Identity { revision: "8398".into(), since: since.into() }
    }

    fn recorded(change: Option<&str>, installed: Option<&str>) -> Recorded {
        Recorded { change: change.map(str::to_owned), installed: installed.map(of), ..Recorded::default() }
    }

    #[test]
    fn without_a_record_whatever_is_there_is_theirs() {
        assert_eq!(whose(None, &Snap::default()), Whose::Absent);
        assert_eq!(whose(None, &snap(None, &[])), Whose::Theirs);
        let changes = vec![change("7", Kind::Install, Status::UnderWay)];
        assert_eq!(whose(None, &Snap { changes, ..Snap::default() }), Whose::Theirs);
    }

    #[test]
    fn what_is_under_way_is_ours_by_its_number() {
        let seen = |kind, ours| {
            let changes = vec![change("6", Kind::Remove, Status::Done), change("7", kind, Status::UnderWay)];
            whose(Some(&recorded(ours, None)), &Snap { changes, ..Snap::default() })
        };
        assert_eq!(seen(Kind::Install, Some("7")), Whose::Installing("7".into()));
        assert_eq!(seen(Kind::Install, Some("6")), Whose::Theirs);
        assert_eq!(seen(Kind::Install, None), Whose::Unclear);
        assert_eq!(seen(Kind::Remove, None), Whose::Changing("7".into()));
    }

    #[test]
    fn what_is_installed_is_ours_by_its_identity() {
        let ours = recorded(Some("7"), Some("10:00"));
        assert_eq!(whose(Some(&ours), &snap(Some("10:00"), &[])), Whose::Ours);
        let theirs = [change("9", Kind::Install, Status::Done)];
        assert_eq!(whose(Some(&ours), &snap(Some("11:00"), &theirs)), Whose::Theirs);
        // A disabled snap has none.
        assert_eq!(whose(Some(&ours), &snap(None, &[])), Whose::Unclear);
        assert_eq!(whose(Some(&ours), &Snap::default()), Whose::Absent);
    }

    #[test]
    fn before_its_identity_is_known_the_last_installation_decides() {
        let seen =
            |ours, changes: &[Change]| whose(Some(&recorded(ours, None)), &snap(Some("10:00"), changes));
        let done = |id, kind| change(id, kind, Status::Done);
        let (first, gone) = (done("7", Kind::Install), done("8", Kind::Remove));
        let refreshed = done("9", Kind::Other);
        assert_eq!(seen(Some("7"), &[first.clone(), refreshed]), Whose::Ours);
        assert_eq!(seen(Some("7"), &[first.clone(), gone, done("9", Kind::Install)]), Whose::Theirs);
        let failed = change("7", Kind::Install, Status::CameToNothing);
        assert_eq!(seen(Some("7"), &[failed, done("9", Kind::Install)]), Whose::Theirs);
        // Killed before snapd began, or before its number was written down.
        assert_eq!(seen(None, &[first]), Whose::Unclear);
        // Forgotten by snapd.
        assert_eq!(seen(Some("7"), &[]), Whose::Unclear);
    }

    #[test]
    fn a_record_of_an_earlier_version_is_read() {
        let read: Recorded = serde_json::from_str(r#"{"channel": "1.34/stable"}"#).unwrap();
        assert_eq!(read, Recorded { channel: "1.34/stable".into(), ..Recorded::default() });
    }
}
