//! The program `kind`: the one of the PATH where it is new enough, else the release that we bring.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::anyhow;
use bootstrap_embedded::{AssetSource, Error, KIND_VERSION};

use super::{engine::Engine, mark::Mark, processes::marked};
use crate::{
    cluster::{Say, embedded},
    failure::Failure,
    tool::{Cancel, Tool, ToolError},
};

/// How long copying the logs of all nodes may take; who collects evidence has two minutes for it.
const LOGS_WITHIN: Duration = Duration::from_secs(100);

/// `kind`, for one cluster.
#[derive(Clone, Debug)]
pub(super) struct Program {
    path: PathBuf,
}

impl Program {
    /// Finds it, or fetches or builds it, which may take a minute, once.
    ///
    /// One of the PATH that is newer than ours is taken: whoever installed it has node images for it, and the flags that
    /// are used here are stable. An older one lacks images of today's Kubernetes, so it is passed over.
    pub(super) fn find(cancel: &Cancel, say: Say<'_>) -> anyhow::Result<Self> {
        match Tool::new("kind").args(["version"]).run() {
            Ok(said) if is_new_enough(&said, KIND_VERSION) => return Ok(Self { path: "kind".into() }),
            Ok(said) => say(format!(
                "{} of the PATH is older than {KIND_VERSION}: another is taken",
                said.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
            )),
            Err(ToolError::Missing { .. }) => {}
            Err(error) => say(format!("the program kind of the PATH is of no use: {error}")),
        }
        let path = bootstrap_embedded::fetch_kind(&AssetSource::from_env(), cancel, &mut |progress| {
            embedded::tell(&progress, say);
        });
        path.map(|path| Self { path }).map_err(|error| match error {
            Error::Cancelled(_) => Failure::cancelled(error.to_string()).into(),
            Error::Assets(reason) => anyhow!("the program kind cannot be had: {reason}"),
            error => error.into(),
        })
    }

    /// `kind` with these arguments, for a cluster at a runtime; it and what it starts carry the mark.
    pub(super) fn tool<'a>(
        &self,
        engine: &Engine,
        cluster: &str,
        mark: Option<&Mark>,
        args: &[&str],
    ) -> Tool<'a> {
        let tool = engine
            .reach(Tool::new(&self.path))
            .args(args)
            .args(["--name", cluster])
            .env("KIND_EXPERIMENTAL_PROVIDER", engine.runtime.program());
        marked(tool, mark)
    }

    /// Copies the logs of all nodes into a folder.
    pub(super) fn export_logs(
        &self,
        engine: &Engine,
        cluster: &str,
        mark: Option<&Mark>,
        folder: &Path,
    ) -> Result<(), ToolError> {
        let tool = self.tool(engine, cluster, mark, &["export", "logs"]);
        tool.args([folder]).within(LOGS_WITHIN).run().map(drop)
    }
}

/// Whether what `kind version` printed is this version or a later one. One that is yet to be released is no release.
fn is_new_enough(said: &str, wanted: &str) -> bool {
    let numbers = |version: &str| -> Option<Vec<u32>> {
        let numbers =
            version.strip_prefix('v')?.split('.').map(str::parse).collect::<Result<Vec<_>, _>>().ok()?;
        (numbers.len() == 3).then_some(numbers)
    };
    let found = said.split_whitespace().nth(1).and_then(numbers);
    found.is_some_and(|found| Some(found) >= numbers(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_of_the_path_must_be_this_version_or_a_later_one() {
        let new_enough =
            |version: &str| is_new_enough(&format!("kind {version} go1.26.8 linux/amd64\n"), "v0.33.0");
        for version in ["v0.33.0", "v0.33.1", "v0.34.0", "v1.0.0"] {
            assert!(new_enough(version), "{version}");
        }
        for version in ["v0.32.9", "v0.9.0", "v0.34.0-alpha", "0.33.0", "v0.33", ""] {
            assert!(!new_enough(version), "{version}");
        }
        assert!(!is_new_enough("", "v0.33.0"));
    }
}
