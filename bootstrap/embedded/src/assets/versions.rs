//! The versions, once: everything else derives from here, and a test holds the module files to it.

use std::{os::unix::fs::PermissionsExt, path::Path};

/// Programs that are released, and so fetched or built, together.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Set {
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
    pub(crate) programs: &'static [&'static str],
}

/// Kubernetes itself.
pub(crate) const KUBERNETES: Set = Set {
    name: "kubernetes",
    version: "v1.36.3",
    programs: &[
        "kube-apiserver",
        "kube-controller-manager",
        "kube-proxy",
        "kube-scheduler",
        "kubectl",
        "kubelet",
    ],
};
/// Its database.
pub(crate) const ETCD: Set = Set { name: "etcd", version: "v3.6.16", programs: &["etcd"] };
/// Its DNS server.
pub(crate) const COREDNS: Set = Set { name: "coredns", version: "v1.14.7", programs: &["coredns"] };

impl Set {
    /// The name of its folder in the cache.
    pub(crate) fn folder(&self) -> String {
        format!("{}-{}", self.name, self.version)
    }

    /// The version's numbers, without the `v`.
    pub(crate) fn number(&self) -> &'static str {
        self.version.trim_start_matches('v')
    }

    /// Those of its programs that a folder lacks.
    pub(crate) fn missing_in(&self, folder: &Path) -> Vec<&'static str> {
        let executable = |program: &str| {
            folder.join(program).metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
        };
        self.programs.iter().copied().filter(|program| !executable(program)).collect()
    }
}
