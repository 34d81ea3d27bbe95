//! Volumes for claims: folders of the cluster's, made by a small script around `kubectl`.

use std::ffi::OsString;

use crate::{
    config::{Component, Layout},
    control_plane::kubeconfig,
};

/// The default storage class, as the manifests have it.
const CLASS: &str = "standard";
const SCRIPT: &str = include_str!("provisioner.sh");

/// The provisioner's command line.
pub(crate) fn provisioner(layout: &Layout, kubectl: OsString) -> Vec<OsString> {
    let mut command: Vec<OsString> = ["sh", "-c", SCRIPT, "kfe2e"].map(OsString::from).to_vec();
    command.push(kubectl);
    command.push(kubeconfig(layout, Component::Provisioner).into());
    command.push(layout.kubectl_cache().into());
    command.push(layout.volumes().into());
    command.push(CLASS.into());
    command
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::{fs::PermissionsExt, process::CommandExt},
        path::Path,
        process::Command,
        thread,
        time::{Duration, Instant},
    };

    use nix::{
        sys::signal::{Signal, killpg},
        unistd::Pid,
    };

    use super::*;

    /// Stands in for kubectl: one open claim, one of another class, one released volume; it notes what it is
    /// asked to create and to delete.
    const KUBECTL: &str = r#"#!/bin/sh
case "$*" in
*"get persistentvolumeclaims"*)
    echo "Pending other Filesystem ns foreign uid-0 1Gi ReadWriteOnce"
    echo "Pending standard Filesystem ns data uid-1 1Gi ReadWriteOnce,ReadOnlyMany"
    exec sleep 60 ;;
*"get persistentvolumes"*)
    echo "Bound standard pvc-kept"
    echo "Released standard pvc-old"
    exec sleep 60 ;;
*" create "*) cat >"$NOTES/created" ;;
*" delete "*) echo "$*" >"$NOTES/deleted" ;;
esac
"#;

    fn wait_for(what: &str, done: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !done() {
            assert!(Instant::now() < deadline, "{what} did not come");
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn claims_get_open_folders_and_released_volumes_go() {
        let dir = tempfile::tempdir().unwrap();
        let (volumes, kubectl) = (dir.path().join("volumes"), dir.path().join("kubectl"));
        for name in ["pvc-old", "pvc-kept"] {
            fs::create_dir_all(volumes.join(name)).unwrap();
        }
        fs::write(&kubectl, KUBECTL).unwrap();
        fs::set_permissions(&kubectl, fs::Permissions::from_mode(0o755)).unwrap();
        let mut script = Command::new("sh")
            .args(["-c", SCRIPT, "kfe2e"])
            .args([&kubectl, Path::new("/dev/null"), dir.path(), &volumes])
            .arg(CLASS)
            .env("NOTES", dir.path())
            .process_group(0)
            .spawn()
            .unwrap();
        let noted = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap_or_default();
        wait_for("the volume", || noted("created").contains("hostPath"));
        wait_for("the end of the released one", || !volumes.join("pvc-old").exists());
        killpg(Pid::from_raw(i32::try_from(script.id()).unwrap()), Signal::SIGKILL).unwrap();
        script.wait().unwrap();
        let created = noted("created");
        for line in
            ["name: pvc-uid-1", "accessModes: [ReadWriteOnce,ReadOnlyMany]", "namespace: ns, name: data"]
        {
            assert!(created.contains(line), "{created}");
        }
        assert_eq!(mode(&volumes.join("pvc-uid-1")), 0o777);
        assert!(noted("deleted").contains("persistentvolume pvc-old"));
        assert!(volumes.join("pvc-kept").exists() && !volumes.join("pvc-uid-0").exists());
    }
}
