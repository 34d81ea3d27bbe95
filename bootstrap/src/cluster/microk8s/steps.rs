//! What to do next, from what was asked and what is there. There is no I/O here.

use super::{
    asked::Asked,
    command::Call,
    owner::{Recorded, Whose, whose},
    snapd::Snap,
};
use crate::failure::Failure;

/// What is there before a cluster is made.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Facts {
    /// Our record of this name.
    pub(super) recorded: Option<Recorded>,
    /// Names of our other records.
    pub(super) others: Vec<String>,
    /// The snap.
    pub(super) snap: Snap,
}

/// How to begin.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Start {
    /// There is nothing: all of it will be ours.
    Install,
    /// The cluster of this name is ours already, whole or half made.
    Join {
        /// Channel that its snap comes from.
        channel: String,
    },
}

/// How to begin, or why not at all. What somebody else installed is never touched.
pub(super) fn start(name: &str, asked: &Asked, must_be_new: bool, facts: &Facts) -> Result<Start, Failure> {
    if let Some(other) = facts.others.first() {
        return Err(Failure::infrastructure(format!(
            "a machine has one MicroK8s, and here it is the cluster `{other}`: use --name {other}, or remove it with \
             `kfe2e down --cluster microk8s --name {other}`"
        )));
    }
    let down = format!("`kfe2e down --cluster microk8s --name {name}`");
    let whose = whose(facts.recorded.as_ref(), &facts.snap);
    match &facts.recorded {
        Some(_) if whose == Whose::Theirs => Err(Failure::infrastructure(format!(
            "the snap microk8s is not the one that kfe2e installed for cluster `{name}`, so it is left alone: drop \
             the record of that cluster with {down}"
        ))),
        Some(_) if whose == Whose::Unclear => Err(Failure::infrastructure(format!(
            "whether the snap microk8s is that of cluster `{name}` cannot be told: {down} says what to do"
        ))),
        Some(_) if must_be_new => {
            Err(Failure::infrastructure(format!("cluster `{name}` exists already: remove it with {down}")))
        }
        Some(Recorded { channel, .. }) if asked.channel_named && *channel != asked.channel => {
            Err(Failure::infrastructure(format!(
                "cluster `{name}` is from channel {channel}, not {}: remove it with {down}",
                asked.channel
            )))
        }
        Some(Recorded { channel, .. }) => Ok(Start::Join { channel: channel.clone() }),
        None if whose == Whose::Absent => Ok(Start::Install),
        None => Err(Failure::infrastructure(
            "the snap microk8s is on this machine already and not by kfe2e: use it with --cluster existing and its \
             `microk8s config`, or remove it yourself",
        )),
    }
}

/// The next calls towards no snap at all; `None` when there is nothing of ours to remove, or it cannot be told whether
/// there is. snapd goes on with an installation whose caller has died, and refuses to remove the snap meanwhile.
pub(super) fn removing(whose: &Whose) -> Option<Vec<Call>> {
    match whose {
        Whose::Installing(change) => Some(vec![Call::abort(change), Call::watch(change)]),
        Whose::Changing(change) => Some(vec![Call::watch(change)]),
        Whose::Ours => Some(vec![Call::remove()]),
        Whose::Absent | Whose::Theirs | Whose::Unclear => None,
    }
}

