//! Layout folders: writing an image into one, and listing what one holds.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::Path,
};

use oci_spec::image::{Descriptor, ImageIndex, ImageManifest, MediaType};
use serde_json::{Value, json};
use tempfile::NamedTempFile;

use crate::{
    Image, ImageError, Layer,
    blob::{self, Blob},
    layer::write_tar,
    reference::normalize,
};

/// The name that containerd imports the image under.
const CONTAINERD_NAME: &str = "io.containerd.image.name";
/// The name as the image specification has it.
const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// An image in a layout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredImage {
    /// The full name, or the manifest's digest for an image without one.
    pub name: String,
    /// The manifest's digest, `sha256:…`.
    pub digest: String,
    /// Bytes of manifest, configuration and layers together.
    pub size: u64,
}

/// Writes `image` into the layout folder `dir`, which is made when absent. An image of the same name is
/// replaced, others stay. The index is renamed into place last, so a reader sees the layout before or after.
pub fn write_layout(dir: &Path, image: &Image) -> Result<StoredImage, ImageError> {
    let name = normalize(&image.name)?;
    if image.layers.is_empty() {
        return Err(ImageError::Description { name, reason: "it has no layer".to_owned() });
    }
    let layers = image.layers.iter().map(|layer| write_layer(dir, layer)).collect::<Result<Vec<_>, _>>()?;
    let diff_ids = layers.iter().map(|layer| format!("sha256:{}", layer.digest)).collect();
    let config = write_json(dir, &as_json(&name, &image.configuration(diff_ids)?)?)?;
    let manifest = write_json(dir, &manifest(&config, &layers))?;
    let size = manifest.size + config.size + layers.iter().map(|layer| layer.size).sum::<u64>();

    let entry = json!({
        "mediaType": MediaType::ImageManifest.to_string(),
        "digest": format!("sha256:{}", manifest.digest),
        "size": manifest.size,
        "annotations": { CONTAINERD_NAME: name, REF_NAME: name },
        "platform": { "architecture": image.architecture.name(), "os": "linux" },
    });
    let mut manifests: Vec<Value> = match read_json(dir, "index.json")? {
        Some(Value::Object(mut index)) => match index.remove("manifests") {
            Some(Value::Array(entries)) => entries,
            _ => Vec::new(),
        },
        _ => Vec::new(),
    };
    manifests
        .retain(|other| other.pointer("/annotations").is_none_or(|a| a[CONTAINERD_NAME] != name.as_str()));
    manifests.push(entry);
    manifests.sort_by_key(|m| m["annotations"][CONTAINERD_NAME].as_str().map(str::to_owned));
    replace(dir, "oci-layout", &json!({ "imageLayoutVersion": "1.0.0" }))?;
    replace(dir, "index.json", &index(&manifests))?;
    Ok(StoredImage { name, digest: format!("sha256:{}", manifest.digest), size })
}

/// The images that the layout folder `dir` holds, by name.
pub fn list(dir: &Path) -> Result<Vec<StoredImage>, ImageError> {
    read_index(dir)?.manifests().iter().map(|descriptor| stored(dir, descriptor)).collect()
}

/// The index of a layout, or a sentence on why the folder is none.
pub(crate) fn read_index(dir: &Path) -> Result<ImageIndex, ImageError> {
    let refuse = |reason: &str| ImageError::NotALayout { path: dir.to_owned(), reason: reason.to_owned() };
    if !dir.is_dir() {
        return Err(refuse("there is no such folder"));
    }
    if !dir.join("oci-layout").is_file() {
        return Err(refuse("it has no file `oci-layout`"));
    }
    let path = dir.join("index.json");
    if !path.is_file() {
        return Err(refuse("it has no file `index.json`"));
    }
    ImageIndex::from_file(&path).map_err(|e| refuse(&format!("its index.json cannot be read: {e}")))
}

