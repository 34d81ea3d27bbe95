//! Recognising a full disk behind what it makes of other programs.

use std::path::PathBuf;

use bootstrap_image::ImageError;
use nix::sys::statvfs::statvfs;

use crate::Error;

/// With less than this left, programs have begun to fail in their own ways: etcd begins by taking half of it.
const FULL_MIB: u64 = 128;

/// A failure of other programs on a full disk becomes one that says so; every other stays as it is.
pub(crate) fn explain(reason: Error, folders: &[&PathBuf]) -> Error {
    let by_others = matches!(
        reason,
        Error::Died { .. }
            | Error::Program { .. }
            | Error::Timeout { .. }
            | Error::Image(ImageError::Io { .. })
    );
    let full = folders.iter().find_map(|folder| {
        let free_mib = free_mib(folder)?;
        (free_mib < FULL_MIB).then(|| ((*folder).clone(), free_mib))
    });
    match full {
        Some((path, free_mib)) if by_others => Error::DiskFull { path, free_mib, sign: Box::new(reason) },
        Some(_) | None => reason,
    }
}

fn free_mib(folder: &PathBuf) -> Option<u64> {
    let fs = statvfs(folder).ok()?;
    Some(fs.blocks_available().saturating_mul(fs.fragment_size()) >> 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_full_disk_is_blamed() {
        let dir = tempfile::tempdir().unwrap().path().to_owned();
        let same = explain(Error::program("ctr", "no space"), &[&dir]);
        assert!(matches!(same, Error::Program { .. }));
        // A folder of the kernel's has no space at all.
        let full = explain(Error::program("ctr", "no space"), &[&PathBuf::from("/proc")]);
        assert!(full.to_string().starts_with("the disk of /proc is too full (0 MiB left)"), "{full}");
        let other = explain(Error::NotRoot, &[&PathBuf::from("/proc")]);
        assert!(matches!(other, Error::NotRoot));
    }
}
