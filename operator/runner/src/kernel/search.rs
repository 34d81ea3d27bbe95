//! Where kernel specifications are looked for: as Jupyter does, and beside every folder of PATH, since a kernel's
//! own Jupyter may not be installed.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
};

/// Folders that may hold kernel specifications, best first and each once.
pub fn folders(variable: impl Fn(&str) -> Option<OsString>) -> Vec<PathBuf> {
    let list = |name: &str| {
        variable(name).map_or_else(Vec::new, |value| env::split_paths(&value).collect::<Vec<PathBuf>>())
    };
    let home = variable("HOME").filter(|home| !home.is_empty()).map(PathBuf::from);
    let mut data = list("JUPYTER_PATH");
    data.extend(list("JUPYTER_DATA_DIR"));
    data.extend(list("XDG_DATA_HOME").into_iter().map(|folder| folder.join("jupyter")));
    data.extend(home.iter().map(|home| home.join(".local/share/jupyter")));
    let prefixes = list("VIRTUAL_ENV").into_iter().chain(list("CONDA_PREFIX"));
    data.extend(prefixes.map(|prefix| prefix.join("share/jupyter")));
    data.extend(list("PATH").iter().filter_map(|folder| Some(folder.parent()?.join("share/jupyter"))));
    data.extend(["/usr/local/share/jupyter", "/usr/share/jupyter"].map(PathBuf::from));

    let mut folders = Vec::new();
    let ipython = home.map(|home| home.join(".ipython/kernels"));
    for folder in data.iter().map(|folder| folder.join("kernels")).chain(ipython) {
        if folder.is_absolute() && !folders.contains(&folder) {
            folders.push(folder);
        }
    }
    folders
}

/// The prefix that a kernel specification's folder belongs to: `/opt/conda` of `/opt/conda/share/jupyter/kernels/ir`.
pub fn prefix(folder: &Path) -> Option<&Path> {
    let kernels = folder.parent()?;
    kernels.ends_with("share/jupyter/kernels").then(|| kernels.ancestors().nth(3)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(variables: &[(&str, &str)]) -> Vec<String> {
        folders(|name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value))
        })
        .iter()
        .map(|folder| folder.display().to_string())
        .collect()
    }

    #[test]
    fn the_order_is_jupyters() {
        assert_eq!(
            found(&[
                ("JUPYTER_PATH", "/j1:/j2"),
                ("JUPYTER_DATA_DIR", "/data"),
                ("HOME", "/h"),
                ("PATH", "/opt/conda/bin:/usr/local/bin:/usr/bin:relative"),
                ("CONDA_PREFIX", "/opt/conda/envs/x"),
            ]),
            [
                "/j1/kernels",
                "/j2/kernels",
                "/data/kernels",
                "/h/.local/share/jupyter/kernels",
                "/opt/conda/envs/x/share/jupyter/kernels",
                "/opt/conda/share/jupyter/kernels",
                "/usr/local/share/jupyter/kernels",
                "/usr/share/jupyter/kernels",
                "/h/.ipython/kernels",
            ]
        );
    }

    #[test]
    fn an_empty_environment_still_has_the_systems_folders() {
        assert_eq!(found(&[]), ["/usr/local/share/jupyter/kernels", "/usr/share/jupyter/kernels"]);
    }

    #[test]
    fn a_prefix_is_known_by_the_layout() {
        assert_eq!(prefix(Path::new("/opt/conda/share/jupyter/kernels/ir")), Some(Path::new("/opt/conda")));
        assert_eq!(prefix(Path::new("/j1/kernels/ir")), None);
    }
}
