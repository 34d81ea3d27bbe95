//! The operator, or its peer, as a process: its start until it is ready, its memory, its end.

use std::{
    fs::{self, File},
    net::{SocketAddr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// How long a process may take until it is ready.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// How long it may take to end.
const ENDED_WITHIN: Duration = Duration::from_secs(15);

/// A process with a health port. It is killed when dropped.
pub struct Process {
    child: Child,
    log: String,
    /// From its start until it was ready.
    pub ready_after: Duration,
}

impl Process {
    /// Starts the operator under test.
    pub async fn operator(program: &Path, kubeconfig: &str, log: &Path) -> Self {
        let address = free_address();
        let mut command = Command::new(program);
        // Without a cap: its peer knows none.
        command.args(["--max-running", "0"]);
        command.env("KFE2E_IMAGE", "bench.local/runner").env("KFE2E_LISTEN", address.to_string());
        Self::start(command, kubeconfig, log, address, "/readyz").await
    }

    /// Starts the peer: the same work on kopf.
    pub async fn peer(kopf: &Path, handlers: &Path, kubeconfig: &str, log: &Path) -> Self {
        let address = free_address();
        let mut command = Command::new(kopf);
        command.args(["run", "--standalone", "--all-namespaces", "--quiet", "--liveness"]);
        command.arg(format!("http://{address}/healthz")).arg(handlers);
        Self::start(command, kubeconfig, log, address, "/healthz").await
    }

    async fn start(
        mut command: Command,
        kubeconfig: &str,
        log: &Path,
        address: SocketAddr,
        path: &str,
    ) -> Self {
        let file = File::create(log).unwrap();
        command.env("KUBECONFIG", kubeconfig).stdin(Stdio::null());
        command.stdout(file.try_clone().unwrap()).stderr(file);
        let began = Instant::now();
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let mut process = Self { child, log: log.display().to_string(), ready_after: Duration::ZERO };
        while !answers(address, path).await {
            process.assert_running();
            assert!(began.elapsed() < READY_WITHIN, "{command:?} was not ready within {READY_WITHIN:?}");
            // A process that starts has no event but that its port answers.
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        process.ready_after = began.elapsed();
        process
    }

    /// Fails unless it still runs.
    pub fn assert_running(&mut self) {
        if let Some(status) = self.child.try_wait().unwrap() {
            panic!("it ended with {status}:\n{}", fs::read_to_string(&self.log).unwrap_or_default());
        }
    }

    /// Resident memory, in MiB.
    pub fn resident(&self) -> f64 {
        self.memory("VmRSS:")
    }

    /// The most that it ever was, in MiB.
    pub fn high_water(&self) -> f64 {
        self.memory("VmHWM:")
    }

    fn memory(&self, name: &str) -> f64 {
        let text = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0
    }

    /// Asks it to end; how long that took.
    pub async fn stop(mut self) -> Duration {
        let began = Instant::now();
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), Signal::SIGTERM).unwrap();
        while self.child.try_wait().unwrap().is_none() {
            assert!(began.elapsed() < ENDED_WITHIN, "it did not end within {ENDED_WITHIN:?}");
            // A child's end has no event that can be waited for together with a deadline.
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        began.elapsed()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It has ended where `stop` was called.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Whether a GET of that path is answered with 200.
async fn answers(address: SocketAddr, path: &str) -> bool {
    let ask = async {
        let mut stream = TcpStream::connect(address).await?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok::<_, std::io::Error>(answer.starts_with("HTTP/1.1 200"))
    };
    tokio::time::timeout(Duration::from_secs(1), ask).await.is_ok_and(|answer| answer.unwrap_or(false))
}