/// The index document over these entries.
pub(crate) fn index(manifests: &[Value]) -> Value {
    json!({ "schemaVersion": 2, "mediaType": MediaType::ImageIndex.to_string(), "manifests": manifests })
}

/// Reads the manifest behind a descriptor.
pub(crate) fn read_manifest(dir: &Path, descriptor: &Descriptor) -> Result<ImageManifest, ImageError> {
    let path = blob::folder(dir).join(descriptor.digest().digest());
    ImageManifest::from_file(&path).map_err(|e| ImageError::NotALayout {
        path: dir.to_owned(),
        reason: format!("the manifest {} cannot be read: {e}", descriptor.digest()),
    })
}

/// The name that a descriptor carries.
pub(crate) fn name_of(descriptor: &Descriptor) -> Option<&String> {
    let annotations = descriptor.annotations().as_ref()?;
    annotations.get(CONTAINERD_NAME).or_else(|| annotations.get(REF_NAME))
}

fn stored(dir: &Path, descriptor: &Descriptor) -> Result<StoredImage, ImageError> {
    let digest = descriptor.digest().to_string();
    let manifest = read_manifest(dir, descriptor)?;
    let layers: u64 = manifest.layers().iter().map(Descriptor::size).sum();
    Ok(StoredImage {
        name: name_of(descriptor).cloned().unwrap_or_else(|| digest.clone()),
        size: descriptor.size() + manifest.config().size() + layers,
        digest,
    })
}

fn manifest(config: &Blob, layers: &[Blob]) -> Value {
    let descriptor = |media_type: MediaType, blob: &Blob| {
        json!({
            "mediaType": media_type.to_string(),
            "digest": format!("sha256:{}", blob.digest),
            "size": blob.size,
        })
    };
    json!({
        "schemaVersion": 2,
        "mediaType": MediaType::ImageManifest.to_string(),
        "config": descriptor(MediaType::ImageConfig, config),
        "layers": layers.iter().map(|l| descriptor(MediaType::ImageLayer, l)).collect::<Vec<_>>(),
    })
}

fn write_layer(dir: &Path, layer: &Layer) -> Result<Blob, ImageError> {
    match layer {
        Layer::Entries(entries) => blob::write(dir, |mut out| write_tar(entries, &mut out)),
        Layer::Tar(path) => {
            let mut file = File::open(path).map_err(ImageError::io("open", path))?;
            require_plain_tar(path, &mut file)?;
            blob::write(dir, |mut out| {
                let mut file = File::open(path).map_err(ImageError::io("open", path))?;
                io::copy(&mut file, &mut out).map(drop).map_err(ImageError::io("copy", path))
            })
        }
    }
}

/// A compressed tar would be written with a digest that no runtime accepts: refuse it by name instead.
fn require_plain_tar(path: &Path, file: &mut File) -> Result<(), ImageError> {
    let mut head = [0; 262];
    let full = file.read_exact(&mut head).is_ok();
    if full && head.ends_with(b"ustar") {
        return Ok(());
    }
    Err(ImageError::Description {
        name: path.display().to_string(),
        reason: "this layer is no uncompressed tar file".to_owned(),
    })
}

fn as_json(name: &str, value: &impl serde::Serialize) -> Result<Value, ImageError> {
    serde_json::to_value(value)
        .map_err(|e| ImageError::Description { name: name.to_owned(), reason: e.to_string() })
}

fn write_json(dir: &Path, value: &Value) -> Result<Blob, ImageError> {
    blob::write(dir, |out| out.write_all(value.to_string().as_bytes()).map_err(ImageError::io("write", dir)))
}

fn read_json(dir: &Path, file: &str) -> Result<Option<Value>, ImageError> {
    let path = dir.join(file);
    match fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|e| ImageError::NotALayout {
            path: dir.to_owned(),
            reason: format!("its {file} cannot be read: {e}"),
        }),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(ImageError::io("read", &path)(e)),
    }
}

