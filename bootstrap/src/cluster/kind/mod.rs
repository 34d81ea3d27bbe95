//! KinD: Kubernetes in Docker or Podman, by the program `kind`.
//!
//! Everything of a cluster is found again by its name: the record that is written first, the label that `kind` gives its
//! containers, the variable that marks the programs at work. The user's own kubeconfig is never touched.

mod check;
mod config;
mod containers;
mod create;
mod engine;
mod existing;
mod facts;
mod join;
mod kernel;
mod load;
mod network;
mod node_images;
mod processes;
mod program;
mod remove;
mod request;
mod runtime;
mod said;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

use anyhow::Context as _;
use clap::Args;

pub(crate) use runtime::Runtime;

use self::{
    create::{Maker, access},
    engine::Engine,
    existing::Existing,
    facts::Facts,
    load::Nodes,
    program::Program,
    request::Request,
};
use super::{
    Cluster, ClusterKind, ClusterSettings, Created, Record, Say, blocking::block_on, kubectl,
    made::remove_made,
};
use crate::{failure::Failure, run::up::client, tool::Cancel};

/// Flags of `--cluster kind`.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "With --cluster kind")]
pub struct KindArgs {
    /// A kind configuration of your own, such as Kubeflow's; what Kubeflow needs is added where it says nothing.
    #[arg(long, value_name = "FILE")]
    pub kind_config: Option<PathBuf>,
    /// Image of the nodes [default: kind's own for its version].
    #[arg(long, value_name = "IMAGE", env = "KFE2E_KIND_IMAGE")]
    pub kind_image: Option<String>,
    /// Use the cluster of this name if it runs already: it stays, and only what is made in it is removed.
    #[arg(long)]
    pub reuse: bool,
}

impl KindArgs {
    /// The first flag that was given.
    pub fn given(&self) -> Option<&'static str> {
        [("--kind-config", self.kind_config.is_some()), ("--reuse", self.reuse)]
            .into_iter()
            .find_map(|(flag, given)| given.then_some(flag))
    }
}

/// A KinD cluster.
pub struct Kind {
    request: Request,
    record: Record,
    cancel: Cancel,
    /// The same for what fetches programs.
    fetching: bootstrap_embedded::Cancel,
    /// Whether this process found it running: then it stays when this process is done with it.
    lasting: AtomicBool,
}

impl Kind {
    /// The cluster that the settings ask for.
    pub fn new(settings: &ClusterSettings) -> Result<Self, Failure> {
        Ok(Self {
            request: Request::new(settings)?,
            record: Record::of(ClusterKind::Kind, &settings.name),
            cancel: Cancel::default(),
            fetching: bootstrap_embedded::Cancel::default(),
            lasting: AtomicBool::new(false),
        })
    }

    fn name(&self) -> &str {
        &self.request.name
    }

    /// The record, and where the cluster's containers are or would be.
    fn recorded(&self) -> anyhow::Result<(Option<Facts>, Engine)> {
        let facts: Option<Facts> = self.record.read()?;
        let engine = match &facts {
            Some(facts) => facts.engine.clone(),
            None => Engine::find()?.0,
        };
        engine.describe().map_err(|error| match &facts {
            None => engine.refused(&error),
            Some(_) => Failure::infrastructure(format!(
                "{}; if it is gone for good, with cluster `{}` in it, remove the record {}",
                engine.refused(&error),
                self.name(),
                self.record.file("").display()
            )),
        })?;
        Ok((facts, engine))
    }

    /// Whether there are containers of this name, whoever made them.
    fn is_there(&self, engine: &Engine) -> Result<bool, Failure> {
        let found = containers::of_cluster(engine, self.name());
        found.map(|found| !found.is_empty()).map_err(|error| Failure::infrastructure(error.to_string()))
    }

    /// Of a cluster that stays, removes what was made in it.
    fn remove_what_was_made(
        &self,
        facts: Option<&Facts>,
        engine: Option<&Engine>,
        say: Say<'_>,
    ) -> anyhow::Result<()> {
        let nodes = engine.map(|engine| containers::of_cluster(engine, self.name())).transpose()?;
        if nodes.is_some_and(|nodes| !nodes.is_empty()) {
            let (kubeconfig, context) = access(&self.record, self.name());
            let figures = BTreeMap::new();
            let created = Created { kubeconfig, context: Some(context), lasting: true, figures };
            block_on(async {
                let client = client(&created).await?;
                Box::pin(remove_made(&client, say)).await
            })??;
        }
        // Of a cluster that was found, the record is all that is ours.
        if facts.is_some_and(|facts| facts.found) {
            self.record.remove()?;
        }
        Ok(())
    }
}

