//! A pod's folders without a pod: runs the real program on them.

use std::{
    env, fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use crds::verdict::Verdict;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};

/// Folders like those of a test's pod.
pub(crate) struct Pod {
    folder: tempfile::TempDir,
    /// Where kernel specifications are looked for beside the Python environment.
    jupyter_path: PathBuf,
}

/// How the program ended.
pub(crate) struct Ended {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) verdict: Verdict,
}

impl Pod {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["results", "home"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        Self { jupyter_path: folder.path().join("jupyter"), folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Content of a result.
    pub(crate) fn result(&self, name: &str) -> String {
        let path = self.path("results").join(name);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// The executed notebook.
    pub(crate) fn executed(&self) -> Value {
        serde_json::from_str(&self.result("executed.ipynb")).unwrap()
    }

    /// Adds a kernel that is started by `argv`.
    pub(crate) fn add_kernel(&self, name: &str, argv: &[&str]) {
        let folder = self.jupyter_path.join("kernels").join(name);
        fs::create_dir_all(&folder).unwrap();
        let spec = json!({"argv": argv, "display_name": name, "language": name});
        fs::write(folder.join("kernel.json"), spec.to_string()).unwrap();
    }

    /// The program in an environment like a container's.
    fn runner(&self, subcommand: &str, source: Option<&Path>, timeout: u32, words: &[&str]) -> Command {
        let mut path = venv().join("bin").into_os_string();
        path.push(":/usr/local/bin:/usr/bin:/bin");
        let mut command = Command::new(env!("CARGO_BIN_EXE_runner"));
        command
            .arg(subcommand)
            .args(source.into_iter().flat_map(|source| [Path::new("--source"), source]))
            .arg("--results")
            .arg(self.path("results"))
            .args(["--timeout", &timeout.to_string(), "--termination-log"])
            .arg(self.path("termination-log"))
            .args(words)
            .env_clear()
            .env("PATH", path)
            .env("HOME", self.path("home"))
            .env("JUPYTER_PATH", &self.jupyter_path)
            .stdin(Stdio::null());
        command
    }

    /// The command that runs a notebook.
    pub(crate) fn notebook_command(&self, notebook: &str, timeout: u32) -> Command {
        let source = self.path("main.ipynb");
        fs::write(&source, notebook).unwrap();
        self.runner("notebook", Some(&source), timeout, &[])
    }

    /// Runs a notebook to its end.
    pub(crate) fn notebook(&self, notebook: &Value, timeout: u32) -> Ended {
        self.end(self.notebook_command(&notebook.to_string(), timeout).output().unwrap())
    }

    /// The command that runs a script.
    pub(crate) fn script_command(&self, script: &str, timeout: u32, words: &[&str]) -> Command {
        let source = self.path("main");
        fs::write(&source, script).unwrap();
        self.runner("script", Some(&source), timeout, words)
    }

    /// Runs a script to its end.
    pub(crate) fn script(&self, script: &str, timeout: u32, words: &[&str]) -> Ended {
        self.end(self.script_command(script, timeout, words).output().unwrap())
    }

    /// The command that runs a program.
    pub(crate) fn program_command(&self, timeout: u32, words: &[&str]) -> Command {
        self.runner("program", None, timeout, words)
    }

    /// What the program left; both copies of the verdict must be the same.
    pub(crate) fn end(&self, output: Output) -> Ended {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let (stdout, stderr) = (text(output.stdout), text(output.stderr));
        let termination = fs::read_to_string(self.path("termination-log"))
            .unwrap_or_else(|error| panic!("no termination message: {error}\n{stdout}\n{stderr}"));
        assert_eq!(self.result("verdict.json"), termination);
        let verdict = Verdict::from_termination_message(&termination).unwrap();
        assert_eq!(output.status.code(), Some(i32::from(!verdict.passed)), "{stdout}\n{stderr}");
        Ended { stdout, stderr, verdict }
    }

    /// Starts the program, sends SIGTERM once a line of its output contains `awaited`, and lets it end.
    pub(crate) fn terminate_after(&self, mut command: Command, awaited: &str) -> Ended {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().contains(awaited)), "{awaited:?} was never printed");
        terminate(&child);
        lines.for_each(drop);
        self.end(child.wait_with_output().unwrap())
    }
}

/// Sends SIGTERM.
pub(crate) fn terminate(child: &Child) {
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGTERM).unwrap();
}

/// Whether a process is there and not merely a zombie.
pub(crate) fn is_alive(pid: &str) -> bool {
    fs::read_to_string(format!("/proc/{}/stat", pid.trim())).is_ok_and(|stat| !stat.contains(") Z "))
}

/// A notebook of these code cells for the kernel `python3`.
pub(crate) fn notebook(sources: &[&str]) -> Value {
    let cells: Vec<Value> = sources
        .iter()
        .enumerate()
        .map(|(index, source)| {
            json!({"cell_type": "code", "id": format!("cell-{index}"), "metadata": {}, "source": source,
                "outputs": [{"output_type": "stream", "name": "stdout", "text": "stale"}], "execution_count": 99})
        })
        .collect();
    json!({"nbformat": 4, "nbformat_minor": 5, "cells": cells,
        "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}})
}

/// The Python environment with ipykernel. A test without it would prove nothing, so it fails.
fn venv() -> PathBuf {
    let venv = env::var_os("KFE2E_TEST_VENV").map(PathBuf::from);
    let venv = venv.filter(|venv| venv.join("bin/python").exists());
    venv.unwrap_or_else(|| {
        panic!(
            "KFE2E_TEST_VENV names no Python environment with ipykernel: \
             set it to what operator/runner/tests/kernel-venv.sh prints"
        )
    })
}
