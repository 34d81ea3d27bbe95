//! Ordered server-side apply of rendered manifests.
//!
//! [`load`] reads a set of objects, [`order::waves`] says in which order they go in, [`apply`](apply::apply) sends
//! them, [`inventory`] keeps record of them in the cluster, [`remove`](remove::remove) removes what the record says was made.
//! Order, resources and the judgement of an API server's answer are pure.
//! Nothing here knows of hosts, kinds of clusters or terminals.

#[cfg(test)]
mod api_server;
pub mod apply;
mod ask;
mod found;
pub mod gate;
pub mod inventory;
pub mod namespaces;
pub mod object;
pub mod order;
pub mod remove;
pub mod resource;
pub mod source;

pub use apply::{Applied, AppliedObject, ApplyError, ApplyOptions, Progress};
pub use ask::{Patience, Unanswered, ask, ask_aloud};
pub use found::found;
pub use gate::{GateManifests, GateManifestsError, gate_manifests};
pub use inventory::{Before, Claim, Recorded, RecordedError, apply_recorded};
pub use namespaces::workload_namespaces;
pub use object::{Identity, Object};
pub use remove::{RemoveError, Removed, gone, only, remove};
pub use source::{SourceError, load};
