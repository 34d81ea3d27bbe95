//! Stage install: Kubeflow's objects.

use bootstrap_install::{Before, Object};
use crds::{inventory::KUBEFLOW, run_event::Stage};
use kube::Client;

use super::{apply, stages::Figures};
use crate::{failure::Failure, progress::Progress};

/// Applies the objects of Kubeflow. Whether they become ready is the gate's business.
pub async fn install(
    client: &Client,
    objects: &[Object],
    before: Before,
    progress: &Progress,
) -> Result<((), Figures), Failure> {
    progress.say(Stage::Install, format!("{} objects", objects.len()));
    apply(client, KUBEFLOW, objects, before, Stage::Install, progress).await.map(|figures| ((), figures))
}