impl Cluster for Kind {
    fn check(&self) -> Result<(), Failure> {
        let size_of_images = check::size_of_images(&self.request)?;
        if self.record.exists() {
            let (_, engine) = self.recorded().map_err(Failure::from)?;
            if self.is_there(&engine)? {
                return Ok(());
            }
        }
        let (engine, description) = Engine::find()?;
        // Of a cluster that is there, the disk has what it takes, and its ports are in use by itself.
        if self.is_there(&engine)? {
            return Ok(());
        }
        check::check(&self.request, size_of_images, &engine, &description)
    }

    fn check_removal(&self) -> Result<(), Failure> {
        if self.record.exists() {
            return self.recorded().map(drop).map_err(Failure::from);
        }
        Ok(())
    }

    fn create(&self, say: Say<'_>) -> anyhow::Result<Created> {
        let _alone = facts::lock_cluster(&self.record, self.name(), &self.cancel, say)?;
        let (facts, engine) = self.recorded()?;
        let found = existing::judge(facts.as_ref(), &containers::of_cluster(&engine, self.name())?);
        if let Some(reason) = existing::refusal(&found, &self.request) {
            return Err(Failure::infrastructure(reason).into());
        }
        match (found, &facts) {
            (Existing::Ours, Some(facts)) => return self.join(&engine, Some(facts), say),
            (Existing::Foreign, _) => return self.join(&engine, None, say),
            (Existing::Leftovers, Some(facts)) => {
                say("removing what an interrupted attempt left".to_owned());
                remove::remove(&self.record, self.name(), facts, say)?;
            }
            _ => {}
        }
        // What is left of a name says nothing about where a new cluster goes.
        let (engine, description) = Engine::find()?;
        let program = Program::find(&self.fetching, say)?;
        let (request, record, cancel) = (&self.request, &self.record, &self.cancel);
        Maker { request, record, program, engine, description, cancel }.make(say)
    }

    fn interrupt(&self) {
        self.cancel.cancel();
        self.fetching.cancel();
    }

    fn load_images(&self, layouts: &[PathBuf], say: Say<'_>) -> anyhow::Result<()> {
        let (_, engine) = self.recorded()?;
        let nodes = containers::of_cluster(&engine, self.name())?;
        if nodes.is_empty() {
            let missing =
                format!("there is no kind cluster `{}`: `kfe2e up --cluster kind` makes one", self.name());
            return Err(Failure::infrastructure(missing).into());
        }
        let into = Nodes { engine: &engine, cluster: self.name(), containers: &nodes, cancel: &self.cancel };
        into.load(layouts)?.into_iter().for_each(say);
        Ok(())
    }

    fn kubectl(&self, say: Say<'_>) -> anyhow::Result<PathBuf> {
        // A client may be a minor version older or newer than what it talks to, and rendering talks to nobody.
        kubectl::on_the_path_or_fetched(&self.fetching, say)
    }

    fn evidence(&self, folder: &Path) -> anyhow::Result<()> {
        let (_, engine) = self.recorded()?;
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        Program::find(&self.fetching, &mut |_| {})?.export_logs(&engine, self.name(), folder)?;
        Ok(())
    }

    fn destroy(&self, say: Say<'_>) -> anyhow::Result<()> {
        // A removal that was begun goes on after an interrupt.
        let _alone = facts::lock_cluster(&self.record, self.name(), &Cancel::default(), say)?;
        let (facts, engine) = match self.recorded() {
            // Without a runtime and without a record there is nothing, and nothing to ask.
            Err(_) if !self.record.exists() => (None, None),
            outcome => outcome.map(|(facts, engine)| (facts, Some(engine)))?,
        };
        if self.lasting.load(Ordering::Relaxed)
            || facts.as_ref().is_some_and(|facts| facts.found || self.request.reuse)
        {
            return self.remove_what_was_made(facts.as_ref(), engine.as_ref(), say);
        }
        if let Some(facts) = facts {
            return remove::remove(&self.record, self.name(), &facts, say);
        }
        let containers = engine.map(|engine| containers::of_cluster(&engine, self.name())).transpose()?;
        if containers.is_some_and(|containers| !containers.is_empty()) {
            let name = self.name();
            return Err(Failure::infrastructure(format!(
                "kind cluster `{name}` was not made by kfe2e: remove it with `kind delete cluster --name {name}`"
            ))
            .into());
        }
        say(format!("there is no cluster {}", self.name()));
        Ok(())
    }
}
