//! Building the binaries from their Go modules, by module files that this crate carries.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    time::Instant,
};

use super::{Errand, KubernetesVersion, LIMIT, Set};
use crate::{
    Error,
    command::{Input, Tool},
    progress::Teller,
};

/// A module's files and what to build of it.
struct Module {
    files: &'static [(&'static str, &'static str)],
    package: &'static str,
}

// All that a module lists as its tools.
const TOOLS: &str = "tool";
const KUBERNETES_1_33: Module = Module {
    files: &[
        ("go.mod", include_str!("../../modules/kubernetes-v1.33/go.mod")),
        ("go.sum", include_str!("../../modules/kubernetes-v1.33/go.sum")),
    ],
    package: TOOLS,
};
const KUBERNETES_1_36: Module = Module {
    files: &[
        ("go.mod", include_str!("../../modules/kubernetes-v1.36/go.mod")),
        ("go.sum", include_str!("../../modules/kubernetes-v1.36/go.sum")),
    ],
    package: TOOLS,
};
const ETCD: Module = Module {
    files: &[
        ("go.mod", include_str!("../../modules/etcd/go.mod")),
        ("go.sum", include_str!("../../modules/etcd/go.sum")),
    ],
    package: "go.etcd.io/etcd/server/v3",
};
const COREDNS: Module = Module {
    files: &[
        ("go.mod", include_str!("../../modules/coredns/go.mod")),
        ("go.sum", include_str!("../../modules/coredns/go.sum")),
        ("main.go", include_str!("../../modules/coredns/main.go")),
    ],
    package: ".",
};

const KIND: Module = Module {
    files: &[
        ("go.mod", include_str!("../../modules/kind/go.mod")),
        ("go.sum", include_str!("../../modules/kind/go.sum")),
    ],
    package: "sigs.k8s.io/kind",
};

/// Compiles a set into a folder. `why` says why it could not be had otherwise.
pub(super) fn build(
    set: Set,
    into: &Path,
    errand: Errand<'_>,
    teller: &mut Teller<'_>,
    why: &str,
) -> Result<(), Error> {
    require_go(set, why)?;
    let module = module(set);
    // Inside the folder that is being made: what a killed build leaves is removed with it.
    let source = tempfile::tempdir_in(into).map_err(Error::io("create a folder in", into))?;
    for (name, text) in module.files {
        let path = source.path().join(name);
        fs::write(&path, text).map_err(Error::io("write", path))?;
    }
    let log = source.path().join("packages");
    let tool = errand
        .tool("go")
        .args(["build", "-trimpath", "-v", "-ldflags", &linker_flags(set), "-o"])
        .arg(output(set, into))
        .arg(module.package)
        .env("CGO_ENABLED", "0")
        .env("GOTMPDIR", source.path())
        .dir(source.path())
        .errors_to(&log);
    let began = Instant::now();
    tool.run_while(Input::Nothing, &mut || {
        teller.remind(|| format!("building {} from its Go module: {}", set.folder(), progress(&log)));
        if began.elapsed() > LIMIT {
            let minutes = LIMIT.as_secs() / 60;
            let late = format!("the build of {} did not end within {minutes} minutes", set.folder());
            return Err(Error::Assets(late));
        }
        errand.check(&format!("the build of {}", set.folder()))
    })
    .map(drop)
    .map_err(|e| match e {
        Error::Program { reason, .. } => {
            Error::Assets(format!("{} cannot be downloaded ({why}) nor built: {reason}", set.folder()))
        }
        other => other,
    })
}

fn require_go(set: Set, why: &str) -> Result<(), Error> {
    Tool::new("go").arg("version").run().map(drop).map_err(|_| {
        Error::Assets(format!(
            "{} cannot be downloaded ({why}), and without Go it cannot be built: install Go 1.26 or newer, or \
             set KFE2E_ASSETS to a folder with the binaries",
            set.folder()
        ))
    })
}

const fn module(set: Set) -> Module {
    match set {
        Set::Kubernetes(KubernetesVersion::V1_33) => KUBERNETES_1_33,
        Set::Kubernetes(KubernetesVersion::V1_36) => KUBERNETES_1_36,
        Set::Etcd => ETCD,
        Set::CoreDns => COREDNS,
        Set::Kind => KIND,
    }
}

