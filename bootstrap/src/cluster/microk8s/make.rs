//! Making the cluster: the snap, its addons, and the wait until it is usable.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    time::{Duration, Instant},
};

use uuid::Uuid;

use super::{
    Microk8s, ROUNDS, cancelled,
    command::Call,
    mark,
    owner::{Recorded, Whose, whose},
    snapd, steps,
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
        self.settle(&self.cancel, say)?;
        let mut recorded = self.recorded()?;
        for _ in 0..ROUNDS {
            let snap = snapd::look(&self.cancel).map_err(cancelled)?;
            match whose(recorded.as_ref(), &snap) {
                Whose::Ours => return self.mark(recorded),
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

    /// Makes snapd install the snap and waits for that. The record is written before; the number of snapd's change is
    /// written by `snap` itself.
    fn begin(&self, channel: &str, say: Say<'_>) -> anyhow::Result<Recorded> {
        say(format!("installing the snap microk8s from channel {channel}"));
        let attempt = self.begun.get_or_init(|| Uuid::new_v4().to_string()).clone();
        let recorded = Recorded { channel: channel.to_owned(), attempt, ..Recorded::default() };
        self.record.write(&recorded)?;
        // Nothing interrupts this: whoever did would not know what snapd has begun.
        let ended = Call::install(channel).tool().output_into(self.answer.expect()?).ended()?;
        let Some(change) = self.answer.read()? else {
            // A refusal has words; of a program that was killed, snapd may still do what it asked for.
            if ended.failed.is_none() || !ended.stderr.trim().is_empty() {
                self.answer.refused()?;
            }
            // Somebody was quicker, unless snapd says something else.
            if ended.failed.is_none() || ended.stderr.contains("change in progress") {
                return Err(self.overtaken());
            }
            ended.expect_success()?;
            anyhow::bail!("`snap install` does not say what it has begun: see `snap changes microk8s`");
        };
        self.run(&Call::watch(&change))?;
        Ok(Recorded { change: Some(change), ..recorded })
    }

    /// Marks the installation as ours, and keeps snapd from refreshing it.
    fn mark(&self, recorded: Option<Recorded>) -> anyhow::Result<()> {
        match recorded {
            Some(recorded) if !recorded.marked => {
                mark::write(&recorded.attempt)?;
                Call::hold().tool().cancelled_by(&self.cancel).ended().map_err(cancelled)?;
                self.record.write(&Recorded { marked: true, ..recorded })
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
