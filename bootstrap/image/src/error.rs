//! What can go wrong with images, in sentences that name the file.

use std::{io, path::PathBuf};

/// An image could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// A file operation failed.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// The folder is not an image layout.
    #[error("{} is no OCI image layout: {reason}", path.display())]
    NotALayout {
        /// The folder.
        path: PathBuf,
        /// What is missing or wrong.
        reason: String,
    },
    /// The name cannot be an image's name.
    #[error("`{name}` is no image name: {reason}; expected a form like registry.example/project/app:1.0")]
    Name {
        /// The name as given.
        name: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// The description of the image is not one that can be written.
    #[error("image `{name}` cannot be written: {reason}")]
    Description {
        /// The image's name.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// The archive's reader went away or its disk is full.
    #[error("cannot write the image archive: {0}")]
    Archive(#[source] io::Error),
}

impl ImageError {
    /// Wraps the failure of `action` on `path`, for `map_err`.
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}
