//! Whose the snap is. A record alone does not say: it may be from before an installation that came to nothing, or from
//! one that has been removed since, and somebody may have installed the snap for themselves.

use serde::{Deserialize, Serialize};

use super::snapd::{Kind, Snap, Status};

/// What is written down of a cluster. Records of earlier versions say the channel alone.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Recorded {
    /// Channel of the snap, written before it is installed.
    pub(super) channel: String,
    /// Of all that were ever begun, this attempt to make a cluster; the installed snap is marked with it.
    #[serde(default)]
    pub(super) attempt: String,
    /// Whether the installed snap has that mark: without it, it is another installation.
    #[serde(default)]
    pub(super) marked: bool,
    /// The change of snapd's that installs it, once snapd has answered; it has a file of its own.
    #[serde(skip)]
    pub(super) change: Option<String>,
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
    // What snapd still knows goes before the mark: data that a broken removal left behind could still have that.
    by_changes(recorded, snap).unwrap_or_else(|| match &snap.mark {
        Some(mark) if *mark == recorded.attempt => Whose::Ours,
        _ if recorded.marked => Whose::Theirs,
        _ => Whose::Unclear,
    })
}

/// Whose the installed snap is, by the last change that installed or removed it; `None` when snapd has forgotten that.
fn by_changes(recorded: &Recorded, snap: &Snap) -> Option<Whose> {
    let mut done = snap.changes.iter().rev().filter(|change| change.status == Status::Done);
    let last = done.find(|change| change.kind != Kind::Other)?;
    Some(match &recorded.change {
        Some(ours) if *ours == last.id => Whose::Ours,
        Some(_) if last.kind == Kind::Install => Whose::Theirs,
        _ => Whose::Unclear,
    })
}

#[cfg(test)]
mod tests {
    use super::{super::snapd::Change, *};

    fn change(id: &str, kind: Kind, status: Status) -> Change {
        Change { id: id.into(), kind, status }
    }

    fn snap(mark: Option<&str>, changes: &[Change]) -> Snap {
        Snap { installed: true, mark: mark.map(str::to_owned), changes: changes.to_vec() }
    }

    fn recorded(change: Option<&str>, marked: bool) -> Recorded {
        let change = change.map(str::to_owned);
        Recorded { change, marked, attempt: "ours".into(), ..Recorded::default() }
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
            whose(Some(&recorded(ours, false)), &Snap { changes, ..Snap::default() })
        };
        assert_eq!(seen(Kind::Install, Some("7")), Whose::Installing("7".into()));
        assert_eq!(seen(Kind::Install, Some("6")), Whose::Theirs);
        assert_eq!(seen(Kind::Install, None), Whose::Unclear);
        assert_eq!(seen(Kind::Remove, None), Whose::Changing("7".into()));
    }

    #[test]
    fn what_is_installed_is_ours_by_its_mark_once_snapd_has_forgotten() {
        let seen = |marked, mark| whose(Some(&recorded(Some("7"), marked)), &snap(mark, &[]));
        assert_eq!(seen(true, Some("ours")), Whose::Ours);
        assert_eq!(seen(false, Some("ours")), Whose::Ours);
        assert_eq!(seen(true, Some("another")), Whose::Theirs);
        assert_eq!(seen(true, None), Whose::Theirs);
        // Killed before it was marked, more than a day ago.
        assert_eq!(seen(false, None), Whose::Unclear);
        assert_eq!(whose(Some(&recorded(Some("7"), true)), &Snap::default()), Whose::Absent);
        let earlier = Recorded { channel: "1.34/stable".into(), ..Recorded::default() };
        assert_eq!(whose(Some(&earlier), &snap(None, &[])), Whose::Unclear);
    }

    #[test]
    fn the_last_installation_that_snapd_remembers_decides() {
        let seen = |ours, changes: &[Change]| {
            [false, true].map(|marked| {
                let mark = marked.then_some("ours");
                whose(Some(&recorded(ours, marked)), &snap(mark, changes))
            })
        };
        let done = |id, kind| change(id, kind, Status::Done);
        let (first, gone) = (done("7", Kind::Install), done("8", Kind::Remove));
        let refreshed = done("9", Kind::Other);
        assert_eq!(seen(Some("7"), &[first.clone(), refreshed.clone()]), [Whose::Ours, Whose::Ours]);
        let again = [first.clone(), gone, done("9", Kind::Install)];
        assert_eq!(seen(Some("7"), &again), [Whose::Theirs, Whose::Theirs]);
        let failed = change("7", Kind::Install, Status::CameToNothing);
        assert_eq!(seen(Some("7"), &[failed, done("9", Kind::Install)]), [Whose::Theirs, Whose::Theirs]);
        // Killed before snapd began, or before it could answer.
        assert_eq!(seen(None, &[first]), [Whose::Unclear, Whose::Unclear]);
        // The installation forgotten, a refresh not yet.
        assert_eq!(seen(Some("7"), &[refreshed]), [Whose::Unclear, Whose::Ours]);
    }

    #[test]
    fn a_record_of_an_earlier_version_is_read() {
        let read: Recorded = serde_json::from_str(r#"{"channel": "1.34/stable"}"#).unwrap();
        assert_eq!(read, Recorded { channel: "1.34/stable".into(), ..Recorded::default() });
    }
}
