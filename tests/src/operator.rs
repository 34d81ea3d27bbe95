//! The operator as a process of this machine, with an administrator's rights: for control planes without nodes.

use std::{
    fs,
    net::TcpListener,
    process::Command,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;

use crate::{
    cluster::Cluster,
    program::{Running, kfe2e, start_command, test_image},
};

/// A running operator; it ends with this.
pub struct Operator {
    process: Option<Running>,
}

impl Operator {
    /// Starts it against a cluster.
    pub fn start(cluster: &Cluster) -> Self {
        Self::start_with(cluster, &[])
    }

    /// Starts it with these arguments.
    pub fn start_with(cluster: &Cluster, arguments: &[&str]) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).unwrap().port();
        // `env` gives it a kubeconfig: whatever the harness starts itself has none.
        let mut command = Command::new("env");
        command.arg(format!("KUBECONFIG={}", cluster.kubeconfig)).arg(kfe2e().with_file_name("operator"));
        command.args(arguments);
        command.env("KFE2E_IMAGE", test_image()).env("KFE2E_LISTEN", format!("127.0.0.1:{port}"));
        let process = start_command(&mut command, "the operator".into());
        Self { process: Some(process) }
    }

    /// How much memory it holds, in MiB.
    pub fn resident(&self) -> u64 {
        let id = self.process.as_ref().map(Running::id).unwrap();
        let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
    }
}

impl Operator {
    /// Asks it to end, as a kubelet does, and waits for that; how long it took, and what it had logged.
    pub fn stop(mut self) -> (Duration, String) {
        self.end().unwrap()
    }

    fn end(&mut self) -> Option<(Duration, String)> {
        let process = self.process.take()?;
        process.signal(Signal::SIGTERM);
        let began = Instant::now();
        let ended = process.wait(Duration::from_secs(10));
        assert!(
            ended.code == Some(0) || std::thread::panicking(),
            "the operator ended with {:?} after {:?}: {}",
            ended.code,
            began.elapsed(),
            ended.stderr
        );
        Some((began.elapsed(), ended.stdout))
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        self.end();
    }
}
