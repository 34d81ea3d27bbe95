//! Loading images into a node's containerd, which keeps what it already has.

use std::path::{Path, PathBuf};

use bootstrap_image::{StoredImage, archive, list, missing_from};

use crate::{
    Error,
    command::{Input, Tick, Tool},
    config::Layout,
};

/// The images of layouts, checked before anything is made.
pub(crate) fn inspect(folders: &[PathBuf]) -> Result<Vec<(PathBuf, Vec<StoredImage>)>, Error> {
    folders.iter().map(|folder| Ok((folder.clone(), list(folder)?))).collect()
}

/// Loads those images of a layout that the node does not have under that name and digest. Returns their names.
pub(crate) fn load(layout: &Layout, folder: &Path, tick: Tick<'_>) -> Result<Vec<String>, Error> {
    let held = ctr(layout).args(["images", "list"]).run_while(Input::Nothing, tick)?;
    let missing = missing_from(&held, &list(folder)?);
    if missing.is_empty() {
        return Ok(missing);
    }
    let (from, names) = (folder.to_owned(), missing.clone());
    let stream = Input::Stream(Box::new(move |out| {
        archive(&from, |name| names.iter().any(|wanted| wanted == name), out).map_err(Error::from)
    }));
    ctr(layout).args(["images", "import", "-"]).run_while(stream, tick)?;
    Ok(missing)
}

fn ctr(layout: &Layout) -> Tool {
    Tool::new("ctr").arg("--address").arg(layout.socket()).args(["--namespace", "k8s.io"]).of(&layout.name)
}
