//! Removes from a cluster that lasts what `kfe2e` made in it, and nothing else.

use std::time::Duration;

use anyhow::anyhow;
use bootstrap_install::{ApplyOptions, found, gone, inventory, only, remove, remove::Class};
use crds::{
    inventory::{Inventory, InventoryObject, KUBEFLOW, OPERATOR},
    names::{SYSTEM_NAMESPACE, annotation::INVOCATION, label},
    v1alpha1::E2ETest,
};
use k8s_openapi::api::batch::v1::Job;
use kube::{
    Api, Client, ResourceExt as _,
    api::{DeleteParams, ListParams},
    runtime::{conditions::is_deleted, wait::await_condition},
};
use tokio::time::{Instant, timeout_at};

use super::Say;

/// How long all of it may take; finalizers of Kubeflow's own objects are waited for.
const WITHIN: Duration = Duration::from_mins(15);

/// Kind of our own custom resource.
const RUN: &str = "E2ETest";

/// Removes runs with what they made, the operator, Kubeflow, and the inventories that say which of it is ours. Twice is as
/// good as once.
pub(super) async fn remove_made(client: &Client, say: Say<'_>) -> anyhow::Result<()> {
    let deadline = Instant::now() + WITHIN;
    let operator = inventory::read(client, OPERATOR).await?;
    let kubeflow = inventory::read(client, KUBEFLOW).await?;
    let namespace = inventory::made_namespace(client).await?;
    if operator.is_none() && kubeflow.is_none() && namespace.is_none() {
        say("nothing in this cluster was made by kfe2e".to_owned());
        return Ok(());
    }
    let invocation = inventory::claimed_by(client).await?.unwrap_or_default();
    let (runs, operator) = split(operator.unwrap_or_default());
    let mut left = Vec::new();
    for run in &runs {
        say(format!("removing {RUN} {}", run.name));
        let removed = Box::pin(remove_run(client, run, &invocation, deadline)).await;
        left.extend(removed.err().map(|error| error.to_string()));
    }
    for set in [operator, kubeflow.unwrap_or_default()] {
        left.extend(remove_set(client, &set, deadline, say).await?);
    }
    if left.is_empty() {
        inventory::delete(client, KUBEFLOW).await?;
        inventory::delete(client, OPERATOR).await?;
        let own = Inventory { objects: namespace.into_iter().collect(), ..Inventory::default() };
        left.extend(remove_set(client, &own, deadline, say).await?);
    }
    if left.is_empty() {
        Ok(())
    } else {
        Err(anyhow!("{}; mend that and run the same `kfe2e down` again", left.join("; ")))
    }
}

/// The runs of an inventory, and the rest without the namespace in which the inventory lives.
fn split(mut inventory: Inventory) -> (Vec<InventoryObject>, Inventory) {
    let made = inventory.objects.iter().filter(|object| object.made && object.kind == RUN);
    let runs = made.cloned().collect();
    let is_system = |object: &InventoryObject| object.kind == "Namespace" && object.name == SYSTEM_NAMESPACE;
    inventory.objects.retain(|object| object.kind != RUN && !is_system(object));
    (runs, inventory)
}

/// Removes a set; what could not be removed, in one sentence each.
async fn remove_set(
    client: &Client,
    set: &Inventory,
    deadline: Instant,
    say: Say<'_>,
) -> anyhow::Result<Vec<String>> {
    let mut tell = |class: Class, count: usize| say(format!("removing {}: {count}", class.as_str()));
    let removed = remove(client, set, &ApplyOptions::until(deadline), &mut tell).await?;
    removed.kept.into_iter().for_each(&mut *say);
    Ok(removed.failures.iter().map(ToString::to_string).collect())
}

/// Deletes a run, and waits until its Jobs and their pods are gone: the garbage collector comes only after.
async fn remove_run(
    client: &Client,
    run: &InventoryObject,
    invocation: &str,
    deadline: Instant,
) -> anyhow::Result<()> {
    let api: Api<E2ETest> = Api::all(client.clone());
    let fails = |why: String| anyhow!("removing {RUN} {}: {why}", run.name);
    let late = |_| fails("the API server did not answer in time".into());
    let answer = timeout_at(deadline, api.get(&run.name)).await.map_err(late)?;
    let Some(run_now) = found(answer).map_err(|error| fails(error.to_string()))? else { return Ok(()) };
    let uid = run_now.uid().unwrap_or_default();
    // Without a UID the answer to its creation was lost: then it says itself who made it.
    let is_ours = run.uid.as_ref().map_or_else(
        || run_now.annotations().get(INVOCATION).is_some_and(|by| by == invocation),
        |known| *known == uid,
    );
    if !is_ours {
        return Ok(());
    }
    let jobs: Api<Job> = Api::namespaced(client.clone(), &run_now.spec.target_namespace);
    let selector = ListParams::default().labels(&format!("{}={uid}", label::RUN_UID));
    // First the run: an operator that still runs makes no Job for one that is gone.
    let deleted = timeout_at(deadline, api.delete(&run.name, &only(DeleteParams::background(), &uid)))
        .await
        .map_err(late)?;
    gone(deleted).map_err(|error| fails(error.to_string()))?;
    let list = timeout_at(deadline, jobs.list(&selector)).await.map_err(late)?;
    for job in list.map_err(|error| fails(error.to_string()))? {
        let (name, job_uid) = (job.name_any(), job.uid().unwrap_or_default());
        let deleted = timeout_at(deadline, jobs.delete(&name, &only(DeleteParams::foreground(), &job_uid)))
            .await
            .map_err(late)?;
        gone(deleted).map_err(|error| fails(format!("Job {name}: {error}")))?;
        let ended = timeout_at(deadline, await_condition(jobs.clone(), &name, is_deleted(&job_uid))).await;
        let ended =
            ended.map_err(|_| fails(format!("Job {name} is still being removed: its pod does not end")))?;
        ended.map_err(|error| fails(format!("Job {name}: {error}")))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(kind: &str, name: &str, made: bool) -> InventoryObject {
        InventoryObject {
            api_version: "v1".into(),
            kind: kind.into(),
            namespace: None,
            name: name.into(),
            uid: None,
            made,
        }
    }

    #[test]
    fn runs_come_first_and_the_inventorys_own_namespace_last() {
        let objects = vec![
            object("Namespace", SYSTEM_NAMESPACE, true),
            object("Namespace", "user", true),
            object(RUN, "mine", true),
            object(RUN, "theirs", false),
        ];
        let (runs, rest) = split(Inventory { objects, ..Inventory::default() });
        assert_eq!(runs, [object(RUN, "mine", true)]);
        assert_eq!(rest.objects, [object("Namespace", "user", true)]);
    }
}
