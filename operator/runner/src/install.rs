//! Copies the runner into the volume that the containers of a test's pod share.

use std::{
    env, fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use crds::names::pod;

use crate::whole_file;

/// Everyone may run it, its owner may replace it.
const PROGRAM_MODE: u32 = 0o755;

/// Owner and group may write: the group is the pod's fsGroup, which all its containers share.
const FOLDER_MODE: u32 = 0o775;

/// Why the runner is not in place.
#[derive(Debug, thiserror::Error)]
#[error("{what} {} cannot be made: {source}; is the volume mounted and writable?", path.display())]
pub struct InstallError {
    what: &'static str,
    path: PathBuf,
    source: io::Error,
}

/// Copies this program to `dest` and makes the folders for results and home beside it.
pub fn install(dest: &Path) -> Result<(), InstallError> {
    copy_self(dest).map_err(|source| InstallError { what: "the copy", path: dest.to_owned(), source })?;
    for folder in [pod::RESULTS_DIR, pod::HOME] {
        let path = dest.with_file_name(Path::new(folder).file_name().unwrap_or_default());
        make_folder(&path).map_err(|source| InstallError { what: "the folder", path, source })?;
    }
    Ok(())
}

/// Copies the running program; a container that looks too early sees no half of it.
fn copy_self(dest: &Path) -> io::Result<()> {
    let unfinished = whole_file::unfinished(dest);
    fs::copy(env::current_exe()?, &unfinished)?;
    fs::set_permissions(&unfinished, fs::Permissions::from_mode(PROGRAM_MODE))?;
    fs::rename(unfinished, dest)
}

/// Makes a folder that owner and group may write, whatever the umask.
fn make_folder(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(FOLDER_MODE))
}
