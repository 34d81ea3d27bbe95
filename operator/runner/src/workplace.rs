//! Where a test works: its folder and what its environment names.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

use crds::names::pod;

/// Folder of what a test wants to be kept, below the results.
const ARTIFACTS: &str = "artifacts";

/// Where a test works.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Workplace {
    /// The working directory: the test's home.
    pub folder: PathBuf,
    /// Value of `E2E_ARTIFACTS`.
    pub artifacts: PathBuf,
}

/// Makes the folders for results and artefacts, and finds the test's home.
///
/// # Errors
/// One sentence that names the folder that cannot be made.
pub fn prepare(results: &Path) -> io::Result<Workplace> {
    let artifacts = results.join(ARTIFACTS);
    fs::create_dir_all(&artifacts).map_err(|error| {
        io::Error::new(
            error.kind(),
            format!("{} cannot be made for the results: {error}", artifacts.display()),
        )
    })?;
    let homes = env::var_os("HOME").map(PathBuf::from).into_iter().chain([PathBuf::from(pod::HOME)]);
    let folder = homes.into_iter().find(|home| home.is_dir()).unwrap_or_else(env::temp_dir);
    Ok(Workplace { folder, artifacts })
}

/// Variables that every test gets beside the container's own.
pub fn variables(workplace: &Workplace) -> Vec<(&'static str, PathBuf)> {
    vec![("E2E_ARTIFACTS", workplace.artifacts.clone())]
}
