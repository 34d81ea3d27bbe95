//! Which node image has which version of Kubernetes.

use crate::cluster::supported;

/// The images that the release of `kind` that we bring was published with, as its release notes list them: by digest,
/// since a tag is built again for later releases of `kind`.
const PUBLISHED: [(&str, &str); 4] = [
    ("1.37.0", "sha256:a1ed56cfb0e7b93589bdf97c8cd566405a265939e3620fc4f5de89adff580ae5"),
    ("1.36.4", "sha256:099e049362a1526b2db71494e1947aae99bd16290d7c895f2b7ea312e3cbfaed"),
    ("1.35.8", "sha256:07b2536e30b803ed61d1677a79df6115f798ce64c80f9e22f6ed45afd09323c0"),
    ("1.34.11", "sha256:44e222ee2132dab25ff87301682f89eb82c7880ea3a1bf543bfe9708fd08d67d"),
];

/// The node image with this version: a line such as 1.36, or a release such as 1.36.4, with or without a `v`. A release
/// that was not published with our `kind` is taken by its tag.
pub(super) fn image_for(version: &str) -> Result<String, String> {
    let number = version.strip_prefix('v').unwrap_or(version);
    let parts: Vec<&str> = number.split('.').collect();
    let numeric = parts.iter().all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()));
    let published = |wanted: &dyn Fn(&str) -> bool| PUBLISHED.iter().find(|(release, _)| wanted(release));
    let named = |(release, digest): &(&str, &str)| format!("kindest/node:v{release}@{digest}");
    if numeric && [2, 3].contains(&parts.len()) {
        supported::check(number).map_err(|reason| format!("--kubernetes-version {version}: {reason}"))?;
    }
    match (parts.len(), numeric) {
        (3, true) => Ok(published(&|release| release == number)
            .map_or_else(|| format!("kindest/node:v{number}"), named)),
        (2, true) => published(&|release| release.starts_with(&format!("{number}."))).map(named).ok_or_else(|| {
            let known = PUBLISHED.map(|(release, _)| release).join(", ");
            format!(
                "--kubernetes-version {version}: kind {} has no image of this line; name a whole release, such as \
                 {number}.0, one of {known}, or an image with --kind-image",
                bootstrap_embedded::KIND_VERSION
            )
        }),
        _ => Err(format!(
            "--kubernetes-version {version} is no version of Kubernetes: write a line such as 1.36, or a release such \
             as 1.36.4"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_or_a_release_names_an_image() {
        let newest = image_for("1.36").unwrap();
        assert!(newest.starts_with("kindest/node:v1.36.4@sha256:099e"), "{newest}");
        for same in ["v1.36", "1.36.4", "v1.36.4"] {
            assert_eq!(image_for(same).unwrap(), newest);
        }
        assert_eq!(image_for("1.36.1").unwrap(), "kindest/node:v1.36.1");
    }

    #[test]
    fn what_names_none_is_refused_with_what_would() {
        assert!(
            image_for("1.33").unwrap_err().contains("name a whole release, such as 1.33.0, one of 1.37.0")
        );
        for old in ["1.32", "1.32.0", "v1.9.11"] {
            let said = image_for(old).unwrap_err();
            assert!(said.starts_with(&format!("--kubernetes-version {old}: Kubernetes ")), "{said}");
            assert!(said.ends_with(" is too old: 1.33 is the oldest that is supported"), "{said}");
        }
        for text in ["", "v", "1", "1.x", "1.36.4.5", "latest", "1.36.", "1.36.3-rc.0"] {
            assert!(image_for(text).unwrap_err().contains("is no version of Kubernetes"), "{text}");
        }
    }
}
