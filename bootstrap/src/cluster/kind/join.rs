//! Using a cluster that is there, and leaving it: one of ours, or with `--reuse` one of somebody else's.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::Instant,
};

use anyhow::Context as _;

use super::{
    Kind,
    containers::{self, Container},
    create::{KUBECONFIG, USABLE_WITHIN, access},
    engine::Engine,
    existing::{self, Existing},
    facts::{Facts, SCHEMA_VERSION},
    load::Nodes,
    mark::Mark,
    network,
    program::Program,
};
use crate::{
    cluster::{
        Created, Say,
        blocking::block_on,
        client,
        made::{Whose, remove_made},
        usable,
    },
    failure::Failure,
    tool::Cancel,
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
            // What a run before this one made in it is still to be removed.
            let before = Facts::read(&self.record, self.name())?.filter(|before| before.mark.is_none());
            let invocations = before.map(|before| before.invocations).unwrap_or_default();
            self.record.write(&of_a_found_one(engine, nodes.len(), invocations))?;
        }
        let (kubeconfig, context) = access(&self.record, self.name());
        self.write_kubeconfig(engine, &self.cancel, say)?;
        let lasting = self.request.reuse || facts.is_none();
        let created =
            Created { kubeconfig, context: Some(context), lasting, local: true, figures: BTreeMap::new() };
        if facts.is_some() {
            network::lift_limits(&created, &self.cancel)?;
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

    /// Writes down who is about to claim a cluster that stays and was found with this mark, or none. What is not written
    /// down would stay for good, so without the record of that cluster it is an error.
    pub(super) fn claims_lasting(&self, mark: Option<&Mark>, invocation: &str) -> anyhow::Result<()> {
        let name = self.name();
        let fitting =
            Facts::read(&self.record, name)?.filter(|facts| facts.mark.as_ref() == mark).ok_or_else(|| {
                Failure::infrastructure(format!(
                    "another command, such as `kfe2e down`, has removed cluster `{name}` or its record since this one found \
                     it: nothing was made in it; run this again"
                ))
            });
        let mut facts = fitting?;
        self.invocation.get_or_init(|| invocation.to_owned());
        if facts.mark.is_none() {
            facts.invocations.insert(invocation.to_owned());
            self.record.write(&facts)?;
        }
        Ok(())
    }

    /// Of a cluster that stays, removes what this process made in it, or those that its record names. Returns what stays.
    pub(super) fn remove_what_was_made(
        &self,
        facts: Option<&Facts>,
        engine: &Engine,
        say: Say<'_>,
    ) -> anyhow::Result<Vec<String>> {
        let (kubeconfig, context) = access(&self.record, self.name());
        let mut left = Vec::new();
        // Of a cluster that is gone all is gone.
        let to_do = self.may_have_made_something(&kubeconfig) && self.is_there(engine)?;
        if to_do && facts.is_none() {
            // What cannot be removed now is a later one's to remove.
            self.record.write(&of_a_found_one(engine, self.request.node_count(), self.invocations(None)))?;
        }
        if to_do {
            // Its owner may have made it anew since, with other keys.
            self.write_kubeconfig(engine, &Cancel::default(), say).with_context(|| {
                let name = self.name();
                format!("what kfe2e made in kind cluster `{name}` is removed when that answers: start it, or delete it")
            })?;
            let figures = BTreeMap::new();
            let created = Created { kubeconfig, context: Some(context), lasting: true, local: true, figures };
            let whose = Whose::Of(self.invocations(facts));
            left = block_on(async {
                let client = client(&created).await?;
                Box::pin(remove_made(&client, &whose, say)).await
            })??;
        }
        // Of a cluster that was found, the record is all that is ours, once nothing in it is.
        if left.is_empty() && facts.is_none_or(|facts| facts.mark.is_none()) {
            self.record.remove()?;
        }
        Ok(left)
    }

    /// Whether there may be something of ours in a cluster that stays. A record without a kubeconfig is of one that nothing
    /// was made in; but whoever claimed it itself knows better, whatever became of the record.
    fn may_have_made_something(&self, kubeconfig: &Path) -> bool {
        self.invocation.get().is_some() || kubeconfig.is_file()
    }

    /// Whose things are removed from a cluster that stays.
    fn invocations(&self, facts: Option<&Facts>) -> BTreeSet<String> {
        match self.invocation.get() {
            Some(own) => [own.clone()].into(),
            None => facts.map(|facts| facts.invocations.clone()).unwrap_or_default(),
        }
    }

    /// Asks `kind` for the kubeconfig, and keeps it where its owner alone can read it.
    fn write_kubeconfig(&self, engine: &Engine, cancel: &Cancel, say: Say<'_>) -> anyhow::Result<()> {
        let get = Program::find(cancel, say)?.tool(engine, self.name(), None, &["get", "kubeconfig"]);
        let text = get.secret().run()?;
        self.record.keep(KUBECONFIG, text.as_bytes())
    }
}

