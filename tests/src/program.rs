//! Runs `kfe2e` as its users do: as a program.

use std::{
    env,
    io::{BufRead as _, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// How a program ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Ended {
    /// Fails the test unless the exit code is `code`.
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }
}

/// The `kfe2e` under test: `KFE2E`, which the Makefile sets.
pub fn kfe2e() -> PathBuf {
    variable("KFE2E").into()
}

/// Image with Python, ipykernel and the kfp SDK.
pub fn test_image() -> String {
    variable("KFE2E_TEST_IMAGE")
}

/// Folders with OCI layouts of everything that tests run.
pub fn image_folders() -> Vec<PathBuf> {
    variable("KFE2E_TEST_IMAGES").split(':').map(PathBuf::from).collect()
}

/// The flags that load the images of these folders into a cluster.
pub fn image_flags() -> Vec<String> {
    image_folders().into_iter().flat_map(|folder| ["--images".into(), folder.display().to_string()]).collect()
}

/// The top folder of the checkout.
pub fn checkout() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or_else(|| Path::new("/"))
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run the tests with `make test`"))
}

/// A running `kfe2e`, whose output is being read.
pub struct Running {
    child: Child,
    stdout: Reading,
    stderr: Reading,
    what: String,
}

/// The lines of a stream as they come.
struct Reading {
    lines: Receiver<String>,
    read: String,
}

impl Reading {
    fn start(stream: impl Read + Send + 'static) -> Self {
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(stream).lines() {
                let _ = sender.send(line.unwrap());
            }
        });
        Self { lines, read: String::new() }
    }

    /// Everything, once the stream has ended.
    fn finish(mut self) -> String {
        for line in self.lines {
            self.read.push_str(&line);
            self.read.push('\n');
        }
        self.read
    }
}

/// Starts `kfe2e` with these arguments.
pub fn start<S: AsRef<str>>(arguments: &[S]) -> Running {
    let arguments: Vec<&str> = arguments.iter().map(AsRef::as_ref).collect();
    start_command(Command::new(kfe2e()).args(&arguments), format!("kfe2e {}", arguments.join(" ")))
}

/// Starts any command.
pub fn start_command(command: &mut Command, what: String) -> Running {
    let command = command.current_dir(checkout()).env_remove("KUBECONFIG");
    let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{what}: {error}"));
    let stdout = Reading::start(child.stdout.take().unwrap());
    let stderr = Reading::start(child.stderr.take().unwrap());
    Running { child, stdout, stderr, what }
}

impl Running {
    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        kill(pid, signal).unwrap_or_else(|error| panic!("{}: {signal}: {error}", self.what));
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for a line of standard output that `wanted` says yes to; fails the test after `limit`.
    pub fn await_line(&mut self, what: &str, limit: Duration, wanted: impl Fn(&str) -> bool) {
        let deadline = Instant::now() + limit;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(line) = self.stdout.lines.recv_timeout(left) else {
                panic!("{} did not reach {what}; so far:\n{}", self.what, self.stdout.read)
            };
            self.stdout.read.push_str(&line);
            self.stdout.read.push('\n');
            if wanted(&line) {
                return;
            }
        }
    }

    /// Waits until a path exists, while it runs; fails the test when it ends before, or after `limit`.
    pub fn await_path(&mut self, path: &Path, limit: Duration) {
        let deadline = Instant::now() + limit;
        while !path.exists() {
            assert!(self.is_running(), "{} ended before there was {}", self.what, path.display());
            assert!(Instant::now() < deadline, "{}: waited {limit:?} for {}", self.what, path.display());
            // What appears and goes again within milliseconds is what this is for: no watch is as quick to set up.
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until it ends; fails the test when that takes longer than `limit`.
    pub fn wait(mut self, limit: Duration) -> Ended {
        let deadline = Instant::now() + limit;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if Instant::now() > deadline {
                self.child.kill().unwrap();
                self.child.wait().unwrap();
                panic!("{} did not end within {limit:?}; stderr:\n{}", self.what, self.stderr.finish());
            }
            // A child's end has no event that can be waited for together with a deadline.
            thread::sleep(Duration::from_millis(20));
        };
        Ended { code: status.code(), stdout: self.stdout.finish(), stderr: self.stderr.finish() }
    }
}

/// Runs `kfe2e` to its end, which must come within `limit`.
pub fn run<S: AsRef<str>>(arguments: &[S], limit: Duration) -> Ended {
    start(arguments).wait(limit)
}

/// Removes a cluster at the end of a test, whatever became of the test.
pub struct Removed(pub &'static str);

impl Drop for Removed {
    fn drop(&mut self) {
        let ended = run(&["down", "--name", self.0], Duration::from_secs(120));
        assert!(ended.code == Some(0) || thread::panicking(), "down of {}: {}", self.0, ended.stderr);
    }
}
