//! A cluster's name, and the names on the host that follow from it.

use std::fmt;

use crate::{Error, digest};

/// The longest name: with it every socket's path stays well below the kernel's 108 bytes.
const LONGEST: usize = 32;
/// The longest name of a network link.
const LONGEST_LINK: usize = 15;
/// What every object on the host that belongs to a cluster is called first.
pub(crate) const PREFIX: &str = "kfe2e-";

/// A checked cluster name: a DNS label of at most 32 characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClusterName(String);

impl ClusterName {
    /// Checks a name.
    pub fn new(name: &str) -> Result<Self, Error> {
        let refuse = |reason: String| Error::Name { name: name.to_owned(), reason };
        if name.is_empty() || name.len() > LONGEST {
            return Err(refuse(format!("it must have 1 to {LONGEST} characters")));
        }
        let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if !name.chars().all(inner) {
            return Err(refuse("it may hold only a-z, 0-9 and '-'".to_owned()));
        }
        if name.starts_with('-') || name.ends_with('-') {
            return Err(refuse("it must start and end with a letter or digit".to_owned()));
        }
        Ok(Self(name.to_owned()))
    }

    /// The name itself, which is the node's name too.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The cgroup, the firewall table and the firewall rules' comment.
    pub(crate) fn tag(&self) -> String {
        format!("{PREFIX}{}", self.0)
    }

    /// The host's end of the link into the cluster. It follows from the name alone, so that it is found
    /// again without any record; a long name is replaced by its hash.
    pub(crate) fn link(&self) -> String {
        let tag = self.tag();
        if tag.len() <= LONGEST_LINK {
            return tag;
        }
        let hash = digest::of_bytes(self.0.as_bytes());
        format!("{PREFIX}{}", hash.split_at(8).0)
    }
}

impl fmt::Display for ClusterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_dns_labels() {
        for good in ["a", "kfe2e", "test-1", "0", &"a".repeat(32)] {
            assert_eq!(ClusterName::new(good).unwrap().as_str(), good);
        }
        for bad in ["", "-a", "a-", "A", "a_b", "a.b", "../x", &"a".repeat(33)] {
            let said = ClusterName::new(bad).unwrap_err().to_string();
            assert!(said.contains("cannot be a cluster's name"), "{said}");
        }
    }

    #[test]
    fn links_fit_and_follow_from_the_name() {
        assert_eq!(ClusterName::new("test-1").unwrap().link(), "kfe2e-test-1");
        let long = ClusterName::new("a-rather-long-name").unwrap();
        assert!(long.link().len() <= LONGEST_LINK && long.link().starts_with(PREFIX));
        assert_eq!(long.link(), long.clone().link());
        assert_ne!(long.link(), ClusterName::new("a-rather-long-nam").unwrap().link());
    }
}
