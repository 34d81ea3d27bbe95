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
    fs,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use anyhow::Context as _;
use clap::Args;

pub(crate) use runtime::Runtime;

use self::{
    create::Maker, engine::Engine, existing::Existing, facts::Facts, load::Nodes, program::Program,
    request::Request,
};
use super::{Cluster, ClusterKind, ClusterSettings, Created, Record, Say, first_given, kubectl};
use crate::{failure::Failure, tool::Cancel};

/// Flags of `--cluster kind`.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "With --cluster kind")]
pub struct KindArgs {
    /// A kind configuration of your own, such as Kubeflow's; what Kubeflow needs is added where it says nothing.
    #[arg(long, value_name = "FILE")]
    pub kind_config: Option<PathBuf>,
    /// Image of the nodes [default: that of KFE2E_KIND_IMAGE, else kind's own for its version].
    #[arg(long, value_name = "IMAGE")]
    pub kind_image: Option<String>,
    /// Use the cluster of this name if it runs already: it stays, and only what is made in it is removed.
    #[arg(long)]
    pub reuse: bool,
}

impl KindArgs {
    /// The first flag that was given.
    pub fn given(&self) -> Option<&'static str> {
        first_given([
            ("--kind-config", self.kind_config.is_some()),
            ("--kind-image", self.kind_image.is_some()),
            ("--reuse", self.reuse),
        ])
    }
}

/// A KinD cluster.
pub struct Kind {
    request: Request,
    record: Record,
    cancel: Cancel,
    /// What [`Cluster::create`] of this process returned: whether it stays when this process is done with it.
    lasting: OnceLock<bool>,
    /// The run of this process, in a cluster that stays.
    invocation: OnceLock<String>,
}

impl Kind {
    /// The cluster that the settings ask for.
    pub fn new(settings: &ClusterSettings) -> Result<Self, Failure> {
        Ok(Self {
            request: Request::new(settings)?,
            record: Record::of(ClusterKind::Kind, &settings.name),
            cancel: Cancel::default(),
            lasting: OnceLock::new(),
            invocation: OnceLock::new(),
        })
    }

    fn name(&self) -> &str {
        &self.request.name
    }

    /// The record, and where the cluster's containers are or would be.
    fn recorded(&self) -> anyhow::Result<(Option<Facts>, Engine)> {
        let Some(facts) = Facts::read(&self.record)? else { return Ok((None, Engine::find()?.0)) };
        let engine = facts.engine.clone();
        engine.describe().map_err(|error| {
            Failure::infrastructure(format!(
                "{}; if it is gone for good, with cluster `{}` in it, remove the record {}",
                engine.refused(&error),
                self.name(),
                self.record.file("").display()
            ))
        })?;
        Ok((Some(facts), engine))
    }

    /// Keeps in mind what becomes of the cluster.
    fn decided(&self, created: Created) -> Created {
        // A process makes one cluster once.
        self.lasting.get_or_init(|| created.lasting);
        created
    }

    /// Whether there are containers of this name, whoever made them.
    fn is_there(&self, engine: &Engine) -> Result<bool, Failure> {
        let found = containers::of_cluster(engine, self.name());
        found.map(|found| !found.is_empty()).map_err(|error| Failure::infrastructure(error.to_string()))
    }

