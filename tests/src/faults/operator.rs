//! The operator as a process of its own, which can be killed.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Instant,
};

use nix::unistd::Pid;
use serde_json::json;

use crate::{program, proxy::Proxy};

/// Lines of its log that a failure shows.
const SHOWN: usize = 30;

/// Where an operator finds its API server: through a proxy, with a token from a file.
pub struct Access {
    folder: tempfile::TempDir,
}

impl Access {
    /// A kubeconfig that leads to the proxy.
    pub fn new(proxy: &Proxy, token: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let access = Self { folder };
        fs::write(access.path("ca.crt"), &proxy.certificate).unwrap();
        access.write_token(token);
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "proxy",
            "clusters": [{ "name": "proxy", "cluster": {
                "server": format!("https://{}", proxy.address), "certificate-authority": access.path("ca.crt"),
            }}],
            "users": [{ "name": "operator", "user": { "tokenFile": access.path("token") } }],
            "contexts": [{ "name": "proxy", "context": { "cluster": "proxy", "user": "operator" } }],
        });
        fs::write(access.path("kubeconfig"), config.to_string()).unwrap();
        access
    }

    /// Replaces the token.
    pub fn write_token(&self, token: &str) {
        fs::write(self.path("token.new"), token).unwrap();
        fs::rename(self.path("token.new"), self.path("token")).unwrap();
    }

    /// The end of what all operators logged.
    pub fn log(&self) -> String {
        let text = fs::read_to_string(self.path("log")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(SHOWN)..].join("\n")
    }

    fn path(&self, file: &str) -> PathBuf {
        Path::new(self.folder.path()).join(file)
    }
}

/// A running operator; dropping it kills it.
pub struct Operator {
    child: Child,
    /// When it was started.
    pub started: Instant,
}

impl Operator {
    /// Starts one, with the settings that its Deployment would give it.
    pub fn start(access: &Access) -> Self {
        let log = File::options().create(true).append(true).open(access.path("log")).unwrap();
        let program = program::kfe2e().with_file_name("operator");
        let child = Command::new(&program)
            .env_clear()
            .env("KUBECONFIG", access.path("kubeconfig"))
            .env("KFE2E_IMAGE", "localhost/kubeflow-e2e:dev")
            .env("KFE2E_LISTEN", "127.0.0.1:0")
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        Self { child, started: Instant::now() }
    }

    /// Its process.
    pub fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap())
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Option<std::process::ExitStatus> {
        self.child.try_wait().unwrap()
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}
