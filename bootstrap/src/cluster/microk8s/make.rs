//! Making the cluster: the snap, its addons, and the wait until it is usable.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    time::{Duration, Instant},
};

use super::{
    Microk8s, ROUNDS, cancelled,
    command::Call,
    owner::{Recorded, Whose, whose},
    snapd::{self, Snap},
    steps,
};
use crate::cluster::{Cluster as _, Created, Say, usable};

/// How long a service account, a ready node and DNS may take once MicroK8s says that it is ready and has its addons.
const USABLE_WITHIN: Duration = Duration::from_mins(10);

impl Microk8s {
    /// Installs the snap, enables the addons and waits until the cluster is usable.
    pub(super) fn make(&self, channel: &str, say: Say<'_>) -> anyhow::Result<Created> {
        let begin = Instant::now();
        let mut figures = BTreeMap::new();
        let mut took = |name: &str| figures.insert(name.to_owned(), begin.elapsed().as_secs_f64());
        self.install(channel, say)?;
        took("installedSeconds");
        self.await_ready()?;
        took("servingSeconds");
        if !self.images.is_empty() {
            let loading = Instant::now();
            self.load_images(&self.images, say)?;
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
            local: true,
            figures: BTreeMap::new(),
        };
        say("waiting for the default service account, the node and DNS".to_owned());
        figures.extend(usable::wait(&created, 1, begin, USABLE_WITHIN, &self.cancel)?);
        Ok(Created { figures, ..created })
    }

    /// Installs the snap, or waits for what an earlier `up` began.
    fn install(&self, channel: &str, say: Say<'_>) -> anyhow::Result<()> {
        let mut recorded = self.recorded()?;
        for _ in 0..ROUNDS {
            let snap = snapd::look(&self.cancel).map_err(cancelled)?;
            match whose(recorded.as_ref(), &snap) {
                Whose::Ours => return self.keep(recorded, snap),
                Whose::Installing(change) | Whose::Changing(change) => {
                    // A change that comes to nothing ends the wait too; the next look shows what it left.
                    Call::watch(&change).tool().cancelled_by(&self.cancel).ended().map_err(cancelled)?;
                }
                Whose::Absent => recorded = Some(self.begin(channel, say)?),
                Whose::Theirs => return Err(self.overtaken()),
                Whose::Unclear => return Err(self.unclear()),
            }
        }
        anyhow::bail!("the snap microk8s is neither installed nor absent: see `snap changes microk8s`")
    }

    /// Makes snapd install the snap and waits for that. The record is written before, and again with the number of
    /// snapd's change as soon as that is known.
    fn begin(&self, channel: &str, say: Say<'_>) -> anyhow::Result<Recorded> {
        say(format!("installing the snap microk8s from channel {channel}"));
        let mut recorded = Recorded { channel: channel.to_owned(), ..Recorded::default() };
        self.record.write(&recorded)?;
        // Nothing interrupts this: whoever did would not know what snapd has begun.
        let ended = Call::install(channel).tool().ended()?;
        let Some(change) = snapd::begun(&ended.stdout) else {
            // Somebody was quicker, unless snapd says something else.
            if ended.failed.is_none() || ended.stderr.contains("change in progress") {
                return Err(self.overtaken());
            }
            ended.expect_success()?;
            anyhow::bail!("`snap install` does not say what it has begun: see `snap changes microk8s`");
        };
        recorded.change = Some(change.to_owned());
        self.record.write(&recorded)?;
        self.run(&Call::watch(change))?;
        Ok(recorded)
    }

    /// Writes down which installation is ours, and keeps snapd from making another of it.
    fn keep(&self, recorded: Option<Recorded>, snap: Snap) -> anyhow::Result<()> {
        match recorded {
            Some(recorded) if recorded.installed.is_none() && snap.identity.is_some() => {
                Call::hold().tool().cancelled_by(&self.cancel).ended().map_err(cancelled)?;
                self.record.write(&Recorded { installed: snap.identity, ..recorded })
            }
            _ => Ok(()),
        }
    }

    /// The snap that is there is somebody else's: the record, if there is one, is of none.
    fn overtaken(&self) -> anyhow::Error {
        let message = "somebody else installs the snap microk8s just now, or has done so: use it with --cluster \
                       existing and its `microk8s config`, or remove it yourself";
        match self.record.remove() {
            Ok(()) => anyhow::anyhow!(message),
            Err(error) => anyhow::anyhow!("{message}; {error:#}"),
        }
    }

    fn await_ready(&self) -> anyhow::Result<()> {
        let said = self.run(&Call::status())?;
        steps::ready(&said).map_err(anyhow::Error::msg)
    }

    /// Writes the kubeconfig beside the record, for its owner alone.
    fn write_kubeconfig(&self) -> anyhow::Result<PathBuf> {
        self.record.keep("kubeconfig", self.run(&Call::config())?.as_bytes())?;
        Ok(self.record.file("kubeconfig"))
    }
}
