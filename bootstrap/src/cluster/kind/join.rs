//! Using a cluster that is there, and leaving it: one of ours, or with `--reuse` one of somebody else's.

use std::{collections::BTreeMap, time::Instant};

use anyhow::Context as _;

use super::{
    Kind,
    containers::{self, Container},
    create::{KUBECONFIG, USABLE_WITHIN, access},
    engine::Engine,
    existing::{self, Existing},
    facts::{Facts, SCHEMA_VERSION},
    load::Nodes,
    network,
    program::Program,
};
use crate::{
    cluster::{Created, Say, blocking::block_on, client, made::remove_made, usable},
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
                mark: None,
                complete: true,
                nodes: nodes.len(),
                image: None,
                network_is_ours: false,
            })?;
        }
        let (kubeconfig, context) = access(&self.record, self.name());
        self.write_kubeconfig(engine, say)?;
        let lasting = self.request.reuse || facts.is_none();
        let created =
            Created { kubeconfig, context: Some(context), lasting, local: true, figures: BTreeMap::new() };
        if facts.is_some() {
            network::lift_limits(&created)?;
        }
        let count = nodes.iter().filter(|node| node.is_node()).count();
        usable::wait(&created, count, Instant::now(), USABLE_WITHIN, &self.cancel)?;
        let mark = facts.and_then(|facts| facts.mark.as_ref());
        let into = Nodes { engine, mark, containers: nodes, cancel: &self.cancel };
        into.load(&self.request.images).context("loading images")?.into_iter().for_each(&mut *say);
        say(format!("cluster `{}` runs already and is used", self.name()));
        Ok(created)
    }

    /// The nodes of a cluster that is there and may be changed.
    pub(super) fn usable_nodes(
        &self,
        facts: Option<&Facts>,
        engine: &Engine,
    ) -> anyhow::Result<Vec<Container>> {
        let (found, split) = existing::judge(facts, containers::of_cluster(engine, self.name())?);
        if let Some(reason) = existing::refusal(found, &self.request) {
            return Err(Failure::infrastructure(reason).into());
        }
        let missing = || {
            let name = self.name();
            Failure::infrastructure(format!(
                "there is no kind cluster `{name}`: `kfe2e up --cluster kind --name {name}` makes one"
            ))
        };
        match found {
            Existing::Ours => Ok(split.ours),
            Existing::Foreign => Ok(split.others),
            Existing::Nothing | Existing::Leftovers => Err(missing().into()),
        }
    }

    /// Of a cluster that stays, removes what was made in it.
    pub(super) fn remove_what_was_made(
        &self,
        facts: Option<&Facts>,
        engine: &Engine,
        say: Say<'_>,
    ) -> anyhow::Result<()> {
        let (kubeconfig, context) = access(&self.record, self.name());
        // Who never had a kubeconfig made nothing, and of a cluster that is gone all is gone.
        if kubeconfig.is_file() && self.is_there(engine)? {
            // Its owner may have made it anew since, with other keys.
            self.write_kubeconfig(engine, say).with_context(|| {
                let name = self.name();
                format!("what kfe2e made in kind cluster `{name}` is removed when that answers: start it, or delete it")
            })?;
            let figures = BTreeMap::new();
            let created = Created { kubeconfig, context: Some(context), lasting: true, local: true, figures };
            block_on(async {
                let client = client(&created).await?;
                Box::pin(remove_made(&client, say)).await
            })??;
        }
        // Of a cluster that was found, the record is all that is ours.
        if facts.is_some_and(|facts| facts.mark.is_none()) {
            self.record.remove()?;
        }
        Ok(())
    }

    /// Asks `kind` for the kubeconfig, and keeps it where its owner alone can read it.
    fn write_kubeconfig(&self, engine: &Engine, say: Say<'_>) -> anyhow::Result<()> {
        let text = Program::find(&self.cancel, say)?
            .tool(engine, self.name(), None, &["get", "kubeconfig"])
            .run()?;
        self.record.keep(KUBECONFIG, text.as_bytes())
    }
}
