//! What snapd answered to `snap install --no-wait`: the number of its change, by which an installation is ours.
//!
//! The program writes it into a file beside the record by itself, so that it is there also when `kfe2e` was killed before
//! the answer came. A lock that both hold on the file says whether the program is still asking.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context as _, bail};

use super::{
    command::BEGIN_WITHIN,
    snapd::{Snap, begun},
};
use crate::cluster::{Record, Say};

/// How long snapd may go on with a request whose program was killed: it is cancelled once snapd sees that nobody waits
/// for its answer.
const FORGOTTEN_WITHIN: Duration = Duration::from_mins(1);

/// How often the program, or snapd, is looked at: neither has an event for those who did not start it.
const TICK: Duration = Duration::from_millis(200);

/// The file with the answer.
#[derive(Clone, Debug)]
pub(super) struct Answer(PathBuf);

impl Answer {
    /// That of a record.
    pub(super) fn of(record: &Record) -> Self {
        Self(record.file("change"))
    }

    /// An empty file, locked, for the program to write into.
    pub(super) fn expect(&self) -> anyhow::Result<File> {
        let mut options = OpenOptions::new();
        let opened = options.write(true).create(true).truncate(true).mode(0o600).open(&self.0);
        let file = opened.with_context(|| format!("opening {}", self.0.display()))?;
        file.try_lock().with_context(|| format!("locking {}", self.0.display()))?;
        Ok(file)
    }

    /// The number; `None` where none came, or none was asked for.
    pub(super) fn read(&self) -> anyhow::Result<Option<String>> {
        let text = found(fs::read_to_string(&self.0), &self.0)?;
        Ok(text.as_deref().and_then(begun).map(str::to_owned))
    }

    /// snapd has refused: nothing is under way any more.
    pub(super) fn refused(&self) -> anyhow::Result<()> {
        found(fs::remove_file(&self.0), &self.0).map(drop)
    }

    /// Waits until there is an answer, or none can come any more. Without this, a removal right after a kill would find
    /// nothing, and snapd would install what nobody removes.
    pub(super) fn settle(
        &self,
        mut look: impl FnMut() -> anyhow::Result<Snap>,
        say: Say<'_>,
    ) -> anyhow::Result<()> {
        let Some(file) = found(File::open(&self.0), &self.0)? else { return Ok(()) };
        let asked = file.metadata().and_then(|file| file.modified());
        let asked = asked.with_context(|| format!("reading {}", self.0.display()))?;
        self.await_program(&file, say)?;
        if self.read()?.is_some() {
            return Ok(());
        }
        let mut told = false;
        while let Some(left) = left(asked, SystemTime::now()) {
            let snap = look()?;
            if snap.installed || snap.is_changing() {
                return Ok(());
            }
            if !told {
                say(format!(
                    "`snap install` was killed before it had an answer: waiting {} s for what snapd makes of it",
                    left.as_secs()
                ));
                told = true;
            }
            thread::sleep(TICK.min(left));
        }
        Ok(())
    }

    /// Waits for the end of the program.
    fn await_program(&self, file: &File, say: Say<'_>) -> anyhow::Result<()> {
        let deadline = Instant::now() + BEGIN_WITHIN;
        let mut told = false;
        loop {
            match file.try_lock_shared() {
                Ok(()) => return Ok(()),
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => {}
                Err(TryLockError::WouldBlock) => bail!(
                    "`snap install` of an earlier kfe2e still waits for snapd after {} s: is snapd well? see `snap \
                     changes`, then run this again",
                    BEGIN_WITHIN.as_secs()
                ),
                Err(TryLockError::Error(error)) => {
                    return Err(error).with_context(|| format!("locking {}", self.0.display()));
                }
            }
            if !told {
                say("waiting for `snap install` of an earlier kfe2e, which still asks snapd".to_owned());
                told = true;
            }
            thread::sleep(TICK);
        }
    }
}

/// How long an answer may still come to what was asked then; a clock that was set back does not make it longer.
fn left(asked: SystemTime, now: SystemTime) -> Option<Duration> {
    let passed = now.duration_since(asked).unwrap_or(FORGOTTEN_WITHIN);
    FORGOTTEN_WITHIN.checked_sub(passed).filter(|left| !left.is_zero())
}

/// What was done with a file; `None` where there is no such file.
fn found<T>(outcome: io::Result<T>, place: &Path) -> anyhow::Result<Option<T>> {
    match outcome {
        Ok(done) => Ok(Some(done)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| place.display().to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cluster::ClusterKind, tool::Tool};

    fn answer() -> (tempfile::TempDir, Answer) {
        let root = tempfile::tempdir().unwrap();
        let record = Record::below(root.path(), ClusterKind::Microk8s, "a");
        record.write(&()).unwrap();
        (root, Answer::of(&record))
    }

    #[test]
    fn an_answer_is_awaited_as_long_as_its_program_lives() {
        let (_root, answer) = answer();
        let never = || -> anyhow::Result<Snap> { bail!("the answer says it") };
        answer.settle(never, &mut |_| {}).unwrap();
        let file = answer.expect().unwrap();
        let program = thread::spawn(move || {
            Tool::new("sh").args(["-c", "sleep 0.5; echo 7"]).output_into(file).run().unwrap()
        });
        let mut said = Vec::new();
        answer.settle(never, &mut |line| said.push(line)).unwrap();
        assert_eq!(answer.read().unwrap().as_deref(), Some("7"));
        assert!(said[0].contains("still asks snapd"), "{said:?}");
        assert_eq!(program.join().unwrap(), "");
        answer.refused().unwrap();
        assert_eq!(answer.read().unwrap(), None);
    }

    #[test]
    fn without_an_answer_snapd_is_looked_at_until_none_can_come() {
        let (_root, answer) = answer();
        drop(answer.expect().unwrap());
        let mut looks = 0;
        let look = || {
            looks += 1;
            Ok(Snap { installed: looks == 2, ..Snap::default() })
        };
        answer.settle(look, &mut |_| {}).unwrap();
        assert_eq!(looks, 2);
        let now = SystemTime::now();
        assert_eq!(left(now - Duration::from_secs(20), now), Some(Duration::from_secs(40)));
        assert_eq!(left(now - FORGOTTEN_WITHIN, now), None);
        assert_eq!(left(now + FORGOTTEN_WITHIN, now), None);
    }
}
