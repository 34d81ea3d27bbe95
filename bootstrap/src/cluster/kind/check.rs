//! What keeps this machine from having the cluster, found without a side effect.

use std::{io, net::TcpListener, path::Path};

use nix::sys::statvfs::statvfs;
use serde_json::Value;

use super::{
    config, containers,
    engine::{Description, Engine},
    request::Request,
};
use crate::failure::Failure;

/// A node image unpacked: 0.5 to 1.3 GB.
const IMAGE: u64 = 3 << 29;
/// What a node writes until its pods run, above all the images of its control plane: 0.75 GB.
const NODE: u64 = 1 << 30;
/// With less than this left, programs begin to fail in their own ways.
const RESERVE: u64 = 1 << 30;

/// The size of all images that are to be loaded, which are OCI layouts.
pub(super) fn size_of_images(request: &Request) -> Result<u64, Failure> {
    let mut size = 0;
    for folder in &request.images {
        let stored = bootstrap_image::list(folder)
            .map_err(|error| Failure::usage(format!("--images {}: {error}", folder.display())))?;
        size += stored.iter().map(|image| image.size).sum::<u64>();
    }
    Ok(size)
}

/// Checks the machine of a runtime that answers.
pub(super) fn check(
    request: &Request,
    size_of_images: u64,
    engine: &Engine,
    description: &Description,
) -> Result<(), Failure> {
    let config = request.complete_config(description.cgroup_v1);
    reachable(&config, engine)?;
    architecture(request, &config, engine, description)?;
    if engine.is_local() {
        disk(&description.root, needed(request.node_count(), size_of_images))?;
        for (address, port) in config::ports(&config) {
            free_port(&address, port)?;
        }
    }
    Ok(())
}

/// On another machine the API server would listen where only that machine reaches it.
fn reachable(config: &Value, engine: &Engine) -> Result<(), Failure> {
    match engine.far_away() {
        Some(host) if !config::has_api_address(config) => Err(Failure::infrastructure(format!(
            "{} is on another machine ({host}), and the cluster's API server would listen on its loopback address alone: \
             give a --kind-config that says networking.apiServerAddress, an address of that machine that this one reaches",
            engine.runtime
        ))),
        _ => Ok(()),
    }
}

/// A node image for other processors ends with an error that says nothing of them. One that is not there yet is judged
/// by what `kind` says.
fn architecture(
    request: &Request,
    config: &Value,
    engine: &Engine,
    description: &Description,
) -> Result<(), Failure> {
    let named = request.image.as_deref().into_iter();
    let images = named.chain(config::images(config).filter(|_| request.image.is_none()));
    for image in images {
        let found = containers::architecture_of(engine, image);
        if let Some(other) = found.filter(|found| *found != description.architecture) {
            return Err(Failure::infrastructure(format!(
                "the node image {image} is for {other}, and {} runs on {}: name one for {} with --kind-image",
                engine.runtime, description.architecture, description.architecture
            )));
        }
    }
    Ok(())
}

/// Bytes that a cluster takes on the disk: every node keeps its images twice, packed and unpacked.
fn needed(nodes: usize, images: u64) -> u64 {
    let nodes = u64::try_from(nodes).unwrap_or(u64::MAX);
    IMAGE + RESERVE + nodes.saturating_mul(NODE + images.saturating_mul(2))
}

/// A folder that this machine does not have is one of another machine, such as that of Docker Desktop.
fn disk(root: &Path, needed: u64) -> Result<(), Failure> {
    let Ok(disk) = statvfs(root) else { return Ok(()) };
    let free = disk.blocks_available().saturating_mul(disk.fragment_size());
    too_small(root, free, needed).map_or(Ok(()), |sentence| Err(Failure::infrastructure(sentence)))
}

fn too_small(root: &Path, free: u64, needed: u64) -> Option<String> {
    let gigabytes = |bytes: u64| format!("{}.{} GB", bytes / 1_000_000_000, bytes / 100_000_000 % 10);
    (free < needed).then(|| {
        format!(
            "the disk of {} has {} left, and this cluster takes {}: make room (`docker system prune` removes what no \
             container uses), or ask for fewer nodes",
            root.display(),
            gigabytes(free),
            gigabytes(needed)
        )
    })
}

/// Without this, `kind` would say so after a minute, or a container would never start.
fn free_port(address: &str, port: u16) -> Result<(), Failure> {
    match TcpListener::bind((address.trim_matches(['[', ']']), port)) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(Failure::infrastructure(format!(
            "port {port} of {address}, which the kind configuration gives to the cluster, is in use: `ss -ltnp` names \
             by what; end that, or write another port"
        ))),
        // Anything else, such as the right to a low port, is the runtime's affair and not ours.
        Ok(_) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_disk_is_too_small_for_nodes_and_their_images() {
        assert_eq!(needed(1, 0), IMAGE + RESERVE + NODE);
        assert_eq!(needed(3, 1 << 30), IMAGE + RESERVE + 9 * NODE);
        let root = Path::new("/var/lib/docker");
        assert_eq!(too_small(root, 4_000_000_000, 4_000_000_000), None);
        let said = too_small(root, 1_250_000_000, 4_000_000_000).unwrap();
        assert!(
            said.starts_with("the disk of /var/lib/docker has 1.2 GB left, and this cluster takes 4.0 GB: ")
        );
        assert!(disk(Path::new("/no/such/folder"), u64::MAX).is_ok());
        assert!(disk(Path::new("/proc"), 1).is_err());
    }

    #[test]
    fn on_another_machine_the_api_server_needs_an_address() {
        let engine = |host: &str| -> Engine {
            let variables = json!({"DOCKER_HOST": host});
            serde_json::from_value(json!({"runtime": "docker", "variables": variables})).unwrap()
        };
        let (here, far) = (engine("unix:///run/docker.sock"), engine("ssh://me@build"));
        let config = |networking: Value| json!({"networking": networking});
        let address = config(json!({"apiServerAddress": "192.168.1.7"}));
        assert_eq!(reachable(&address, &far), Ok(()));
        for config in [config(json!({})), config(json!({"apiServerAddress": ""})), json!({})] {
            assert_eq!(reachable(&config, &here), Ok(()));
            let said = reachable(&config, &far).unwrap_err().message;
            assert!(said.starts_with("Docker is on another machine (ssh://me@build), "), "{said}");
            assert!(said.contains("--kind-config that says networking.apiServerAddress"), "{said}");
        }
    }

    #[test]
    fn a_port_in_use_is_named() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let refused = free_port("127.0.0.1", port).unwrap_err();
        assert!(refused.message.starts_with(&format!("port {port} of 127.0.0.1, ")), "{refused}");
        drop(taken);
        assert_eq!(free_port("127.0.0.1", port), Ok(()));
        assert_eq!(free_port("203.0.113.1", 80), Ok(()));
    }
}
