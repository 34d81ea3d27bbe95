//! The versions, once: everything else derives from here, and a test holds the module files to it.

use std::{fmt, os::unix::fs::PermissionsExt, path::Path, str::FromStr};

use crate::Error;

/// A version of Kubernetes that an embedded cluster can run: one patch release of each line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum KubernetesVersion {
    /// The oldest line.
    V1_33,
    /// The newest line.
    #[default]
    V1_36,
}

impl KubernetesVersion {
    /// All of them, the oldest first.
    pub const ALL: [Self; 2] = [Self::V1_33, Self::V1_36];

    /// The release as Kubernetes writes it, such as `v1.36.3`.
    pub const fn release(self) -> &'static str {
        match self {
            Self::V1_33 => "v1.33.13",
            Self::V1_36 => "v1.36.3",
        }
    }

    /// The line of releases that it is the newest of, such as `1.36`.
    pub fn line(self) -> &'static str {
        let number = without_v(self.release());
        number.rsplit_once('.').map_or(number, |(line, _patch)| line)
    }

    /// Whether its kubelet refuses a host with cgroups of version 1 unless it is told not to: from 1.35 on.
    pub(crate) const fn refuses_cgroup_v1(self) -> bool {
        match self {
            Self::V1_33 => false,
            Self::V1_36 => true,
        }
    }
}

impl fmt::Display for KubernetesVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.release())
    }
}

/// A line or a release, with or without the `v`.
impl FromStr for KubernetesVersion {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let number = without_v(text);
        let is_meant = |known: &Self| [known.line(), without_v(known.release())].contains(&number);
        Self::ALL.into_iter().find(is_meant).ok_or_else(|| {
            let known = Self::ALL.map(|known| format!("{} ({known})", known.line())).join(", ");
            Error::Setting(format!(
                "an embedded cluster cannot run Kubernetes `{text}`: choose one of {known}"
            ))
        })
    }
}

fn without_v(text: &str) -> &str {
    text.strip_prefix('v').unwrap_or(text)
}

/// The release of `kind` that [`crate::fetch_kind`] brings.
pub const KIND_VERSION: &str = "v0.33.0";

/// Programs that are released, and so fetched or built, together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Set {
    /// Kubernetes itself.
    Kubernetes(KubernetesVersion),
    /// Its database. The API server of each line works with it.
    Etcd,
    /// Its DNS server.
    CoreDns,
    /// The program that makes clusters of containers.
    Kind,
}

impl Set {
    /// The first part of its folder's name.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Kubernetes(_) => "kubernetes",
            Self::Etcd => "etcd",
            Self::CoreDns => "coredns",
            Self::Kind => "kind",
        }
    }

    /// Its release.
    pub(crate) const fn version(self) -> &'static str {
        match self {
            Self::Kubernetes(version) => version.release(),
            Self::Etcd => "v3.6.16",
            Self::CoreDns => "v1.14.7",
            Self::Kind => KIND_VERSION,
        }
    }

    pub(crate) const fn programs(self) -> &'static [&'static str] {
        match self {
            Self::Kubernetes(_) => &[
                "kube-apiserver",
                "kube-controller-manager",
                "kube-proxy",
                "kube-scheduler",
                "kubectl",
                "kubelet",
            ],
            Self::Etcd => &["etcd"],
            Self::CoreDns => &["coredns"],
            Self::Kind => &["kind"],
        }
    }

    /// The name of its folder in the cache.
    pub(crate) fn folder(self) -> String {
        format!("{}-{}", self.name(), self.version())
    }

    /// The version's numbers, without the `v`.
    pub(crate) fn number(self) -> &'static str {
        without_v(self.version())
    }

    /// Those of its programs that a folder lacks.
    pub(crate) fn missing_in(self, folder: &Path) -> Vec<&'static str> {
        let executable = |program: &str| {
            folder.join(program).metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
        };
        self.programs().iter().copied().filter(|program| !executable(program)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_named_by_its_line_or_its_release() {
        for text in ["1.36", "v1.36", "1.36.3", "v1.36.3"] {
            assert_eq!(text.parse::<KubernetesVersion>().unwrap(), KubernetesVersion::V1_36, "{text}");
        }
        for version in KubernetesVersion::ALL {
            assert_eq!(version.line().parse::<KubernetesVersion>().unwrap(), version);
            assert_eq!(version.to_string().parse::<KubernetesVersion>().unwrap(), version);
        }
    }

    #[test]
    fn a_version_that_is_not_known_is_refused_with_those_that_are() {
        let refused = "1.12".parse::<KubernetesVersion>().unwrap_err();
        assert!(refused.is_usage());
        assert_eq!(
            refused.to_string(),
            "an embedded cluster cannot run Kubernetes `1.12`: choose one of 1.33 (v1.33.13), 1.36 (v1.36.3)"
        );
        // Another patch release is another program, and what begins like a version is none.
        for text in ["v1.36.2", "1.3", "1", "v", "", "vv1.36", "1.36.3-rc.0", "latest"] {
            assert!(text.parse::<KubernetesVersion>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_newest_is_the_default() {
        assert_eq!(KubernetesVersion::ALL.into_iter().max(), Some(KubernetesVersion::default()));
        assert!(KubernetesVersion::ALL.is_sorted());
    }
}
