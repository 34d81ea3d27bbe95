//! The container runtimes, and why one does not answer.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::engine::Engine;
use crate::tool::ToolError;

/// How both runtimes say that the user may not use them.
const DENIED: &str = "permission denied";

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

    /// Whether one answers on this machine.
    pub(crate) fn answering() -> Answer {
        let mut refused = None;
        for runtime in Self::ALL {
            match Engine::here(runtime).describe() {
                Ok(_) => return Answer::Yes(runtime),
                Err(error) if denies(&error) => {
                    refused = refused.or_else(|| Some(explain(runtime, &error)));
                }
                Err(_) => {}
            }
        }
        refused.map_or(Answer::No, Answer::Refused)
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

/// Whether a runtime answers.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Answer {
    /// This one does.
    Yes(Runtime),
    /// One is there, and may not be used by this user: why, and what to do.
    Refused(String),
    /// None does.
    No,
}

/// Whether it is the user's rights that keep a runtime from answering.
fn denies(error: &ToolError) -> bool {
    matches!(error, ToolError::Failed { stderr, .. } if stderr.to_lowercase().contains(DENIED))
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
    if said.contains(DENIED) {
        return format!(
            "you have no right to use {runtime}{place}: join its group (`sudo usermod -aG {} $USER`, then log in \
             again), or run the same command with sudo",
            runtime.program()
        );
    }
    if said.contains("cannot connect") || said.contains("is the docker daemon running") {
        // Nothing that is started here would answer there.
        if place.contains("tcp://") || place.contains("ssh://") {
            return format!("{runtime} does not answer{place}: check what DOCKER_HOST names, or unset it");
        }
        return format!(
            "{runtime} does not answer{place}: start it (`sudo systemctl start {}`)",
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
                "Docker does not answer at unix:///var/run/docker.sock: start it (`sudo systemctl start docker`)",
            ),
            (
                "Cannot connect to the Docker daemon at tcp://127.0.0.1:1. Is the docker daemon running?",
                "Docker does not answer at tcp://127.0.0.1:1: check what DOCKER_HOST names, or unset it",
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
            assert_eq!(denies(&failed(stderr)), sentence.starts_with("you have no right"));
        }
    }
}
