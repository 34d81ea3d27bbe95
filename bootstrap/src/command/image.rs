//! `kfe2e image …`.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use bootstrap_image::{Entry, Image, Layer, minimal_root, write_layout};
use crds::ExitCode;
use serde::Deserialize;

use crate::{cluster, command_line::ClusterArgs, failure::Failure};

/// Loads the images of a layout into a running cluster.
pub fn load(cluster: &ClusterArgs, folder: &Path) -> Result<ExitCode, Failure> {
    bootstrap_image::list(folder).map_err(|error| Failure::usage(error.to_string()))?;
    let (kind, because) = cluster.kind();
    let with_reason = |failure: Failure| failure.with_reason(because.as_deref());
    let cluster = cluster::of(&cluster.settings(kind)).map_err(with_reason)?;
    cluster.check_made().map_err(with_reason)?;
    cluster.load_images(&[folder.to_owned()], &mut |line| tell(&line))?;
    Ok(ExitCode::Succeeded)
}

/// Lists the images of a layout.
pub fn list(folder: &Path) -> Result<ExitCode, Failure> {
    let images = bootstrap_image::list(folder).map_err(|error| Failure::usage(error.to_string()))?;
    for image in images {
        tell(&format!("{}  {}  {:.1} MB", image.name, image.digest, megabytes(image.size)));
    }
    Ok(ExitCode::Succeeded)
}

/// A description of an image, as `kfe2e image write` reads it. Relative paths start at the description's folder.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Description {
    name: String,
    /// Begin with what an image of static programs lacks: `/etc/passwd`, `/etc/group`, `/tmp`.
    #[serde(default)]
    minimal_root: bool,
    layers: Vec<LayerDescription>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    #[serde(default)]
    entrypoint: Vec<String>,
    #[serde(default)]
    cmd: Vec<String>,
    user: Option<String>,
    working_dir: Option<String>,
}

/// One layer of a description.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum LayerDescription {
    /// An uncompressed tar file.
    Tar(PathBuf),
    /// Single files.
    Files {
        /// Programs: place in the image by file on the host.
        programs: BTreeMap<String, PathBuf>,
    },
}

/// Writes an image into a layout.
pub fn write(spec: &Path, out: &Path) -> Result<ExitCode, Failure> {
    let place = spec.display();
    let text = fs::read_to_string(spec).map_err(|error| Failure::usage(format!("{place}: {error}")))?;
    let description: Description =
        serde_json::from_str(&text).map_err(|error| Failure::usage(format!("{place}: {error}")))?;
    let folder = spec.parent().unwrap_or_else(|| Path::new("."));
    let mut image = Image::new(&description.name);
    image.layers = description.minimal_root.then(minimal_root).into_iter().collect();
    image.layers.extend(description.layers.into_iter().map(|layer| layer_of(layer, folder)));
    image.env = description.env.into_iter().collect();
    image.entrypoint = description.entrypoint;
    image.cmd = description.cmd;
    image.user = description.user;
    image.working_dir = description.working_dir;
    let stored = write_layout(out, &image).map_err(|error| Failure::infrastructure(error.to_string()))?;
    tell(&format!("{}  {}  {:.1} MB", stored.name, stored.digest, megabytes(stored.size)));
    Ok(ExitCode::Succeeded)
}

fn layer_of(layer: LayerDescription, folder: &Path) -> Layer {
    match layer {
        LayerDescription::Tar(path) => Layer::Tar(folder.join(path)),
        LayerDescription::Files { programs } => Layer::Entries(
            programs
                .into_iter()
                .map(|(place, file)| Entry::host_file(&place, folder.join(file), 0o755))
                .collect(),
        ),
    }
}

#[allow(clippy::cast_precision_loss, reason = "shown with one digit")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

#[allow(clippy::print_stdout, reason = "the result of the command")]
fn tell(line: &str) {
    println!("{line}");
}