/// A single program is called as we call it; several go into the folder under their own names.
fn output(set: Set, into: &Path) -> std::path::PathBuf {
    match set.programs() {
        [program] => into.join(program),
        _ => into.join(""),
    }
}

/// Kubernetes' programs refuse each other without a version, which only the linker can give them.
fn linker_flags(set: Set) -> String {
    let mut flags = "-s -w".to_owned();
    let Set::Kubernetes(kubernetes) = set else { return flags };
    let (version, (major, minor)) =
        (kubernetes.release(), kubernetes.line().split_once('.').unwrap_or_default());
    for package in ["k8s.io/component-base/version", "k8s.io/client-go/pkg/version"] {
        for (variable, value) in
            [("gitVersion", version), ("gitMajor", major), ("gitMinor", minor), ("gitTreeState", "clean")]
        {
            flags.extend([" -X ", package, ".", variable, "=", value]);
        }
    }
    flags
}

/// How many packages the compiler has named so far, and the last of them.
fn progress(log: &Path) -> String {
    let Ok(file) = fs::File::open(log) else { return "starting".to_owned() };
    let lines = BufReader::new(file).lines().map_while(Result::ok);
    match lines.fold((0, None), |(count, _), line| (count + 1, Some(line))) {
        (count, Some(last)) => format!("{count} packages compiled, {last} last"),
        (_, None) => "finding what is compiled already".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn go_mod(set: Set) -> &'static str {
        module(set).files[0].1
    }

    #[test]
    fn module_files_have_the_versions_that_are_promised() {
        let kubernetes =
            KubernetesVersion::ALL.map(|version| (Set::Kubernetes(version), "k8s.io/kubernetes"));
        let others = [
            (Set::Etcd, "go.etcd.io/etcd/server/v3"),
            (Set::CoreDns, "github.com/coredns/coredns"),
            (Set::Kind, "sigs.k8s.io/kind"),
        ];
        for (set, path) in kubernetes.into_iter().chain(others) {
            assert!(go_mod(set).contains(&format!("{path} {}", set.version())), "{}", set.folder());
        }
    }

    #[test]
    fn all_of_kubernetes_is_of_one_version() {
        for version in KubernetesVersion::ALL {
            let staging = version.release().replacen("v1", "v0", 1);
            let replaces: Vec<_> =
                go_mod(Set::Kubernetes(version)).lines().filter(|line| line.contains("=>")).collect();
            assert!(replaces.len() > 30, "{version}");
            assert!(replaces.iter().all(|line| line.ends_with(&staging)), "{version}");
        }
    }

    #[test]
    fn every_program_of_kubernetes_is_a_tool_of_its_module() {
        for set in KubernetesVersion::ALL.map(Set::Kubernetes) {
            for program in set.programs() {
                let tool = format!("k8s.io/kubernetes/cmd/{program}\n");
                assert!(go_mod(set).contains(&tool), "{program} of {}", set.folder());
            }
        }
    }

    #[test]
    fn kubernetes_is_told_its_version() {
        for (version, number, minor) in
            [(KubernetesVersion::V1_33, "v1.33.13", "33"), (KubernetesVersion::V1_36, "v1.36.3", "36")]
        {
            let flags = linker_flags(Set::Kubernetes(version));
            assert!(flags.contains(&format!("-X k8s.io/component-base/version.gitVersion={number} ")));
            assert!(flags.contains(&format!("-X k8s.io/client-go/pkg/version.gitMinor={minor} ")));
        }
        assert_eq!(linker_flags(Set::Etcd), "-s -w");
    }

    #[test]
    fn progress_is_what_the_compiler_named_last() {
        let log = tempfile::NamedTempFile::new().unwrap();
        fs::write(log.path(), "a/b\nc/d\n").unwrap();
        assert_eq!(progress(log.path()), "2 packages compiled, c/d last");
        assert_eq!(progress(Path::new("/no/such")), "starting");
    }
}
