//! The container runtimes, and why one does not answer.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::engine::Engine;
use crate::tool::ToolError;

/// A container runtime that `kind` can use.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Runtime {
    /// Docker.
    Docker,
    /// Podman.
    Podman,
}

impl Runtime {
    /// All of them, the one that is tried first first.
    pub(super) const ALL: [Self; 2] = [Self::Docker, Self::Podman];

    /// The first that answers on this machine.
    pub(crate) fn answering() -> Option<Self> {
        Self::ALL.into_iter().find(|runtime| Engine::here(*runtime).describe().is_ok())
    }

    /// Its program, which is also how `kind` calls it.
    pub(crate) const fn program(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Podman => "podman",
        }
    }

    /// The variables that say where it is and how it is reached.
    pub(super) const fn variables(self) -> &'static [&'static str] {
        match self {
            Self::Docker => &[
                "DOCKER_HOST",
                "DOCKER_CONTEXT",
                "DOCKER_CONFIG",
                "DOCKER_TLS_VERIFY",
                "DOCKER_CERT_PATH",
                "KIND_EXPERIMENTAL_DOCKER_NETWORK",
            ],
            Self::Podman => &[
                "CONTAINER_HOST",
                "CONTAINER_CONNECTION",
                "CONTAINER_SSHKEY",
                "KIND_EXPERIMENTAL_PODMAN_NETWORK",
            ],
        }
    }
}

impl fmt::Display for Runtime {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Docker => "Docker",
            Self::Podman => "Podman",
        })
    }
}

/// Why a runtime that is installed does not answer, and what to do.
pub(super) fn explain(runtime: Runtime, error: &ToolError) -> String {
    let (ToolError::Failed { stderr, .. } | ToolError::TimedOut { stderr, .. }) = error else {
        return format!("{runtime} does not answer: {error}");
    };
    let place = stderr
        .split_whitespace()
        .map(|word| word.trim_matches(|c: char| c.is_ascii_punctuation() && c != '/'))
        .find(|word| ["unix://", "tcp://", "ssh://"].iter().any(|scheme| word.starts_with(scheme)))
        .map(|place| format!(" at {place}"))
        .unwrap_or_default();
    let said = stderr.to_lowercase();
    if said.contains("permission denied") {
        return format!(
            "you have no right to use {runtime}{place}: join its group (`sudo usermod -aG {} $USER`, then log in \
             again), or run the same command with sudo",
            runtime.program()
        );
    }
    if said.contains("cannot connect") || said.contains("is the docker daemon running") {
        return format!(
            "{runtime} does not answer{place}: start it (`sudo systemctl start {}`), or use --cluster embedded",
            runtime.program()
        );
    }
    format!("{runtime} does not answer: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(stderr: &str) -> ToolError {
        ToolError::Failed { line: "docker info".into(), status: String::new(), stderr: stderr.into() }
    }

    #[test]
    fn why_docker_does_not_answer_is_one_sentence_with_the_next_step() {
        for (stderr, sentence) in [
            (
                "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?",
                "Docker does not answer at unix:///var/run/docker.sock: start it (`sudo systemctl start docker`), or \
                 use --cluster embedded",
            ),
            (
                "permission denied while trying to connect to the Docker daemon socket at \
                 unix:///var/run/docker.sock: Get \"http://x\": dial unix: connect: permission denied",
                "you have no right to use Docker at unix:///var/run/docker.sock: join its group (`sudo usermod -aG \
                 docker $USER`, then log in again), or run the same command with sudo",
            ),
            (
                "context \"x\": context not found",
                "Docker does not answer: `docker info` failed: context \"x\": context not found",
            ),
        ] {
            assert_eq!(explain(Runtime::Docker, &failed(stderr)), sentence);
        }
    }
}
