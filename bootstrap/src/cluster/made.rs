//! Removes from a cluster that lasts what `kfe2e` made in it, and nothing else.

use std::{collections::BTreeSet, time::Duration};

use anyhow::anyhow;
use bootstrap_install::{
    ApplyOptions, Patience, ask, found, gone, inventory, inventory::Held, only, remove, remove::Class,
};
use crds::{
    inventory::InventoryObject,
    names::{SYSTEM_NAMESPACE, label},
    v1alpha1::E2ETest,
};
use k8s_openapi::api::batch::v1::Job;
use kube::{
    Api, Client, ResourceExt as _,
    api::{DeleteParams, ListParams},
};
use tokio::time::Instant;
use uuid::Uuid;

use super::Say;
use crate::watched::{Wait, named, until};

/// How long all of it may take; finalizers of Kubeflow's own objects are waited for.
const WITHIN: Duration = Duration::from_mins(15);

/// Kind of our own custom resource.
const RUN: &str = "E2ETest";

/// Whose things a removal may remove.
#[derive(Clone, Debug)]
pub(super) enum Whose {
    /// Whoever's: the cluster was named for that.
    Anyones,
    /// What one of these invocations made.
    Of(BTreeSet<String>),
}

impl Whose {
    fn is(&self, invocation: &str) -> bool {
        match self {
            Self::Anyones => true,
            Self::Of(invocations) => invocations.contains(invocation),
        }
    }
}

/// What is to be done about anything that keeps a removal from its end.
pub(super) const NEXT_STEP: &str =
    "once that is mended, `kfe2e down` with the flags that name this cluster removes what is left";

/// Removes runs with what they made, the operator, Kubeflow, and the inventory that says which of it is ours. Twice is as
/// good as once. Returns what stays, in one sentence each.
pub(super) async fn remove_made(client: &Client, whose: &Whose, say: Say<'_>) -> anyhow::Result<Vec<String>> {
    removed(client, whose, say).await.map_err(|error| anyhow!("{error:#}; {NEXT_STEP}"))
}

async fn removed(client: &Client, whose: &Whose, say: Say<'_>) -> anyhow::Result<Vec<String>> {
    let deadline = Instant::now() + WITHIN;
    let options = ApplyOptions::until(deadline);
    let nothing = |say: Say<'_>| {
        say("nothing in this cluster was made by kfe2e".to_owned());
        Ok(Vec::new())
    };
    let own = inventory::own_namespace(client).await?;
    let there = inventory::read(client).await?;
    if there.as_ref().is_some_and(|held| !whose.is(&held.inventory.invocation)) {
        say("this cluster holds what another run of kfe2e made, which stays: `kfe2e down --cluster existing` with \
             --kubeconfig and --context removes it"
            .to_owned());
        return Ok(Vec::new());
    }
    let held = match (there, &own) {
        (None, Some(own)) if !own.is_going => claimed(client).await?,
        (there, _) => there,
    };
    let Some(held) = held else {
        // It goes already, with the inventory that was in it; nobody can claim the cluster before it has gone.
        let Some(own) = own.filter(|own| own.is_going) else { return nothing(say) };
        return remove_all(client, &[own.object], &options, say).await.map(|_| Vec::new());
    };
    let Some(closed) = inventory::close(client, held, &options).await? else { return nothing(say) };
    let objects = without_own_namespace(closed.inventory.objects.clone());
    let mut failures = Vec::new();
    for run in objects.iter().filter(|object| object.kind == RUN && object.made) {
        say(format!("removing {RUN} {}", run.name));
        let removed = Box::pin(remove_run(client, run, deadline)).await;
        failures.extend(removed.err().map(|error| error.to_string()));
    }
    let mut kept = match remove_all(client, &objects, &options, say).await {
        Ok(kept) => kept,
        Err(error) => {
            failures.push(error.to_string());
            Vec::new()
        }
    };
    if !failures.is_empty() {
        return Err(anyhow!(failures.join("; ")));
    }
    // Last of all the namespace, with the inventory in it: until it has gone the cluster is claimed.
    if let Some(own) = own.filter(|_| kept.is_empty()) {
        // Another removal may have ended before this one, and another run have begun in the namespace.
        if !inventory::is_closed(client, &closed).await? {
            return Ok(Vec::new());
        }
        kept = remove_all(client, &[own.object], &options, say).await?;
        if kept.is_empty() {
            return Ok(Vec::new());
        }
    }
    let sentences = kept.iter().map(stays).collect();
    inventory::give_up(client, closed, kept).await?;
    Ok(sentences)
}

/// An inventory of nothing, where only its namespace was made, so that nobody else can claim the cluster while that goes.
async fn claimed(client: &Client) -> anyhow::Result<Option<Held>> {
    let invocation = Uuid::new_v4().to_string();
    inventory::claim(client, &invocation).await?;
    Ok(inventory::read(client).await?.filter(|held| held.inventory.invocation == invocation))
}

