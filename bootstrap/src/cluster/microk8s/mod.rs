//! MicroK8s as a snap on this machine. There is one a machine, so a name is the name of our record of it.

mod answer;
mod asked;
mod command;
mod images;
mod inspect;
mod lock;
mod machine;
mod make;
mod mark;
mod owner;
mod snapd;
mod steps;

use std::{
    path::{Path, PathBuf},
    sync::OnceLock,
};

pub use self::asked::Microk8sArgs;
use self::{
    answer::Answer,
    asked::Asked,
    command::Call,
    owner::{Recorded, Whose, whose},
    steps::{Facts, Start},
};
use super::{Cluster, ClusterKind, ClusterSettings, Created, Record, Say, kubectl};
use crate::{
    failure::Failure,
    tool::{Cancel, ToolError},
};

/// How often the snap may be found in yet another state before something else is taken to be at work on it.
const ROUNDS: usize = 6;

/// A MicroK8s cluster.
pub struct Microk8s {
    name: String,
    asked: Asked,
    images: Vec<PathBuf>,
    must_be_new: bool,
    failure_logs: PathBuf,
    record: Record,
    answer: Answer,
    cancel: Cancel,
    /// The attempt that this process has begun: of another one it removes nothing when it ends.
    begun: OnceLock<String>,
}

impl Microk8s {
    /// The cluster that the settings ask for.
    pub fn new(settings: &ClusterSettings) -> Result<Self, Failure> {
        if settings.nodes != 1 {
            return Err(Failure::usage(format!(
                "--nodes {}: MicroK8s on one machine has one node",
                settings.nodes
            )));
        }
        let record = Record::of(ClusterKind::Microk8s, &settings.name);
        Ok(Self {
            name: settings.name.clone(),
            asked: Asked::of(settings.kubernetes_version.as_deref(), &settings.for_microk8s)
                .map_err(Failure::usage)?,
            images: settings.images.clone(),
            must_be_new: settings.must_be_new,
            failure_logs: settings.failure_logs.clone(),
            answer: Answer::of(&record),
            record,
            cancel: Cancel::default(),
            begun: OnceLock::new(),
        })
    }

    /// How to begin, from what is there.
    fn start(&self) -> anyhow::Result<Start> {
        let facts = Facts {
            recorded: self.recorded()?,
            others: Record::names(ClusterKind::Microk8s)?
                .into_iter()
                .filter(|name| *name != self.name)
                .collect(),
            snap: snapd::look(&self.cancel).map_err(|error| machine::refused(&error))?,
        };
        Ok(steps::start(&self.name, &self.asked, self.must_be_new, &facts)?)
    }

    /// A call of `snap` or `microk8s` that ends soon when the cluster's making is interrupted.
    fn run(&self, call: &Call) -> anyhow::Result<String> {
        call.tool().cancelled_by(&self.cancel).run().map_err(cancelled)
    }

    fn recorded(&self) -> anyhow::Result<Option<Recorded>> {
        let Some(recorded) = self.record.read::<Recorded>()? else { return Ok(None) };
        Ok(Some(Recorded { change: self.answer.read()?, ..recorded }))
    }

    /// Waits for what an earlier `kfe2e` that was killed has asked of snapd.
    fn settle(&self, cancel: &Cancel, say: Say<'_>) -> anyhow::Result<()> {
        self.answer.settle(|| snapd::look(cancel).map_err(cancelled), say)
    }

    /// Whether the record is still of the cluster that this process made: somebody may have removed that, and another
    /// run may have made its own under the same name.
    fn still_this_one(&self) -> anyhow::Result<()> {
        let (Some(begun), Some(recorded)) = (self.begun.get(), self.recorded()?) else { return Ok(()) };
        if recorded.attempt == *begun {
            return Ok(());
        }
        Err(Failure::infrastructure(format!(
            "somebody has removed the cluster `{}` that was made here, and another run has made one of that name: it is \
             left alone",
            self.name
        ))
        .into())
    }

    /// Whether there is a cluster of this name, and it is ours.
    fn check_ours(&self, cancel: &Cancel) -> anyhow::Result<()> {
        if let Some(recorded) = self.recorded()? {
            let snap = snapd::look(cancel).map_err(cancelled)?;
            if whose(Some(&recorded), &snap) == Whose::Ours {
                return Ok(());
            }
        }
        anyhow::bail!(
            "there is no MicroK8s cluster `{0}` of ours: make it with `kfe2e up --cluster microk8s --name {0}`",
            self.name
        )
    }

