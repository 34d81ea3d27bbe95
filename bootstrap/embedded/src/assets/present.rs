//! Which folder has a set already, in the version that is wanted.

use std::path::{Path, PathBuf};

use super::{AssetSource, KubernetesVersion, Set};
use crate::command::Tool;

/// The folder that has the whole set, if any. One whose name has the version is believed; of another, the
/// programs of Kubernetes are `asked` for theirs, since flags differ between versions.
pub(super) fn present(
    source: &AssetSource,
    set: Set,
    asked: impl Fn(&Path) -> Option<String>,
) -> Option<PathBuf> {
    let whole = |folder: &PathBuf| set.missing_in(folder).is_empty();
    let wanted = |folder: &PathBuf| match set {
        Set::Kubernetes(version) => asked(folder).is_some_and(|answer| is_of(version, &answer)),
        Set::Etcd | Set::CoreDns | Set::Kind => true,
    };
    let given = source.given.as_deref();
    let by_version = |base: &Path| Some(base.join(set.folder())).filter(whole);
    let nameless = |base: &Path| {
        [base.join(set.name()), base.to_owned()].into_iter().find(|folder| whole(folder) && wanted(folder))
    };
    given.and_then(|base| by_version(base).or_else(|| nameless(base))).or_else(|| by_version(&source.cache))
}

/// What Kubernetes' programs in a folder say of their version.
pub(super) fn ask(folder: &Path) -> Option<String> {
    Tool::new(folder.join("kubelet")).arg("--version").run().ok()
}

/// Why the user's folder was not taken.
pub(super) fn lack(given: &Path, set: Set) -> String {
    let missing = set.missing_in(given);
    if missing.is_empty() {
        return format!("{} holds another version than {}", given.display(), set.folder());
    }
    format!("{} lacks {} of {}", given.display(), missing.join(", "), set.folder())
}

fn is_of(version: KubernetesVersion, answer: &str) -> bool {
    answer.trim().strip_prefix("Kubernetes ") == Some(version.release())
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    const NEW: Set = Set::Kubernetes(KubernetesVersion::V1_36);
    const OLD: Set = Set::Kubernetes(KubernetesVersion::V1_33);

    fn place(folder: &Path, set: Set) {
        fs::create_dir_all(folder).unwrap();
        for program in set.programs() {
            fs::write(folder.join(program), "x").unwrap();
            fs::set_permissions(folder.join(program), fs::Permissions::from_mode(0o755)).unwrap();
        }
    }

    fn source(base: &Path) -> AssetSource {
        AssetSource { given: Some(base.join("given")), cache: base.join("cache"), releases: None }
    }

    #[test]
    fn a_given_folder_comes_before_the_cache_and_must_be_whole() {
        let dir = tempfile::tempdir().unwrap();
        let (source, given) = (source(dir.path()), dir.path().join("given"));
        let found = |set| present(&source, set, |_| None);
        assert_eq!(found(Set::Etcd), None);
        let cached = source.cache.join(Set::Etcd.folder());
        place(&cached, Set::Etcd);
        assert_eq!(found(Set::Etcd), Some(cached));
        place(&given, Set::Etcd);
        assert_eq!(found(Set::Etcd), Some(given.clone()));
        fs::write(given.join("kubelet"), "x").unwrap();
        assert_eq!(found(NEW), None);
        assert!(lack(&given, NEW).contains("lacks kube-apiserver, "));
    }

    #[test]
    fn each_version_has_a_folder_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let source = source(dir.path());
        place(&source.cache.join(NEW.folder()), NEW);
        let unasked = |set| present(&source, set, |_| panic!("its name says it"));
        assert_eq!(unasked(NEW), Some(source.cache.join("kubernetes-v1.36.3")));
        assert_eq!(unasked(OLD), None);
    }

    #[test]
    fn a_folder_without_a_version_in_its_name_is_asked_for_it() {
        let dir = tempfile::tempdir().unwrap();
        let (source, given) = (source(dir.path()), dir.path().join("given"));
        place(&given, NEW);
        let says = |answer: &'static str| move |_: &Path| Some(answer.to_owned());
        assert_eq!(present(&source, NEW, says("Kubernetes v1.36.3\n")), Some(given.clone()));
        assert_eq!(present(&source, OLD, says("Kubernetes v1.36.3\n")), None);
        assert_eq!(present(&source, NEW, |_| None), None);
        assert_eq!(
            lack(&given, OLD),
            format!("{} holds another version than kubernetes-v1.33.13", given.display())
        );
    }
}
