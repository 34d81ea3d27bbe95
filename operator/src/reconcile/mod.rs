//! One level-triggered pass over one run: observe → decide → act → report.

pub mod act;
mod call;
pub mod observe;
mod outage;
pub mod report;

use std::{sync::Arc, time::Instant};

use crds::v1alpha1::E2ETest;
use futures::future::{join, join_all};
use jiff::Timestamp;
use kube::{
    Api, Client, Resource as _, ResourceExt as _,
    core::DeserializeGuard,
    runtime::{controller::Action, events::Recorder},
};
use operator_core::{EventDraft, Outcome, Requeue, Settings, Wanted, decide};

use self::observe::Seen;
use crate::{
    error::{CallError, Class, ReconcileError},
    metrics::Metrics,
};

pub use self::outage::Outages;

/// Passes that follow each other at once at most: the first writes down an attempt, the second makes its Job.
const PASSES: usize = 3;

/// What every pass needs.
pub struct Context {
    /// The API server.
    pub client: Client,
    /// Publishes events.
    pub recorder: Recorder,
    /// What decisions depend on.
    pub settings: Settings,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// Runs whose children cannot be read at the moment.
    pub outages: Outages,
}

/// Reconciles one run; the controller's entry.
///
/// # Errors
/// A step failed; the controller tries again when [`on_error`] says.
pub async fn reconcile(
    guarded: Arc<DeserializeGuard<E2ETest>>,
    context: Arc<Context>,
) -> Result<Action, ReconcileError> {
    let seen = guarded.0.as_ref().map_err(|error| ReconcileError::Malformed(error.to_string()))?;
    // The cache may be old, but a run that is over in it stays so: nothing needs to be read.
    if Wanted::of(seen).is_none() {
        context.outages.over(&seen.name_any()).await;
        return Ok(Action::await_change());
    }
    let began = Instant::now();
    context.metrics.pass_began();
    let result = Box::pin(passes(seen, &context)).await;
    context.metrics.pass_ended(began.elapsed(), result.as_ref().err());
    result
}

/// Passes until there is something to wait for, and then what they have to tell: nobody waits for an event.
async fn passes(cached: &E2ETest, context: &Context) -> Result<Action, ReconcileError> {
    let Some((mut test, mut ahead)) = start(cached, context).await? else {
        context.outages.over(&cached.name_any()).await;
        return Ok(Action::await_change());
    };
    let reference = test.object_ref(&());
    let mut events = Vec::new();
    let mut result = Ok(Action::requeue(Class::Conflict.retry_after()));
    let mut looked_for = None;
    for _ in 0..PASSES {
        let Some(wanted) = Wanted::of(&test) else {
            context.outages.over(&cached.name_any()).await;
            result = Ok(Action::await_change());
            break;
        };
        let seen = match ahead.take() {
            Some(seen) => seen,
            None => observe::observe(context, &test, &not_yet(&wanted, looked_for.as_deref())).await,
        };
        looked_for = Some(wanted.attempts);
        result = match pass(&test, context, seen, &mut events).await {
            Ok((Requeue::Now, Some(next))) => {
                test = next;
                continue;
            }
            Ok((Requeue::Now, None)) => break,
            Ok((Requeue::After(wait), _)) => Ok(Action::requeue(wait)),
            Ok((Requeue::Never, _)) => Ok(Action::await_change()),
            Err(error) => Err(error),
        };
        break;
    }
    let published =
        events.iter().map(|event| report::publish(context, &reference, &test.spec.target_namespace, event));
    join_all(published).await;
    result
}

/// The run as the first pass takes it, and what was seen already; `None` where it is gone.
///
/// A run without a status is taken as it is cached: its pass only writes the status, which names the version that it has seen. Any
/// other is read, and its children beside it, by the names that the cached run gives them. They count only if the run
/// turns out to be that very version, as then it was the same while they were read.
async fn start(
    cached: &E2ETest,
    context: &Context,
) -> Result<Option<(E2ETest, Option<Seen>)>, ReconcileError> {
    let Some(wanted) = Wanted::of(cached).filter(|_| cached.status.is_some()) else {
        return Ok(Some((cached.clone(), None)));
    };
    let name = cached.name_any();
    let api = Api::<E2ETest>::all(context.client.clone());
    let read = call::call("get", format!("E2ETest {name}"), api.get_opt(&name));
    let (read, seen) = join(read, observe::observe(context, cached, &wanted)).await;
    let Some(test) = read.map_err(ReconcileError::Observe)? else { return Ok(None) };
    let same = test.metadata.resource_version == cached.metadata.resource_version;
    Ok(Some((test, same.then_some(seen))))
}

/// What has to be read, without the attempts that the pass before has only just written down: nobody can have made
/// their Jobs before, and whoever is faster now is noticed when the Job is asked for.
fn not_yet(wanted: &Wanted, looked_for: Option<&[(String, String)]>) -> Wanted {
    let mut wanted = wanted.clone();
    if let Some(known) = looked_for {
        wanted.attempts.retain(|attempt| known.contains(attempt));
    }
    wanted
}

/// One pass; its events are added once its status is written. Returns when to look again, and the run as it was written.
async fn pass(
    test: &E2ETest,
    context: &Context,
    Seen { observed, problem }: Seen,
    events: &mut Vec<EventDraft>,
) -> Result<(Requeue, Option<E2ETest>), ReconcileError> {
    let plan = decide(test, &observed, &context.settings, Timestamp::now());
    let acted = act::act(context, &plan.effects).await;
    let settled = plan.settle(&acted);
    let written = match settled.status {
        Some(status) => Some(report::report(context, test, &status).await.map_err(ReconcileError::Report)?),
        None => None,
    };
    events.extend(settled.events);
    let failed = acted.into_values().find_map(|outcome| match outcome {
        Outcome::Failed { message } => Some(message),
        Outcome::Done
        | Outcome::JobCreated(_)
        | Outcome::JobExists
        | Outcome::PodDefaultNotServed
        | Outcome::Refused { .. } => None,
    });
    match (failed, problem) {
        (Some(message), _) => Err(ReconcileError::Act { message }),
        // Everything is said; what could not be read is tried again soon, unless it is no longer needed.
        (None, Some(problem)) if settled.requeue != Requeue::Never => Err(ReconcileError::Observe(problem)),
        (None, _) => Ok((settled.requeue, written)),
    }
}

/// When to try again after an error.
pub fn on_error(_: Arc<DeserializeGuard<E2ETest>>, error: &ReconcileError, _: Arc<Context>) -> Action {
    Action::requeue(error.class().retry_after())
}

/// The result of a call to the API server.
type Called<T> = Result<T, CallError>;