/// The record of a cluster that was found, and is somebody's.
fn of_a_found_one(engine: &Engine, nodes: usize, invocations: BTreeSet<String>) -> Facts {
    Facts {
        schema_version: SCHEMA_VERSION,
        engine: engine.clone(),
        mark: None,
        invocations,
        complete: true,
        nodes,
        image: None,
        network_is_ours: false,
    }
}

#[cfg(test)]
mod tests {
    use std::{path::PathBuf, sync::OnceLock};

    use super::*;
    use crate::cluster::{
        ClusterKind, Record,
        kind::{request::Request, runtime::Runtime},
    };

    fn kind(record: &Record) -> Kind {
        let request = Request {
            name: "a".into(),
            nodes: 1,
            image: None,
            config: None,
            config_file: None,
            images: Vec::new(),
            must_be_new: false,
            reuse: true,
            failure_logs: PathBuf::new(),
        };
        let (outcome, invocation) = (OnceLock::new(), OnceLock::new());
        Kind { request, record: record.clone(), cancel: Cancel::default(), outcome, invocation }
    }

    #[test]
    fn of_a_cluster_that_was_found_only_what_recorded_runs_made_is_removed() {
        let root = tempfile::tempdir().unwrap();
        let record = Record::below(root.path(), ClusterKind::Kind, "a");
        let facts = of_a_found_one(&Engine::here(Runtime::Podman), 1, BTreeSet::new());
        record.write(&facts).unwrap();
        // A run that was refused before it was about to claim the cluster has nothing in it.
        assert_eq!(kind(&record).invocations(Some(&facts)), BTreeSet::new());
        let (kept, refused) = (kind(&record), kind(&record));
        kept.claims_lasting(None, "kept").unwrap();
        refused.claims_lasting(None, "refused").unwrap();
        let facts = Facts::read(&record, "a").unwrap();
        // The process of a run removes what itself made; a later one what any run of the record did.
        assert_eq!(refused.invocations(facts.as_ref()), ["refused".to_owned()].into());
        let all = ["kept".to_owned(), "refused".to_owned()].into();
        assert_eq!(kind(&record).invocations(facts.as_ref()), all);
    }

    #[test]
    fn a_cluster_whose_record_is_gone_or_anothers_is_not_claimed() {
        let root = tempfile::tempdir().unwrap();
        let record = Record::below(root.path(), ClusterKind::Kind, "a");
        let mark = Mark::from("m");
        let found = of_a_found_one(&Engine::here(Runtime::Podman), 1, BTreeSet::new());
        let made = Facts { mark: Some(mark.clone()), ..found.clone() };
        let claims = |recorded: Option<&Facts>, mark| {
            recorded.map_or_else(|| record.remove(), |facts| record.write(facts)).unwrap();
            let kind = kind(&record);
            kind.claims_lasting(mark, "run").map(|()| kind.invocation.get().cloned())
        };
        for (recorded, mark) in [(Some(&found), None), (Some(&made), Some(&mark))] {
            assert_eq!(claims(recorded, mark).unwrap().as_deref(), Some("run"));
        }
        let other = Mark::from("n");
        for (recorded, mark) in
            [(None, None), (Some(&made), None), (None, Some(&mark)), (Some(&made), Some(&other))]
        {
            let refused = claims(recorded, mark).unwrap_err().to_string();
            assert!(refused.contains("has removed cluster `a` or its record"), "{refused}");
        }
    }

    #[test]
    fn who_claimed_a_cluster_does_not_take_a_missing_kubeconfig_for_nothing_made() {
        let root = tempfile::tempdir().unwrap();
        let record = Record::below(root.path(), ClusterKind::Kind, "a");
        let kubeconfig = record.file(KUBECONFIG);
        record.write(&of_a_found_one(&Engine::here(Runtime::Podman), 1, BTreeSet::new())).unwrap();
        let claimed = kind(&record);
        assert!(!claimed.may_have_made_something(&kubeconfig));
        claimed.claims_lasting(None, "run").unwrap();
        record.remove().unwrap();
        assert!(
            claimed.may_have_made_something(&kubeconfig)
                && !kind(&record).may_have_made_something(&kubeconfig)
        );
    }
}
