//! Whether this machine can have MicroK8s.

use std::path::Path;

use nix::{sys::statvfs::statvfs, unistd::Uid};

use crate::{
    failure::Failure,
    tool::{ToolError, on_the_path},
};

/// Where snaps, their data and the images in them go.
const SNAPD_FOLDER: &str = "/var/lib/snapd";

/// Room for the snap, the addons' images and a little Kubeflow. MicroK8s itself recommends 20 GB.
const NEEDED_GIB: u64 = 10;

/// Root is needed for whatever changes a snap.
pub(super) fn check_root() -> Result<(), Failure> {
    if Uid::effective().is_root() {
        return Ok(());
    }
    Err(Failure::usage("a MicroK8s cluster needs root: run the same command with sudo"))
}

/// Whether the disk has room.
pub(super) fn check_disk() -> Result<(), Failure> {
    let place = Path::new(SNAPD_FOLDER);
    let Some(place) = place.ancestors().find(|folder| folder.exists()) else { return Ok(()) };
    let disk = statvfs(place)
        .map_err(|error| Failure::infrastructure(format!("the disk of {}: {error}", place.display())))?;
    room(place, disk.blocks_available().saturating_mul(disk.fragment_size()) >> 30)
}

fn room(place: &Path, free_gib: u64) -> Result<(), Failure> {
    if free_gib >= NEEDED_GIB {
        return Ok(());
    }
    Err(Failure::infrastructure(format!(
        "the disk of {} has {free_gib} GiB left, and MicroK8s needs {NEEDED_GIB}: free some space there",
        place.display()
    )))
}

/// Why snapd cannot be asked, with what to do about it.
pub(super) fn refused(error: &ToolError) -> Failure {
    match error {
        ToolError::Missing { .. } => {
            let install =
                if on_the_path("apt-get").is_some() { "apt-get install --yes snapd" } else { "snapd" };
            Failure::usage(format!("this machine lacks snap: install it with `{install}`"))
        }
        ToolError::Failed { stderr, .. } if stderr.contains("cannot communicate with server") => {
            Failure::infrastructure("snapd does not answer: start it with `systemctl start snapd.socket`")
        }
        ToolError::TimedOut { .. } => {
            Failure::infrastructure(format!("{error}; is snapd well? see `snap changes`"))
        }
        ToolError::Failed { .. } | ToolError::Io { .. } | ToolError::Cancelled { .. } => {
            Failure::infrastructure(error.to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use crds::ExitCode;

    use super::*;

    #[test]
    fn each_refusal_says_what_to_do() {
        let missing = refused(&ToolError::Missing { program: "snap".into() });
        assert_eq!(missing.code, ExitCode::Usage);
        let silent = refused(&ToolError::Failed {
            line: "snap list --all microk8s".into(),
            status: "it exited with code 1".into(),
            stderr: "error: cannot list snaps: cannot communicate with server: dial unix /run/snapd.socket"
                .into(),
        });
        assert_eq!(silent.code, ExitCode::Infrastructure);
        assert!(silent.message.contains("systemctl start snapd.socket"));
        assert!(room(Path::new("/var"), 10).is_ok());
        assert!(room(Path::new("/var"), 9).unwrap_err().message.contains("has 9 GiB left"));
    }
}
