//! What tells afterwards how a cluster fared: its components' logs. Never its keys or kubeconfigs.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::{ClusterName, Error, Roots, config::Layout};

/// Copies the logs of the cluster's components into a folder, which is made when absent. Returns the copies.
pub fn evidence(roots: &Roots, name: &str, out: &Path) -> Result<Vec<PathBuf>, Error> {
    let name = ClusterName::new(name)?;
    let layout = Layout::new(roots, &name)?;
    if !layout.state.exists() {
        return Err(Error::NoCluster(name.to_string()));
    }
    copy_logs(&layout, out)
}

pub(crate) fn copy_logs(layout: &Layout, out: &Path) -> Result<Vec<PathBuf>, Error> {
    let logs = layout.logs();
    let entries = match fs::read_dir(&logs) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(Error::io("read", logs)(e)),
    };
    fs::create_dir_all(out).map_err(Error::io("create", out))?;
    let mut copies = Vec::new();
    for entry in entries {
        let entry = entry.map_err(Error::io("read", &logs))?;
        let copy = out.join(entry.file_name());
        fs::copy(entry.path(), &copy).map_err(Error::io("write", &copy))?;
        copies.push(copy);
    }
    copies.sort();
    Ok(copies)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_are_copied_and_keys_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let roots = Roots { state: dir.path().join("state"), run: dir.path().join("run") };
        let layout = Layout::new(&roots, &ClusterName::new("a").unwrap()).unwrap();
        assert!(matches!(evidence(&roots, "a", dir.path()), Err(Error::NoCluster(_))));
        fs::create_dir_all(layout.logs()).unwrap();
        fs::create_dir_all(layout.pki()).unwrap();
        fs::write(layout.logs().join("etcd.log"), "x").unwrap();
        fs::write(layout.pki().join("ca.key"), "secret").unwrap();
        fs::write(layout.kubeconfig(), "secret").unwrap();
        let out = dir.path().join("out");
        assert_eq!(evidence(&roots, "a", &out).unwrap(), [out.join("etcd.log")]);
        assert_eq!(fs::read_dir(&out).unwrap().count(), 1);
    }
}
