//! The pod of an attempt: the runner is copied in, a sidecar ships results, and the test's own image runs under the runner.
//!
//! Everything is within Pod Security `restricted`, or within `baseline` for a test that asks for it, whatever else the spec says.

use std::{collections::BTreeMap, time::Duration};

use crds::{
    names::{
        label,
        pod::{
            HOME, PREPARE_CONTAINER, RESULTS_CONTAINER, RESULTS_DIR, RUN_DIR, RUNNER, RUNNER_IN_IMAGE,
            SOURCE_DIR, TEST_CONTAINER,
        },
    },
    v1alpha1::{Amount, PodSecurity, ReceiptPolicy, Resources, Toleration},
};
use k8s_openapi::{
    api::core::v1::{
        self, Capabilities, ConfigMapVolumeSource, Container, EmptyDirVolumeSource, EnvVar, EnvVarSource,
        KeyToPath, ObjectFieldSelector, PodSecurityContext, PodSpec, ResourceRequirements, SeccompProfile,
        SecurityContext, Volume, VolumeMount,
    },
    apimachinery::pkg::api::resource::Quantity,
};

use super::{attempt_labels, job::seconds, token};
use crate::{
    names,
    settings::Settings,
    validate::{Program, Run, ValidSource, ValidTest},
};

/// Volume of runner, results and home.
const RUN_VOLUME: &str = "run";
/// Volume of the source.
const SOURCE_VOLUME: &str = "source";

/// File name of the source in the pod, the same for inline text and a ConfigMap's key.
pub(super) const fn file_name(program: &Program) -> &'static str {
    match program {
        Program::Notebook { .. } => "notebook.ipynb",
        // A program has no source, so nobody sees this name.
        Program::Script { .. } | Program::Image { .. } => "script",
    }
}

/// Labels of the pod: the attempt's, and the one by which the run's PodDefault selects it.
pub(super) fn labels(run: &Run, test: &ValidTest, attempt: i32) -> BTreeMap<String, String> {
    let mut labels = attempt_labels(run, test, attempt);
    if test.pipeline_access {
        labels.insert(label::PIPELINE_ACCESS.to_owned(), "true".to_owned());
    }
    labels
}

/// The pod, which may live for `lifetime`: the kubelet counts image pulls and init containers too.
pub(super) fn build(
    run: &Run,
    test: &ValidTest,
    attempt: i32,
    lifetime: Duration,
    settings: &Settings,
) -> PodSpec {
    PodSpec {
        active_deadline_seconds: Some(seconds(lifetime)),
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        restart_policy: Some("Never".to_owned()),
        service_account_name: Some(run.service_account.clone()),
        security_context: Some(pod_security(test)),
        init_containers: Some(vec![prepare(settings), results(settings)]),
        containers: vec![main(run, test, attempt)],
        node_selector: (!test.node_selector.is_empty()).then(|| test.node_selector.clone()),
        tolerations: (!test.tolerations.is_empty())
            .then(|| test.tolerations.iter().map(toleration).collect()),
        volumes: Some(
            [Some(empty_dir(RUN_VOLUME)), source(run, test), token(test)].into_iter().flatten().collect(),
        ),
        ..PodSpec::default()
    }
}

/// Copies the runner to where the test's container finds it, and makes the folders beside it.
fn prepare(settings: &Settings) -> Container {
    Container {
        name: PREPARE_CONTAINER.to_owned(),
        command: Some(words([RUNNER_IN_IMAGE, "install", RUNNER])),
        ..helper(settings)
    }
}

/// Ships results over its own log, beside the test and a little longer than it: a native sidecar.
fn results(settings: &Settings) -> Container {
    Container {
        name: RESULTS_CONTAINER.to_owned(),
        command: Some(words([RUNNER_IN_IMAGE, "results", "--dir", RESULTS_DIR])),
        restart_policy: Some("Always".to_owned()),
        ..helper(settings)
    }
}

