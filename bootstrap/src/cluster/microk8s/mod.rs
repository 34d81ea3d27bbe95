//! MicroK8s as a snap on this machine. There is one a machine, so a name is the name of our record of it.

mod asked;
mod command;
mod images;
mod inspect;
mod lock;
mod machine;
mod snapd;
mod steps;

use std::{
    collections::BTreeMap,
    fs,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use clap::Args;
use crds::ExitCode;
use serde::{Deserialize, Serialize};

use self::{
    asked::Asked,
    command::Call,
    steps::{Facts, Making, Start},
};
use super::{Cluster, ClusterKind, ClusterSettings, Created, Record, Say, kubectl, usable};
use crate::{
    failure::Failure,
    tool::{Cancel, ToolError},
};

/// How long a service account, a ready node and DNS may take once MicroK8s says that it is ready and has its addons.
const USABLE_WITHIN: Duration = Duration::from_mins(10);

/// How often the snap may be found in yet another state before something else is taken to be at work on it.
const ROUNDS: usize = 6;

/// Flags of `--cluster microk8s`.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "With --cluster microk8s")]
pub struct Microk8sArgs {
    /// Channel of the snap, such as 1.34/stable [default: that of --kubernetes-version, else latest/stable].
    #[arg(long, value_name = "CHANNEL")]
    pub channel: Option<String>,
    /// Addons to enable, separated by commas [default: dns,hostpath-storage,ingress,metallb,rbac].
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub addons: Vec<String>,
    /// Addresses for the addon metallb [default: 10.64.140.43-10.64.140.49].
    #[arg(long, value_name = "FROM-TO")]
    pub metallb_addresses: Option<String>,
}

impl Microk8sArgs {
    /// The first flag that was given.
    pub fn given(&self) -> Option<&'static str> {
        [
            ("--channel", self.channel.is_some()),
            ("--addons", !self.addons.is_empty()),
            ("--metallb-addresses", self.metallb_addresses.is_some()),
        ]
        .into_iter()
        .find_map(|(flag, given)| given.then_some(flag))
    }
}

/// What is written down before anything is made.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Recorded {
    /// Channel of the snap.
    channel: String,
}

