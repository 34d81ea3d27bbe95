//! Stage install: Kubeflow's objects.

use bootstrap_install::{Before, Claim, Object};
use crds::run_event::Stage;

use super::{apply, stages::Figures};
use crate::{failure::Failure, progress::Progress};

/// Applies the objects of Kubeflow. Whether they become ready is the gate's business.
pub async fn install(
    claim: &Claim,
    objects: &[Object],
    before: Before,
    progress: &Progress,
) -> Result<((), Figures), Failure> {
    progress.say(Stage::Install, format!("{} objects", objects.len()));
    apply(claim, objects, before, Stage::Install, progress).await.map(|figures| ((), figures))
}
