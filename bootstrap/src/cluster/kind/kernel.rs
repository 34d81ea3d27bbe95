//! The kernel's limits for watching files: a node takes dozens of them, and Kubeflow's pods hundreds.

use std::{collections::BTreeMap, fs, path::Path};

use serde::{Deserialize, Serialize};

/// The limits, with what Kubeflow's documentation asks for on kind.
const LIMITS: [(&str, u64); 2] =
    [("fs.inotify.max_user_instances", 2280), ("fs.inotify.max_user_watches", 1_255_360)];

/// A limit that is raised.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Raise {
    /// What it was.
    before: u64,
    /// What it is raised to.
    to: u64,
}

/// Limits by name.
pub(super) type Raises = BTreeMap<String, Raise>;

/// The limits that are too low by now. Those that another of our clusters raised keep what they were before it.
pub(super) fn too_low(raised: &Raises) -> Raises {
    plan(raised, |name| read(Path::new("/proc/sys"), name))
}

fn plan(raised: &Raises, now: impl Fn(&str) -> Option<u64>) -> Raises {
    let low = LIMITS.into_iter().filter_map(|(name, to)| {
        let before = now(name).filter(|now| *now < to)?;
        Some((name.to_owned(), Raise { before, to }))
    });
    raised.clone().into_iter().chain(low.filter(|(name, _)| !raised.contains_key(name))).collect()
}

/// Raises them as far as this process may. What it may not is taken out, since it is not ours to put back; the command
/// that would do it is returned.
pub(super) fn raise(raises: &mut Raises) -> Option<String> {
    let low = |name: &str, to| read(root(), name).is_some_and(|now| now < to);
    let refused = |name: &str, raise: &Raise| low(name, raise.to) && write(root(), name, raise.to).is_err();
    let refused: Vec<_> = raises.extract_if(.., |name, raise| refused(name, raise)).collect();
    let settings: Vec<_> = refused.iter().map(|(name, raise)| format!("{name}={}", raise.to)).collect();
    (!settings.is_empty()).then(|| format!("sudo sysctl {}", settings.join(" ")))
}

/// Puts back what was raised, unless somebody has set something else since. Returns what could not be put back.
pub(super) fn restore(raises: &Raises) -> Vec<String> {
    let ours = raises.iter().filter(|(name, raise)| read(root(), name) == Some(raise.to));
    ours.filter_map(|(name, raise)| {
        let error = write(root(), name, raise.before).err()?;
        Some(format!("{name} stays at {}, it was {}: {error}", raise.to, raise.before))
    })
    .collect()
}

fn root() -> &'static Path {
    Path::new("/proc/sys")
}

fn file(root: &Path, name: &str) -> std::path::PathBuf {
    root.join(name.replace('.', "/"))
}

fn read(root: &Path, name: &str) -> Option<u64> {
    fs::read_to_string(file(root, name)).ok()?.trim().parse().ok()
}

fn write(root: &Path, name: &str, value: u64) -> std::io::Result<()> {
    fs::write(file(root, name), value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_too_low_is_raised() {
        let now = |name: &str| Some(if name.ends_with("instances") { 128 } else { 2_000_000 });
        let raises = plan(&Raises::new(), now);
        let raise = Raise { before: 128, to: 2280 };
        assert_eq!(raises, Raises::from([("fs.inotify.max_user_instances".to_owned(), raise)]));
        // A second cluster finds it raised, and must know what it was before the first.
        assert_eq!(plan(&raises, |_| Some(3_000_000)), raises);
        assert_eq!(plan(&Raises::new(), |_| None), Raises::new());
    }
}
