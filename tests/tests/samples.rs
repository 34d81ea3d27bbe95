//! The samples do what their comments say: applied with kubectl, awaited as CI does.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{Arc, OnceLock},
    time::Duration,
};

use crds::v1alpha1::{E2ETest, RunReason, TestReason, TestState};
use e2e_tests::{
    audit,
    cluster::{Cluster, Shared},
    docker::Docker,
    installed::{installed, on_kind},
    objects::conditions,
    program::{checkout, test_image},
    trials::{is_whole, run, runtime, trial},
};
use kube::Api;
use serde_json::Value;

/// The image of the samples, which no registry gives here.
const SAMPLE_IMAGE: &str = "ghcr.io/kubeflow/kubeflow/notebook-servers/jupyter-scipy:v1.10.0";

fn main() -> ExitCode {
    let (runtime, shared) = (runtime(), Shared::new("e2e-samples"));
    let kind = Arc::new(OnKind { shared: Shared::new(OnKind::NAME), docker: OnceLock::new() });
    let mut trials = vec![
        trial("each outcome is what its sample says", &runtime, &shared, |shared: Arc<Shared>| async move {
            outcomes(&*shared.get(installed).await).await;
        }),
        trial(
            "describe of a failed run says what failed",
            &runtime,
            &shared,
            |shared: Arc<Shared>| async move {
                described(&*shared.get(installed).await).await;
            },
        ),
        trial(
            "each outcome is what its sample says, on kind",
            &runtime,
            &kind,
            |kind: Arc<OnKind>| async move {
                outcomes(&*kind.get().await).await;
            },
        )
        .with_ignored_flag(true),
        trial(
            "describe of a failed run says what failed, on kind",
            &runtime,
            &kind,
            |kind: Arc<OnKind>| async move {
                described(&*kind.get().await).await;
            },
        )
        .with_ignored_flag(true),
    ];
    // Last: it looks back on the others.
    if is_whole() {
        let name = "no sample makes the operator ask for what it may not";
        trials.push(trial(name, &runtime, &shared, within_rights));
    }
    run(trials, || {
        shared.remove();
        kind.remove();
    })
}

/// The same cluster on kind, with the Docker that it lives in.
struct OnKind {
    shared: Arc<Shared>,
    docker: OnceLock<Docker>,
}

impl OnKind {
    const NAME: &str = "e2e-samples-kind";

    async fn get(&self) -> Arc<Cluster> {
        let docker = self.docker.get_or_init(Docker::start);
        self.shared.get(|name| on_kind(name, docker)).await
    }

    fn remove(&self) {
        if let Some(docker) = self.docker.get() {
            let down = ["down", "--cluster", "kind", "--name", Self::NAME].map(Into::into);
            docker.kfe2e(&down, Duration::from_secs(120)).expect(0);
        }
    }
}

/// A sample: where it is, and what its comment says.
struct Sample {
    path: PathBuf,
    verdict: RunReason,
    /// The reason of a test that did not pass.
    test: Option<TestReason>,
}

impl Sample {
    /// Reads the first line, such as `# Ends with TestsFailed (CellFailed). …`.
    fn read(path: PathBuf) -> Self {
        let text = fs::read_to_string(&path).unwrap();
        let says = text.strip_prefix("# Ends with ").and_then(|rest| rest.split_once('.'));
        let (says, _) = says.unwrap_or_else(|| panic!("{} does not say how it ends", path.display()));
        let (verdict, test) = says.split_once(" (").unwrap_or((says, ""));
        let reason = |name: &str| TestReason::from_name(name).unwrap_or_else(|| panic!("no reason {name}"));
        Self {
            verdict: RunReason::from_name(verdict).unwrap_or_else(|| panic!("no verdict {verdict}")),
            test: test.strip_suffix(')').map(reason),
            path,
        }
    }

    fn name(&self) -> &str {
        self.path.file_stem().unwrap().to_str().unwrap()
    }
}

/// All samples of outcomes, by name.
fn samples() -> Vec<Sample> {
    let folder = checkout().join("manifests/samples/outcomes");
    let mut paths: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(Sample::read).collect()
}

/// Applies a sample, with the image that is there.
fn apply(cluster: &Cluster, path: &Path) {
    let text = fs::read_to_string(path).unwrap().replace(SAMPLE_IMAGE, &test_image());
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), text).unwrap();
    cluster.kubectl(&["apply", "-f", file.path().to_str().unwrap()]).expect(0);
}

/// The run once it is finished, awaited with kubectl.
async fn ended(cluster: &Cluster, name: &str) -> E2ETest {
    let what = format!("e2etest/{name}");
    cluster.kubectl(&["wait", "--for=condition=Finished", &what, "--timeout=150s"]).expect(0);
    Api::<E2ETest>::all(cluster.client.clone()).get(name).await.unwrap()
}

async fn outcomes(cluster: &Cluster) {
    let samples = samples();
    assert!(samples.len() >= 15, "{}", samples.len());
    for sample in &samples {
        apply(cluster, &sample.path);
    }
    for sample in &samples {
        let ended = ended(cluster, sample.name()).await;
        let status = ended.status.clone().unwrap();
        let truth = if sample.verdict == RunReason::TestsPassed { "True" } else { "False" };
        let [_, finished, succeeded] = conditions(&ended);
        assert_eq!(finished, format!("True {}", sample.verdict), "{}", sample.name());
        assert_eq!(succeeded, format!("{truth} {}", sample.verdict), "{}", sample.name());
        let first = status.tests.iter().find_map(|test| test.reason);
        assert_eq!(first, sample.test, "{}: {:?}", sample.name(), status.tests);
        let flaky = status.tests.iter().any(|test| test.flaky);
        assert_eq!(flaky, sample.name() == "flaky", "{}: {:?}", sample.name(), status.tests);
        if sample.name() == "fail-fast" {
            assert_eq!(status.tests[1].state, TestState::NotRun, "{:?}", status.tests);
        }
    }
    // Each verdict that a run can have is among them.
    for verdict in RunReason::ALL.into_iter().filter(|reason| reason.is_verdict()) {
        assert!(samples.iter().any(|sample| sample.verdict == verdict), "no sample ends with {verdict}");
    }
}

async fn described(cluster: &Cluster) {
    for (name, words) in [
        ("cell-failed", vec!["cell 2", "ZeroDivisionError"]),
        ("exit-code", vec!["exit code 1", "the model is not what it was"]),
        ("image-missing", vec!["registry.invalid/no/such-image:1"]),
        ("kubeflow-not-ready", vec!["kubeflow-of-tomorrow", "does not exist"]),
        ("no-receipt", vec!["E2E_RECEIPT"]),
        ("invalid-spec", vec!["no-such-test"]),
    ] {
        apply(cluster, &checkout().join(format!("manifests/samples/outcomes/{name}.yaml")));
        ended(cluster, name).await;
        let text = cluster.kubectl(&["describe", "e2etest", name]).expect(0).stdout;
        for word in words {
            assert!(text.contains(word), "describe of {name} does not say {word}:\n{text}");
        }
        let conditions: Value =
            serde_json::from_str(&cluster.kubectl(&["get", "e2etest", name, "-o", "json"]).expect(0).stdout)
                .unwrap();
        assert!(conditions["status"]["conditions"].as_array().unwrap().len() == 3, "{conditions}");
    }
}

async fn within_rights(shared: Arc<Shared>) {
    let cluster = shared.get(installed).await;
    let used = audit::used(&cluster.name);
    assert!(used.requests > 0, "the log says nothing");
    assert_eq!(used.missing_outside(&BTreeSet::new()), Vec::<&str>::new());
}
