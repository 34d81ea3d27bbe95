//! The private mount namespace in which containerd and kubelet run.
//!
//! Some of their paths ignore every flag. In a namespace of the cluster's own they are its own, and when its
//! last process is gone the kernel takes every mount with it: pods' volumes, containers' file systems, pods'
//! network namespaces.

use std::ffi::OsString;

use crate::{config::Layout, host::FIXED_FOLDERS, network::enter_option, process::Identity};

/// Severs the mounts from the host's, lays the cluster's own over the fixed paths, and becomes the program.
const MOUNT: &str = r#"name=$1 folders=$2; shift 2
mount --make-rshared / || exit 1
for folder in $folders; do mount -t tmpfs -o mode=755 "$name" "$folder" || exit 1; done
echo ready >&3
exec "$@" 3>&-"#;

/// Runs a program in the cluster's network and a new mount namespace.
pub(crate) fn found(layout: &Layout, program: Vec<OsString>) -> Vec<OsString> {
    let mut command = in_network(layout, Vec::new());
    command.extend(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", MOUNT, "kfe2e"].map(OsString::from),
    );
    command.extend([layout.name.tag(), FIXED_FOLDERS.join(" ")].map(OsString::from));
    command.extend(program);
    command
}

/// Runs a program in the cluster's network.
pub(crate) fn in_network(layout: &Layout, program: Vec<OsString>) -> Vec<OsString> {
    let mut command = vec![OsString::from("nsenter"), enter_option(&layout.netns())];
    command.extend(program);
    command
}

/// Runs a program in the cluster's network and in the mount namespace of a process that lives in it.
pub(crate) fn join(layout: &Layout, founder: Identity, program: Vec<OsString>) -> Vec<OsString> {
    let mut command = vec![
        OsString::from("nsenter"),
        enter_option(&layout.netns()),
        OsString::from(format!("--mount=/proc/{}/ns/mnt", founder.pid)),
    ];
    command.extend(program);
    command
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ClusterName, config::Roots};

    #[test]
    fn the_program_comes_last_and_its_folders_are_covered() {
        let layout = Layout::new(&Roots::default(), &ClusterName::new("a").unwrap()).unwrap();
        let command = found(&layout, vec!["containerd".into()]);
        let words: Vec<String> = command.iter().map(|word| word.to_string_lossy().into_owned()).collect();
        assert_eq!(words[..2], ["nsenter", "--net=/run/kfe2e/a/netns"]);
        assert_eq!(words.last().unwrap(), "containerd");
        assert!(
            words.contains(&"/var/lib/kubelet /var/lib/cni /run/containerd /var/log/containers".to_owned())
        );
    }
}