/// A MicroK8s cluster.
pub struct Microk8s {
    name: String,
    asked: Asked,
    images: Vec<PathBuf>,
    must_be_new: bool,
    failure_logs: PathBuf,
    record: Record,
    cancel: Cancel,
    fetching: bootstrap_embedded::Cancel,
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
        Ok(Self {
            name: settings.name.clone(),
            asked: Asked::of(settings.kubernetes_version.as_deref(), &settings.for_microk8s)
                .map_err(Failure::usage)?,
            images: settings.images.clone(),
            must_be_new: settings.must_be_new,
            failure_logs: settings.failure_logs.clone(),
            record: Record::of(ClusterKind::Microk8s, &settings.name),
            cancel: Cancel::default(),
            fetching: bootstrap_embedded::Cancel::default(),
        })
    }

    /// How to begin, from what is there.
    fn start(&self) -> anyhow::Result<Start> {
        let facts = Facts {
            recorded: self.record.read::<Recorded>()?.map(|recorded| recorded.channel),
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

    /// Installs the snap, enables the addons and waits until the cluster is usable.
    fn make(&self, channel: &str, say: Say<'_>) -> anyhow::Result<Created> {
        let begin = Instant::now();
        let mut figures = BTreeMap::new();
        let mut took = |name: &str| figures.insert(name.to_owned(), begin.elapsed().as_secs_f64());
        self.install(channel, say)?;
        took("installedSeconds");
        self.await_ready()?;
        took("servingSeconds");
        let images = self.images.clone();
        if !images.is_empty() {
            let loading = Instant::now();
            self.load_images(&images, say)?;
            figures.insert("imageLoadSeconds".to_owned(), loading.elapsed().as_secs_f64());
        }
        for addon in &self.asked.addons {
            say(format!("enabling the addon {addon}"));
            self.run(&Call::enable(addon))?;
        }
        // Enabling rbac, and dns on some versions, restarts the API server.
        self.await_ready()?;
        figures.insert("addonsSeconds".to_owned(), begin.elapsed().as_secs_f64());
        let created = Created {
            kubeconfig: self.write_kubeconfig()?,
            context: None,
            lasting: false,
            figures: BTreeMap::new(),
        };
        say("waiting for the default service account, the node and DNS".to_owned());
        figures.extend(usable::wait(&created, 1, begin, USABLE_WITHIN, &self.cancel)?);
        Ok(Created { figures, ..created })
    }

    /// Installs the snap, or waits for what an earlier `up` began.
    fn install(&self, channel: &str, say: Say<'_>) -> anyhow::Result<()> {
        for _ in 0..ROUNDS {
            match steps::making(&snapd::look(&self.cancel)?) {
                Making::Done => return Ok(()),
                Making::Await(call) => {
                    // A change that comes to nothing ends the wait too; the next look shows what it left.
                    call.tool().cancelled_by(&self.cancel).ended().map_err(cancelled)?;
                }
                Making::Install => {
                    say(format!("installing the snap microk8s from channel {channel}"));
                    let ended = Call::install(channel).tool().cancelled_by(&self.cancel).ended();
                    let ended = ended.map_err(cancelled)?;
                    if ended.stderr.contains("is already installed") {
                        // Somebody was quicker: it is theirs.
                        self.record.remove()?;
                        anyhow::bail!("somebody else has installed the snap microk8s just now");
                    }
                    ended.expect_success()?;
                }
            }
        }
        anyhow::bail!("the snap microk8s is neither installed nor absent: see `snap changes microk8s`")
    }

    fn await_ready(&self) -> anyhow::Result<()> {
        let said = self.run(&Call::status())?;
        steps::ready(&said).map_err(anyhow::Error::msg)
    }

    /// Writes the kubeconfig beside the record, for its owner alone.
    fn write_kubeconfig(&self) -> anyhow::Result<PathBuf> {
        let text = self.run(&Call::config())?;
        let (place, partial) = (self.record.file("kubeconfig"), self.record.file("kubeconfig.partial"));
        let written = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&partial)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .and_then(|()| fs::rename(&partial, &place));
        written.with_context(|| format!("writing {}", place.display()))?;
        Ok(place)
    }

    /// Removes the snap with its data, then the record; whatever interrupted the making does not interrupt this.
    fn remove(&self) -> anyhow::Result<()> {
        let never = Cancel::default();
        for _ in 0..ROUNDS {
            let calls = steps::removing(&snapd::look(&never)?);
            if calls.is_empty() {
                return self.record.remove();
            }
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
        let Err(also) = self.remove() else { return reason };
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

    fn check_removal(&self) -> Result<(), Failure> {
        if self.record.exists() { machine::check_root() } else { Ok(()) }
    }

    fn create(&self, say: Say<'_>) -> anyhow::Result<Created> {
        let _lock = lock::hold()?;
        let channel = match self.start()? {
            Start::Join { channel } => return self.make(&channel, say),
            Start::Install => &self.asked.channel,
        };
        self.record.write(&Recorded { channel: channel.clone() })?;
        self.make(channel, say).map_err(|reason| self.clean_up(reason, say))
    }

    fn interrupt(&self) {
        self.cancel.cancel();
        self.fetching.cancel();
    }

    fn load_images(&self, layouts: &[PathBuf], say: Say<'_>) -> anyhow::Result<()> {
        if !self.record.exists() {
            anyhow::bail!(
                "there is no MicroK8s cluster `{0}`: make it with `kfe2e up --cluster microk8s --name {0}`",
                self.name
            );
        }
        for layout in layouts {
            images::load(layout, &self.cancel, say).map_err(cancelled)?;
        }
        Ok(())
    }

    fn kubectl(&self, say: Say<'_>) -> anyhow::Result<PathBuf> {
        // MicroK8s brings one, but what is rendered is rendered before there is a cluster.
        kubectl::on_the_path_or_fetched(&self.fetching, say)
    }

    fn evidence(&self, folder: &Path) -> anyhow::Result<()> {
        inspect::copy(folder)
    }

    fn destroy(&self, say: Say<'_>) -> anyhow::Result<()> {
        if !self.record.exists() {
            say(format!("there is no MicroK8s cluster {} of ours", self.name));
            return Ok(());
        }
        let _lock = lock::hold()?;
        self.remove()
    }
}

/// That a cancelled program ended is what was asked for, not an error of the machine.
fn cancelled(error: ToolError) -> anyhow::Error {
    match error {
        ToolError::Cancelled { .. } => {
            Failure { code: ExitCode::Cancelled, message: error.to_string() }.into()
        }
        error => error.into(),
    }
}