/// What the containers of our own image have in common. No CPU limit: it would throttle a start of milliseconds into one
/// of seconds.
fn helper(settings: &Settings) -> Container {
    Container {
        image: Some(settings.image.clone()),
        image_pull_policy: Some("IfNotPresent".to_owned()),
        resources: Some(ResourceRequirements {
            requests: Some(quantities([("cpu", "10m"), ("memory", "16Mi")])),
            limits: Some(quantities([("memory", "128Mi")])),
            ..ResourceRequirements::default()
        }),
        security_context: Some(SecurityContext { read_only_root_filesystem: Some(true), ..security() }),
        volume_mounts: Some(vec![mount(RUN_VOLUME, RUN_DIR, false)]),
        ..Container::default()
    }
}

/// The test's own image, with the runner in the place of its entry point.
fn main(run: &Run, test: &ValidTest, attempt: i32) -> Container {
    Container {
        name: TEST_CONTAINER.to_owned(),
        image: Some(test.image.clone()),
        image_pull_policy: Some("IfNotPresent".to_owned()),
        command: Some(words([RUNNER])),
        args: Some(arguments(test)),
        env: Some(environment(run, test, attempt)),
        resources: test.resources.as_ref().map(requirements),
        security_context: Some(own_security(test)),
        termination_message_path: Some("/dev/termination-log".to_owned()),
        termination_message_policy: Some("File".to_owned()),
        volume_mounts: Some(mounts(test)),
        working_dir: Some(HOME.to_owned()),
        ..Container::default()
    }
}

/// What the test's container sees of the volumes.
fn mounts(test: &ValidTest) -> Vec<VolumeMount> {
    let source = test.program.source().map(|_| mount(SOURCE_VOLUME, SOURCE_DIR, true));
    let token = test.kubernetes_access.then(|| mount(token::VOLUME, token::MOUNT, true));
    [Some(mount(RUN_VOLUME, RUN_DIR, false)), source, token].into_iter().flatten().collect()
}

/// The volume of the token for the Kubernetes API.
fn token(test: &ValidTest) -> Option<Volume> {
    test.kubernetes_access.then(token::volume)
}

/// The runner's arguments.
fn arguments(test: &ValidTest) -> Vec<String> {
    let mut words = vec![test.program.command().to_owned()];
    let mut option = |name: &str, value: String| words.extend([name.to_owned(), value]);
    if test.program.source().is_some() {
        option("--source", format!("{SOURCE_DIR}/{}", file_name(&test.program)));
    }
    option("--results", RESULTS_DIR.to_owned());
    option("--timeout", test.timeout.as_secs().to_string());
    if test.receipt == ReceiptPolicy::Required {
        option("--receipt", "required".to_owned());
    }
    for requirement in &test.requirements {
        option("--requirement", literal(requirement));
    }
    let rest = match &test.program {
        Program::Notebook { parameters, .. } => {
            for (name, value) in parameters {
                option("--parameter", literal(&format!("{name}={value}")));
            }
            return words;
        }
        Program::Script { interpreter, args, .. } => {
            for word in interpreter {
                option("--interpreter", literal(word));
            }
            args.iter().collect()
        }
        Program::Image { command, args } => command.iter().chain(args).collect::<Vec<_>>(),
    };
    words.push("--".to_owned());
    words.extend(rest.into_iter().map(|word| literal(word)));
    words
}

/// The test's variables, and ours where it does not set them itself.
fn environment(run: &Run, test: &ValidTest, attempt: i32) -> Vec<EnvVar> {
    let value = |name: &str, value: &str| EnvVar {
        name: name.to_owned(),
        value: Some(value.to_owned()),
        ..EnvVar::default()
    };
    let field = |name: &str, path: &str| EnvVar {
        name: name.to_owned(),
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector {
                field_path: path.to_owned(),
                ..ObjectFieldSelector::default()
            }),
            ..EnvVarSource::default()
        }),
        ..EnvVar::default()
    };
    let ours = [
        value("HOME", HOME),
        value("E2E_RUN", &run.name),
        value("E2E_TEST", &test.name),
        value("E2E_ATTEMPT", &attempt.to_string()),
        field("POD_NAME", "metadata.name"),
        field("POD_NAMESPACE", "metadata.namespace"),
    ];
    let given = test.env.iter().map(|variable| value(&variable.name, &literal(&variable.value)));
    let not_given = ours.into_iter().filter(|ours| test.env.iter().all(|given| given.name != ours.name));
    given.chain(not_given).collect()
}

