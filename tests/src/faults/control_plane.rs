//! Stopping, killing and starting again the parts of the control plane of a cluster of ours.

use std::{
    ffi::OsString,
    fs::{self, File},
    os::{fd::AsRawFd as _, unix::ffi::OsStringExt as _},
    process::{Command, Stdio},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::cluster::eventually;

/// How long a process that is killed may take to be gone.
const ENDED: Duration = Duration::from_secs(10);

/// A part of a control plane, as the kernel knows it.
pub struct Part {
    marks: [String; 2],
    command: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    network: File,
}

impl Part {
    /// The living process of that cluster and component.
    pub fn find(cluster: &str, component: &str) -> Self {
        let marks = [format!("KFE2E_PROCESS_OF={cluster}"), format!("KFE2E_COMPONENT={component}")];
        let pid = living(&marks).unwrap_or_else(|| panic!("no {component} of cluster {cluster}"));
        let split = |pair: OsString| {
            let text = pair.into_string().unwrap();
            let (key, value) = text.split_once('=').unwrap();
            (key.into(), value.into())
        };
        Self {
            marks,
            command: words(&format!("/proc/{pid}/cmdline")),
            environment: words(&format!("/proc/{pid}/environ")).into_iter().map(split).collect(),
            network: File::open(format!("/proc/{pid}/ns/net")).unwrap(),
        }
    }

    /// Freezes it: connections stay open, and nobody answers.
    pub fn freeze(&self) {
        kill(self.pid(), Signal::SIGSTOP).unwrap();
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        kill(self.pid(), Signal::SIGCONT).unwrap();
    }

    /// Kills it.
    pub fn kill(&self) {
        kill(self.pid(), Signal::SIGKILL).unwrap();
    }

    /// Waits until it is gone, after it was killed.
    pub async fn await_end(&self) {
        let gone = || async { living(&self.marks).is_none().then_some(()) };
        eventually(&format!("{:?} to end", self.command.first()), ENDED, gone).await;
    }

    /// The value of a flag that it was started with.
    pub fn flag(&self, name: &str) -> String {
        let start = format!("--{name}=");
        let mut words = self.command.iter().filter_map(|word| word.to_str());
        words.find_map(|word| word.strip_prefix(&start)).unwrap().to_owned()
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(living(&self.marks).unwrap_or_else(|| panic!("{:?} does not run", self.marks)))
    }

    /// Starts it again as it was: below init, with the marks by which its cluster's removal finds it.
    pub fn start(&self) {
        let network = format!("--net=/proc/{}/fd/{}", std::process::id(), self.network.as_raw_fd());
        let mut command = Command::new("setsid");
        command.args(["--fork", "nsenter", &network, "--"]).args(&self.command);
        command.env_clear().envs(self.environment.iter().cloned()).current_dir("/");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        assert!(command.status().unwrap().success(), "{:?} could not be started again", self.command);
    }
}

/// The living process with these marks.
fn living(marks: &[String]) -> Option<i32> {
    let numbers =
        fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    numbers.into_iter().find(|pid: &i32| {
        let environment = words(&format!("/proc/{pid}/environ"));
        marks.iter().all(|mark| environment.iter().any(|word| word == mark.as_str()))
    })
}

/// Words that end with a zero byte.
fn words(path: &str) -> Vec<OsString> {
    let bytes = fs::read(path).unwrap_or_default();
    bytes
        .split(|byte| *byte == 0)
        .filter(|word| !word.is_empty())
        .map(|word| OsString::from_vec(word.to_vec()))
        .collect()
}
