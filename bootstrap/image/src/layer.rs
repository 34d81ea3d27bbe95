//! A layer's files, and the tar that holds them.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use tar::{Builder, EntryType, Header};

use crate::ImageError;

/// One layer of an image.
#[derive(Clone, Debug)]
pub enum Layer {
    /// Files, folders and links by name.
    Entries(Vec<Entry>),
    /// An uncompressed tar file that holds a whole file system, as `mmdebstrap` and `docker export` write it.
    Tar(PathBuf),
}

/// A file, folder or link in a layer.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Where it stands in the image, for example `/usr/bin/app`.
    pub path: String,
    /// What stands there.
    pub kind: EntryKind,
    /// Permission bits.
    pub mode: u32,
    /// Owner, as (user, group).
    pub owner: (u64, u64),
}

/// What an [`Entry`] is.
#[derive(Clone, Debug)]
pub enum EntryKind {
    /// A regular file.
    File(Content),
    /// A folder.
    Folder,
    /// A symbolic link to this target.
    Link(String),
}

/// Where a file's bytes come from.
#[derive(Clone, Debug)]
pub enum Content {
    /// A file of this machine.
    Host(PathBuf),
    /// These bytes.
    Bytes(Vec<u8>),
}

impl Entry {
    /// A copy of a file of this machine, owned by root.
    pub fn host_file(path: impl Into<String>, source: impl Into<PathBuf>, mode: u32) -> Self {
        Self::new(path, EntryKind::File(Content::Host(source.into())), mode)
    }

    /// A file with these bytes, owned by root.
    pub fn bytes(path: impl Into<String>, bytes: impl Into<Vec<u8>>, mode: u32) -> Self {
        Self::new(path, EntryKind::File(Content::Bytes(bytes.into())), mode)
    }

    /// A folder, owned by root.
    pub fn folder(path: impl Into<String>, mode: u32) -> Self {
        Self::new(path, EntryKind::Folder, mode)
    }

    /// A symbolic link.
    pub fn link(path: impl Into<String>, target: impl Into<String>) -> Self {
        Self::new(path, EntryKind::Link(target.into()), 0o777)
    }

    fn new(path: impl Into<String>, kind: EntryKind, mode: u32) -> Self {
        Self { path: path.into(), kind, mode, owner: (0, 0) }
    }

    /// The same entry, owned by another user and group.
    #[must_use]
    pub fn owned_by(mut self, user: u64, group: u64) -> Self {
        self.owner = (user, group);
        self
    }
}

/// What a static program expects to find: a root and an ordinary user (1000, with a home), and `/tmp`.
pub fn minimal_root() -> Layer {
    Layer::Entries(vec![
        Entry::bytes(
            "/etc/passwd",
            "root:x:0:0:root:/root:/sbin/nologin\nuser:x:1000:1000:user:/home/user:/sbin/nologin\n",
            0o644,
        ),
        Entry::bytes("/etc/group", "root:x:0:\nuser:x:1000:\n", 0o644),
        Entry::folder("/home/user", 0o755).owned_by(1000, 1000),
        Entry::folder("/root", 0o700),
        Entry::folder("/tmp", 0o1777),
    ])
}

/// Writes entries as a tar whose bytes depend on nothing but them: sorted, parents first, times zero.
pub(crate) fn write_tar(entries: &[Entry], out: &mut impl Write) -> Result<(), ImageError> {
    let mut builder = Builder::new(out);
    for (path, entry) in with_parents(entries) {
        append(&mut builder, &path, &entry)?;
    }
    builder.finish().map_err(ImageError::Archive)
}

/// All entries by their path in the tar, with the parent folders that nobody listed. A later entry of the
/// same path wins.
fn with_parents(entries: &[Entry]) -> BTreeMap<String, Entry> {
    let mut all = BTreeMap::new();
    for entry in entries {
        let path = entry.path.trim_matches('/').to_owned();
        let mut parent = Path::new(&path).parent();
        while let Some(folder) = parent.filter(|p| !p.as_os_str().is_empty()) {
            let name = folder.to_string_lossy().into_owned();
            all.entry(name.clone()).or_insert_with(|| Entry::folder(name, 0o755));
            parent = folder.parent();
        }
        all.insert(path, entry.clone());
    }
    all
}

fn append(builder: &mut Builder<impl Write>, path: &str, entry: &Entry) -> Result<(), ImageError> {
    let mut header = Header::new_gnu();
    header.set_mode(entry.mode);
    header.set_uid(entry.owner.0);
    header.set_gid(entry.owner.1);
    header.set_mtime(0);
    header.set_size(0);
    let appended = match &entry.kind {
        EntryKind::Folder => {
            header.set_entry_type(EntryType::Directory);
            builder.append_data(&mut header, format!("{path}/"), io::empty())
        }
        EntryKind::Link(target) => {
            header.set_entry_type(EntryType::Symlink);
            builder.append_link(&mut header, path, target)
        }
        EntryKind::File(Content::Bytes(bytes)) => {
            header.set_size(bytes.len() as u64);
            builder.append_data(&mut header, path, bytes.as_slice())
        }
        EntryKind::File(Content::Host(source)) => {
            let size = fs::metadata(source).map_err(ImageError::io("read", source))?.len();
            let file = File::open(source).map_err(ImageError::io("open", source))?;
            header.set_size(size);
            builder.append_data(&mut header, path, file)
        }
    };
    appended.map_err(ImageError::Archive)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn names(bytes: &[u8]) -> Vec<(String, u32, u64)> {
        tar::Archive::new(bytes)
            .entries()
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let header = entry.header();
                let path = entry.path().unwrap().to_string_lossy().into_owned();
                (path, header.mode().unwrap(), header.mtime().unwrap())
            })
            .collect()
    }

    #[test]
    fn order_of_entries_does_not_change_the_tar() {
        let a = Entry::bytes("/b/file", "x", 0o644);
        let b = Entry::folder("/a", 0o1777);
        let (mut one, mut two) = (Vec::new(), Vec::new());
        write_tar(&[a.clone(), b.clone()], &mut one).unwrap();
        write_tar(&[b, a], &mut two).unwrap();
        assert_eq!(one, two);
        assert_eq!(
            names(&one),
            [("a/".into(), 0o1777, 0), ("b/".into(), 0o755, 0), ("b/file".into(), 0o644, 0)]
        );
    }

    #[test]
    fn host_files_and_links_arrive_whole() {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("program");
        fs::write(&source, "bytes").unwrap();
        let mut out = Vec::new();
        write_tar(&[Entry::host_file("/p", &source, 0o755), Entry::link("/q", "p")], &mut out).unwrap();
        let mut archive = tar::Archive::new(out.as_slice());
        let mut entries = archive.entries().unwrap();
        let mut text = String::new();
        entries.next().unwrap().unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "bytes");
        let link = entries.next().unwrap().unwrap();
        assert_eq!(link.link_name().unwrap().unwrap().to_string_lossy(), "p");
    }

    #[test]
    fn a_missing_host_file_is_named() {
        let said = write_tar(&[Entry::host_file("/p", "/no/such/file", 0o755)], &mut Vec::new());
        assert!(said.unwrap_err().to_string().contains("/no/such/file"));
    }
}
