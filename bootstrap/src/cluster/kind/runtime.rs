//! What runs the nodes' containers: Docker or Podman.

use std::{fmt, time::Duration};

use crate::tool::Tool;

/// How long a container runtime may take to say that it is there.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);

/// A container runtime that `kind` can use.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Runtime {
    /// Docker.
    Docker,
    /// Podman.
    Podman,
}

impl Runtime {
    /// The first that answers on this machine.
    pub(crate) fn answering() -> Option<Self> {
        [Self::Docker, Self::Podman].into_iter().find(|runtime| runtime.answers().is_ok())
    }

    /// Its program.
    pub(crate) const fn program(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Podman => "podman",
        }
    }

    fn answers(self) -> Result<String, crate::tool::ToolError> {
        Tool::new(self.program()).args(["info"]).within(ANSWERS_WITHIN).run()
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