    /// Whether the cluster stays: as this process decided when it made or found it, else as the record says.
    fn stays(&self, facts: Option<&Facts>) -> bool {
        self.lasting.get().copied().unwrap_or_else(|| facts.is_some_and(|facts| facts.found))
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
        let mut containers = containers::of_cluster(&engine, self.name())?;
        let found = existing::judge(facts.as_ref(), &containers);
        if let (Existing::Foreign, Some(stale)) = (&found, facts.as_ref().filter(|facts| !facts.found)) {
            say(existing::replaced(self.name()));
            remove::remove(&self.record, self.name(), stale, say)?;
            containers.retain(|container| !stale.made(container));
        }
        if let Some(reason) = existing::refusal(&found, &self.request) {
            return Err(Failure::infrastructure(reason).into());
        }
        match (found, &facts) {
            (Existing::Ours, Some(facts)) => {
                let ours: Vec<_> = containers.into_iter().filter(|container| facts.made(container)).collect();
                return self.join(&engine, Some(facts), &ours, say).map(|created| self.decided(created));
            }
            (Existing::Foreign, _) => {
                let fresh = !self.record.exists();
                let joined = self.join(&engine, None, &containers, say);
                if joined.is_err() && fresh {
                    // Nothing was made in it.
                    self.record.remove()?;
                }
                return joined.map(|created| self.decided(created));
            }
            (Existing::Leftovers, Some(facts)) => {
                say("removing what an interrupted attempt left".to_owned());
                remove::remove(&self.record, self.name(), facts, say)?;
            }
            _ => {}
        }
        // What is left of a name says nothing about where a new cluster goes.
        let (engine, description) = Engine::find()?;
        let program = Program::find(&self.cancel, say)?;
        let (request, record, cancel) = (&self.request, &self.record, &self.cancel);
        let made = Maker { request, record, program, engine, description, cancel }.make(say)?;
        Ok(self.decided(made))
    }

    fn interrupt(&self) {
        self.cancel.cancel();
    }

    fn load_images(&self, layouts: &[PathBuf], say: Say<'_>) -> anyhow::Result<()> {
        let (facts, engine) = self.recorded()?;
        let nodes = self.usable_nodes(facts.as_ref(), &engine)?;
        let into = Nodes { engine: &engine, cluster: self.name(), containers: &nodes, cancel: &self.cancel };
        into.load(layouts)?.into_iter().for_each(say);
        Ok(())
    }

    fn kubectl(&self, say: Say<'_>) -> anyhow::Result<PathBuf> {
        // A client may be a minor version older or newer than what it talks to, and rendering talks to nobody.
        kubectl::on_the_path_or_fetched(&self.cancel, say)
    }

    fn evidence(&self, folder: &Path) -> anyhow::Result<()> {
        let (facts, engine) = self.recorded()?;
        if self.stays(facts.as_ref()) {
            // Its logs are its owner's: they tell of more than this run.
            return Ok(());
        }
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        Program::find(&self.cancel, &mut |_| {})?.export_logs(&engine, self.name(), folder)?;
        Ok(())
    }

    fn claims(&self, invocation: &str) -> anyhow::Result<()> {
        if self.lasting.get() != Some(&true) {
            return Ok(());
        }
        let _alone = facts::lock_cluster(&self.record, self.name(), &self.cancel, &mut |_| {})?;
        self.claims_lasting(invocation)
    }

    fn destroy(&self, say: Say<'_>) -> anyhow::Result<Vec<String>> {
        // A removal that was begun goes on after an interrupt.
        let _alone = facts::lock_cluster(&self.record, self.name(), &Cancel::default(), say)?;
        let (facts, engine) = match self.recorded() {
            // Without a runtime and without a record there is nothing, and nothing to ask.
            Err(_) if !self.record.exists() => (None, None),
            outcome => outcome.map(|(facts, engine)| (facts, Some(engine)))?,
        };
        if let Some(engine) = engine.as_ref().filter(|_| self.stays(facts.as_ref())) {
            return self.remove_what_was_made(facts.as_ref(), engine, say);
        }
        let containers = engine.map(|engine| containers::of_cluster(&engine, self.name())).transpose()?;
        let containers = containers.unwrap_or_default();
        if let Some(facts) = facts {
            if existing::judge(Some(&facts), &containers) == Existing::Foreign {
                say(existing::replaced(self.name()));
            }
            return remove::remove(&self.record, self.name(), &facts, say).map(|()| Vec::new());
        }
        if !containers.is_empty() {
            let name = self.name();
            return Err(Failure::infrastructure(format!(
                "kind cluster `{name}` was not made by kfe2e: remove it with `kind delete cluster --name {name}`"
            ))
            .into());
        }
        say(format!("there is no cluster {}", self.name()));
        Ok(Vec::new())
    }
}
