//! `kfe2e deploy`: the operator in a cluster that somebody has, let into namespaces of it, until `kfe2e down` removes it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use bootstrap_install::{Before, Claim, Object, found, inventory};
use crds::{
    ExitCode,
    inventory::{Inventory, State},
    names::OPERATOR,
    run_event::Stage,
};
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Client};
use tokio::time::timeout;
use uuid::Uuid;

use crate::{
    cluster,
    command::OneStage,
    command_line::DeployArgs,
    failure::Failure,
    interrupt::Interrupt,
    manifests,
    progress::Progress,
    run::{
        apply, lasting,
        operator_ready::operator_ready,
        stages::Stops,
        take_back,
        up::{checked, interruptible},
    },
};

/// How long one question may take.
const ANSWERS_WITHIN: Duration = Duration::from_secs(30);

/// Installs the operator, or finds its own, and lets it into the namespaces. What it made stays when it fails or is
/// interrupted: the same command goes on with it, and `kfe2e down` removes it.
pub async fn deploy(args: &DeployArgs) -> Result<ExitCode, Failure> {
    let cluster = checked(&args.settings(), None).await?;
    let interrupt =
        Interrupt::listen().map_err(|error| Failure::infrastructure(format!("signals: {error}")))?;
    let command = OneStage::begin(Stage::Deploy, args.output);
    let progress = &command.progress;
    let stops = Stops::without_deadline(interrupt);
    let work = async {
        let found =
            interruptible(&cluster, &stops, progress, Stage::Deploy, |it, say| it.create(say)).await?;
        let client = cluster::client(&found).await?;
        let deployment = Deployment::look(&client, args).await?;
        let claim = deployment.claim(&client).await?;
        let outcome = tokio::select! {
            outcome = deployment.carry_out(&claim, progress) => outcome,
            stop = stops.stopped() => Err(stop),
        };
        let late = take_back(Some(&claim)).await;
        outcome.map_err(unfinished).and(late)
    };
    let outcome = Box::pin(work).await;
    command.end(BTreeMap::new(), outcome)
}

/// What is going to be made, found without a side effect.
struct Deployment {
    /// Whose it is.
    invocation: String,
    /// The operator's objects that are to be there.
    operator: Vec<Object>,
    /// The namespaces that let it in.
    targets: BTreeSet<String>,
}

impl Deployment {
    /// Looks at the cluster; refuses one in which something of somebody else's would be overwritten, or that lacks one of
    /// the namespaces.
    async fn look(client: &Client, args: &DeployArgs) -> Result<Self, Failure> {
        let held =
            inventory::read(client).await.map_err(|error| Failure::infrastructure(error.to_string()))?;
        let known = held.map(|held| held.inventory).filter(|inventory| inventory.state != State::Left);
        let image = &args.operator_image;
        let all = manifests::operator(image).map_err(Failure::infrastructure)?;
        let lacking = lasting::operator(client, image, all.clone()).await?;
        let targets: BTreeSet<String> = args.target.iter().cloned().collect();
        for target in &targets {
            exists(client, target).await?;
        }
        let (invocation, operator) = match known {
            None => (Inventory::deployment(Uuid::new_v4()), lacking),
            Some(earlier) if earlier.is_deployment() => {
                let objects = if made_operator(&earlier) { all } else { lacking };
                (earlier.invocation, objects)
            }
            Some(_) => return Err(lasting::taken()),
        };
        Ok(Self { invocation, operator, targets })
    }

    /// Claims the cluster, or goes on with the claim of the deployment before.
    async fn claim(&self, client: &Client) -> Result<Claim, Failure> {
        let claimed = inventory::claim(client, &self.invocation).await;
        claimed.map_err(|error| Failure::infrastructure(error.to_string()))?.ok_or_else(lasting::taken)
    }

    /// Makes what is not there yet, and waits until the operator answers.
    async fn carry_out(&self, claim: &Claim, progress: &Progress) -> Result<(), Failure> {
        apply(claim, &self.operator, Before::Unknown, Stage::Deploy, progress).await?;
        for target in &self.targets {
            let binding = manifests::target_binding(target).map_err(Failure::infrastructure)?;
            apply(claim, &binding, Before::Unknown, Stage::Deploy, progress).await?;
        }
        operator_ready(claim.client(), progress).await?;
        let targets: Vec<&str> = self.targets.iter().map(String::as_str).collect();
        progress.say(
            Stage::Deploy,
            format!("the operator is ready, and may run tests in {}", targets.join(", ")),
        );
        Ok(())
    }
}

/// Whether an earlier deployment made the operator that is there, and did not only find it.
fn made_operator(earlier: &Inventory) -> bool {
    earlier.objects.iter().any(|object| object.made && object.kind == "Deployment" && object.name == OPERATOR)
}

/// Refuses a namespace that is not there: whoever makes it, such as Kubeflow for a profile, does so in their own way.
async fn exists(client: &Client, name: &str) -> Result<(), Failure> {
    let failed = |why: String| Failure::infrastructure(format!("--target {name}: {why}"));
    let api = Api::<Namespace>::all(client.clone());
    let answer = timeout(ANSWERS_WITHIN, api.get_metadata(name)).await;
    let answer = answer.map_err(|_| failed("the API server did not answer".into()))?;
    match found(answer).map_err(|error| failed(error.to_string()))? {
        Some(namespace) if namespace.metadata.deletion_timestamp.is_none() => Ok(()),
        Some(_) => {
            Err(Failure::usage(format!("--target {name}: this namespace is being removed: name another")))
        }
        None => Err(Failure::usage(format!(
            "--target {name}: there is no such namespace: create it, or name another; nothing was changed"
        ))),
    }
}

/// A failure on the way, with what to do next.
fn unfinished(mut failure: Failure) -> Failure {
    failure.message.push_str(
        "; the same command goes on from here, and `kfe2e down` with the flags that name this cluster removes what was made",
    );
    failure
}

#[cfg(test)]
mod tests {
    use crds::inventory::InventoryObject;

    use super::*;

    #[test]
    fn only_an_operator_that_was_made_is_kept_up_to_date() {
        let deployment = |made| InventoryObject {
            api_version: "apps/v1".into(),
            kind: "Deployment".into(),
            namespace: Some(crds::names::SYSTEM_NAMESPACE.into()),
            name: OPERATOR.into(),
            uid: None,
            made,
            needed_by: None,
        };
        let with = |made| Inventory { objects: vec![deployment(made)], ..Inventory::new("deploy-1") };
        assert!(made_operator(&with(true)));
        assert!(!made_operator(&with(false)));
        assert!(!made_operator(&Inventory::new("deploy-1")));
    }

    #[test]
    fn what_is_half_done_says_how_to_go_on_and_how_to_go_back() {
        let failure = unfinished(Failure::cancelled("cancelled by SIGINT"));
        assert_eq!(failure.code, ExitCode::Cancelled);
        for part in ["cancelled by SIGINT; ", "the same command", "`kfe2e down`"] {
            assert!(failure.message.contains(part), "{failure}");
        }
    }
}
