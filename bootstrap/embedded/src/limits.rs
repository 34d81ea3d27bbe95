//! The kernel's limits of watched files: raised while clusters need it, whichever kind they are, and put back after the
//! last.
//!
//! The limits are the machine's, so one ledger for all clusters says what they were, and who needs how much. Who ends
//! leaves the others what they need, in whatever order they end. A limit that somebody else has set meanwhile is theirs. A
//! cluster that nobody ends, as its record was lost, keeps them high until the machine starts anew, which harms nobody.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::{
    Error,
    host::{boot, write_durably},
    lock::Lock,
};

/// How many watchers of files, and how many watched files, a user may have; as paths below `/proc/sys`.
pub const WATCHES: [&str; 2] = ["fs/inotify/max_user_instances", "fs/inotify/max_user_watches"];

/// How long another cluster's short work on the ledger may take.
const LIMIT: Duration = Duration::from_secs(30);

/// What some clusters need.
pub type Needs = BTreeMap<String, u64>;

/// A limit that was raised.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
struct Raised {
    /// What it was.
    before: u64,
    /// What it may have been set to since, by us: each is written down before it is done.
    set: BTreeSet<u64>,
}

impl Raised {
    /// Whether a value is one that we left.
    fn explains(&self, now: u64) -> bool {
        now == self.before || self.set.contains(&now)
    }
}

/// What the limits were, and who needs how much of them.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
struct Ledger {
    /// Limits do not outlive the boot that they were set in.
    boot: String,
    raised: BTreeMap<String, Raised>,
    holders: BTreeMap<String, Needs>,
}

impl Ledger {
    /// Writes down what a holder needs; returns the limits to set for it.
    fn hold(&mut self, holder: &str, needs: &Needs, now: impl Fn(&str) -> Option<u64>) -> Needs {
        self.forget(&now);
        self.holders.insert(holder.to_owned(), needs.clone());
        let low = |(name, least): (&String, &u64)| {
            now(name).filter(|now| now < least).map(|now| (name.clone(), *least, now))
        };
        let low: Vec<_> = needs.iter().filter_map(low).collect();
        for (name, least, now) in &low {
            let raised = self.raised.entry(name.clone());
            raised.or_insert(Raised { before: *now, set: BTreeSet::new() }).set.insert(*least);
        }
        low.into_iter().map(|(name, least, _)| (name, least)).collect()
    }

    /// Takes a holder out; returns the limits to set to what the others need, or to what they were.
    fn release(&mut self, holder: &str, now: impl Fn(&str) -> Option<u64>) -> Needs {
        self.forget(&now);
        self.holders.remove(holder);
        let mut lower = Needs::new();
        for (name, raised) in &mut self.raised {
            let needed = self.holders.values().filter_map(|needs| needs.get(name)).max();
            let target = needed.copied().unwrap_or_default().max(raised.before);
            if now(name).is_some_and(|now| target < now) {
                raised.set.insert(target);
                lower.insert(name.clone(), target);
            }
        }
        lower
    }

    /// Drops what somebody else has set, and what is again as it was.
    fn forget(&mut self, now: &impl Fn(&str) -> Option<u64>) {
        self.raised
            .retain(|name, raised| now(name).is_some_and(|now| raised.explains(now) && now != raised.before));
    }

    /// Whether it says nothing any more.
    fn is_void(&self) -> bool {
        self.raised.is_empty() && self.holders.is_empty()
    }
}

/// Raises the limits to what `holder` needs, until it lets go. Returns those that could not be raised, with the reason.
pub fn hold(run: &Path, holder: &str, needs: &Needs) -> Result<BTreeMap<String, String>, Error> {
    change(run, |ledger| ledger.hold(holder, needs, read_limit))
}

/// Ends what `holder` needs; twice is as good as once. Returns the limits that could not be lowered, with the reason.
pub fn release(run: &Path, holder: &str) -> Result<BTreeMap<String, String>, Error> {
    if !path(run).exists() {
        return Ok(BTreeMap::new());
    }
    let failed = change(run, |ledger| ledger.release(holder, read_limit))?;
    match fs::remove_dir(run) {
        // Clusters of this machine, or their locks, are in it.
        Err(e) if !matches!(e.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::NotFound) => {
            Err(Error::io("remove", run)(e))
        }
        Ok(()) | Err(_) => Ok(failed),
    }
}

/// Whether a holder is still in the ledger.
pub(crate) fn is_held_by(run: &Path, holder: &str) -> Result<bool, Error> {
    Ok(read(run)?.holders.contains_key(holder))
}

/// Which of these limits are too low now, for whoever may not raise them.
pub fn too_low(needs: &Needs) -> Needs {
    let low = |(name, least): &(&String, &u64)| read_limit(name).is_some_and(|now| now < **least);
    needs.iter().filter(low).map(|(name, least)| (name.clone(), *least)).collect()
}

