//! What the flags ask for, checked as far as flags and files alone decide.

use std::{fs, path::PathBuf};

use serde_json::Value;

use super::{config, node_images};
use crate::{cluster::ClusterSettings, failure::Failure};

/// More nodes than one machine is good for are a slip of the finger.
const NODES: std::ops::RangeInclusive<u8> = 1..=16;

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
        let image = match (version, flags.kind_image.clone()) {
            (Some(_), Some(image)) => {
                return Err(Failure::usage(format!(
                    "--kubernetes-version and the node image {image} (--kind-image, or KFE2E_KIND_IMAGE) both say which \
                     Kubernetes it is: leave one of them out"
                )));
            }
            (Some(version), None) => Some(node_images::image_for(version).map_err(Failure::usage)?),
            (None, image) => image,
        };
        if let Some(image) = image.as_deref().filter(|image| bootstrap_image::normalize(image).is_err()) {
            return Err(Failure::usage(format!("--kind-image `{image}` is no name of an image")));
        }
        let config = match &flags.kind_config {
            None => None,
            Some(path) => {
                let refuse =
                    |reason: String| Failure::usage(format!("--kind-config {}: {reason}", path.display()));
                let text = fs::read_to_string(path).map_err(|error| refuse(error.to_string()))?;
                let given = config::parse(&text).map_err(refuse)?;
                if let Some(reason) = config::contradiction(&given, &settings.name, settings.nodes, version) {
                    return Err(refuse(reason));
                }
                Some(given)
            }
        };
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
