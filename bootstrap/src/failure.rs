//! How a command of `kfe2e` ends when it does not succeed.

use std::fmt;

use crds::ExitCode;

/// An exit code with the sentence that people read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Failure {
    /// What the process exits with.
    pub code: ExitCode,
    /// One sentence: what is wrong, where, what is allowed or what to do next.
    pub message: String,
}

impl Failure {
    /// Wrong flags or files, found before any side effect.
    pub fn usage(message: impl Into<String>) -> Self {
        Self { code: ExitCode::Usage, message: message.into() }
    }

    /// That a step ended because it was asked to: no error of the machine.
    pub fn cancelled(message: impl Into<String>) -> Self {
        Self { code: ExitCode::Cancelled, message: message.into() }
    }

    /// The same, with why a kind of cluster was taken where nobody named one: whoever is refused may have meant another.
    #[must_use]
    pub fn with_reason(mut self, because: Option<&str>) -> Self {
        if let Some(because) = because {
            self.message = format!("{} ({because})", self.message);
        }
        self
    }

    /// Host, cluster, cloud or disk.
    pub fn infrastructure(message: impl Into<String>) -> Self {
        Self { code: ExitCode::Infrastructure, message: message.into() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

impl From<anyhow::Error> for Failure {
    /// An error of a step; a [`Failure`] inside keeps its exit code, anything else is infrastructure.
    fn from(error: anyhow::Error) -> Self {
        match error.downcast::<Self>() {
            Ok(failure) => failure,
            Err(error) => Self::infrastructure(format!("{error:#}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_why_this_kind_of_cluster_was_taken() {
        let refused = || Failure::usage("no nodes");
        assert_eq!(refused().with_reason(None), refused());
        let because = "--cluster embedded is taken, as neither answers";
        assert_eq!(refused().with_reason(Some(because)), Failure::usage(format!("no nodes ({because})")));
    }
}
