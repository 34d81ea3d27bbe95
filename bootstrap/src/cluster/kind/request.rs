//! What the flags ask for, checked as far as flags and files alone decide.

use std::{env, fs, path::PathBuf};

use serde_json::Value;

use super::{config, node_images};
use crate::{cluster::ClusterSettings, failure::Failure};

/// More nodes than one machine is good for are a slip of the finger.
const NODES: std::ops::RangeInclusive<u8> = 1..=16;

/// The variable with the node image where no flag and no configuration names one.
const IMAGE_VARIABLE: &str = "KFE2E_KIND_IMAGE";

/// A cluster that is asked for.
#[derive(Clone, Debug)]
pub(super) struct Request {
    /// Its name.
    pub(super) name: String,
    /// Number of nodes.
    pub(super) nodes: u8,
    /// Image of all nodes, where one is asked for.
    pub(super) image: Option<String>,
    /// The user's own configuration.
    pub(super) config: Option<Value>,
    /// The file that has it.
    pub(super) config_file: Option<PathBuf>,
    /// OCI layouts to load.
    pub(super) images: Vec<PathBuf>,
    /// Whether a cluster of this name must not be there yet.
    pub(super) must_be_new: bool,
    /// Whether one that is there is used.
    pub(super) reuse: bool,
    /// Where logs go when the cluster cannot be made.
    pub(super) failure_logs: PathBuf,
}

impl Request {
    /// Reads the flags, and the file that they name.
    pub(super) fn new(settings: &ClusterSettings) -> Result<Self, Failure> {
        let flags = &settings.for_kind;
        if !NODES.contains(&settings.nodes) {
            return Err(Failure::usage(format!(
                "--nodes {}: a kind cluster has {} to {} nodes",
                settings.nodes,
                NODES.start(),
                NODES.end()
            )));
        }
        let version = settings.kubernetes_version.as_deref();
        let config = match &flags.kind_config {
            None => None,
            Some(path) => {
                let refuse =
                    |reason: String| Failure::usage(format!("--kind-config {}: {reason}", path.display()));
                let text = fs::read_to_string(path).map_err(|error| refuse(error.to_string()))?;
                let given = config::parse(&text).map_err(refuse)?;
                let asked = config::Asked {
                    name: &settings.name,
                    nodes: settings.nodes,
                    version,
                    image: flags.kind_image.as_deref(),
                };
                if let Some(reason) = config::contradiction(&given, &asked) {
                    return Err(refuse(reason));
                }
                Some(given)
            }
        };
        let default = env::var(IMAGE_VARIABLE).ok().filter(|image| !image.is_empty());
        let named = config.as_ref().is_some_and(|config| config::images(config).next().is_some());
        let image = image(flags.kind_image.as_deref(), version, default.filter(|_| !named))?;
        Ok(Self {
            name: settings.name.clone(),
            nodes: settings.nodes,
            image,
            config,
            config_file: flags.kind_config.clone(),
            images: settings.images.clone(),
            must_be_new: settings.must_be_new,
            reuse: flags.reuse,
            failure_logs: settings.failure_logs.clone(),
        })
    }

    /// The configuration that `kind` gets.
    pub(super) fn complete_config(&self, cgroup_v1: bool) -> Value {
        let wanted = config::Wanted { name: &self.name, nodes: self.nodes, cgroup_v1 };
        config::complete(self.config.as_ref(), &wanted)
    }

    /// How many nodes it will have.
    pub(super) fn node_count(&self) -> usize {
        let listed = self.config.as_ref().map_or(0, config::node_count);
        if listed > 0 { listed } else { usize::from(self.nodes) }
    }
}

/// The image of all nodes: by the flag, by the version of Kubernetes, or the default.
fn image(
    flag: Option<&str>,
    version: Option<&str>,
    default: Option<String>,
) -> Result<Option<String>, Failure> {
    let (image, origin) = match (flag, version) {
        (Some(image), Some(_)) => {
            return Err(Failure::usage(format!(
                "--kubernetes-version and --kind-image {image} both say which Kubernetes it is: leave one of them out"
            )));
        }
        (None, Some(version)) => return node_images::image_for(version).map(Some).map_err(Failure::usage),
        (Some(image), None) => (Some(image.to_owned()), "--kind-image"),
        (None, None) => (default, IMAGE_VARIABLE),
    };
    match image.as_deref().filter(|image| bootstrap_image::normalize(image).is_err()) {
        Some(image) => Err(Failure::usage(format!("{origin} `{image}` is no name of an image"))),
        None => Ok(image),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_decides_about_the_image_and_the_variable_is_a_default() {
        let default = || Some("local/node:1".to_owned());
        assert_eq!(image(None, None, default()), Ok(default()));
        assert_eq!(image(Some("other:2"), None, default()), Ok(Some("other:2".into())));
        assert_eq!(image(None, Some("1.33.7"), default()), Ok(Some("kindest/node:v1.33.7".into())));
        assert_eq!(image(None, None, None), Ok(None));
        let refused = |flag, version, default| image(flag, version, default).unwrap_err().message;
        assert!(
            refused(Some("a:1"), Some("1.36"), None).starts_with("--kubernetes-version and --kind-image a:1")
        );
        assert!(refused(Some("A B"), None, None).starts_with("--kind-image `A B`"));
        assert!(refused(None, None, Some("A B".into())).starts_with("KFE2E_KIND_IMAGE `A B`"));
    }
}
