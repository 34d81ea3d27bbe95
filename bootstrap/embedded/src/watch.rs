//! What every wait of `up` asks at every tick: is the caller still interested, does everything still live, is
//! there time left.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::Receiver,
    },
    thread,
    time::{Duration, Instant},
};

use crate::{Cancel, ClusterName, Error, Progress, Step, daemon::Daemon};

/// How often a wait without an event of its own looks again.
const TICK: Duration = Duration::from_millis(15);
/// How often a step that goes on is mentioned.
const REMINDER: Duration = Duration::from_secs(2);

/// The conditions under which waiting goes on. Clones share the wish to end.
#[derive(Clone, Debug)]
pub(crate) struct Watch {
    cluster: ClusterName,
    cancel: Cancel,
    abandoned: Arc<AtomicBool>,
    limit: Duration,
    deadline: Instant,
    pub(crate) daemons: Vec<Daemon>,
}

impl Watch {
    pub(crate) fn new(cluster: &ClusterName, cancel: &Cancel, limit: Duration) -> Self {
        Self {
            cluster: cluster.clone(),
            cancel: cancel.clone(),
            abandoned: Arc::default(),
            limit,
            deadline: Instant::now() + limit,
            daemons: Vec::new(),
        }
    }

    /// Ends the waits of all clones.
    pub(crate) fn abandon(&self) {
        self.abandoned.store(true, Ordering::Relaxed);
    }

    /// An error if there is a reason to wait no longer.
    pub(crate) fn check(&self, awaited: &str) -> Result<(), Error> {
        if self.cancel.is_cancelled() || self.abandoned.load(Ordering::Relaxed) {
            return Err(Error::Cancelled(awaited.to_owned()));
        }
        for daemon in &self.daemons {
            daemon.check(&self.cluster, awaited)?;
        }
        if Instant::now() >= self.deadline {
            return Err(self.timeout(awaited, ""));
        }
        Ok(())
    }

    fn timeout(&self, awaited: &str, detail: &str) -> Error {
        Error::Timeout {
            cluster: self.cluster.to_string(),
            awaited: awaited.to_owned(),
            limit: self.limit,
            detail: detail.to_owned(),
        }
    }

    /// Tries until `attempt` succeeds; what it said last is part of the time-out's message.
    pub(crate) fn poll<T>(
        &self,
        awaited: &str,
        tick: &mut dyn FnMut() -> Result<(), Error>,
        mut attempt: impl FnMut() -> Result<T, String>,
    ) -> Result<T, Error> {
        loop {
            let said = match attempt() {
                Ok(value) => return Ok(value),
                Err(said) => said,
            };
            tick().map_err(|e| match e {
                Error::Timeout { .. } => self.timeout(awaited, &said),
                other => other,
            })?;
            thread::sleep(TICK);
        }
    }
}

/// The main thread's side: it watches, and passes on what other threads tell.
pub(crate) struct Session<'a> {
    pub(crate) watch: Watch,
    events: Receiver<Progress>,
    on: &'a mut dyn FnMut(Progress),
    step: Option<(Step, Instant)>,
    reminded: Instant,
}

impl<'a> Session<'a> {
    pub(crate) fn new(watch: Watch, events: Receiver<Progress>, on: &'a mut dyn FnMut(Progress)) -> Self {
        Self { watch, events, on, step: None, reminded: Instant::now() }
    }

    /// Begins a step.
    pub(crate) fn begin(&mut self, step: Step) {
        (self.on)(Progress::Started(step));
        self.step = Some((step, Instant::now()));
        self.reminded = Instant::now();
    }

    /// Ends the current step.
    pub(crate) fn end(&mut self) {
        if let Some((step, began)) = self.step.take() {
            (self.on)(Progress::Finished { step, took: began.elapsed() });
        }
    }

    /// One tick of a wait.
    pub(crate) fn tick(&mut self, awaited: &str) -> Result<(), Error> {
        while let Ok(event) = self.events.try_recv() {
            (self.on)(event);
        }
        if let Some((step, began)) = self.step
            && self.reminded.elapsed() >= REMINDER
        {
            self.reminded = Instant::now();
            let detail = format!("waiting for {awaited}");
            (self.on)(Progress::Working { step, detail, elapsed: began.elapsed() });
        }
        self.watch.check(awaited)
    }

    /// Tries until `attempt` succeeds.
    pub(crate) fn poll<T>(
        &mut self,
        awaited: &str,
        attempt: impl FnMut() -> Result<T, String>,
    ) -> Result<T, Error> {
        let watch = self.watch.clone();
        watch.poll(awaited, &mut || self.tick(awaited), attempt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(limit: Duration) -> Watch {
        Watch::new(&ClusterName::new("a").unwrap(), &Cancel::default(), limit)
    }

    #[test]
    fn a_timeout_says_what_was_awaited_and_heard() {
        let watch = watch(Duration::ZERO);
        let said = watch
            .poll("a sign", &mut || watch.check("a sign"), || Err::<(), _>("not yet".to_owned()))
            .unwrap_err()
            .to_string();
        assert!(said.contains("a sign") && said.contains("not yet"), "{said}");
    }

    #[test]
    fn abandoning_ends_the_waits_of_clones() {
        let watch = watch(Duration::from_mins(1));
        let clone = watch.clone();
        assert!(clone.check("x").is_ok());
        watch.abandon();
        assert!(matches!(clone.check("x"), Err(Error::Cancelled(_))));
    }
}
