//! A whole `kfe2e run`, as several trials ask for it, and what it leaves.

use std::{fs, path::Path};

use crds::run_result::RunResult;

use crate::program::{image_flags, test_image};

/// The sample notebook and the sample script: both need the small Kubeflow.
pub const SAMPLES: [&str; 4] = [
    "--notebook",
    "manifests/samples/kubeflow-pipelines.ipynb",
    "--script",
    "manifests/samples/kubeflow-pipelines.py",
];

/// The arguments of a run with everything that it needs on this machine, and these further ones.
pub fn run_arguments(name: &str, kubeflow: &str, out: &Path, more: &[&str]) -> Vec<String> {
    let mut all: Vec<String> = ["run", "--name", name, "--kubeflow", kubeflow].map(Into::into).into();
    all.extend(["--out".into(), out.display().to_string(), "--image".into(), test_image()]);
    all.extend(image_flags());
    all.extend(more.iter().map(ToString::to_string));
    all
}

/// What the run says in its `run.json`.
pub fn result(out: &Path) -> RunResult {
    serde_json::from_slice(&fs::read(out.join("run.json")).unwrap()).unwrap()
}
