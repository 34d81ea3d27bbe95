//! Stopping, killing and starting again the API server of a cluster of ours.

use std::{
    ffi::OsString,
    fs::{self, File},
    os::{fd::AsRawFd as _, unix::ffi::OsStringExt as _},
    process::{Command, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// A part of a control plane, as the kernel knows it.
pub struct Part {
    pid: Pid,
    command: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    network: File,
}

impl Part {
    /// The living process of that cluster and component.
    pub fn find(cluster: &str, component: &str) -> Self {
        let marks = [format!("KFE2E_PROCESS_OF={cluster}"), format!("KFE2E_COMPONENT={component}")];
        let numbers = fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
        let marked = |pid: &i32| {
            let environment = words(&format!("/proc/{pid}/environ"));
            marks.iter().all(|mark| environment.iter().any(|word| word == mark.as_str()))
        };
        let pid =
            numbers.into_iter().find(marked).unwrap_or_else(|| panic!("no {component} of cluster {cluster}"));
        let split = |pair: OsString| {
            let text = pair.into_string().unwrap();
            let (key, value) = text.split_once('=').unwrap();
            (key.into(), value.into())
        };
        Self {
            pid: Pid::from_raw(pid),
            command: words(&format!("/proc/{pid}/cmdline")),
            environment: words(&format!("/proc/{pid}/environ")).into_iter().map(split).collect(),
            network: File::open(format!("/proc/{pid}/ns/net")).unwrap(),
        }
    }

    /// Freezes it: connections stay open, and nobody answers.
    pub fn freeze(&self) {
        kill(self.pid, Signal::SIGSTOP).unwrap();
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        kill(self.pid, Signal::SIGCONT).unwrap();
    }

    /// Kills it.
    pub fn kill(&self) {
        kill(self.pid, Signal::SIGKILL).unwrap();
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

/// Words that end with a zero byte.
fn words(path: &str) -> Vec<OsString> {
    let bytes = fs::read(path).unwrap_or_default();
    bytes
        .split(|byte| *byte == 0)
        .filter(|word| !word.is_empty())
        .map(|word| OsString::from_vec(word.to_vec()))
        .collect()
}