fn replace(dir: &Path, file: &str, value: &Value) -> Result<(), ImageError> {
    use std::os::unix::fs::PermissionsExt;
    let path = dir.join(file);
    let mut out = NamedTempFile::new_in(dir).map_err(ImageError::io("create a file in", dir))?;
    out.write_all(value.to_string().as_bytes()).map_err(ImageError::io("write", &path))?;
    let mode = fs::Permissions::from_mode(0o644);
    out.as_file().set_permissions(mode).map_err(ImageError::io("write", &path))?;
    out.persist(&path).map(drop).map_err(|e| ImageError::io("write", &path)(e.error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Entry, minimal_root};

    fn image(name: &str) -> Image {
        let program = Layer::Entries(vec![Entry::bytes("/app", "program", 0o755)]);
        Image {
            layers: vec![minimal_root(), program],
            entrypoint: vec!["/app".into()],
            env: vec![("A".into(), "b".into())],
            user: Some("1000:1000".into()),
            ..Image::new(name)
        }
    }

    #[test]
    fn the_same_description_has_the_same_digest() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let first = write_layout(one.path(), &image("localhost/app:1")).unwrap();
        let second = write_layout(two.path(), &image("localhost/app:1")).unwrap();
        assert_eq!(first, second);
        assert_eq!(
            fs::read(one.path().join("index.json")).unwrap(),
            fs::read(two.path().join("index.json")).unwrap()
        );
    }

    #[test]
    fn a_layout_holds_several_images_and_replaces_by_name() {
        let dir = tempfile::tempdir().unwrap();
        write_layout(dir.path(), &image("localhost/b:1")).unwrap();
        write_layout(dir.path(), &image("localhost/a:1")).unwrap();
        let changed = Image { cmd: vec!["x".into()], ..image("localhost/b:1") };
        let last = write_layout(dir.path(), &changed).unwrap();
        let all = list(dir.path()).unwrap();
        assert_eq!(
            all.iter().map(|i| i.name.as_str()).collect::<Vec<_>>(),
            ["localhost/a:1", "localhost/b:1"]
        );
        assert_eq!(all[1], last);
    }

    #[test]
    fn the_configuration_says_how_to_start() {
        let config =
            serde_json::to_value(image("a").configuration(vec!["sha256:0".into()]).unwrap()).unwrap();
        assert_eq!(config["config"]["Entrypoint"], json!(["/app"]));
        assert_eq!(config["config"]["Env"], json!(["A=b"]));
        assert_eq!(config["config"]["User"], "1000:1000");
        assert_eq!(config["rootfs"]["diff_ids"], json!(["sha256:0"]));
    }

    #[test]
    fn a_folder_that_is_no_layout_is_named_with_the_reason() {
        let dir = tempfile::tempdir().unwrap();
        for (make, reason) in [(None, "oci-layout"), (Some("oci-layout"), "index.json")] {
            if let Some(file) = make {
                fs::write(dir.path().join(file), "{}").unwrap();
            }
            let said = list(dir.path()).unwrap_err().to_string();
            assert!(said.contains(reason) && said.contains(&dir.path().display().to_string()), "{said}");
        }
        fs::write(dir.path().join("index.json"), "nonsense").unwrap();
        assert!(list(dir.path()).unwrap_err().to_string().contains("cannot be read"));
        assert!(list(Path::new("/no/such")).unwrap_err().to_string().contains("no such folder"));
    }

    #[test]
    fn a_compressed_layer_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let gz = dir.path().join("root.tar.gz");
        fs::write(&gz, [0x1f, 0x8b, 8, 0]).unwrap();
        let packed = Image { layers: vec![Layer::Tar(gz)], ..Image::new("localhost/a:1") };
        let said = write_layout(&dir.path().join("out"), &packed).unwrap_err().to_string();
        assert!(said.contains("no uncompressed tar"), "{said}");
    }
}
