//! Content-addressed files of a layout.

use std::{
    fmt::Write as _,
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use ring::digest::{Context, SHA256};
use tempfile::NamedTempFile;

use crate::ImageError;

/// A blob as written: its digest without the `sha256:` prefix, and its size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Blob {
    pub(crate) digest: String,
    pub(crate) size: u64,
}

/// The folder of a layout's blobs.
pub(crate) fn folder(layout: &Path) -> PathBuf {
    layout.join("blobs/sha256")
}

/// Writes what `produce` writes into the layout under its digest. A blob appears whole or not at all.
pub(crate) fn write(
    layout: &Path,
    produce: impl FnOnce(&mut dyn Write) -> Result<(), ImageError>,
) -> Result<Blob, ImageError> {
    let folder = folder(layout);
    fs::create_dir_all(&folder).map_err(ImageError::io("create", &folder))?;
    let file = NamedTempFile::new_in(&folder).map_err(ImageError::io("create a file in", &folder))?;
    let mut out =
        Hashing { out: BufWriter::with_capacity(1 << 20, file), hash: Context::new(&SHA256), size: 0 };
    produce(&mut out)?;
    let Hashing { out, hash, size } = out;
    let file = out.into_inner().map_err(|e| ImageError::io("write", &folder)(e.into_error()))?;
    let digest = hex(hash.finish().as_ref());
    let path = folder.join(&digest);
    set_readable(file.as_file(), &path)?;
    file.persist(&path).map_err(|e| ImageError::io("write", &path)(e.error))?;
    Ok(Blob { digest, size })
}

/// A layout is read by other users' tools too; temporary files are private.
fn set_readable(file: &File, path: &Path) -> Result<(), ImageError> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(fs::Permissions::from_mode(0o644)).map_err(ImageError::io("write", path))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

struct Hashing<W> {
    out: W,
    hash: Context,
    size: u64,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        let (done, _) = bytes.split_at(written);
        self.hash.update(done);
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blob_is_named_by_its_digest() {
        let layout = tempfile::tempdir().unwrap();
        let blob = write(layout.path(), |out| out.write_all(b"abc").map_err(ImageError::Archive)).unwrap();
        assert_eq!(blob.digest, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(blob.size, 3);
        assert_eq!(fs::read(folder(layout.path()).join(&blob.digest)).unwrap(), b"abc");
    }

    #[test]
    fn a_failed_blob_leaves_nothing() {
        let layout = tempfile::tempdir().unwrap();
        let refused = write(layout.path(), |_| Err(ImageError::Archive(io::Error::other("no"))));
        assert!(refused.is_err());
        assert_eq!(fs::read_dir(folder(layout.path())).unwrap().count(), 0);
    }
}
