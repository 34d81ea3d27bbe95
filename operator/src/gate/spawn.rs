//! Which type reads which source.

use std::sync::Arc;

use k8s_openapi::api::{
    apps::v1::{DaemonSetStatus, DeploymentStatus, ReplicaSetStatus, StatefulSetStatus},
    batch::v1::JobStatus,
    core::v1::{NamespaceStatus, PersistentVolumeClaimStatus, Pod, PodStatus},
};
use operator_core::gate::{
    ApiServiceStatus, CustomStatus, DefinitionStatus, EndpointSlice, Followed, InventoryMap, Judged, Object,
    Plain, ProfileStatus, Reader, Source, WebhookConfiguration,
};

use super::{Shared, Task, follow::follow};

/// An object that is judged by this status.
type By<Status> = Object<<Status as Judged>::Spec, Status>;

/// Follows a source for as long as the task is held.
pub(super) fn spawn(shared: Arc<Shared>, source: Source) -> Task {
    let start = match &source {
        Source::Pods => task::<Pod>,
        Source::Endpoints => task::<EndpointSlice>,
        Source::Inventories => task::<InventoryMap>,
        Source::Objects(kind) => match kind.reader() {
            Reader::Plain => task::<Plain>,
            Reader::Custom => task::<By<CustomStatus>>,
            Reader::ApiService => task::<By<ApiServiceStatus>>,
            Reader::Claim => task::<By<PersistentVolumeClaimStatus>>,
            Reader::DaemonSet => task::<By<DaemonSetStatus>>,
            Reader::Definition => task::<By<DefinitionStatus>>,
            Reader::Deployment => task::<By<DeploymentStatus>>,
            Reader::Job => task::<By<JobStatus>>,
            Reader::Namespace => task::<By<NamespaceStatus>>,
            Reader::Pod => task::<By<PodStatus>>,
            Reader::Profile => task::<By<ProfileStatus>>,
            Reader::ReplicaSet => task::<By<ReplicaSetStatus>>,
            Reader::StatefulSet => task::<By<StatefulSetStatus>>,
            Reader::Webhooks => task::<WebhookConfiguration>,
        },
    };
    start(shared, source)
}

/// A task that follows a source.
fn task<K: Followed>(shared: Arc<Shared>, source: Source) -> Task {
    Task(tokio::spawn(follow::<K>(shared, source)).abort_handle())
}
