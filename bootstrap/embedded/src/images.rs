//! Loading images into a node's containerd, which keeps what it already has.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use bootstrap_image::{StoredImage, archive, list};

use crate::{
    Error,
    command::{Input, Tick, Tool},
    config::Layout,
};

/// An image by name and manifest digest.
type Held = BTreeSet<(String, String)>;

/// The images of layouts, checked before anything is made.
pub(crate) fn inspect(folders: &[PathBuf]) -> Result<Vec<(PathBuf, Vec<StoredImage>)>, Error> {
    folders.iter().map(|folder| Ok((folder.clone(), list(folder)?))).collect()
}

/// Loads those images of a layout that the node does not have under that name and digest. Returns their names.
pub(crate) fn load(layout: &Layout, folder: &Path, tick: Tick<'_>) -> Result<Vec<String>, Error> {
    let held = parse_held(&ctr(layout).args(["images", "list"]).run_while(Input::Nothing, tick)?);
    let missing = missing(&list(folder)?, &held);
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

fn missing(images: &[StoredImage], held: &Held) -> Vec<String> {
    let absent = |image: &&StoredImage| !held.contains(&(image.name.clone(), image.digest.clone()));
    images.iter().filter(absent).map(|image| image.name.clone()).collect()
}

/// Name and digest from each line of `ctr images list`: REF TYPE DIGEST …
fn parse_held(listing: &str) -> Held {
    listing
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            Some((words.next()?.to_owned(), words.nth(1)?.to_owned()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_missing_unless_name_and_digest_are_there() {
        let held = parse_held("REF TYPE DIGEST SIZE\na:1 application/x sha256:1 5 B linux/amd64 -\n");
        let image =
            |name: &str, digest: &str| StoredImage { name: name.into(), digest: digest.into(), size: 1 };
        let images = [image("a:1", "sha256:1"), image("a:1", "sha256:2"), image("b:1", "sha256:1")];
        assert_eq!(missing(&images, &held), ["a:1", "b:1"]);
    }
}
