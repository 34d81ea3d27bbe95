//! A one-node Kubernetes from upstream's binaries on the host's containerd, without Docker and without a
//! registry; or its control plane alone.
//!
//! [`up`] makes a cluster or returns the one that runs if the caller shares it, [`down`] removes it, [`load_images`] loads OCI image
//! layouts into it. All is blocking: these are seconds of waiting for other programs, and a caller that has an
//! async runtime gives them a thread of their own.
//!
//! What privileged work there is, is done by the host's own tools (`ip`, `nsenter`, `unshare`, `nft`, `ctr`),
//! each step by one of them. Everything that comes into being on the host is named after the cluster or marked
//! with it, so that [`down`] needs no record of what was done: it asks the host.
//!
//! | on the host | how it is found again |
//! |---|---|
//! | processes | an environment variable set before the fork, the cgroup joined before the program, the network namespace |
//! | link, firewall table, cgroups | by name |
//! | rules in the host's own chains | by comment |
//! | mounts, folders | by path; what runs pods has a mount namespace of its own, which ends with its processes |
//! | kernel settings | the one thing that must be recorded: before the first change, put back after the last cluster |

mod address;
mod assets;
mod audit;
mod cgroup;
mod command;
mod config;
mod control_plane;
mod daemon;
mod digest;
mod disk;
mod dns;
mod down;
mod error;
mod evidence;
mod existing;
mod firewall;
mod host;
mod images;
mod kubeconfig;
mod kubectl;
mod leftovers;
pub mod limits;
mod lock;
mod make;
mod name;
mod namespace;
mod network;
mod node;
mod notify;
mod pause;
mod pipes;
mod pki;
mod preflight;
mod process;
mod progress;
mod resolver;
mod state;
mod storage;
mod system_images;
mod up;
mod watch;

pub use assets::{AssetSource, KIND_VERSION, KubernetesVersion, Releases, fetch as fetch_assets, fetch_kind};
pub use audit::audit_log;
pub use config::{Cancel, ClusterConfig, Existing, Roots};
pub use down::{Report, down};
pub use error::Error;
pub use evidence::evidence;
pub use leftovers::leftovers;
pub use lock::Lock;
pub use name::ClusterName;
pub use preflight::{preflight, preflight_down};
pub use progress::{Progress, Step};
pub use up::{Up, load_images, up};
