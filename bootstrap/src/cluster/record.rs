//! Which clusters are ours, written down before anything of them is made, so that the next `down` knows what it may remove.
//!
//! `$XDG_STATE_HOME/kfe2e/KIND/NAME/`, or below `~/.local/state`. An embedded cluster has no record: it asks the host.

use std::{
    env, fs,
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, anyhow};
use serde::{Serialize, de::DeserializeOwned};

use super::ClusterKind;

/// The record's own file.
const FILE: &str = "record.json";

/// The record of one cluster.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Record {
    folder: PathBuf,
}

impl Record {
    /// The record of the cluster of this kind and name, which must be a DNS label.
    pub fn of(kind: ClusterKind, name: &str) -> Self {
        Self::below(&Self::root(), kind, name)
    }

    /// The record of a cluster below this folder.
    pub fn below(root: &Path, kind: ClusterKind, name: &str) -> Self {
        Self { folder: root.join(kind.as_str()).join(name) }
    }

    /// The names with a record of this kind, in order.
    pub fn names(kind: ClusterKind) -> anyhow::Result<Vec<String>> {
        Self::of(kind, "").names_beside()
    }

    /// The folder below which this user's records are.
    pub fn root() -> PathBuf {
        let folder = |name: &str| env::var_os(name).map(PathBuf::from);
        Self::root_in(folder("XDG_STATE_HOME"), folder("HOME"))
    }

    /// A relative folder for states is ignored, as the XDG Base Directory Specification has it: each working directory
    /// would have records of its own.
    fn root_in(state: Option<PathBuf>, home: Option<PathBuf>) -> PathBuf {
        let state = state.filter(|state| state.is_absolute());
        let home = home.filter(|home| !home.as_os_str().is_empty());
        state
            .or_else(|| home.map(|home| home.join(".local/state")))
            .unwrap_or_else(|| PathBuf::from("/var/lib"))
            .join("kfe2e")
    }

    fn names_beside(&self) -> anyhow::Result<Vec<String>> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(anyhow!("{}: {error}", self.folder.display())),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.with_context(|| self.folder.display().to_string())?;
            if entry.path().join(FILE).is_file() {
                names.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    /// The file that is locked while somebody makes or removes the cluster; it lies beside the folder, which may go.
    pub fn lock(&self) -> PathBuf {
        self.folder.with_extension("lock")
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
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.folder)
            .with_context(|| format!("making {}", self.folder.display()))?;
        self.keep(FILE, &serde_json::to_vec_pretty(facts)?)
    }

    /// Writes a file beside it, such as a kubeconfig, for its owner alone, at once or not at all.
    pub fn keep(&self, name: &str, content: &[u8]) -> anyhow::Result<()> {
        let (place, partial) = (self.file(name), self.file(&format!("{name}.partial")));
        let written = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&partial)
            .and_then(|mut file| {
                file.write_all(content)?;
                file.sync_all()
            })
            .and_then(|()| fs::rename(&partial, &place));
        written.with_context(|| format!("writing {}", place.display()))
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

    /// Removes it with all its files; the last step of a removal. Its own file goes last: while there is any other, a
    /// removal that broke off is found and done again.
    pub fn remove(&self) -> anyhow::Result<()> {
        let removed = self
            .remove_others()
            .and_then(|()| fs::remove_file(self.path()).or_else(unless_gone))
            .and_then(|()| fs::remove_dir(&self.folder).or_else(unless_gone));
        removed.with_context(|| format!("removing {}", self.folder.display()))
    }

    /// Removes all files but its own.
    fn remove_others(&self) -> io::Result<()> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) => return unless_gone(error),
        };
        for entry in entries {
            let entry = entry?;
            if entry.file_name() != FILE {
                let (path, is_folder) = (entry.path(), entry.file_type()?.is_dir());
                let removed = if is_folder { fs::remove_dir_all(path) } else { fs::remove_file(path) };
                removed.or_else(unless_gone)?;
            }
        }
        Ok(())
    }

    /// Its own file.
    pub fn path(&self) -> PathBuf {
        self.folder.join(FILE)
    }
}

/// What is gone already is what a removal wants.
fn unless_gone(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
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
        record.keep("kubeconfig", b"secret").unwrap();
        let mode = fs::metadata(record.file("kubeconfig")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        fs::write(record.lock(), "").unwrap();
        let all = Record::below(root.path(), ClusterKind::Kind, "");
        assert_eq!(all.names_beside().unwrap(), ["a"]);
        assert_eq!(Record::below(root.path(), ClusterKind::Microk8s, "").names_beside().unwrap(), [""; 0]);
        record.remove().unwrap();
        record.remove().unwrap();
        assert!(!record.exists() && !record.file("kubeconfig").exists());
    }

    #[test]
    fn while_another_file_is_there_a_removal_finds_the_record() {
        let root = tempfile::tempdir().unwrap();
        let record = Record::below(root.path(), ClusterKind::Kind, "a");
        record.remove_others().unwrap();
        record.write(&7).unwrap();
        record.keep("kubeconfig", b"secret").unwrap();
        fs::create_dir(record.file("logs")).unwrap();
        fs::write(record.file("logs/node"), "").unwrap();
        // As far as a removal may come before it is killed.
        record.remove_others().unwrap();
        assert!(record.exists() && !record.file("kubeconfig").exists() && !record.file("logs").exists());
        record.remove().unwrap();
        assert!(!record.file("").exists());
    }

    #[test]
    fn a_relative_folder_for_states_is_ignored() {
        let root = |state: &str, home: &str| Record::root_in(Some(state.into()), Some(home.into()));
        assert_eq!(root("/s", "/h"), Path::new("/s/kfe2e"));
        for state in ["s", ""] {
            assert_eq!(root(state, "/h"), Path::new("/h/.local/state/kfe2e"));
        }
        assert_eq!(root("", ""), Path::new("/var/lib/kfe2e"));
    }
}
