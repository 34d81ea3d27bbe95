//! Images from OCI layouts into the nodes, without a copy on the way: each node's containerd reads the layout as a stream.

use std::{
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use anyhow::anyhow;
use bootstrap_image::{archive, list, missing_from};

use super::{containers::Container, engine::Engine, mark::Mark, processes::marked};
use crate::tool::{Cancel, Tool};

/// How long one layout may take into one node.
const LIMIT: Duration = Duration::from_mins(15);

/// Where images go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Nodes<'a> {
    /// The runtime of the nodes.
    pub(super) engine: &'a Engine,
    /// The mark of the attempt that made them, if that is ours.
    pub(super) mark: Option<&'a Mark>,
    /// The containers of the cluster.
    pub(super) containers: &'a [Container],
    /// Ends the work.
    pub(super) cancel: &'a Cancel,
}

impl Nodes<'_> {
    /// Loads what each node lacks of the layouts, all nodes at once. Returns a line for each node.
    pub(super) fn load(self, layouts: &[PathBuf]) -> anyhow::Result<Vec<String>> {
        if layouts.is_empty() {
            return Ok(Vec::new());
        }
        let outcomes: Vec<_> = thread::scope(|scope| {
            let nodes = self.containers.iter().filter(|container| container.is_node());
            let work: Vec<_> = nodes.map(|node| scope.spawn(move || self.load_into(node, layouts))).collect();
            work.into_iter()
                .map(|work| work.join().unwrap_or_else(|_| Err(anyhow!("loading images broke off"))))
                .collect()
        });
        outcomes.into_iter().collect()
    }

    fn load_into(self, node: &Container, layouts: &[PathBuf]) -> anyhow::Result<String> {
        let mut loaded = Vec::new();
        for layout in layouts {
            let held = self.inside(node, &["ctr", "--namespace=k8s.io", "images", "list"]).run()?;
            let missing = missing_from(&held, &list(layout)?);
            if !missing.is_empty() {
                self.import(node, layout, missing.clone())?;
            }
            loaded.extend(missing);
        }
        Ok(match loaded.as_slice() {
            [] => format!("{} has all images", node.name),
            names => format!("{}: loaded {}", node.name, names.join(", ")),
        })
    }

    fn import(self, node: &Container, layout: &Path, names: Vec<String>) -> anyhow::Result<()> {
        let config = self.inside(node, &["containerd", "config", "dump"]).run()?;
        let snapshotter = format!("--snapshotter={}", snapshotter(&config).unwrap_or("overlayfs"));
        let from = layout.to_owned();
        self.inside(node, &["ctr", "--namespace=k8s.io", "images", "import", &snapshotter, "-"])
            .stream(move |out| {
                archive(&from, |name| names.iter().any(|wanted| wanted == name), out)
                    .map_err(|error| error.to_string())
            })
            .within(LIMIT)
            .run()?;
        Ok(())
    }

    /// A program inside a node.
    fn inside<'a>(&'a self, node: &'a Container, words: &[&'a str]) -> Tool<'a> {
        let tool = self.engine.tool(["exec", "--interactive", &node.id]).args(words);
        marked(tool, self.mark).cancelled_by(self.cancel)
    }
}

/// The snapshotter that the kubelet's images are unpacked with, from what `containerd config dump` printed: in the table
/// that containerd 1 or 2 keeps it in.
fn snapshotter(config: &str) -> Option<&str> {
    let tables = ["io.containerd.grpc.v1.cri.containerd", "io.containerd.cri.v1.images"];
    let mut inside = false;
    for line in config.lines().map(str::trim) {
        if let Some(header) = line.strip_prefix('[') {
            let table: String = header.chars().filter(|c| !['"', '\'', ']'].contains(c)).collect();
            inside = table.strip_prefix("plugins.").is_some_and(|table| tables.contains(&table));
        } else if let Some((key, value)) = line.split_once('=').filter(|_| inside)
            && key.trim() == "snapshotter"
        {
            return Some(value.trim().trim_matches(['"', '\''])).filter(|name| !name.is_empty());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kubelets_snapshotter_is_found_in_both_versions_of_containerd() {
        let one = "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\"]\n  x = 1\n  \
                   [plugins.\"io.containerd.grpc.v1.cri\".containerd]\n    snapshotter = \"fuse-overlayfs\"\n";
        let two = "version = 3\n[plugins.'io.containerd.transfer.v1.local']\n  snapshotter = 'native'\n\
                   [plugins.'io.containerd.cri.v1.images']\n  snapshotter = 'overlayfs'\n";
        assert_eq!(snapshotter(one), Some("fuse-overlayfs"));
        assert_eq!(snapshotter(two), Some("overlayfs"));
        assert_eq!(snapshotter("snapshotter = 'x'"), None);
    }
}