/// Writes down what is about to be set, sets it, and writes down what came of it.
fn change(run: &Path, plan: impl FnOnce(&mut Ledger) -> Needs) -> Result<BTreeMap<String, String>, Error> {
    let _lock = Lock::take(&run.join("limits.lock"), LIMIT, || {}, &mut || Ok(()))?;
    let mut ledger = read(run)?;
    let to_set = plan(&mut ledger);
    write_durably(&path(run), &ledger)?;
    let set = |(name, value): (String, u64)| {
        let error = fs::write(Path::new("/proc/sys").join(&name), value.to_string()).err()?;
        Some((name, error.to_string()))
    };
    let failed = to_set.into_iter().filter_map(set).collect();
    ledger.forget(&read_limit);
    let path = path(run);
    if ledger.is_void() {
        fs::remove_file(&path).map_err(Error::io("remove", path))?;
    } else {
        write_durably(&path, &ledger)?;
    }
    Ok(failed)
}

fn path(run: &Path) -> PathBuf {
    run.join("limits.json")
}

/// The ledger of this boot.
fn read(run: &Path) -> Result<Ledger, Error> {
    let (path, boot) = (path(run), boot()?);
    let fresh = || Ledger { boot: boot.clone(), ..Ledger::default() };
    match fs::read(&path) {
        Ok(bytes) => {
            let ledger: Ledger = serde_json::from_slice(&bytes).map_err(|e| {
                Error::Host(format!(
                    "{} cannot be read ({e}): put the limits in it back by hand and remove it",
                    path.display()
                ))
            })?;
            Ok(if ledger.boot == boot { ledger } else { fresh() })
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(fresh()),
        Err(e) => Err(Error::io("read", path)(e)),
    }
}

fn read_limit(name: &str) -> Option<u64> {
    fs::read_to_string(Path::new("/proc/sys").join(name)).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: &str = "fs/inotify/max_user_instances";

    /// A machine with one limit, and the ledger of its clusters.
    struct Machine {
        limit: u64,
        ledger: Ledger,
    }

    impl Machine {
        fn with(limit: u64) -> Self {
            Self { limit, ledger: Ledger::default() }
        }

        fn up(&mut self, holder: &str, least: u64) -> u64 {
            let (now, needs) = (self.limit, Needs::from([(LIMIT.to_owned(), least)]));
            let set = self.ledger.hold(holder, &needs, |_| Some(now));
            self.limit = set.get(LIMIT).copied().unwrap_or(now);
            self.limit
        }

        fn down(&mut self, holder: &str) -> u64 {
            let now = self.limit;
            let set = self.ledger.release(holder, |_| Some(now));
            self.limit = set.get(LIMIT).copied().unwrap_or(now);
            let now = self.limit;
            self.ledger.forget(&|_: &str| Some(now));
            now
        }
    }

    #[test]
    fn whoever_ends_first_leaves_the_other_what_it_needs() {
        let (small, great) = (("embedded", 1024), ("kind", 2280));
        for ups in [[small, great], [great, small]] {
            for downs in [[small, great], [great, small]] {
                let mut machine = Machine::with(128);
                for (holder, least) in ups {
                    assert!(machine.up(holder, least) >= least, "{ups:?} {downs:?}");
                }
                assert_eq!(machine.limit, 2280);
                assert_eq!(machine.down(downs[0].0), downs[1].1, "{ups:?} {downs:?}");
                assert_eq!(machine.down(downs[1].0), 128, "{ups:?} {downs:?}");
                assert_eq!(machine.down(downs[1].0), 128);
                assert!(machine.ledger.is_void());
            }
        }
    }

    #[test]
    fn a_limit_that_is_high_enough_or_set_by_somebody_else_is_left_alone() {
        let mut machine = Machine::with(8192);
        assert_eq!((machine.up("kind", 2280), machine.down("kind")), (8192, 8192));
        let mut machine = Machine::with(128);
        machine.up("kind", 2280);
        machine.limit = 4096;
        assert_eq!(machine.down("kind"), 4096);
        assert!(machine.ledger.is_void());
    }

    #[test]
    fn a_change_that_was_written_down_and_not_made_is_none() {
        let mut machine = Machine::with(128);
        machine.up("kind", 2280);
        machine.limit = 128;
        assert_eq!(machine.up("embedded", 1024), 1024);
        assert_eq!((machine.down("kind"), machine.down("embedded")), (1024, 128));
        // Lowered, and ended before that was written down a second time.
        machine.up("kind", 2280);
        machine.up("embedded", 1024);
        machine.ledger.release("kind", |_| Some(2280));
        machine.limit = 1024;
        assert_eq!(machine.down("embedded"), 128);
        machine.ledger.release("embedded", |_| Some(2280));
        assert!(machine.ledger.is_void());
    }

    #[test]
    fn a_limit_that_the_kernel_lacks_is_not_raised() {
        let mut ledger = Ledger::default();
        let needs = Needs::from([(LIMIT.to_owned(), 1024)]);
        assert_eq!(ledger.hold("kind", &needs, |_| None), Needs::new());
        assert_eq!(ledger.release("kind", |_| None), Needs::new());
        assert!(ledger.is_void());
    }
}
