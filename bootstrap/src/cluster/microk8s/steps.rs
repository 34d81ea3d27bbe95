//! What to do next, from what was asked and what is there. There is no I/O here.

use super::{asked::Asked, command::Call, snapd::Snap};
use crate::failure::Failure;

/// What is there before a cluster is made.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Facts {
    /// Channel in our record of this name.
    pub(super) recorded: Option<String>,
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
    match &facts.recorded {
        Some(_) if must_be_new => Err(Failure::infrastructure(format!(
            "cluster `{name}` exists already: remove it with `kfe2e down --cluster microk8s --name {name}`"
        ))),
        Some(channel) if asked.channel_named && *channel != asked.channel => {
            Err(Failure::infrastructure(format!(
                "cluster `{name}` is from channel {channel}, not {}: remove it with `kfe2e down --cluster microk8s \
                 --name {name}`",
                asked.channel
            )))
        }
        Some(channel) => Ok(Start::Join { channel: channel.clone() }),
        None if facts.snap.installed || !facts.snap.changes.is_empty() => Err(Failure::infrastructure(
            "the snap microk8s is on this machine already and not by kfe2e: use it with --cluster existing and its \
             `microk8s config`, or remove it yourself",
        )),
        None => Ok(Start::Install),
    }
}

/// The next step towards an installed snap that is ours.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Making {
    /// Wait for what snapd does with it already.
    Await(Call),
    /// Install it.
    Install,
    /// It is installed.
    Done,
}

/// The next step towards an installed snap that is ours.
pub(super) fn making(snap: &Snap) -> Making {
    match snap.changes.first() {
        Some(change) => Making::Await(Call::watch(&change.id)),
        None if snap.installed => Making::Done,
        None => Making::Install,
    }
}

/// The next calls towards no snap at all; none when that is reached. snapd goes on with an installation whose caller
/// has died, and refuses to remove the snap meanwhile.
pub(super) fn removing(snap: &Snap) -> Vec<Call> {
    match snap.changes.first() {
        Some(change) if change.installs => vec![Call::abort(&change.id), Call::watch(&change.id)],
        Some(change) => vec![Call::watch(&change.id)],
        None if snap.installed => vec![Call::remove()],
        None => Vec::new(),
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
    use crate::cluster::microk8s::{Microk8sArgs, snapd::Change};

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
        let installed = Snap { installed: true, changes: Vec::new() };
        let foreign = Facts { snap: installed.clone(), ..Facts::default() };
        assert!(start(&any, false, &foreign).unwrap_err().contains("not by kfe2e"));
        let change = Change { id: "7".into(), installs: true };
        let under_way = Facts { snap: Snap { installed: false, changes: vec![change] }, ..Facts::default() };
        assert!(start(&any, false, &under_way).unwrap_err().contains("not by kfe2e"));
        let other = Facts { others: vec!["b".into()], snap: installed.clone(), ..Facts::default() };
        assert!(start(&any, false, &other).unwrap_err().contains("it is the cluster `b`"));
        let ours = Facts { recorded: Some("1.34/stable".into()), snap: installed, ..Facts::default() };
        let join = Start::Join { channel: "1.34/stable".into() };
        assert_eq!(start(&any, false, &ours).unwrap(), join);
        assert_eq!(start(&asked(Some("1.34/stable")), false, &ours).unwrap(), join);
        assert!(start(&any, true, &ours).unwrap_err().contains("exists already"));
        assert!(start(&asked(Some("1.33/stable")), false, &ours).unwrap_err().contains("not 1.33/stable"));
    }

    #[test]
    fn what_an_earlier_command_began_is_awaited_or_ended() {
        let change = |installs| Change { id: "7".into(), installs };
        let snap = |installed, changes: &[Change]| Snap { installed, changes: changes.to_vec() };
        assert_eq!(making(&snap(false, &[])), Making::Install);
        assert_eq!(making(&snap(false, &[change(true)])), Making::Await(Call::watch("7")));
        assert_eq!(making(&snap(true, &[])), Making::Done);
        assert_eq!(words(&removing(&snap(false, &[change(true)]))), ["abort 7", "watch 7"]);
        assert_eq!(words(&removing(&snap(true, &[change(false)]))), ["watch 7"]);
        assert_eq!(words(&removing(&snap(true, &[]))), ["remove --purge microk8s"]);
        assert_eq!(removing(&snap(false, &[])), []);
    }

    #[test]
    fn the_calls_are_those_of_the_documentation() {
        assert_eq!(
            Call::install("1.34/stable").args,
            ["install", "microk8s", "--classic", "--channel=1.34/stable"]
        );
        assert_eq!(Call::status().args, ["status", "--wait-ready", "--timeout", "600"]);
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
