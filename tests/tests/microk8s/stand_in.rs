//! The stand-ins of `snap` and `microk8s`, each trial with a state of its own.

use std::{
    env, fs,
    path::PathBuf,
    process::Command,
    time::{Duration, SystemTime},
};

use e2e_tests::program::{Ended, Running, checkout, kfe2e, start_command};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// How long a command may take; nothing is downloaded and nothing starts.
pub const LIMIT: Duration = Duration::from_secs(60);

/// The record of the cluster.
pub const RECORD: &str = "state/kfe2e/microk8s/ours/record.json";

/// What snapd answered to the request for its installation.
const CHANGE: &str = "state/kfe2e/microk8s/ours/change";

/// Calls that change nothing and wait for nothing.
const QUESTIONS: [&str; 2] = ["snap list --all microk8s", "snap changes microk8s"];

/// The data that all revisions of the snap share, and the mark of ours in it.
const COMMON: &str = "var/snap/microk8s/common";
const MARK: &str = "var/snap/microk8s/common/kfe2e-attempt";

/// The stand-ins with their state, and a state folder of kfe2e's own.
pub struct StandIn {
    pub folder: tempfile::TempDir,
}

impl StandIn {
    /// An empty machine.
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    /// The place of one file of the state.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes one file of the state.
    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// The lines of one file of the state.
    pub fn lines(&self, name: &str) -> Vec<String> {
        let text = fs::read_to_string(self.path(name)).unwrap_or_default();
        text.lines().map(Into::into).collect()
    }

    /// The calls that change something, or wait.
    pub fn calls(&self) -> Vec<String> {
        let mut calls = self.lines("calls");
        calls.retain(|call| !QUESTIONS.contains(&call.as_str()));
        calls
    }

    /// Everything of ours that is left.
    pub fn left(&self) -> Vec<&str> {
        let mut left = vec!["installed", "addons", "images", RECORD, MARK];
        left.retain(|name| self.path(name).exists());
        left
    }

    /// A `kfe2e` that finds the stand-ins.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut path = checkout().join("tests/stand-ins/microk8s").into_os_string();
        path.push(":");
        path.push(env::var_os("PATH").unwrap());
        let mut command = Command::new(kfe2e());
        command.args(arguments).args(["--cluster", "microk8s"]);
        command.env("PATH", path).env("PYTHONDONTWRITEBYTECODE", "1");
        command.env("SNAPPY_GLOBAL_ROOT", self.folder.path());
        command.env("KFE2E_STAND_IN", self.folder.path()).env("XDG_STATE_HOME", self.path("state"));
        command
    }

    /// Starts it.
    pub fn start(&self, arguments: &[&str]) -> Running {
        start_command(&mut self.command(arguments), format!("kfe2e {}", arguments.join(" ")))
    }

    /// Runs it to its end.
    pub fn run(&self, arguments: &[&str]) -> Ended {
        self.start(arguments).wait(LIMIT)
    }

    /// Starts `kfe2e` and waits until it is in the midst of that call.
    pub fn started_up_to(&self, call: &str, arguments: &[&str]) -> Running {
        self.write("hang", call);
        let mut running = self.start(arguments);
        running.await_path(&self.path("hanging"), LIMIT);
        running
    }

    /// Starts `kfe2e`, kills it in the midst of that call and ends the call too.
    pub fn killed_at(&self, call: &str, arguments: &[&str]) {
        self.killed_without_the_call(call, arguments);
        self.end_hanging();
    }

    /// Starts `kfe2e` and kills it in the midst of that call, which outlives it.
    pub fn killed_without_the_call(&self, call: &str, arguments: &[&str]) {
        let killed = self.started_up_to(call, arguments);
        killed.signal(Signal::SIGKILL);
        killed.wait(LIMIT);
    }

    /// Lets the call that hangs go on.
    pub fn go_on(&self) {
        fs::remove_file(self.path("hanging")).unwrap();
        fs::remove_file(self.path("hang")).unwrap();
    }

    /// Makes what was asked of snapd an hour old.
    pub fn asked_an_hour_ago(&self) {
        let file = fs::File::options().append(true).open(self.path(CHANGE)).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(3600)).unwrap();
    }

    /// snapd forgets its changes after about a day.
    pub fn forgotten(&self) {
        fs::remove_file(self.path("changes")).unwrap();
    }

    /// snapd refreshes the snap: another revision, the same data.
    pub fn refreshed(&self) {
        let mut changes = self.lines("changes");
        changes.push(format!("{} Done Refresh \"microk8s\" snap\n", changes.len() + 1));
        self.write("changes", &changes.join("\n"));
    }

    /// Somebody removes the snap.
    pub fn removed_by_hand(&self) {
        let mut remove = Command::new(checkout().join("tests/stand-ins/microk8s/snap"));
        remove.args(["remove", "--purge", "microk8s"]).env("PYTHONDONTWRITEBYTECODE", "1");
        remove.env("SNAPPY_GLOBAL_ROOT", self.folder.path());
        assert!(remove.env("KFE2E_STAND_IN", self.folder.path()).status().unwrap().success());
    }

    /// Somebody installs the snap for themselves, by a change of this number.
    pub fn installed_by_somebody(&self, change: u8) {
        self.write("installed", "1.32/stable\n");
        fs::create_dir_all(self.path(COMMON)).unwrap();
        let mut changes = self.lines("changes");
        changes.push(format!("{change} Done Install \"microk8s\" snap from \"1.32/stable\" channel\n"));
        self.write("changes", &changes.join("\n"));
    }

    /// Ends the call that hangs: it outlives a killed `kfe2e`, as a real one would.
    pub fn end_hanging(&self) {
        let pid: i32 = self.lines("hanging")[0].parse().unwrap();
        // `kfe2e` may have ended it already.
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        self.go_on();
    }
}

/// Makes the cluster.
pub const UP: [&str; 3] = ["up", "--name", "ours"];
/// Removes the cluster.
pub const DOWN: [&str; 3] = ["down", "--name", "ours"];
