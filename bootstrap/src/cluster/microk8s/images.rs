//! Loading images into MicroK8s' containerd, which keeps what it already has.

use std::{collections::BTreeSet, path::Path};

use bootstrap_image::{StoredImage, archive, list};

use super::command::Call;
use crate::{
    cluster::Say,
    tool::{Cancel, ToolError},
};

/// Loads those images of a layout that the node does not have under that name and digest.
pub(super) fn load(layout: &Path, cancel: &Cancel, say: Say<'_>) -> Result<(), ToolError> {
    let stored = list(layout).map_err(|error| ToolError::Io {
        line: format!("reading {}", layout.display()),
        reason: error.to_string(),
    })?;
    let missing = missing(&stored, &Call::images().tool().cancelled_by(cancel).run()?);
    if missing.is_empty() {
        return Ok(());
    }
    let (from, names) = (layout.to_owned(), missing.clone());
    let import = Call::import().tool().cancelled_by(cancel).stream(move |out| {
        archive(&from, |name| names.contains(name), out).map_err(|error| error.to_string())
    });
    import.run()?;
    for name in missing {
        say(name);
    }
    Ok(())
}

/// The images that a listing of `ctr images list` (REF TYPE DIGEST …) lacks.
fn missing(stored: &[StoredImage], listing: &str) -> BTreeSet<String> {
    let held: BTreeSet<(&str, &str)> = listing
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            Some((words.next()?, words.nth(1)?))
        })
        .collect();
    let absent = |image: &&StoredImage| !held.contains(&(image.name.as_str(), image.digest.as_str()));
    stored.iter().filter(absent).map(|image| image.name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_missing_unless_name_and_digest_are_there() {
        let image =
            |name: &str, digest: &str| StoredImage { name: name.into(), digest: digest.into(), size: 1 };
        let stored = [image("a:1", "sha256:1"), image("b:1", "sha256:2"), image("c:1", "sha256:3")];
        let listing = "REF TYPE DIGEST SIZE PLATFORMS LABELS\n\
                       a:1 application/vnd.oci.image.manifest.v1+json sha256:1 1.0 MiB linux/amd64 -\n\
                       b:1 application/vnd.oci.image.manifest.v1+json sha256:9 1.0 MiB linux/amd64 -\n";
        assert_eq!(missing(&stored, listing), BTreeSet::from(["b:1".to_owned(), "c:1".to_owned()]));
    }
}
