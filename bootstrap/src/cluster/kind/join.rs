//! Using a cluster that is there: one of ours, or with `--reuse` one of somebody else's.

use std::{collections::BTreeMap, fs, path::Path, sync::atomic::Ordering};

use anyhow::Context as _;

use super::{
    Kind, containers, create::access, engine::Engine, existing, facts::Facts, kernel, load::Nodes,
    program::Program, usable::Usable,
};
use crate::{
    cluster::{Created, Say},
    failure::Failure,
};

impl Kind {
    /// Uses a cluster that is there.
    pub(super) fn join(
        &self,
        engine: &Engine,
        facts: Option<&Facts>,
        say: Say<'_>,
    ) -> anyhow::Result<Created> {
        let nodes = containers::of_cluster(engine, self.name())?;
        if let Some(reason) = existing::unfit(facts, &nodes, &self.request) {
            return Err(Failure::infrastructure(reason).into());
        }
        if facts.is_none() {
            self.record.write(&Facts {
                engine: engine.clone(),
                found: true,
                complete: true,
                nodes: nodes.len(),
                image: None,
                network_is_ours: false,
                raised: kernel::Raises::new(),
            })?;
        }
        let (kubeconfig, context) = access(&self.record, self.name());
        self.write_kubeconfig(engine, &kubeconfig, say)?;
        let usable = Usable::new(&kubeconfig, &context, &self.cancel)?;
        let names = nodes.iter().filter(|node| node.is_node()).map(|node| node.name.clone());
        usable.nodes(&names.collect::<Vec<_>>())?;
        if facts.is_some() {
            usable.lift_network_limits()?;
        }
        usable.default_account_and_dns()?;
        let into = Nodes { engine, cluster: self.name(), containers: &nodes, cancel: &self.cancel };
        into.load(&self.request.images).context("loading images")?.into_iter().for_each(&mut *say);
        let lasting = self.request.reuse || facts.is_none();
        self.lasting.store(lasting, Ordering::Relaxed);
        say(format!("cluster `{}` runs already and is used", self.name()));
        Ok(Created { kubeconfig, context: Some(context), lasting, figures: BTreeMap::new() })
    }

    /// Asks `kind` for the kubeconfig, and keeps it where its owner alone can read it.
    fn write_kubeconfig(&self, engine: &Engine, place: &Path, say: Say<'_>) -> anyhow::Result<()> {
        use std::os::unix::fs::PermissionsExt as _;
        let text =
            Program::find(&self.fetching, say)?.tool(engine, self.name(), &["get", "kubeconfig"]).run()?;
        fs::write(place, text)
            .and_then(|()| fs::set_permissions(place, fs::Permissions::from_mode(0o600)))
            .with_context(|| format!("writing {}", place.display()))
    }
}
