//! What a run is going to do: flags and files, checked, as data.

use std::path::{Path, PathBuf};

use bootstrap_install::{Object, source::check_folder};
use crds::{
    gate_inventory::KUBEFLOW,
    names,
    v1alpha1::{E2ETest, E2ETestSpec, Gate, Test, ZeroableDuration},
};
use jiff::Timestamp;

use crate::{
    command_line::{Keep, RunArgs},
    failure::Failure,
    input::{e2etest, source},
    manifests,
};

/// Name of an `E2ETest` that is made from flags.
const DEFAULT_RUN: &str = "kubeflow";

/// How long readiness must hold when the flags ask for the gate.
const STABLE_FOR: &str = "10s";

/// Where Kubeflow comes from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum KubeflowSource {
    /// Nothing is installed; the target namespace is made with its service account.
    None,
    /// A rendered file or a folder.
    Path(PathBuf),
}

/// The operator that runs the tests.
#[derive(Clone, Debug)]
pub struct Operator {
    /// Its image.
    pub image: String,
    /// What it consists of.
    pub objects: Vec<Object>,
}

/// Everything that is known before the first side effect.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where Kubeflow comes from.
    pub kubeflow: KubeflowSource,
    /// The run as the file gives it, or an empty one.
    file: Option<E2ETest>,
    args: RunArgs,
    /// Output folder.
    pub out: PathBuf,
    /// When the cluster stays.
    pub keep: Keep,
    /// Why this kind of cluster, when nobody asked for it.
    pub cluster_because: Option<String>,
}

impl Plan {
    /// Checks the flags and the files that they name.
    pub fn new(args: &RunArgs, now: Timestamp) -> Result<Self, Failure> {
        let kubeflow = match args.kubeflow.as_str() {
            "none" => KubeflowSource::None,
            path if Path::new(path).exists() => KubeflowSource::Path(path.into()),
            path => {
                return Err(Failure::usage(format!(
                    "--kubeflow {path}: no such file or folder; give one, or `none`"
                )));
            }
        };
        if let KubeflowSource::Path(path) = &kubeflow {
            check_folder(path).map_err(|error| Failure::usage(format!("--kubeflow: {error}")))?;
        }
        let file = args.file.as_deref().map(e2etest::read).transpose()?;
        if file.is_none() && args.notebook.is_empty() && args.script.is_empty() {
            return Err(Failure::usage(
                "there is nothing to test: give --notebook FILE, --script FILE or -f FILE",
            ));
        }
        if args.cluster.nodes == 0 {
            return Err(Failure::usage(
                "--nodes 0: no test can run without a node: give 1 or more (an API server alone is made by `kfe2e up \
                 --cluster embedded --nodes 0`)",
            ));
        }
        for folder in &args.cluster.images {
            bootstrap_image::list(folder).map_err(|error| Failure::usage(format!("--images: {error}")))?;
        }
        let out = args.out.clone().unwrap_or_else(|| {
            Path::new("kfe2e-results").join(now.strftime("%Y-%m-%dT%H-%M-%SZ").to_string())
        });
        let plan = Self { kubeflow, file, args: args.clone(), out, keep: args.keep, cluster_because: None };
        // The objects of Kubeflow decide nothing that could make the E2ETest invalid.
        plan.e2etest(&[], false)?;
        Ok(plan)
    }

    /// Name of the run, known before anything is made.
    pub fn name(&self) -> &str {
        self.file.as_ref().and_then(|file| file.metadata.name.as_deref()).unwrap_or(DEFAULT_RUN)
    }

    /// Image of the operator.
    pub fn operator_image(&self) -> &str {
        &self.args.operator_image
    }

    /// The operator, with the image that is asked for.
    pub fn operator(&self) -> Result<Operator, Failure> {
        let image = self.args.operator_image.clone();
        let objects = manifests::operator(&image).map_err(Failure::infrastructure)?;
        Ok(Operator { image, objects })
    }

    /// The `E2ETest` of the run, once it is known what Kubeflow consists of. `pod_defaults` says that the cluster serves
    /// that API already.
    pub fn e2etest(&self, kubeflow: &[Object], pod_defaults: bool) -> Result<E2ETest, Failure> {
        if self.file.is_none()
            && !kubeflow.is_empty()
            && bootstrap_install::workload_namespaces(kubeflow).is_empty()
        {
            return Err(Failure::usage(format!(
                "--kubeflow {}: nothing in it asks for a pod, so there is nothing whose readiness could be waited for",
                self.args.kubeflow
            )));
        }
        let mut e2etest = self.file.clone().unwrap_or_else(|| {
            E2ETest::new(
                DEFAULT_RUN,
                E2ETestSpec {
                    kubeflow: gate(kubeflow),
                    timeout: self.args.timeout.clone(),
                    ..E2ETestSpec::new(names::kubeflow::DEFAULT_PROFILE, Vec::new())
                },
            )
        });
        if let Some(namespace) = &self.args.target_namespace {
            e2etest.spec.target_namespace.clone_from(namespace);
        }
        let mut tests = self.tests_of_flags(pod_defaults || serves_pod_defaults(kubeflow))?;
        source::distinct_names(&e2etest.spec.tests, &mut tests);
        e2etest.spec.tests.extend(tests);
        e2etest::check(&e2etest)?;
        Ok(e2etest)
    }

    /// The tests of `--notebook` and `--script`, in the order of the help text.
    fn tests_of_flags(&self, pipeline_access: bool) -> Result<Vec<Test>, Failure> {
        let common = source::Common { image: self.args.image.clone(), pipeline_access, timeout: None };
        let notebooks = self.args.notebook.iter().map(|path| source::notebook(path, &common));
        let scripts = self.args.script.iter().map(|path| source::script(path, &common));
        notebooks.chain(scripts).collect()
    }
}

/// The gate over everything that is installed.
fn gate(kubeflow: &[Object]) -> Option<Gate> {
    if kubeflow.is_empty() {
        return None;
    }
    Some(Gate { stable_for: ZeroableDuration(STABLE_FOR.into()), ..Gate::over_inventory(KUBEFLOW) })
}

/// Whether the set brings the API by which a pod gets its Pipelines token.
fn serves_pod_defaults(kubeflow: &[Object]) -> bool {
    kubeflow.iter().any(|object| {
        let identity = object.identity();
        identity.is("apiextensions.k8s.io", "CustomResourceDefinition")
            && identity.name == "poddefaults.kubeflow.org"
    })
}