/// What an inventory lists, without the namespace in which the inventory lives.
fn without_own_namespace(objects: Vec<InventoryObject>) -> Vec<InventoryObject> {
    let is_own = |object: &InventoryObject| object.kind == "Namespace" && object.name == SYSTEM_NAMESPACE;
    objects.into_iter().filter(|object| !is_own(object)).collect()
}

/// Removes objects; returns those that somebody else needs.
async fn remove_all(
    client: &Client,
    objects: &[InventoryObject],
    options: &ApplyOptions,
    say: Say<'_>,
) -> anyhow::Result<Vec<InventoryObject>> {
    let mut tell = |class: Class, count: usize| say(format!("removing {}: {count}", class.as_str()));
    let removed = remove(client, objects, options, &mut tell).await?;
    if removed.failures.is_empty() {
        return Ok(removed.kept);
    }
    let failures: Vec<String> = removed.failures.iter().map(ToString::to_string).collect();
    Err(anyhow!(failures.join("; ")))
}

/// That an object stays, and why.
fn stays(object: &InventoryObject) -> String {
    let other = object.needed_by.as_deref().unwrap_or_default();
    let place = match &object.namespace {
        Some(namespace) => format!("{} {namespace}/{}", object.kind, object.name),
        None => format!("{} {}", object.kind, object.name),
    };
    format!("{place} stays, as {other} needs it: once that is gone, `kfe2e down` removes it")
}

/// Deletes a run, and waits until its Jobs and their pods are gone: the garbage collector comes only after.
async fn remove_run(client: &Client, run: &InventoryObject, deadline: Instant) -> anyhow::Result<()> {
    let api: Api<E2ETest> = Api::all(client.clone());
    let fails = |why: String| anyhow!("removing {RUN} {}: {why}", run.name);
    let patience = || Patience::of_a_restart().by(deadline);
    let run_now = ask(patience(), || async { found(api.get(&run.name).await) }).await;
    let Some(run_now) = run_now.map_err(|why| fails(why.to_string()))? else { return Ok(()) };
    let uid = run_now.uid().unwrap_or_default();
    if run.uid.as_ref() != Some(&uid) {
        return Ok(());
    }
    let jobs: Api<Job> = Api::namespaced(client.clone(), &run_now.spec.target_namespace);
    let selector = ListParams::default().labels(&format!("{}={uid}", label::RUN_UID));
    // First the run: an operator that still runs makes no Job for one that is gone.
    let params = only(DeleteParams::background(), &uid);
    let deleted = ask(patience(), || async { gone(api.delete(&run.name, &params).await) }).await;
    deleted.map_err(|why| fails(why.to_string()))?;
    let list = ask(patience(), || jobs.list(&selector)).await.map_err(|why| fails(why.to_string()))?;
    for job in list {
        let (name, job_uid) = (job.name_any(), job.uid().unwrap_or_default());
        let params = only(DeleteParams::foreground(), &job_uid);
        let deleted = ask(patience(), || async { gone(jobs.delete(&name, &params).await) }).await;
        deleted.map_err(|why| fails(format!("Job {name}: {why}")))?;
        let what = format!("the pod of Job {name} to end");
        let still = |found: &[&Job]| {
            let there = found.iter().any(|job| job.uid().as_ref() == Some(&job_uid));
            there.then(|| "the Job is still being removed".to_owned())
        };
        let ended = until(jobs.clone(), Wait { what: &what, objects: named(&name), deadline }, still);
        Box::pin(ended).await.map_err(|unmet| fails(unmet.to_string()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(kind: &str, name: &str) -> InventoryObject {
        InventoryObject {
            api_version: "v1".into(),
            kind: kind.into(),
            namespace: None,
            name: name.into(),
            uid: None,
            made: true,
            needed_by: None,
        }
    }

    #[test]
    fn a_run_or_a_record_stands_for_its_invocations_alone() {
        assert!(Whose::Anyones.is("theirs"));
        let ours = Whose::Of(["ours".to_owned()].into());
        assert!(ours.is("ours") && !ours.is("theirs"));
    }

    #[test]
    fn the_inventorys_own_namespace_is_not_among_the_others() {
        let objects =
            vec![object("Namespace", SYSTEM_NAMESPACE), object("Namespace", "user"), object(RUN, "mine")];
        assert_eq!(without_own_namespace(objects), [object("Namespace", "user"), object(RUN, "mine")]);
    }

    #[test]
    fn what_stays_says_for_whose_sake_and_what_to_do() {
        let kept =
            InventoryObject { needed_by: Some("Pod user/theirs".into()), ..object("Namespace", "user") };
        assert_eq!(
            stays(&kept),
            "Namespace user stays, as Pod user/theirs needs it: once that is gone, `kfe2e down` removes it"
        );
    }
}
