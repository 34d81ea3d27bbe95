//! Names that several programs agree on: labels, field managers, namespaces, paths inside a test's pod.
//!
//! They are API: a changed name orphans what an older version made.

/// The API group of `E2ETest`.
pub const GROUP: &str = "e2e.kubeflow.org";

/// Namespace of the operator, and of the inventory that its gate reads.
pub const SYSTEM_NAMESPACE: &str = "kubeflow-e2e-system";

/// Name of the operator's Deployment and ServiceAccount.
pub const OPERATOR: &str = "kubeflow-e2e-operator";

/// Name of the RoleBinding by which a namespace lets the operator run tests in it.
pub const TARGET_ROLE_BINDING: &str = "kubeflow-e2e-target";

/// Field manager of what the operator applies for a run.
pub const FIELD_MANAGER: &str = "kubeflow-e2e";

/// Field manager of the status that the operator writes.
pub const STATUS_FIELD_MANAGER: &str = "kubeflow-e2e/status";

/// Field manager of what `kfe2e` applies.
pub const INSTALL_FIELD_MANAGER: &str = "kfe2e";

/// Name and tag-less repository of the one image that holds operator and runner.
pub const IMAGE_REPOSITORY: &str = "ghcr.io/kubeflow/kubeflow-e2e";

/// Labels on everything that belongs to a run.
pub mod label {
    /// The tool that manages an object; its value is [`MANAGED_BY_VALUE`].
    pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
    /// Value of [`MANAGED_BY`].
    pub const MANAGED_BY_VALUE: &str = "kubeflow-e2e";
    /// Version of this project, on the CRD.
    pub const VERSION: &str = "app.kubernetes.io/version";
    /// Name of the `E2ETest`.
    pub const RUN: &str = "e2e.kubeflow.org/run";
    /// UID of the `E2ETest`; the PodDefault of a run selects by it, so that it can never touch another pod.
    pub const RUN_UID: &str = "e2e.kubeflow.org/run-uid";
    /// Name of the test in `spec.tests`.
    pub const TEST: &str = "e2e.kubeflow.org/test";
    /// Number of the attempt, from 1.
    pub const ATTEMPT: &str = "e2e.kubeflow.org/attempt";
    /// Set to `true` on ClusterRoles that let the operator read what a gate looks at.
    pub const AGGREGATE_TO_OPERATOR: &str = "e2e.kubeflow.org/aggregate-to-operator";
    /// Set to `true` on pods that want the run's PodDefault (tests with `pipelineAccess`).
    pub const PIPELINE_ACCESS: &str = "e2e.kubeflow.org/pipeline-access";
}

/// Annotations.
pub mod annotation {
    /// On an `E2ETest`: which invocation of `kfe2e` made it, so that an answer that got lost on the way is not taken for
    /// somebody else's object.
    pub const INVOCATION: &str = "e2e.kubeflow.org/invocation";
    /// On a Job or a pod that the operator ends: why its attempt did not pass, as `Reason: sentence`. An operator that is
    /// killed before it can write that into the status leaves it for the next.
    pub const ENDED: &str = "e2e.kubeflow.org/ended";
    /// On the operator's namespace: that `kfe2e` made it, in order to write an inventory into it.
    pub const MADE: &str = "e2e.kubeflow.org/made";
}

/// Kubeflow's own names that a run relies on.
pub mod kubeflow {
    /// Prefix of the annotation by which the PodDefault webhook records what it injected; the PodDefault's name follows,
    /// the value is its resourceVersion (seen on the webhook of Kubeflow 1.10).
    pub const PODDEFAULT_ANNOTATION_PREFIX: &str = "poddefault.admission.kubeflow.org/poddefault-";
    /// Label by which the PodDefault webhook selects namespaces.
    pub const PROFILE_NAMESPACE_LABEL: &str = "app.kubernetes.io/part-of";
    /// Value of [`PROFILE_NAMESPACE_LABEL`].
    pub const PROFILE_NAMESPACE_VALUE: &str = "kubeflow-profile";
    /// Audience of the token that the Pipelines API accepts.
    pub const PIPELINES_AUDIENCE: &str = "pipelines.kubeflow.org";
    /// Variable by which the kfp SDK finds its token file.
    pub const PIPELINES_TOKEN_ENV: &str = "KF_PIPELINES_SA_TOKEN_PATH";
    /// Where that token is mounted, as Kubeflow's own `access-ml-pipeline` PodDefault does.
    pub const PIPELINES_TOKEN_MOUNT: &str = "/var/run/secrets/kubeflow/pipelines";
    /// Name of the volume of that token.
    pub const PIPELINES_TOKEN_VOLUME: &str = "volume-kf-pipeline-token";
    /// The profile namespace of Kubeflow's own manifests.
    pub const DEFAULT_PROFILE: &str = "kubeflow-user-example-com";
    /// The service account that a profile namespace gives its users' pods.
    pub const DEFAULT_EDITOR: &str = "default-editor";
}

/// Containers, volumes and paths of a test's pod.
pub mod pod {
    /// Init container that copies the runner into [`RUN_DIR`].
    pub const PREPARE_CONTAINER: &str = "prepare";
    /// Native sidecar that ships results.
    pub const RESULTS_CONTAINER: &str = "results";
    /// The container of the test's own image.
    pub const TEST_CONTAINER: &str = "test";
    /// Path of the runner in the operator's image.
    pub const RUNNER_IN_IMAGE: &str = "/runner";
    /// Where the shared emptyDir is mounted.
    pub const RUN_DIR: &str = "/kfe2e";
    /// The runner, after [`PREPARE_CONTAINER`] ran.
    pub const RUNNER: &str = "/kfe2e/runner";
    /// Where the runner leaves results for the sidecar.
    pub const RESULTS_DIR: &str = "/kfe2e/results";
    /// Socket beside [`RESULTS_DIR`] on which the sidecar is told of progress.
    pub const PROGRESS_SOCKET: &str = "progress";
    /// Writable home of the test, and its working directory.
    pub const HOME: &str = "/kfe2e/home";
    /// Where the source's ConfigMap is mounted.
    pub const SOURCE_DIR: &str = "/kfe2e-source";
    /// Folder of the Python packages that a test asks for, beside [`RESULTS_DIR`].
    pub const PACKAGES: &str = "packages";
    /// File of the receipt, below [`RESULTS_DIR`]; `$E2E_RECEIPT` names it.
    pub const RECEIPT_FILE: &str = "receipt.json";
    /// File of the executed notebook, below [`RESULTS_DIR`].
    pub const EXECUTED_NOTEBOOK: &str = "executed.ipynb";
    /// File of the verdict, below [`RESULTS_DIR`]; the same JSON as the termination message.
    pub const VERDICT_FILE: &str = "verdict.json";
}

/// The group and the version of an `apiVersion` such as `apps/v1`; the core group is empty.
pub fn group_and_version(api_version: &str) -> (&str, &str) {
    api_version.split_once('/').unwrap_or(("", api_version))
}
