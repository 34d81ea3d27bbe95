//! Reads what a pass needs, straight from the API server: children by their names.

use std::collections::BTreeMap;

use crds::{names::label, v1alpha1::E2ETest};
use futures::future::{try_join, try_join_all, try_join3};
use k8s_openapi::api::{
    batch::v1::Job,
    core::v1::{Event, Namespace, Pod},
};
use kube::{
    Api, Client, ResourceExt as _,
    api::ListParams,
    core::{DynamicObject, PartialObjectMeta},
};
use operator_core::{
    AttemptFacts, Observed, Unreadable, Wanted,
    observed::{NamedPodDefault, PodDefaultFacts, Warning},
    pod_default_resource, runs_in, wants_warnings_of,
};

use super::{
    Called, Context,
    call::{call, list},
    follow::Telling,
};
use crate::error::CallError;

/// Events that are read of one object at most.
const EVENTS: u32 = 50;

/// What was seen, and what to try again soon.
pub struct Seen {
    /// The facts; that something cannot be read is one.
    pub observed: Observed,
    /// The first call that failed and that may succeed if it is tried again.
    pub problem: Option<CallError>,
}

/// Reads all of it. No error ends the pass: timeouts go on, and the status has to say what is wrong.
pub async fn observe(context: &Context, test: &E2ETest, wanted: &Wanted) -> Seen {
    let Seen { observed, problem } = target(context, test, wanted).await;
    // Last, so that it is as new as can be.
    let gate = match &wanted.gate {
        Some(gate) => context.gates.look(&test.name_any(), gate),
        None => None,
    };
    Seen { observed: Observed { gate, ..observed }, problem }
}

/// What is in the target namespace, or why it cannot be read.
async fn target(context: &Context, test: &E2ETest, wanted: &Wanted) -> Seen {
    let client = &context.client;
    let run = test.name_any();
    let read = try_join3(access(client, wanted), named(client, wanted), attempts(context, test, wanted));
    let error = match read.await {
        Ok(((target_labels, pod_default), named, attempts)) => {
            context.outages.over(&run);
            let observed = Observed { target_labels, pod_default, named, attempts, ..Observed::default() };
            return Seen { observed, problem: None };
        }
        Err(error) => error,
    };
    let (unreadable, problem) = if error.is_missing_right() {
        context.outages.over(&run);
        let name = &wanted.target_namespace;
        // RBAC is asked before anyone looks whether the namespace is there.
        let why = match namespace_labels(client, name).await {
            Ok(None) => {
                format!(
                    "Namespace {name} does not exist: create it, and let the operator in (manifests/target)"
                )
            }
            Ok(Some(_)) | Err(_) => error.for_people(),
        };
        (Unreadable { why, since: None }, None)
    } else {
        let since = context.outages.began(&run, context.clock.now_of(&run));
        (Unreadable { why: error.to_string(), since: Some(since) }, Some(error))
    };
    Seen { observed: Observed { unreadable: Some(unreadable), ..Observed::default() }, problem }
}

/// A namespace's labels; `None` where it does not exist.
async fn namespace_labels(client: &Client, name: &str) -> Called<Option<BTreeMap<String, String>>> {
    let api = Api::<Namespace>::all(client.clone());
    let found: Option<PartialObjectMeta<Namespace>> =
        call("get", format!("Namespace {name}"), api.get_metadata_opt(name)).await?;
    Ok(found.map(|namespace| namespace.metadata.labels.unwrap_or_default()))
}

/// What a test with pipelineAccess depends on.
async fn access(
    client: &Client,
    wanted: &Wanted,
) -> Called<(Option<BTreeMap<String, String>>, PodDefaultFacts)> {
    let Some(name) = &wanted.pod_default else { return Ok((None, PodDefaultFacts::Absent)) };
    let namespace = &wanted.target_namespace;
    let (labels, found) =
        try_join(namespace_labels(client, namespace), pod_default(client, namespace, name)).await?;
    let facts = match found {
        Found::NotServed => PodDefaultFacts::NotServed,
        Found::Absent => PodDefaultFacts::Absent,
        Found::Present(object) => PodDefaultFacts::Present {
            resource_version: object.metadata.resource_version.unwrap_or_default(),
        },
    };
    Ok((labels, facts))
}

/// The PodDefaults that tests name.
async fn named(client: &Client, wanted: &Wanted) -> Called<BTreeMap<String, NamedPodDefault>> {
    let all = wanted.named.iter().map(|name| async move {
        let facts = match pod_default(client, &wanted.target_namespace, name).await? {
            Found::NotServed | Found::Absent => NamedPodDefault::Absent,
            Found::Present(object) => NamedPodDefault::from(&*object),
        };
        Ok((name.clone(), facts))
    });
    Ok(try_join_all(all).await?.into_iter().collect())
}

