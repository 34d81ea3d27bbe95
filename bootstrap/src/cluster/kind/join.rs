//! Using a cluster that is there: one of ours, or with `--reuse` one of somebody else's.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    time::Instant,
};

use anyhow::Context as _;
use jiff::Timestamp;

use super::{
    Kind,
    containers::Container,
    create::{USABLE_WITHIN, access},
    engine::Engine,
    existing,
    facts::{Facts, SCHEMA_VERSION},
    kernel,
    load::Nodes,
    network,
    program::Program,
};
use crate::{
    cluster::{Created, Say, usable},
    failure::Failure,
};

impl Kind {
    /// Uses a cluster that is there, with these nodes.
    pub(super) fn join(
        &self,
        engine: &Engine,
        facts: Option<&Facts>,
        nodes: &[Container],
        say: Say<'_>,
    ) -> anyhow::Result<Created> {
        if let Some(reason) = existing::unfit(facts, nodes, &self.request) {
            return Err(Failure::infrastructure(reason).into());
        }
        if facts.is_none() {
            self.record.write(&Facts {
                schema_version: SCHEMA_VERSION,
                engine: engine.clone(),
                found: true,
                begun: Timestamp::now(),
                complete: true,
                containers: BTreeSet::new(),
                nodes: nodes.len(),
                image: None,
                network_is_ours: false,
                raised: kernel::Raises::new(),
            })?;
        }
        let (kubeconfig, context) = access(&self.record, self.name());
        self.write_kubeconfig(engine, &kubeconfig, say)?;
        let lasting = self.request.reuse || facts.is_none();
        let created =
            Created { kubeconfig, context: Some(context), lasting, local: true, figures: BTreeMap::new() };
        if facts.is_some() {
            network::lift_limits(&created)?;
        }
        let count = nodes.iter().filter(|node| node.is_node()).count();
        usable::wait(&created, count, Instant::now(), USABLE_WITHIN, &self.cancel)?;
        let into = Nodes { engine, cluster: self.name(), containers: nodes, cancel: &self.cancel };
        into.load(&self.request.images).context("loading images")?.into_iter().for_each(&mut *say);
        say(format!("cluster `{}` runs already and is used", self.name()));
        Ok(created)
    }

    /// Asks `kind` for the kubeconfig, and keeps it where its owner alone can read it.
    pub(super) fn write_kubeconfig(&self, engine: &Engine, place: &Path, say: Say<'_>) -> anyhow::Result<()> {
        use std::os::unix::fs::PermissionsExt as _;
        let text =
            Program::find(&self.fetching, say)?.tool(engine, self.name(), &["get", "kubeconfig"]).run()?;
        fs::write(place, text)
            .and_then(|()| fs::set_permissions(place, fs::Permissions::from_mode(0o600)))
            .with_context(|| format!("writing {}", place.display()))
    }
}
