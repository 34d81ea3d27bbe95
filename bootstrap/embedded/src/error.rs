//! What can go wrong, in sentences that name the object, the reason and the next step.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use bootstrap_image::ImageError;

/// A cluster could not be made, used or removed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The name cannot be a cluster's.
    #[error("`{name}` cannot be a cluster's name: {reason}")]
    Name {
        /// The name as given.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A setting that no cluster can have.
    #[error("{0}")]
    Setting(String),
    /// An embedded cluster makes namespaces, links and cgroups, which only root may.
    #[error("an embedded cluster needs root: run the same command with sudo")]
    NotRoot,
    /// Programs that the host lacks.
    #[error("this machine lacks {}: install them with `{install}`", programs.join(", "))]
    MissingPrograms {
        /// What is missing.
        programs: Vec<String>,
        /// The command, or the list of packages, that brings them.
        install: String,
    },
    /// Something else about the host that no cluster can live with.
    #[error("{0}")]
    Host(String),
    /// A file operation failed.
    #[error("cannot {action} {}: {source}{}", path.display(), next_step(source))]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// A program that does the privileged work refused.
    #[error("`{command}` failed: {reason}")]
    Program {
        /// The command line.
        command: String,
        /// Its own words, or how it ended.
        reason: String,
    },
    /// A part of the cluster ended while it was needed.
    #[error("{component} of cluster `{cluster}` ended while waiting for {awaited}; its log {} ends with:\n{tail}", log.display())]
    Died {
        /// The cluster.
        cluster: String,
        /// Which part.
        component: String,
        /// What was waited for.
        awaited: String,
        /// Where its whole log is.
        log: PathBuf,
        /// The log's last lines.
        tail: String,
    },
    /// A wait reached its deadline.
    #[error("cluster `{cluster}`: waited {}s in vain for {awaited}{}", limit.as_secs(), if detail.is_empty() { String::new() } else { format!(": {detail}") })]
    Timeout {
        /// The cluster.
        cluster: String,
        /// What was waited for.
        awaited: String,
        /// The limit.
        limit: Duration,
        /// The last answer seen.
        detail: String,
    },
    /// The caller cancelled.
    #[error("cancelled while waiting for {0}")]
    Cancelled(String),
    /// The binaries could not be had.
    #[error("no Kubernetes binaries: {0}")]
    Assets(String),
    /// An image could not be written or read.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// A certificate could not be made.
    #[error("cannot make the certificate of {subject}: {source}")]
    Certificate {
        /// Whose.
        subject: String,
        /// The reason.
        #[source]
        source: rcgen::Error,
    },
    /// A failure that a full disk explains.
    #[error("the disk of {} is too full ({free_mib} MiB left): free some space there and try again; it showed as: {sign}", path.display())]
    DiskFull {
        /// The folder.
        path: PathBuf,
        /// What is left there.
        free_mib: u64,
        /// How it showed.
        sign: Box<Self>,
    },
    /// A failure, and one more while cleaning up after it.
    #[error("{reason}; then, while cleaning up: {also}")]
    CleanUp {
        /// The first failure.
        reason: Box<Self>,
        /// The second.
        also: Box<Self>,
    },
    /// There is no such cluster.
    #[error(
        "there is no running embedded cluster `{0}`: create it with `kfe2e up --cluster embedded --name {0}`"
    )]
    NoCluster(String),
    /// A cluster of the name runs, and the caller must have one of its own.
    #[error(
        "cluster `{name}` runs already: choose another name, or remove it with `kfe2e down --cluster embedded --name {name}`"
    )]
    AlreadyRunning {
        /// The cluster.
        name: String,
    },
    /// A cluster of the name runs, and is another than the one that is asked for.
    #[error(
        "cluster `{name}` runs already {how}: end it first with `kfe2e down --cluster embedded --name {name}`"
    )]
    AnotherRuns {
        /// The cluster.
        name: String,
        /// In what it is another.
        how: String,
    },
    /// A cluster that was made runs in part, or does not answer. It is left as it is.
    #[error(
        "cluster `{cluster}` runs but is not healthy: {reason}; remove it with `kfe2e down --cluster embedded --name {cluster}`"
    )]
    Unhealthy {
        /// The cluster.
        cluster: String,
        /// What is dead or does not answer.
        reason: String,
    },
    /// Parts of a cluster outlived its removal, or steps of it failed.
    #[error("cluster `{cluster}` is not wholly gone: {}; mend that and run `kfe2e down --name {cluster}` again", left.join("; "))]
    Leftovers {
        /// The cluster.
        cluster: String,
        /// Why steps failed, then each part that is still there.
        left: Vec<String>,
    },
}

impl Error {
    /// Wraps the failure of `action` on `path`, for `map_err`.
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }

    /// A program's refusal.
    pub(crate) fn program(command: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Program { command: command.into(), reason: reason.into() }
    }

    /// Whether the machine or the request is at fault in a way that shows before anything is done.
    pub const fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::Name { .. }
                | Self::Setting(_)
                | Self::NotRoot
                | Self::MissingPrograms { .. }
                | Self::Host(_)
                | Self::Image(ImageError::NotALayout { .. } | ImageError::Name { .. })
        )
    }
}

/// What to do about reasons that people can do something about.
fn next_step(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::StorageFull => "; the disk is full: free some space there and try again",
        io::ErrorKind::QuotaExceeded => "; the quota is used up: free some space there and try again",
        io::ErrorKind::ReadOnlyFilesystem => "; choose a folder that can be written",
        _ => "",
    }
}

/// The last `lines` lines of a log, from the line on that says why the program ended if there is one; or why
/// the log cannot be read.
pub(crate) fn tail(path: &Path, lines: usize) -> String {
    match std::fs::read(path) {
        Ok(bytes) => {
            let text = String::from_utf8_lossy(&bytes);
            let all: Vec<&str> = text.lines().collect();
            let last = all.len().saturating_sub(lines);
            let start = all.iter().position(|line| is_last_word(line)).unwrap_or(last);
            all.iter().skip(start).take(lines).copied().collect::<Vec<_>>().join("\n")
        }
        Err(e) => format!("(the log cannot be read: {e})"),
    }
}

/// What a Go program prints before the stack of a crash.
fn is_last_word(line: &str) -> bool {
    line.starts_with("panic: ")
        || line.starts_with("fatal error: ")
        || [r#""level":"panic""#, r#""level":"fatal""#, "level=fatal"]
            .iter()
            .any(|level| line.contains(level))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_named_with_its_path() {
        let full = io::Error::from_raw_os_error(28);
        let said = Error::io("write", "/var/lib/kfe2e/a/state.json")(full).to_string();
        assert!(said.contains("/var/lib/kfe2e/a/state.json") && said.contains("the disk is full"), "{said}");
    }

    #[test]
    fn a_tail_is_the_last_lines() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "a\nb\nc\n").unwrap();
        assert_eq!(tail(file.path(), 2), "b\nc");
        std::fs::write(file.path(), "a\npanic: no space\nstack\nstack\nstack\n").unwrap();
        assert_eq!(tail(file.path(), 2), "panic: no space\nstack");
        assert!(tail(Path::new("/no/such"), 2).contains("cannot be read"));
    }
}
