//! File locks that end with their holder, and leave no file behind.

use std::{
    fs::{self, File, TryLockError},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use crate::Error;

/// How often a taken lock is tried again.
const TICK: Duration = Duration::from_millis(50);

/// How often its folder may be gone again before the file is in it.
const TRIES: usize = 100;

/// A held lock. The kernel frees it when the process ends, however that happens, and since files are not
/// inherited by programs that are started, no daemon keeps it.
#[derive(Debug)]
pub struct Lock {
    path: PathBuf,
    file: File,
}

impl Lock {
    /// Takes the lock, waiting up to `limit` for another holder. `busy` is told once, at the first refusal; an error
    /// of `tick` ends the wait.
    pub fn take(
        path: &Path,
        limit: Duration,
        mut busy: impl FnMut(),
        tick: &mut dyn FnMut() -> Result<(), Error>,
    ) -> Result<Self, Error> {
        let deadline = Instant::now() + limit;
        let mut told = false;
        loop {
            if let Some(lock) = Self::attempt(path)? {
                return Ok(lock);
            }
            if !told {
                busy();
                told = true;
            }
            tick()?;
            if Instant::now() > deadline {
                return Err(Error::Host(format!(
                    "another process has held the lock {} for {}s: wait for it or end it (`fuser {}` names it)",
                    path.display(),
                    limit.as_secs(),
                    path.display()
                )));
            }
            thread::sleep(TICK);
        }
    }

    /// Locks the file unless another holds it. A holder removes the file at its end, so what was locked may
    /// no longer be what the path names: then nothing is held.
    fn attempt(path: &Path) -> Result<Option<Self>, Error> {
        let file = open(path, &mut |folder| fs::create_dir_all(folder))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(e)) => return Err(Error::io("lock", path)(e)),
        }
        let held = file.metadata().map_err(Error::io("read", path))?.ino();
        let named = fs::metadata(path).ok().map(|m| m.ino());
        Ok((named == Some(held)).then(|| Self { path: path.to_owned(), file }))
    }
}

/// Opens the file in a folder that is made for it, and that whoever ends meanwhile may remove while it is empty.
fn open(path: &Path, make: &mut dyn FnMut(&Path) -> io::Result<()>) -> Result<File, Error> {
    let mut tries = 1;
    loop {
        if let Some(folder) = path.parent() {
            make(folder).map_err(Error::io("create", folder))?;
        }
        match File::options().create(true).truncate(false).write(true).open(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound && tries < TRIES => tries += 1,
            opened => return opened.map_err(Error::io("open the lock", path)),
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Removed while still held: whoever opened it meanwhile sees that it is no longer the path's file.
        // Neither failing leaves more than an unlocked, empty file.
        let _removed = fs::remove_file(&self.path);
        let _unlocked = self.file.unlock();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(path: &Path, limit: Duration) -> Result<Lock, Error> {
        Lock::take(path, limit, || {}, &mut || Ok(()))
    }

    #[test]
    fn one_holder_at_a_time_and_no_file_after() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sub/a.lock");
        let first = take(&path, Duration::ZERO).unwrap();
        assert!(take(&path, Duration::ZERO).unwrap_err().to_string().contains("a.lock"));
        drop(first);
        assert!(!path.exists());
        drop(take(&path, Duration::ZERO).unwrap());
    }

    #[test]
    fn a_folder_that_goes_before_the_file_is_in_it_is_made_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sub/a.lock");
        let mut asked = 0;
        let mut make = |folder: &Path| {
            asked += 1;
            if asked > 2 { fs::create_dir_all(folder) } else { Ok(()) }
        };
        open(&path, &mut make).unwrap();
        assert_eq!(asked, 3);
        let nowhere = dir.path().join("none/a.lock");
        assert!(open(&nowhere, &mut |_| Ok(())).unwrap_err().to_string().contains("open the lock"));
    }

    #[test]
    fn many_takers_exclude_each_other() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.lock");
        let inside = std::sync::atomic::AtomicI32::new(0);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..5 {
                        let lock = take(&path, Duration::from_secs(30)).unwrap();
                        assert_eq!(inside.fetch_add(1, std::sync::atomic::Ordering::SeqCst), 0);
                        inside.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                        drop(lock);
                    }
                });
            }
        });
    }
}
