//! Stage deploy: the operator, and its right to run tests in the target namespace.

use std::time::Duration;

use bootstrap_install::{Before, Claim, GateManifests, Object, Patience, ask, found, gate_manifests};
use crds::{gate_inventory::KUBEFLOW, run_event::Stage, v1alpha1::E2ETestSpec};
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Client};
use tokio::time::Instant;

use super::{apply, lasting, operator_ready::operator_ready, plan::Operator, stages::Figures};
use crate::{
    failure::Failure,
    manifests,
    progress::Progress,
    watched::{Wait, named, until},
};

/// How long the target namespace may take to appear: as long as Kubeflow itself.
const TARGET_WITHIN: Duration = Duration::from_mins(45);

/// Applies the operator, with what its gate needs to judge Kubeflow, and waits until it answers.
pub async fn deploy(
    claim: &Claim,
    operator: Operator,
    kubeflow: &[Object],
    spec: &E2ETestSpec,
    create_target: bool,
    before: Before,
    progress: &Progress,
) -> Result<((), Figures), Failure> {
    let client = claim.client();
    let Operator { image, mut objects } = operator;
    let target = if create_target {
        manifests::target(&spec.target_namespace, &spec.service_account_name)
            .map_err(Failure::infrastructure)?
    } else {
        Vec::new()
    };
    if before == Before::Unknown {
        objects = lasting::operator(client, &image, objects).await?;
    }
    objects.extend(target);
    if !kubeflow.is_empty() {
        let gate = gate_manifests(KUBEFLOW, kubeflow);
        let GateManifests { objects: gate, unknown } =
            gate.map_err(|error| Failure::infrastructure(error.to_string()))?;
        for object in unknown {
            progress.say(
                Stage::Deploy,
                format!("{object}: the gate cannot judge it: the set does not bring its CRD"),
            );
        }
        objects.extend(gate);
    }
    apply(claim, &objects, before, Stage::Deploy, progress).await?;
    target_exists(client, &spec.target_namespace, progress).await?;
    let binding = manifests::target_binding(&spec.target_namespace).map_err(Failure::infrastructure)?;
    apply(claim, &binding, before, Stage::Deploy, progress).await?;
    operator_ready(client, progress).await?;
    Ok(((), Figures::new()))
}

/// Waits for the namespace of the tests: a profile's is made by Kubeflow's own controller, once that runs.
async fn target_exists(client: &Client, name: &str, progress: &Progress) -> Result<(), Failure> {
    let api: Api<Namespace> = Api::all(client.clone());
    let place = format!("the target namespace {name}");
    let failed = |error: String| Failure::infrastructure(format!("{place}: {error}"));
    let there = ask(Patience::of_a_restart(), || async { found(api.get(name).await) }).await;
    if there.map_err(|why| failed(why.to_string()))?.is_some() {
        return Ok(());
    }
    progress.say(Stage::Deploy, format!("{place} does not exist yet: waiting for Kubeflow to make it"));
    let wait = Wait { what: &place, objects: named(name), deadline: Instant::now() + TARGET_WITHIN };
    let lacking = |found: &[&Namespace]| {
        let why = "it does not exist; is it a profile of this Kubeflow? --target-namespace names another";
        found.is_empty().then(|| why.to_owned())
    };
    until(api, wait, lacking).await.map_err(|unmet| Failure::infrastructure(unmet.to_string()))
}
