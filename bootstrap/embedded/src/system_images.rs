//! The images that every node needs, made here: the pods' pause program and CoreDNS.

use std::path::{Path, PathBuf};

use bootstrap_image::{Architecture, Entry, Image, Layer, minimal_root, write_layout};

use crate::{Error, assets::Set, config::Layout, pause};

/// The image of every pod's first process.
pub(crate) const PAUSE_IMAGE: &str = "localhost/kfe2e/pause:1";

/// The image of the cluster's DNS, called as upstream's.
pub(crate) fn coredns_image() -> String {
    format!("registry.k8s.io/coredns/coredns:{}", Set::CoreDns.version())
}

/// Writes both into a layout of the cluster's own and returns its folder.
pub(crate) fn write(layout: &Layout, coredns: &Path) -> Result<PathBuf, Error> {
    let folder = layout.state.join("system-images");
    let program = pause::executable(Architecture::host());
    let pause = Image {
        layers: vec![Layer::Entries(vec![Entry::bytes("/pause", program, 0o755)])],
        entrypoint: vec!["/pause".to_owned()],
        user: Some("65535:65535".to_owned()),
        ..Image::new(PAUSE_IMAGE)
    };
    let dns = Image {
        layers: vec![
            minimal_root(),
            Layer::Entries(vec![Entry::host_file("/coredns", coredns.join("coredns"), 0o755)]),
        ],
        entrypoint: vec!["/coredns".to_owned()],
        ..Image::new(coredns_image())
    };
    for image in [pause, dns] {
        write_layout(&folder, &image)?;
    }
    Ok(folder)
}
