//! Where the objects come from: a rendered file, a folder of files, or a kustomize folder.

mod document;
mod file;
mod kustomize;

use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
    time::Duration,
};

pub use document::{DocumentError, parse};

use crate::object::Object;

/// Most bytes that a set may have, before and after decompression.
pub const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// Why there is no set of objects.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A file or folder cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// More than [`MAX_BYTES`].
    #[error("{} has more than {} MiB of manifests; give the rendered objects only", path.display(), MAX_BYTES >> 20)]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// Binary, or an encoding other than UTF-8.
    #[error("{} is no text in UTF-8", path.display())]
    NotText {
        /// The file.
        path: PathBuf,
    },
    /// A document of a file cannot be used.
    #[error("{}, {source}", path.display())]
    Document {
        /// The file.
        path: PathBuf,
        /// Which document, and what is wrong.
        #[source]
        source: DocumentError,
    },
    /// Nothing in it.
    #[error("{} holds no Kubernetes object", path.display())]
    Empty {
        /// The file or folder.
        path: PathBuf,
    },
    /// A folder without a kustomization file and without manifests.
    #[error("{} holds neither a kustomization.yaml nor any .yaml, .yml or .json file", path.display())]
    NoManifests {
        /// The folder.
        path: PathBuf,
    },
    /// The same object stands in the set twice.
    #[error("{object} ({api_version}) is there twice: in {first} and in {second}; remove one of them")]
    Duplicate {
        /// The object.
        object: String,
        /// Its group and version.
        api_version: String,
        /// Where it stands first.
        first: String,
        /// Where it stands again.
        second: String,
    },
    /// The kubectl that renders folders cannot be started.
    #[error("cannot run {} to render {}: {source}", kubectl.display(), path.display())]
    Kubectl {
        /// The program.
        kubectl: PathBuf,
        /// The folder.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// kustomize refuses the folder.
    #[error("kustomize cannot render {}: {sentence}", path.display())]
    Kustomize {
        /// The folder.
        path: PathBuf,
        /// Its own words.
        sentence: String,
    },
    /// kustomize did not end.
    #[error("kustomize did not render {} within {} s; remote bases that cannot be reached make it hang", path.display(), limit.as_secs())]
    KustomizeTimeout {
        /// The folder.
        path: PathBuf,
        /// How long it was given.
        limit: Duration,
    },
}

/// Whether `path` is a folder that [`load`] renders by `kubectl kustomize`; anything else needs no `kubectl`.
pub fn is_kustomization(path: &Path) -> bool {
    path.is_dir() && kustomize::kustomization(path).is_some()
}

/// Whether a folder has something that [`load`] would read, without reading it; whatever is no folder passes.
///
/// # Errors
/// It has neither a kustomization file nor manifests, or cannot be read.
pub fn check_folder(path: &Path) -> Result<(), SourceError> {
    if !path.is_dir() || is_kustomization(path) {
        return Ok(());
    }
    file::manifests(path).map(drop)
}

/// Reads a set of objects.
///
/// A file may be YAML or JSON, of several documents and lists, compressed with gzip or zstd. A folder with a
/// kustomization file is rendered by `kubectl kustomize` within `render_limit`; of another folder, every `.yaml`, `.yml`
/// and `.json` file is read in the order of names, as `kubectl apply -f FOLDER` does.
///
/// # Errors
/// One sentence that names the file, the document and what is wrong with it.
pub async fn load(path: &Path, kubectl: &Path, render_limit: Duration) -> Result<Vec<Object>, SourceError> {
    let unreadable = |source| SourceError::Read { path: path.into(), source };
    let files = if std::fs::metadata(path).map_err(unreadable)?.is_dir() {
        match kustomize::kustomization(path) {
            Some(_) => {
                let rendered = kustomize::render(path, kubectl, render_limit).await?;
                return set(path, &[(path.to_owned(), rendered)]);
            }
            None => file::manifests(path)?,
        }
    } else {
        vec![path.to_owned()]
    };
    let mut texts = Vec::with_capacity(files.len());
    for file in files {
        let text = file::read(&file)?;
        texts.push((file, text));
    }
    set(path, &texts)
}

/// The objects of all files, each of them once.
fn set(path: &Path, texts: &[(PathBuf, String)]) -> Result<Vec<Object>, SourceError> {
    let mut objects = Vec::new();
    let mut seen: HashMap<(String, String, Option<String>, String), String> = HashMap::new();
    for (file, text) in texts {
        let parsed = parse(text).map_err(|source| SourceError::Document { path: file.clone(), source })?;
        for (line, object) in parsed {
            let identity = object.identity();
            let key = (
                identity.group.clone(),
                identity.kind.clone(),
                identity.namespace.clone(),
                identity.name.clone(),
            );
            let place = format!("{} line {line}", file.display());
            if let Some(first) = seen.insert(key, place.clone()) {
                return Err(SourceError::Duplicate {
                    object: identity.to_string(),
                    api_version: identity.api_version(),
                    first,
                    second: place,
                });
            }
            objects.push(object);
        }
    }
    if objects.is_empty() {
        return Err(SourceError::Empty { path: path.into() });
    }
    Ok(objects)
}

#[cfg(test)]
mod tests;
