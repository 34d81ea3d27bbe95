//! What a cluster has been promised, written before it is acted upon.

use std::{collections::BTreeSet, fs, io, path::Path};

use serde::{Deserialize, Serialize};

use crate::{
    Error,
    config::{Layout, Roots},
    host::write_durably,
};

/// The durable record of one cluster. It says what was meant, never what exists: that is asked of the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    /// The number of its subnet.
    pub(crate) subnet: u8,
    /// Its nodes.
    pub(crate) nodes: u8,
    /// Whether it has a controller-manager.
    pub(crate) controller_manager: bool,
    /// The version of Kubernetes.
    pub(crate) kubernetes: String,
    /// The users whose requests its API server writes down.
    #[serde(default)]
    pub(crate) audited: Vec<String>,
    /// Where its binaries are.
    pub(crate) binaries: std::path::PathBuf,
    /// Whether it was once complete.
    pub(crate) complete: bool,
}

impl State {
    /// The record of a cluster, if there is one that can be read. One that cannot belongs to a cluster that
    /// was never complete.
    pub(crate) fn read(layout: &Layout) -> Result<Option<Self>, Error> {
        let path = layout.state_file();
        match fs::read(&path) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Error::io("read", path)(e)),
        }
    }

    pub(crate) fn write(&self, layout: &Layout) -> Result<(), Error> {
        write_durably(&layout.state_file(), self)
    }
}

/// The subnets that recorded clusters have.
pub(crate) fn subnets(roots: &Roots) -> Result<BTreeSet<u8>, Error> {
    #[derive(Deserialize)]
    struct Numbered {
        subnet: u8,
    }
    let files = folders(&roots.state)?.into_iter().map(|name| roots.state.join(name).join("state.json"));
    let texts = files.filter_map(|file| fs::read(file).ok());
    Ok(texts.filter_map(|text| serde_json::from_slice::<Numbered>(&text).ok()).map(|n| n.subnet).collect())
}

/// The names of the folders directly below `root`.
pub(crate) fn folders(root: &Path) -> Result<Vec<String>, Error> {
    let entries = match fs::read_dir(root) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(Error::io("read", root)(e)),
    };
    let mut names: Vec<String> = entries
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ClusterName;

    #[test]
    fn states_are_read_back_and_subnets_collected() {
        let dir = tempfile::tempdir().unwrap();
        let roots = Roots { state: dir.path().into(), run: dir.path().join("run") };
        let layout = Layout::new(&roots, &ClusterName::new("a").unwrap()).unwrap();
        assert_eq!(State::read(&layout).unwrap(), None);
        fs::create_dir_all(&layout.state).unwrap();
        let state = State {
            subnet: 4,
            nodes: 1,
            controller_manager: true,
            kubernetes: "v1".into(),
            audited: Vec::new(),
            binaries: "/b".into(),
            complete: false,
        };
        state.write(&layout).unwrap();
        assert_eq!(State::read(&layout).unwrap(), Some(state));
        assert_eq!(subnets(&roots).unwrap(), BTreeSet::from([4]));
        fs::write(layout.state_file(), "").unwrap();
        assert_eq!(State::read(&layout).unwrap(), None);
    }
}
