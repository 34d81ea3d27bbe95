//! The pod of an attempt: the runner is copied in, a sidecar ships results, and the test's own image runs under the runner.
//!
//! Everything is within Pod Security `restricted`, whatever the spec says.

use std::{collections::BTreeMap, time::Duration};

use crds::{
    names::{
        label,
        pod::{
            HOME, PREPARE_CONTAINER, RESULTS_CONTAINER, RESULTS_DIR, RUN_DIR, RUNNER, RUNNER_IN_IMAGE,
            SOURCE_DIR, TEST_CONTAINER,
        },
    },
    v1alpha1::{Amount, Resources},
};
use k8s_openapi::{
    api::core::v1::{
        Capabilities, ConfigMapVolumeSource, Container, EmptyDirVolumeSource, EnvVar, EnvVarSource,
        KeyToPath, ObjectFieldSelector, PodSecurityContext, PodSpec, ResourceRequirements, SeccompProfile,
        SecurityContext, Volume, VolumeMount,
    },
    apimachinery::pkg::api::resource::Quantity,
};

use super::{attempt_labels, job::seconds};
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
        volumes: Some([empty_dir(RUN_VOLUME)].into_iter().chain(source(run, test)).collect()),
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
        security_context: Some(security()),
        termination_message_path: Some("/dev/termination-log".to_owned()),
        termination_message_policy: Some("File".to_owned()),
        volume_mounts: Some(vec![mount(RUN_VOLUME, RUN_DIR, false), mount(SOURCE_VOLUME, SOURCE_DIR, true)]),
        working_dir: Some(HOME.to_owned()),
        ..Container::default()
    }
}

/// The runner's arguments.
fn arguments(test: &ValidTest) -> Vec<String> {
    let source = format!("{SOURCE_DIR}/{}", file_name(&test.program));
    let timeout = test.timeout.as_secs().to_string();
    let mut words: Vec<String> = match test.program {
        Program::Notebook { .. } => words(["notebook"]),
        Program::Script { .. } | Program::Image { .. } => words(["script"]),
    };
    words.extend(["--source", &source, "--results", RESULTS_DIR, "--timeout", &timeout].map(str::to_owned));
    if let Program::Script { interpreter, args, .. } = &test.program {
        for word in interpreter {
            words.extend(["--interpreter".to_owned(), literal(word)]);
        }
        words.push("--".to_owned());
        words.extend(args.iter().map(|word| literal(word)));
    }
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
