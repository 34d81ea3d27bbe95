//! Files as text, whatever compresses them.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
};

use super::{MAX_BYTES, SourceError};

/// The first bytes of a gzip file.
const GZIP: &[u8] = &[0x1f, 0x8b];

/// The first bytes of a zstd file.
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

/// The text of a file, decompressed by what its first bytes say; its name does not matter.
pub(super) fn read(path: &Path) -> Result<String, SourceError> {
    let unreadable = |source| SourceError::Read { path: path.into(), source };
    let mut file = BufReader::new(File::open(path).map_err(unreadable)?);
    let head = file.fill_buf().map_err(unreadable)?;
    let (gzip, zstd) = (head.starts_with(GZIP), head.starts_with(ZSTD));
    let bytes = if gzip {
        limited(flate2::bufread::MultiGzDecoder::new(file))
    } else if zstd {
        zstd::stream::read::Decoder::with_buffer(file).and_then(limited)
    } else {
        limited(file)
    };
    let bytes = bytes.map_err(unreadable)?.ok_or_else(|| SourceError::TooLarge { path: path.into() })?;
    String::from_utf8(bytes).map_err(|_| SourceError::NotText { path: path.into() })
}

/// All bytes, or `None` if there are more than [`MAX_BYTES`].
fn limited(reader: impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    let size = reader.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    Ok((u64::try_from(size).is_ok_and(|size| size <= MAX_BYTES)).then_some(bytes))
}

/// The manifests right in a folder, in the order of their names.
pub(super) fn manifests(folder: &Path) -> Result<Vec<PathBuf>, SourceError> {
    let unreadable = |source| SourceError::Read { path: folder.into(), source };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let named_so = path
            .extension()
            .is_some_and(|extension| ["yaml", "yml", "json"].iter().any(|known| extension == *known));
        if named_so && path.is_file() {
            files.push(path);
        }
    }
    if files.is_empty() {
        return Err(SourceError::NoManifests { path: folder.into() });
    }
    files.sort();
    Ok(files)
}