/// What there is of a PodDefault.
enum Found {
    NotServed,
    Absent,
    Present(Box<DynamicObject>),
}

/// A PodDefault by its name.
async fn pod_default(client: &Client, namespace: &str, name: &str) -> Called<Found> {
    let api = Api::<DynamicObject>::namespaced_with(client.clone(), namespace, &pod_default_resource());
    match call("get", format!("PodDefault {namespace}/{name}"), api.get(name)).await {
        Ok(object) => Ok(Found::Present(Box::new(object))),
        Err(error) => match error.status() {
            Some(status) if status.code == 404 && is_unserved(status) => Ok(Found::NotServed),
            Some(status) if status.code == 404 => Ok(Found::Absent),
            _ => Err(error),
        },
    }
}

/// Whether a 404 speaks of the kind and not of an object: it then names none.
pub(super) fn is_unserved(status: &kube::core::Status) -> bool {
    status.details.as_ref().is_none_or(|details| details.name.is_empty())
}

/// Jobs and pods of the attempts that are not over.
async fn attempts(
    context: &Context,
    test: &E2ETest,
    wanted: &Wanted,
) -> Called<BTreeMap<String, AttemptFacts>> {
    if wanted.attempts.is_empty() {
        context.followers.keep(&test.name_any(), &[]);
        return Ok(BTreeMap::new());
    }
    let client = &context.client;
    let namespace = &wanted.target_namespace;
    let jobs = try_join_all(wanted.attempts.iter().map(|wanted| job(client, namespace, &wanted.job))).await?;
    let (name, uid) = (test.name_any(), test.uid().unwrap_or_default());
    let there: Vec<&Job> = jobs.iter().flatten().collect();
    let pods = context.pods.read(client, namespace, (&name, &uid), &there).await?;
    let all = wanted.attempts.iter().zip(jobs).map(|(wanted, job)| {
        let of_test = |pod: &&Pod| pod.labels().get(label::TEST) == Some(&wanted.test);
        let pods = pods.iter().filter(of_test).cloned().collect();
        with_warnings(client, namespace, &wanted.test, AttemptFacts { job, pods, ..AttemptFacts::default() })
    });
    let mut seen: BTreeMap<String, AttemptFacts> = try_join_all(all).await?.into_iter().collect();
    follow(context, &test.name_any(), wanted, &mut seen);
    Ok(seen)
}

/// Adds what running notebooks told last, and follows those that nobody follows yet.
fn follow(context: &Context, run: &str, wanted: &Wanted, seen: &mut BTreeMap<String, AttemptFacts>) {
    let telling: Vec<Telling> = wanted
        .attempts
        .iter()
        .filter(|attempt| attempt.tells_progress)
        .filter_map(|attempt| {
            let pod = runs_in(seen.get(&attempt.test)?)?;
            Some(Telling { test: attempt.test.clone(), pod: pod.name.clone()?, uid: pod.uid.clone()? })
        })
        .collect();
    context.followers.keep(run, &telling);
    let told = context.followers.told(run, &wanted.target_namespace, &telling);
    for (test, progress) in told {
        if let Some(facts) = seen.get_mut(&test) {
            facts.progress = Some(progress);
        }
    }
}

/// A Job by its name.
async fn job(client: &Client, namespace: &str, name: &str) -> Called<Option<Job>> {
    let api = Api::<Job>::namespaced(client.clone(), namespace);
    call("get", format!("Job {namespace}/{name}"), api.get_opt(name)).await
}

/// Adds the Warning events of the object about which they would say more, if there is one.
async fn with_warnings(
    client: &Client,
    namespace: &str,
    test: &str,
    mut facts: AttemptFacts,
) -> Called<(String, AttemptFacts)> {
    if let Some(uid) = wants_warnings_of(&facts).and_then(|about| about.uid) {
        let mine = format!("type=Warning,involvedObject.uid={uid}");
        let mut events =
            list::<Event>(client, namespace, ListParams::default().fields(&mine).limit(EVENTS)).await?;
        events.sort_by_key(|event| {
            let time = event.last_timestamp.as_ref().map(|time| time.0);
            time.or_else(|| event.event_time.as_ref().map(|time| time.0))
        });
        facts.warnings = events
            .into_iter()
            .map(|event| Warning {
                reason: event.reason.unwrap_or_default(),
                message: event.message.unwrap_or_default(),
            })
            .collect();
    }
    Ok((test.to_owned(), facts))
}
