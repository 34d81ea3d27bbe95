//! The first useful cause why a pod does not start or is not ready, in one sentence.

use crds::verdict::truncate;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodStatus, Probe};

/// Longest text of a cause that comes from elsewhere, in bytes.
const MAX_DETAIL: usize = 600;

/// What kind of cause it is, from the least to the most telling.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum CauseKind {
    /// Nothing is wrong yet: containers are being created.
    Starting,
    /// A container runs and its readiness probe fails.
    NotReady,
    /// No node takes the pod.
    Unschedulable,
    /// The container's configuration cannot be had: a missing ConfigMap key, a wrong user.
    CannotCreate,
    /// A container ends again and again.
    Crashing,
    /// The image cannot be had now; the registry may be reached later.
    ImagePull,
    /// The image can never be had under this name.
    NoSuchImage,
}

/// Why a pod is not where it should be.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Cause {
    pub(crate) kind: CauseKind,
    pub(crate) sentence: String,
}

/// A cause of that kind.
fn cause(kind: CauseKind, sentence: String) -> Cause {
    Cause { kind, sentence }
}

/// The most telling cause that the pod's status gives; `None` when it is ready or over.
pub(crate) fn of(pod: &Pod) -> Option<Cause> {
    let status = pod.status.as_ref()?;
    if matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")) {
        return failed(status);
    }
    containers(status)
        .filter_map(|container| of_container(pod, container))
        .max_by_key(|cause| cause.kind)
        .or_else(|| unschedulable(status))
}

/// All containers' statuses, those of init containers first.
pub(crate) fn containers(status: &PodStatus) -> impl Iterator<Item = &ContainerStatus> {
    status.init_container_statuses.iter().flatten().chain(status.container_statuses.iter().flatten())
}

/// A pod of a workload that a node gave up.
fn failed(status: &PodStatus) -> Option<Cause> {
    let reason = status.reason.as_ref()?;
    let message = status.message.as_deref().unwrap_or_default();
    Some(cause(CauseKind::Crashing, sentence(reason, message)))
}

/// The scheduler's sentence.
fn unschedulable(status: &PodStatus) -> Option<Cause> {
    let condition = status
        .conditions
        .iter()
        .flatten()
        .find(|condition| condition.type_ == "PodScheduled" && condition.status == "False")?;
    let reason = condition.reason.as_deref().unwrap_or("Unschedulable");
    Some(cause(CauseKind::Unschedulable, sentence(reason, condition.message.as_deref().unwrap_or_default())))
}

/// What keeps one container from running or from being ready.
fn of_container(pod: &Pod, container: &ContainerStatus) -> Option<Cause> {
    let state = container.state.as_ref()?;
    if let Some(waiting) = &state.waiting {
        let reason = waiting.reason.as_deref().unwrap_or("Waiting");
        let message = waiting.message.as_deref().unwrap_or_default();
        return Some(match reason {
            "InvalidImageName" | "ErrImageNeverPull" => {
                cause(CauseKind::NoSuchImage, image(reason, container, message))
            }
            "ImagePullBackOff" if refused_for_good(message) => {
                cause(CauseKind::NoSuchImage, image(reason, container, message))
            }
            "ErrImagePull" | "ImagePullBackOff" | "ImageInspectError" | "RegistryUnavailable" => {
                cause(CauseKind::ImagePull, image(reason, container, message))
            }
            "CrashLoopBackOff" => cause(CauseKind::Crashing, crash(container)),
            "PodInitializing" | "ContainerCreating" | "Waiting" => {
                cause(CauseKind::Starting, format!("container {} is being created", container.name))
            }
            other => {
                let detail = format!("container {}: {message}", container.name);
                cause(CauseKind::CannotCreate, sentence(other, &detail))
            }
        });
    }
    if state.terminated.as_ref().is_some_and(|ended| ended.exit_code != 0) {
        return Some(cause(CauseKind::Crashing, crash(container)));
    }
    if state.running.is_none() || container.ready {
        return None;
    }
    if is_init(pod, &container.name) {
        return Some(cause(CauseKind::Starting, format!("init container {} has not ended", container.name)));
    }
    let sentence = format!("container {} runs and {}", container.name, probe(pod, container));
    Some(cause(CauseKind::NotReady, sentence))
}

/// Whether the container has to end before those of the test or workload start.
fn is_init(pod: &Pod, container: &str) -> bool {
    let mut all = pod.spec.iter().flat_map(|spec| spec.init_containers.iter().flatten());
    all.any(|init| init.name == container)
}

/// Whether a registry said that the image does not exist or is not for us: asking again does not help. Everything else,
/// such as a lost connection or a rate limit, may pass.
fn refused_for_good(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    [
        "not found",
        "manifest unknown",
        "name unknown",
        "unauthorized",
        "access denied",
        "authorization failed",
        "403 forbidden",
        "invalid reference format",
    ]
    .iter()
    .any(|sign| message.contains(sign))
}

/// A sentence about an image.
fn image(reason: &str, container: &ContainerStatus, message: &str) -> String {
    sentence(reason, &format!("image {} of container {}: {message}", container.image, container.name))
}

/// How a container ended the last time.
fn crash(container: &ContainerStatus) -> String {
    let states = [container.state.as_ref(), container.last_state.as_ref()];
    let Some(ended) = states.into_iter().flatten().find_map(|state| state.terminated.as_ref()) else {
        return format!("CrashLoopBackOff: container {}", container.name);
    };
    let reason = ended.reason.as_deref().filter(|reason| *reason != "Error");
    let said = ended.message.as_deref().map(str::trim).filter(|said| !said.is_empty());
    let mut detail = format!("container {} exited with code {}", container.name, ended.exit_code);
    for part in [reason, said].into_iter().flatten() {
        detail.push_str(": ");
        detail.push_str(part);
    }
    sentence("CrashLoopBackOff", &detail)
}

/// What a container's readiness hangs on.
fn probe(pod: &Pod, container: &ContainerStatus) -> String {
    let spec = pod.spec.iter().flat_map(|spec| &spec.containers).find(|spec| spec.name == container.name);
    let pending_startup = container.started == Some(false);
    let (kind, probe) = match spec {
        Some(spec) if pending_startup && spec.startup_probe.is_some() => {
            ("startup", spec.startup_probe.as_ref())
        }
        Some(spec) => ("readiness", spec.readiness_probe.as_ref()),
        None => ("readiness", None),
    };
    match probe {
        Some(probe) => format!("its {kind} probe ({}) does not succeed", spoken(probe)),
        None => "is not ready".to_owned(),
    }
}

/// A probe in a few words.
fn spoken(probe: &Probe) -> String {
    use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
    let port = |port: &IntOrString| match port {
        IntOrString::Int(number) => number.to_string(),
        IntOrString::String(name) => name.clone(),
    };
    if let Some(http) = &probe.http_get {
        format!("GET :{}{}", port(&http.port), http.path.as_deref().unwrap_or("/"))
    } else if let Some(tcp) = &probe.tcp_socket {
        format!("TCP :{}", port(&tcp.port))
    } else if let Some(grpc) = &probe.grpc {
        format!("gRPC :{}", grpc.port)
    } else {
        "a command".to_owned()
    }
}

/// `reason: detail`, cut to a length that a status can hold.
pub(crate) fn sentence(reason: &str, detail: &str) -> String {
    let detail = detail.trim().trim_end_matches(':');
    if detail.is_empty() { reason.to_owned() } else { truncate(&format!("{reason}: {detail}"), MAX_DETAIL) }
}
