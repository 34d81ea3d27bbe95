//! The samples on every supported version of Kubernetes, and the table that says so.

use std::{
    fs,
    process::{Command, ExitCode},
    sync::{Arc, OnceLock, mpsc::channel},
    time::Duration,
};

use bootstrap_embedded::KubernetesVersion;
use e2e_tests::{
    docker::Docker,
    program::{checkout, kfe2e, start_command},
    runs::{SAMPLES, result, run_arguments},
    trials::{plain, run},
};
use libtest_mimic::Trial;

/// How long a run may take on a busy machine.
const LIMIT: Duration = Duration::from_secs(400);

/// How long a node image may take to be made.
const IMAGE_WITHIN: Duration = Duration::from_secs(580);

/// The table that this writes.
const TABLE: &str = "docs/kubernetes-versions.md";

/// A cluster on which the samples passed.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Passed {
    cluster: &'static str,
    kubernetes: String,
}

fn main() -> ExitCode {
    let (sender, passed) = channel();
    let docker: Arc<OnceLock<Docker>> = Arc::default();
    let mut trials = Vec::new();
    for version in KubernetesVersion::ALL {
        let seen = sender.clone();
        let name = format!("the samples pass on the embedded cluster with Kubernetes {}", version.line());
        trials.push(slow(name, move || {
            let flag = ["--kubernetes-version", version.line()];
            seen.send(samples("embedded", &flag, &[])).unwrap();
        }));
        let (seen, docker) = (sender.clone(), Arc::clone(&docker));
        let name = format!("the samples pass on kind with Kubernetes {}", version.line());
        trials.push(slow(name, move || {
            let docker = docker.get_or_init(Docker::start);
            let image = docker.load(&node_image(version));
            seen.send(samples("kind", &["--kind-image", &image], &docker.variables())).unwrap();
        }));
    }
    let wanted = trials.len();
    run(trials, || {
        drop(docker);
        // Part of the trials, as a filter selects them, says nothing about what is supported.
        let mut passed: Vec<Passed> = passed.try_iter().collect();
        if passed.len() == wanted {
            passed.sort();
            fs::write(checkout().join(TABLE), table(&passed)).unwrap();
        }
    })
}

fn slow(name: String, test: impl FnOnce() + Send + 'static) -> Trial {
    plain(name, test).with_ignored_flag(true)
}

/// The archive of the node image of a version.
fn node_image(version: KubernetesVersion) -> String {
    let mut command = Command::new(checkout().join("tests/kind/node-image.sh"));
    command.arg(version.line());
    let made = start_command(&mut command, format!("node-image.sh {}", version.line())).wait(IMAGE_WITHIN);
    made.expect(0).stdout.trim().into()
}

/// Runs the samples against the small Kubeflow; what the API server called itself.
fn samples(cluster: &'static str, more: &[&str], variables: &[(String, String)]) -> Passed {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let more = [&["--cluster", cluster], &SAMPLES[..], more].concat();
    let arguments = run_arguments("e2e-version", "tests/kubeflow-mini", &out, &more);
    let mut command = Command::new(kfe2e());
    command.args(&arguments).envs(variables.iter().cloned());
    start_command(&mut command, format!("kfe2e {}", arguments.join(" "))).wait(LIMIT).expect(0);
    let result = result(&out);
    assert_eq!(result.environment["cluster"], cluster);
    Passed { cluster, kubernetes: result.environment["kubernetes"].clone() }
}

/// The table, as it stands in the documentation.
fn table(passed: &[Passed]) -> String {
    let row = |Passed { cluster, kubernetes }: &Passed| format!("| `{cluster}` | {kubernetes} | passed |");
    let rows = passed.iter().map(row).collect::<Vec<_>>().join("\n");
    format!(
        "# Versions of Kubernetes\n\nWritten by `make test-all` (`tests/tests/versions.rs`): on each of these, the small Kubeflow was installed, \
         became ready,\nthe sample notebook and script passed, and the cluster was removed.\n\n| cluster | Kubernetes | samples |\n|---|---|---|\n{rows}\n\n\
         Older versions than 1.33 are refused. Newer ones are not, and have not been tried.\n"
    )
}
