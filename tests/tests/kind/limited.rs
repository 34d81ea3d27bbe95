//! A node image whose network pods have the limits that some of kind's releases gave them.

use std::{fs, path::Path};

use super::world::{SHORT, World};

/// Where a node keeps the manifest of its network.
const MANIFEST: &str = "/kind/manifests/default-cni.yaml";

/// The trials' node image with limits in that manifest; its name.
pub(super) fn image(world: &World, folder: &Path) -> String {
    let docker = |arguments: &[&str]| world.docker.docker(arguments, SHORT);
    let container = docker(&["create", &world.image]);
    let (container, file) = (container.trim(), folder.join("default-cni.yaml"));
    let (place, copy) = (format!("{container}:{MANIFEST}"), file.to_str().unwrap());
    docker(&["cp", &place, copy]);
    let text = fs::read_to_string(&file).unwrap();
    let (indent, _) = text.lines().find_map(|line| line.split_once("requests:")).unwrap();
    let limits = format!("{indent}limits:\n{indent}  cpu: 100m\n{indent}  memory: 50Mi\n{indent}requests:");
    fs::write(&file, text.replacen(&format!("{indent}requests:"), &limits, 1)).unwrap();
    docker(&["cp", copy, &place]);
    let image = "localhost/kfe2e-kind-node:limited";
    docker(&["commit", container, image]);
    docker(&["rm", "--volumes", container]);
    image.to_owned()
}

/// Removes that image.
pub(super) fn remove(world: &World, image: &str) {
    world.docker.docker(&["image", "rm", image], SHORT);
}
