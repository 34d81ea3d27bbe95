//! KinD: Kubernetes in Docker or Podman, by the program `kind`.
//!
//! Each attempt at a cluster has a mark of its own, which is recorded first: its containers carry it, and the programs at
//! work. What has the cluster's name and not the mark is somebody else's. The user's own kubeconfig is never touched.

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
mod mark;
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

use anyhow::{Context as _, bail};
use clap::Args;

pub(crate) use runtime::{Answer, Runtime};

use self::{
    create::Maker, engine::Engine, existing::Existing, facts::Facts, load::Nodes, mark::Mark,
    program::Program, request::Request,
};
use super::{Cluster, ClusterKind, ClusterSettings, Created, Record, Say, kubectl};
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

/// A KinD cluster.
pub struct Kind {
    request: Request,
    record: Record,
    cancel: Cancel,
    /// What [`Cluster::create`] of this process came to. It decides about the rest, whatever a record of the name says by
    /// then.
    outcome: OnceLock<Outcome>,
    /// The run of this process, in a cluster that stays.
    invocation: OnceLock<String>,
}

/// What making or finding a cluster came to.
enum Outcome {
    /// It is ours, and this is known of it.
    Ours(Facts),
    /// It stays when this process is done with it; the mark is that of one of ours.
    Lasting(Option<Mark>),
}

impl Kind {
    /// The cluster that the settings ask for.
    pub fn new(settings: &ClusterSettings) -> Result<Self, Failure> {
        Ok(Self {
            request: Request::new(settings)?,
            record: Record::of(ClusterKind::Kind, &settings.name),
            cancel: Cancel::default(),
            outcome: OnceLock::new(),
            invocation: OnceLock::new(),
        })
    }

    fn name(&self) -> &str {
        &self.request.name
    }

    /// What is known of the cluster: what this process made, else what is recorded.
    fn known(&self) -> anyhow::Result<Option<Facts>> {
        match self.outcome.get() {
            Some(Outcome::Ours(facts)) => Ok(Some(facts.clone())),
            Some(Outcome::Lasting(_)) | None => Facts::read(&self.record, self.name()),
        }
    }

    /// What is known of the cluster, and where its containers are or would be.
    fn reached(&self) -> anyhow::Result<(Option<Facts>, Engine)> {
        let Some(facts) = self.known()? else { return Ok((None, Engine::find()?.0)) };
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

    /// Keeps in mind what becomes of the cluster; a process makes one cluster once.
    fn decided(&self, created: Created, facts: Option<Facts>) -> Created {
        self.outcome.get_or_init(|| match facts {
            Some(facts) if !created.lasting => Outcome::Ours(facts),
            facts => Outcome::Lasting(facts.and_then(|facts| facts.mark)),
        });
        created
    }

    /// Whether there are containers of this name, whoever made them.
    fn is_there(&self, engine: &Engine) -> Result<bool, Failure> {
        let found = containers::of_cluster(engine, self.name());
        found.map(|found| !found.is_empty()).map_err(|error| Failure::infrastructure(error.to_string()))
    }

    /// Whether the cluster stays: as this process decided when it made or found it, else as the record says.
    fn stays(&self, facts: Option<&Facts>) -> bool {
        match self.outcome.get() {
            Some(outcome) => matches!(outcome, Outcome::Lasting(_)),
            None => facts.is_some_and(|facts| facts.mark.is_none()),
        }
    }

    /// Without a record nothing is ours; what there is of the name is said.
    fn tell_of_no_record(&self, say: Say<'_>) -> anyhow::Result<()> {
        let name = self.name();
        match Engine::find() {
            Ok((engine, _)) if self.is_there(&engine)? => Err(Failure::infrastructure(format!(
                "kind cluster `{name}` is not one that this user made with kfe2e, and stays: whoever made it removes it, with \
                 kfe2e or with `kind delete cluster --name {name}`"
            ))
            .into()),
            Ok(_) => {
                say(format!("there is no kind cluster {name}"));
                Ok(())
            }
            Err(failure) => {
                say(format!(
                    "no cluster {name} is recorded, and whether there is one cannot be told: {failure}"
                ));
                Ok(())
            }
        }
    }
}

impl Cluster for Kind {
    fn check(&self) -> Result<(), Failure> {
        let size_of_images = check::size_of_images(&self.request)?;
        if self.record.exists() {
            let (_, engine) = self.reached().map_err(Failure::from)?;
            if self.is_there(&engine)? {
                return Ok(());
            }
        }
        let (engine, description) = Engine::find_for_new()?;
        // Of a cluster that is there, the disk has what it takes, and its ports are in use by itself.
        if self.is_there(&engine)? {
            return Ok(());
        }
        check::check(&self.request, size_of_images, &engine, &description)
    }