/// Whether `microk8s status` says that it is ready: it exits with 0 either way.
pub(super) fn ready(said: &str) -> Result<(), String> {
    if said.lines().any(|line| line.trim() == "microk8s is running") {
        return Ok(());
    }
    let first = said.lines().find(|line| !line.trim().is_empty()).unwrap_or("it says nothing").trim();
    Err(format!("MicroK8s did not become ready; `microk8s status` says: {first}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::microk8s::{
        Microk8sArgs,
        snapd::{Change, Kind, Status},
    };

    fn asked(channel: Option<&str>) -> Asked {
        let args = Microk8sArgs { channel: channel.map(str::to_owned), ..Microk8sArgs::default() };
        Asked::of(None, &args).unwrap()
    }

    fn words(calls: &[Call]) -> Vec<String> {
        calls.iter().map(|call| call.args.join(" ")).collect()
    }

    #[test]
    fn a_foreign_microk8s_and_another_name_are_refused() {
        let start = |asked: &Asked, must_be_new, facts: &Facts| {
            start("a", asked, must_be_new, facts).map_err(|failure| failure.message)
        };
        let (any, nothing) = (asked(None), Facts::default());
        assert_eq!(start(&any, true, &nothing).unwrap(), Start::Install);
        let installed = Snap { installed: true, ..Snap::default() };
        let foreign = Facts { snap: installed.clone(), ..Facts::default() };
        assert!(start(&any, false, &foreign).unwrap_err().contains("not by kfe2e"));
        let change = |status| Change { id: "7".into(), kind: Kind::Install, status };
        let under_way = Snap { changes: vec![change(Status::UnderWay)], ..Snap::default() };
        let foreign = Facts { snap: under_way, ..Facts::default() };
        assert!(start(&any, false, &foreign).unwrap_err().contains("not by kfe2e"));
        let other = Facts { others: vec!["b".into()], snap: installed.clone(), ..Facts::default() };
        assert!(start(&any, false, &other).unwrap_err().contains("it is the cluster `b`"));
        let recorded = |ours: Option<&str>| {
            let snap = Snap { changes: vec![change(Status::Done)], ..installed.clone() };
            let (channel, change) = ("1.34/stable".to_owned(), ours.map(str::to_owned));
            let recorded = Some(Recorded { channel, change, ..Recorded::default() });
            Facts { recorded, snap, ..Facts::default() }
        };
        let ours = recorded(Some("7"));
        let join = Start::Join { channel: "1.34/stable".into() };
        assert_eq!(start(&any, false, &ours).unwrap(), join);
        assert_eq!(start(&asked(Some("1.34/stable")), false, &ours).unwrap(), join);
        assert!(start(&any, true, &ours).unwrap_err().contains("exists already"));
        assert!(start(&asked(Some("1.33/stable")), false, &ours).unwrap_err().contains("not 1.33/stable"));
        assert!(start(&any, false, &recorded(Some("6"))).unwrap_err().contains("it is left alone"));
        assert!(start(&any, false, &recorded(None)).unwrap_err().contains("cannot be told"));
    }

    #[test]
    fn only_what_is_ours_is_ended_or_removed() {
        let removing = |whose| removing(&whose).map(|calls| words(&calls));
        let calls = |calls: &[&str]| Some(calls.iter().map(|call| (*call).to_owned()).collect());
        assert_eq!(removing(Whose::Installing("7".into())), calls(&["abort 7", "watch 7"]));
        assert_eq!(removing(Whose::Changing("7".into())), calls(&["watch 7"]));
        assert_eq!(removing(Whose::Ours), calls(&["remove --purge microk8s"]));
        for whose in [Whose::Absent, Whose::Theirs, Whose::Unclear] {
            assert_eq!(removing(whose), None);
        }
    }

    #[test]
    fn the_calls_are_those_of_the_documentation() {
        assert_eq!(
            Call::install("1.34/stable").args,
            ["install", "microk8s", "--classic", "--channel=1.34/stable", "--no-wait"]
        );
        assert_eq!(Call::status().args, ["status", "--wait-ready", "--timeout", "600"]);
        assert_eq!(Call::config().args, ["config", "--use-loopback"]);
        assert!(Call::config().secret && !Call::status().secret);
        let enabled: Vec<Call> = asked(None).addons.iter().map(|addon| Call::enable(addon)).collect();
        assert_eq!(
            words(&enabled),
            [
                "enable dns",
                "enable hostpath-storage",
                "enable ingress",
                "enable metallb:10.64.140.43-10.64.140.49",
                "enable rbac"
            ]
        );
    }

    #[test]
    fn the_report_ends_before_a_run_stops_waiting_for_it() {
        assert!(Call::inspect().limit < std::time::Duration::from_mins(2));
    }

    #[test]
    fn readiness_is_in_the_words() {
        ready("microk8s is running\nhigh-availability: no\n").unwrap();
        let error =
            ready("microk8s is not running. Use microk8s inspect for a deeper inspection.\n").unwrap_err();
        assert!(
            error.ends_with("says: microk8s is not running. Use microk8s inspect for a deeper inspection.")
        );
    }
}