    /// That the owner of the machine has to decide.
    fn unclear(&self) -> anyhow::Error {
        Failure::infrastructure(format!(
            "whether the snap microk8s is that of cluster `{}` or somebody's own cannot be told, so it stays: if it may \
             go, `snap remove --purge microk8s` and run this again; if not, delete the folder {}",
            self.name,
            self.record.file("").display()
        ))
        .into()
    }

    /// Removes the snap with its data, if it is ours, then the record; whatever interrupted the making does not
    /// interrupt this.
    fn remove(&self, say: Say<'_>) -> anyhow::Result<()> {
        self.settle(&Cancel::default(), say)?;
        let recorded = self.recorded()?;
        for _ in 0..ROUNDS {
            let whose = whose(recorded.as_ref(), &snapd::look(&Cancel::default())?);
            let Some(calls) = steps::removing(&whose) else {
                if whose == Whose::Unclear {
                    return Err(self.unclear());
                }
                if whose == Whose::Theirs {
                    say(format!(
                        "the snap microk8s is not, or no longer, the one that was installed for cluster `{}`: it \
                         stays, and the record of the cluster goes; if nobody wants it, `snap remove --purge microk8s`",
                        self.name
                    ));
                }
                return self.record.remove();
            };
            for call in calls {
                if call.may_fail {
                    call.tool().ended()?;
                } else {
                    call.tool().run()?;
                }
            }
        }
        anyhow::bail!(
            "the snap microk8s is still there: see `snap changes microk8s`, then run `kfe2e down --cluster microk8s \
             --name {}` again",
            self.name
        )
    }

    /// Removes what a failed making left, and says so if that fails as well.
    fn clean_up(&self, reason: anyhow::Error, say: Say<'_>) -> anyhow::Error {
        if !self.record.exists() {
            return reason;
        }
        if !self.cancel.is_cancelled()
            && let Err(error) = inspect::copy(&self.failure_logs)
        {
            say(format!("no report of `microk8s inspect`: {error:#}"));
        }
        let Err(also) = self.remove(say) else { return reason };
        let failure = Failure::from(reason);
        Failure { message: format!("{failure}; then, while cleaning up: {also:#}"), ..failure }.into()
    }
}

impl Cluster for Microk8s {
    fn check(&self) -> Result<(), Failure> {
        for layout in &self.images {
            bootstrap_image::list(layout).map_err(|error| Failure::usage(error.to_string()))?;
        }
        machine::check_root()?;
        let start = self.start()?;
        if start == Start::Install { machine::check_disk() } else { Ok(()) }
    }

    fn check_made(&self) -> Result<(), Failure> {
        if self.record.exists() { machine::check_root() } else { Ok(()) }
    }

    fn create(&self, say: Say<'_>) -> anyhow::Result<Created> {
        let _lock = lock::hold()?;
        let channel = match self.start()? {
            Start::Join { channel } => channel,
            Start::Install => self.asked.channel.clone(),
        };
        self.make(&channel, say).map_err(|reason| {
            // Where there is no more than the record of an earlier attempt, the snap is installed here all the same.
            if self.begun.get().is_some() { self.clean_up(reason, say) } else { reason }
        })
    }

    fn interrupt(&self) {
        self.cancel.cancel();
    }

    fn load_images(&self, layouts: &[PathBuf], say: Say<'_>) -> anyhow::Result<()> {
        self.check_ours(&self.cancel)?;
        for layout in layouts {
            images::load(layout, &self.cancel, say).map_err(cancelled)?;
        }
        Ok(())
    }

    fn kubectl(&self, say: Say<'_>) -> anyhow::Result<PathBuf> {
        // MicroK8s brings one, but what is rendered is rendered before there is a cluster.
        kubectl::on_the_path_or_fetched(&self.cancel, say)
    }

    fn evidence(&self, folder: &Path) -> anyhow::Result<()> {
        self.still_this_one()?;
        self.check_ours(&Cancel::default())?;
        inspect::copy(folder)
    }

    fn destroy(&self, say: Say<'_>) -> anyhow::Result<Vec<String>> {
        if !self.record.exists() {
            say(format!("there is no MicroK8s cluster {} of ours", self.name));
            return Ok(Vec::new());
        }
        let _lock = lock::hold_for_removal(say)?;
        self.still_this_one()?;
        self.remove(say).map(|()| Vec::new())
    }
}

/// That a cancelled program ended is what was asked for, not an error of the machine.
fn cancelled(error: ToolError) -> anyhow::Error {
    match error {
        ToolError::Cancelled { .. } => Failure::cancelled(error.to_string()).into(),
        error => error.into(),
    }
}
