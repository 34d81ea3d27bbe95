//! Container images as OCI image layouts, written and read without a registry or a container engine.
//!
//! An image is described as data ([`Image`]), written into a layout folder ([`write_layout`]), found
//! again ([`list`]) and streamed in the form that `ctr images import -` reads ([`archive`]). One layout
//! folder may hold several images.
//!
//! What is written depends on the description alone: entries are sorted, owners and times are fixed, so
//! the same input gives the same digests on every machine. Layers are plain tar files, since an image that
//! never crosses a network gains nothing from compression and pays for it at each import.

mod archive;
mod blob;
mod error;
mod held;
mod image;
mod layer;
mod layout;
mod reference;

pub use archive::archive;
pub use error::ImageError;
pub use held::missing_from;
pub use image::{Architecture, Image};
pub use layer::{Content, Entry, EntryKind, Layer, minimal_root};
pub use layout::{StoredImage, list, write_layout};
pub use reference::normalize;
