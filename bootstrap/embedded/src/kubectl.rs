//! Asking a cluster through `kubectl`, which comes with its binaries.

use std::path::PathBuf;

use crate::{
    Error,
    command::{Input, Tick, Tool},
    config::Layout,
};

/// kubectl for one cluster, as its administrator.
#[derive(Clone, Debug)]
pub(crate) struct Kubectl {
    program: PathBuf,
    layout: Layout,
}

impl Kubectl {
    pub(crate) fn new(program: PathBuf, layout: &Layout) -> Self {
        Self { program, layout: layout.clone() }
    }

    fn tool(&self) -> Tool {
        Tool::new(&self.program)
            .arg("--kubeconfig")
            .arg(self.layout.kubeconfig())
            .arg("--cache-dir")
            .arg(self.layout.kubectl_cache())
            // The cluster is on this host: a proxy for the outside could not reach it.
            .env("NO_PROXY", "*")
            .env("no_proxy", "*")
            .of(&self.layout.name)
    }

    /// Reads a path of the API.
    pub(crate) fn raw(&self, path: &str, tick: Tick<'_>) -> Result<String, Error> {
        self.tool().args(["--request-timeout=5s", "get", "--raw", path]).run_while(Input::Nothing, tick)
    }

    /// Applies a text of manifests.
    pub(crate) fn apply(&self, manifests: &str, tick: Tick<'_>) -> Result<(), Error> {
        let tool = self.tool().args([
            "apply",
            "--server-side",
            "--field-manager=kfe2e",
            "--validate=ignore",
            "-f",
            "-",
        ]);
        tool.run_while(Input::Text(manifests.to_owned()), tick).map(drop)
    }

    /// Waits by a watch until the object exists and has the condition. The limit is the caller's tick.
    pub(crate) fn wait(
        &self,
        namespace: &str,
        object: &str,
        condition: &str,
        tick: Tick<'_>,
    ) -> Result<(), Error> {
        let waits = ["--for=create".to_owned(), format!("--for=condition={condition}")];
        for wait in &waits {
            let tool = self.tool().args(["--namespace", namespace, "wait", "--timeout=1h", wait, object]);
            tool.run_while(Input::Nothing, tick)?;
        }
        Ok(())
    }
}