    fn check_made(&self) -> Result<(), Failure> {
        if self.record.exists() {
            return self.reached().map(drop).map_err(Failure::from);
        }
        Ok(())
    }

    fn create(&self, say: Say<'_>) -> anyhow::Result<Created> {
        let _alone = facts::lock_cluster(&self.record, self.name(), &self.cancel, say)?;
        let (facts, engine) = self.reached()?;
        let (found, split) = existing::judge(facts.as_ref(), containers::of_cluster(&engine, self.name())?);
        if let Some(attempt) = facts.as_ref().filter(|facts| facts.mark.is_some()) {
            if found == Existing::Ours {
                existing::stay(self.name(), &split.others).into_iter().for_each(&mut *say);
            } else {
                say("removing what is left of an earlier attempt".to_owned());
                remove::remove(&self.record, self.name(), attempt, say)?;
            }
        }
        if let Some(reason) = existing::refusal(found, &self.request) {
            return Err(Failure::infrastructure(reason).into());
        }
        match found {
            Existing::Ours => {
                let created = self.join(&engine, facts.as_ref(), &split.ours, say)?;
                return Ok(self.decided(created, facts));
            }
            Existing::Foreign => {
                let fresh = !self.record.exists();
                let joined = self.join(&engine, None, &split.others, say);
                if joined.is_err() && fresh {
                    // Nothing was made in it.
                    self.record.remove()?;
                }
                return joined.map(|created| self.decided(created, None));
            }
            Existing::Nothing | Existing::Leftovers => {}
        }
        // What is left of a name says nothing about where a new cluster goes.
        let (engine, description) = Engine::find_for_new()?;
        let program = Program::find(&self.cancel, say)?;
        let (request, record, cancel) = (&self.request, &self.record, &self.cancel);
        let maker = Maker { request, record, program, engine, description, cancel };
        let (created, facts) = maker.make(say)?;
        Ok(self.decided(created, Some(facts)))
    }

    fn interrupt(&self) {
        self.cancel.cancel();
    }

    fn load_images(&self, layouts: &[PathBuf], say: Say<'_>) -> anyhow::Result<()> {
        let (facts, engine) = self.reached()?;
        let nodes = self.usable_nodes(facts.as_ref(), &engine)?;
        let mark = facts.as_ref().and_then(|facts| facts.mark.as_ref());
        let into = Nodes { engine: &engine, mark, containers: &nodes, cancel: &self.cancel };
        into.load(layouts)?.into_iter().for_each(say);
        Ok(())
    }

    fn kubectl(&self, say: Say<'_>) -> anyhow::Result<PathBuf> {
        // A client may be a minor version older or newer than what it talks to, and rendering talks to nobody.
        kubectl::on_the_path_or_fetched(&self.cancel, say)
    }

    fn evidence(&self, folder: &Path) -> anyhow::Result<()> {
        let (facts, engine) = self.reached()?;
        if self.stays(facts.as_ref()) {
            // Its logs are its owner's: they tell of more than this run.
            return Ok(());
        }
        let (existing, _) = existing::judge(facts.as_ref(), containers::of_cluster(&engine, self.name())?);
        if existing != Existing::Ours {
            bail!("cluster `{}` is gone, and with it the logs of its nodes", self.name());
        }
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        let mark = facts.as_ref().and_then(|facts| facts.mark.as_ref());
        Program::find(&self.cancel, &mut |_| {})?.export_logs(&engine, self.name(), mark, folder)?;
        Ok(())
    }

    fn claims(&self, invocation: &str, say: Say<'_>) -> anyhow::Result<()> {
        let Some(Outcome::Lasting(mark)) = self.outcome.get() else { return Ok(()) };
        let _alone = facts::lock_cluster(&self.record, self.name(), &self.cancel, say)?;
        self.claims_lasting(mark.as_ref(), invocation)
    }

    fn destroy(&self, say: Say<'_>) -> anyhow::Result<Vec<String>> {
        // A removal that was begun goes on after an interrupt.
        let _alone = facts::lock_cluster(&self.record, self.name(), &Cancel::default(), say)?;
        let known = self.known()?;
        if self.stays(known.as_ref()) {
            let (facts, engine) = self.reached()?;
            return self.remove_what_was_made(facts.as_ref(), &engine, say);
        }
        let Some(facts) = known else { return self.tell_of_no_record(say).map(|()| Vec::new()) };
        self.reached()?;
        remove::remove(&self.record, self.name(), &facts, say).map(|()| Vec::new())
    }
}
