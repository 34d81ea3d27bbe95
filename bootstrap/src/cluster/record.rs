//! Which clusters are ours, written down before anything of them is made, so that the next `down` knows what it may remove.
//!
//! `$XDG_STATE_HOME/kfe2e/KIND/NAME/`, or below `~/.local/state`. An embedded cluster has no record: it asks the host.

use std::{
    env, fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, anyhow};
use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
};
use serde::{Serialize, de::DeserializeOwned};

use super::ClusterKind;

/// The record of one cluster.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Record {
    folder: PathBuf,
}

impl Record {
    /// The record of the cluster of this kind and name, which must be a DNS label.
    pub fn of(kind: ClusterKind, name: &str) -> Self {
        let folder = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let state = folder("XDG_STATE_HOME")
            .or_else(|| folder("HOME").map(|home| home.join(".local/state")))
            .unwrap_or_else(|| PathBuf::from("/var/lib"));
        Self::below(&state.join("kfe2e"), kind, name)
    }

    /// The record of a cluster below this folder.
    pub fn below(root: &Path, kind: ClusterKind, name: &str) -> Self {
        Self { folder: root.join(kind.as_str()).join(name) }
    }

    /// Whether there is one: a cluster of ours, whole or half made.
    pub fn exists(&self) -> bool {
        self.path().is_file()
    }

    /// A file beside it, such as the kubeconfig; readable by its owner alone, as the folder is.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Writes it, at once or not at all.
    pub fn write<T: Serialize>(&self, facts: &T) -> anyhow::Result<()> {
        use std::os::unix::fs::DirBuilderExt as _;
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.folder)
            .with_context(|| format!("making {}", self.folder.display()))?;
        let text = serde_json::to_vec_pretty(facts)?;
        let partial = self.folder.join("record.json.partial");
        let written = fs::File::create(&partial).and_then(|mut file| {
            file.write_all(&text)?;
            file.sync_all()
        });
        written
            .and_then(|()| fs::rename(&partial, self.path()))
            .with_context(|| format!("writing {}", self.path().display()))
    }

    /// Reads it; `None` where there is none.
    pub fn read<T: DeserializeOwned>(&self) -> anyhow::Result<Option<T>> {
        let place = self.path();
        match fs::read(&place) {
            Ok(text) => {
                let facts = serde_json::from_slice(&text);
                facts.map(Some).map_err(|error| anyhow!("{}: {error}", place.display()))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(anyhow!("{}: {error}", place.display())),
        }
    }

    /// Removes it with all its files; the last step of a removal.
    pub fn remove(&self) -> anyhow::Result<()> {
        match fs::remove_dir_all(&self.folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(anyhow!("removing {}: {error}", self.folder.display()))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Names of the other clusters of this kind that have a record.
    pub fn others(&self) -> anyhow::Result<Vec<String>> {
        let entries = match fs::read_dir(self.kind()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.with_context(|| format!("reading {}", self.kind().display()))?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let folder = entry.with_context(|| format!("reading {}", self.kind().display()))?.path();
            let other = Self { folder };
            if other.folder != self.folder && other.exists() {
                names.extend(other.folder.file_name().map(|name| name.to_string_lossy().into_owned()));
            }
        }
        names.sort();
        Ok(names)
    }

    /// Keeps other `kfe2e`s of this user away from all clusters of this kind until the lock is dropped, or the process
    /// ends in whatever way. Its empty file stays.
    pub fn lock(&self) -> anyhow::Result<Flock<fs::File>> {
        fs::create_dir_all(self.kind()).with_context(|| format!("making {}", self.kind().display()))?;
        let place = self.kind().join("lock");
        let file = fs::File::create(&place).with_context(|| format!("opening {}", place.display()))?;
        Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, error)| match error {
            Errno::EWOULDBLOCK => {
                anyhow!("another kfe2e is at work on it: wait until that has ended, and try again")
            }
            error => anyhow!("locking {}: {error}", place.display()),
        })
    }

    /// The folder of all clusters of the kind.
    fn kind(&self) -> &Path {
        self.folder.parent().unwrap_or(&self.folder)
    }

    fn path(&self) -> PathBuf {
        self.folder.join("record.json")
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_record_is_private_and_goes_with_all_its_files() {
        let root = tempfile::tempdir().unwrap();
        let record = Record::below(root.path(), ClusterKind::Kind, "a");
        assert_eq!(record.read::<u8>().unwrap(), None);
        record.write(&7).unwrap();
        assert_eq!((record.exists(), record.read().unwrap()), (true, Some(7)));
        let mode = fs::metadata(record.file("")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        fs::write(record.file("kubeconfig"), "secret").unwrap();
        record.remove().unwrap();
        record.remove().unwrap();
        assert!(!record.exists() && !record.file("kubeconfig").exists());
    }

    #[test]
    fn others_of_the_kind_are_known_and_kept_away() {
        let root = tempfile::tempdir().unwrap();
        let record = |name| Record::below(root.path(), ClusterKind::Microk8s, name);
        assert!(record("a").others().unwrap().is_empty());
        let held = record("a").lock().unwrap();
        assert!(record("b").lock().unwrap_err().to_string().starts_with("another kfe2e is at work"));
        drop(held);
        record("b").lock().unwrap();
        record("a").write(&1).unwrap();
        record("b").write(&2).unwrap();
        assert_eq!(record("a").others().unwrap(), ["b"]);
    }
}
