//! A layout as one tar stream, in the form that container runtimes import.

use std::{collections::BTreeSet, fs::File, io::Write, path::Path};

use oci_spec::image::Descriptor;
use serde_json::{Value, json};
use tar::{Builder, Header};

use crate::{
    ImageError, blob,
    layout::{index, name_of, read_index, read_manifest},
};

/// Writes those images of the layout `dir` whose names `keep` accepts to `out`, as an uncompressed tar that
/// `ctr images import -` reads. Blobs that several images share are written once.
pub fn archive(dir: &Path, keep: impl Fn(&str) -> bool, out: impl Write) -> Result<(), ImageError> {
    let all = read_index(dir)?;
    let kept: Vec<&Descriptor> =
        all.manifests().iter().filter(|d| name_of(d).is_some_and(|name| keep(name))).collect();
    let mut builder = Builder::new(out);
    append_bytes(&mut builder, "oci-layout", &json!({ "imageLayoutVersion": "1.0.0" }))?;
    append_bytes(&mut builder, "index.json", &index(&entries(dir, &kept)?))?;
    let mut written = BTreeSet::new();
    for descriptor in kept {
        let manifest = read_manifest(dir, descriptor)?;
        for part in manifest.layers().iter().chain([manifest.config(), descriptor]) {
            if written.insert(part.digest().digest().to_owned()) {
                append_blob(&mut builder, dir, part)?;
            }
        }
    }
    builder.into_inner().and_then(|mut out| out.flush()).map_err(ImageError::Archive)
}

fn entries(dir: &Path, descriptors: &[&Descriptor]) -> Result<Vec<Value>, ImageError> {
    descriptors
        .iter()
        .map(|descriptor| {
            serde_json::to_value(descriptor).map_err(|e| ImageError::NotALayout {
                path: dir.to_owned(),
                reason: format!("an entry of its index cannot be written: {e}"),
            })
        })
        .collect()
}

fn append_blob(builder: &mut Builder<impl Write>, dir: &Path, part: &Descriptor) -> Result<(), ImageError> {
    let path = blob::folder(dir).join(part.digest().digest());
    let file = File::open(&path).map_err(ImageError::io("open", &path))?;
    let mut header = header(part.size());
    let name = format!("blobs/sha256/{}", part.digest().digest());
    builder.append_data(&mut header, name, file).map_err(ImageError::Archive)
}

fn append_bytes(builder: &mut Builder<impl Write>, name: &str, value: &Value) -> Result<(), ImageError> {
    let text = value.to_string();
    let mut header = header(text.len() as u64);
    builder.append_data(&mut header, name, text.as_bytes()).map_err(ImageError::Archive)
}

fn header(size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_size(size);
    header.set_mode(0o644);
    header.set_mtime(0);
    header
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;
    use crate::{Image, minimal_root, write_layout};

    #[test]
    fn an_archive_holds_the_kept_images_and_shared_blobs_once() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["localhost/a:1", "localhost/b:1", "localhost/c:1"] {
            let image = Image { layers: vec![minimal_root()], cmd: vec![name.into()], ..Image::new(name) };
            write_layout(dir.path(), &image).unwrap();
        }
        let mut out = Vec::new();
        archive(dir.path(), |name| name != "localhost/c:1", &mut out).unwrap();
        let mut names = Vec::new();
        let mut index = String::new();
        for entry in tar::Archive::new(out.as_slice()).entries().unwrap() {
            let mut entry = entry.unwrap();
            let name = entry.path().unwrap().to_string_lossy().into_owned();
            if name == "index.json" {
                entry.read_to_string(&mut index).unwrap();
            }
            names.push(name);
        }
        // Layout file, index, one shared layer, two configurations, two manifests.
        assert_eq!(names.len(), 7, "{names:?}");
        assert!(index.contains("localhost/b:1") && !index.contains("localhost/c:1"));
    }

    #[test]
    fn an_archive_of_no_layout_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        assert!(
            archive(dir.path(), |_| true, Vec::new()).unwrap_err().to_string().contains("OCI image layout")
        );
    }
}