/// Text that Kubernetes would otherwise expand: `$(NAME)` in arguments and values is a reference, `$$` is a dollar sign.
fn literal(text: &str) -> String {
    text.replace('$', "$$")
}

/// The source's ConfigMap: ours, or one key of the user's.
fn source(run: &Run, test: &ValidTest) -> Option<Volume> {
    let file = file_name(&test.program);
    let (name, key) = match test.program.source()? {
        ValidSource::Inline(_) => (names::config_map(&test.name, &run.uid), file.to_owned()),
        ValidSource::ConfigMap(key) => (key.name.clone(), key.key.clone()),
    };
    Some(Volume {
        name: SOURCE_VOLUME.to_owned(),
        config_map: Some(ConfigMapVolumeSource {
            name,
            items: Some(vec![KeyToPath { key, path: file.to_owned(), ..KeyToPath::default() }]),
            ..ConfigMapVolumeSource::default()
        }),
        ..Volume::default()
    })
}

/// A volume that lives as long as the pod. The pod's fsGroup makes it writable for any user.
fn empty_dir(name: &str) -> Volume {
    Volume { name: name.to_owned(), empty_dir: Some(EmptyDirVolumeSource::default()), ..Volume::default() }
}

/// A mount.
fn mount(volume: &str, path: &str, read_only: bool) -> VolumeMount {
    VolumeMount {
        name: volume.to_owned(),
        mount_path: path.to_owned(),
        read_only: read_only.then_some(true),
        ..VolumeMount::default()
    }
}

/// The user and group of every container.
fn pod_security(test: &ValidTest) -> PodSecurityContext {
    PodSecurityContext {
        run_as_non_root: Some(true),
        run_as_user: Some(test.run_as_user),
        fs_group: Some(test.run_as_user),
        seccomp_profile: Some(SeccompProfile {
            type_: "RuntimeDefault".to_owned(),
            ..SeccompProfile::default()
        }),
        ..PodSecurityContext::default()
    }
}

/// What a container must not do.
fn security() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        capabilities: Some(Capabilities { drop: Some(words(["ALL"])), ..Capabilities::default() }),
        ..SecurityContext::default()
    }
}

/// What the test's own container must not do.
fn own_security(test: &ValidTest) -> SecurityContext {
    match test.pod_security {
        PodSecurity::Restricted => security(),
        // The container runtime's own set of capabilities, and programs with set-user-ID.
        PodSecurity::Baseline => SecurityContext::default(),
    }
}

/// A toleration in Kubernetes' words.
fn toleration(toleration: &Toleration) -> v1::Toleration {
    v1::Toleration {
        key: toleration.key.clone(),
        operator: Some(toleration.operator.as_str().to_owned()),
        value: toleration.value.clone(),
        effect: toleration.effect.map(|effect| effect.as_str().to_owned()),
        toleration_seconds: toleration.toleration_seconds,
    }
}

/// Requests and limits of the spec.
fn requirements(resources: &Resources) -> ResourceRequirements {
    let all = |amounts: &BTreeMap<String, Amount>| {
        (!amounts.is_empty())
            .then(|| amounts.iter().map(|(name, amount)| (name.clone(), amount.0.clone())).collect())
    };
    ResourceRequirements {
        requests: all(&resources.requests),
        limits: all(&resources.limits),
        ..ResourceRequirements::default()
    }
}

/// Quantities from text.
fn quantities<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, Quantity> {
    pairs.into_iter().map(|(name, amount)| (name.to_owned(), Quantity(amount.to_owned()))).collect()
}

/// Owned words.
fn words<const N: usize>(words: [&str; N]) -> Vec<String> {
    words.map(str::to_owned).to_vec()
}
