//! Where a test works: its folder and what its environment names.

use std::{env, ffi::OsString, fs, io, path::PathBuf};

use crds::names::pod;

use crate::command_line::Run;

/// Folders in which Python looks for packages first.
const PYTHON_PATH: &str = "PYTHONPATH";

/// Folder of what a test wants to be kept, below the results.
const ARTIFACTS: &str = "artifacts";

/// Where a test works.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Workplace {
    /// The working directory: the test's home.
    pub folder: PathBuf,
    /// Value of `E2E_ARTIFACTS`.
    pub artifacts: PathBuf,
    /// Value of `E2E_RECEIPT`.
    pub receipt: PathBuf,
    /// Folder of the Python packages that the test asks for, where it does.
    pub packages: Option<PathBuf>,
}

/// Makes the folders for results and artefacts, and finds the test's home.
///
/// # Errors
/// One sentence that names the folder that cannot be made.
pub fn prepare(run: &Run) -> io::Result<Workplace> {
    // The working directory is another one.
    let results = std::path::absolute(&run.results)?;
    let artifacts = results.join(ARTIFACTS);
    fs::create_dir_all(&artifacts).map_err(|error| {
        io::Error::new(
            error.kind(),
            format!("{} cannot be made for the results: {error}", artifacts.display()),
        )
    })?;
    let homes = env::var_os("HOME").map(PathBuf::from).into_iter().chain([PathBuf::from(pod::HOME)]);
    let folder = homes.into_iter().find(|home| home.is_dir()).unwrap_or_else(env::temp_dir);
    let packages = (!run.requirements.is_empty()).then(|| results.with_file_name(pod::PACKAGES));
    Ok(Workplace { folder, artifacts, receipt: results.join(pod::RECEIPT_FILE), packages })
}

/// Variables that every test gets beside the container's own.
pub fn variables(workplace: &Workplace) -> Vec<(&'static str, OsString)> {
    let mut variables = vec![
        ("E2E_ARTIFACTS", workplace.artifacts.clone().into_os_string()),
        ("E2E_RECEIPT", workplace.receipt.clone().into_os_string()),
    ];
    if let Some(packages) = &workplace.packages {
        let mut path = packages.clone().into_os_string();
        if let Some(known) = env::var_os(PYTHON_PATH).filter(|known| !known.is_empty()) {
            path.push(":");
            path.push(known);
        }
        variables.push((PYTHON_PATH, path));
    }
    variables
}
