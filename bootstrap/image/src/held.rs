//! Which images a node's containerd holds already.

use std::collections::BTreeSet;

use crate::StoredImage;

/// Those of `images` that a node does not have under their name and digest, by what `ctr images list` printed there.
pub fn missing_from(listing: &str, images: &[StoredImage]) -> Vec<String> {
    let held = parse(listing);
    let absent = |image: &&StoredImage| !held.contains(&(image.name.as_str(), image.digest.as_str()));
    images.iter().filter(absent).map(|image| image.name.clone()).collect()
}

/// Name and digest from each line: REF TYPE DIGEST …
fn parse(listing: &str) -> BTreeSet<(&str, &str)> {
    listing
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            Some((words.next()?, words.nth(1)?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_missing_unless_name_and_digest_are_there() {
        let listing = "REF TYPE DIGEST SIZE\na:1 application/x sha256:1 5 B linux/amd64 -\n";
        let image =
            |name: &str, digest: &str| StoredImage { name: name.into(), digest: digest.into(), size: 1 };
        let images = [image("a:1", "sha256:1"), image("a:1", "sha256:2"), image("b:1", "sha256:1")];
        assert_eq!(missing_from(listing, &images), ["a:1", "b:1"]);
    }
}
