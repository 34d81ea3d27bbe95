//! One level-triggered pass over one run: observe → decide → act → report.

pub mod act;
pub(crate) mod call;
mod follow;
pub mod observe;
mod outage;
mod places;
mod pods;
pub mod report;
mod wake;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crds::v1alpha1::{E2ETest, E2ETestStatus};
use kube::{Api, Client, ResourceExt as _, core::DeserializeGuard, runtime::controller::Action};
use operator_core::{Acted, Observed, Outcome, Requeue, Settings, Wanted, decide, expires_at, lags, no_room};

use self::observe::Seen;
use crate::{
    backoff::Retries,
    clock::Clock,
    error::{CallError, Class, ReconcileError},
    events::{Events, Publisher},
    gate::Gates,
    metrics::Metrics,
};

pub use self::{
    follow::Followers,
    outage::Outages,
    places::Places,
    pods::Pods,
    wake::{Wake, Woken},
};

/// Passes that follow each other at once at most: the first writes down an attempt, the second makes its Job.
const PASSES: usize = 3;

/// When the next of such passes follows, if they do not come to an end.
const GO_ON: Duration = Duration::from_millis(50);

/// When to ask again for what the API server understood and refused: until someone changes something, it will again.
const REFUSED: Duration = Duration::from_secs(10);

/// What every pass needs.
pub struct Context {
    /// The API server.
    pub client: Client,
    /// Publishes events.
    pub events: Events,
    /// What decisions depend on.
    pub settings: Settings,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// What time it is.
    pub clock: Arc<Clock>,
    /// Runs whose passes fail.
    pub retries: Retries,
    /// Runs whose children cannot be read at the moment.
    pub outages: Outages,
    /// What running notebooks tell.
    pub followers: Followers,
    /// Who may start how many tests.
    pub places: Places,
    /// Which pods to read.
    pub pods: Pods,
    /// What the runs' gates look at.
    pub gates: Gates,
}

/// Reconciles one run; the controller's entry.
///
/// # Errors
/// A step failed; the controller tries again later.
pub async fn reconcile(
    guarded: Arc<DeserializeGuard<E2ETest>>,
    context: Arc<Context>,
) -> Result<Action, ReconcileError> {
    let seen = guarded.0.as_ref().map_err(|error| ReconcileError::Malformed(error.to_string()))?;
    // The cache may be old, but a run that is over in it stays so: nothing needs to be read until its time has come, or
    // its spec is another one.
    if Wanted::of(seen).is_none() {
        context.forget(&seen.name_any());
        match expires_at(seen).map(|at| at.duration_since(context.clock.now())) {
            _ if lags(seen) => {}
            None => return Ok(Action::await_change()),
            Some(wait) if wait.is_positive() => return Ok(Action::requeue(wait.unsigned_abs())),
            Some(_) => {}
        }
    }
    let began = Instant::now();
    context.metrics.pass_began();
    let result = passes(&seen.name_any(), &context).await;
    context.metrics.pass_ended(began.elapsed(), result.as_ref().err());
    if result.is_ok() {
        context.retries.over(&seen.name_any());
    }
    result
}

/// Passes until there is something to wait for.
async fn passes(name: &str, context: &Context) -> Result<Action, ReconcileError> {
    let api = Api::<E2ETest>::all(context.client.clone());
    let read = call::call("get", format!("E2ETest {name}"), api.get_opt(name)).await;
    let Some(mut test) = read.map_err(ReconcileError::Observe)? else {
        context.forget(name);
        return Ok(Action::await_change());
    };
    for _ in 0..PASSES {
        match pass(&test, context).await? {
            (Requeue::Now, next) => {
                context.metrics.requeued("now");
                let Some(next) = next else { break };
                test = next;
            }
            (Requeue::After(wait), _) => {
                context.metrics.requeued("later");
                return Ok(Action::requeue(wait));
            }
            (Requeue::Never, _) => {
                context.metrics.requeued("never");
                return Ok(Action::await_change());
            }
        }
    }
    Ok(Action::requeue(GO_ON))
}

/// One pass; its events are told once its status is written. Returns when to look again, and the run as it was written.
async fn pass(test: &E2ETest, context: &Context) -> Result<(Requeue, Option<E2ETest>), ReconcileError> {
    let Some(wanted) = Wanted::of(test) else { return over(test, context).await };
    let Seen { mut observed, problem } = observe::observe(context, test, &wanted).await;
    let now = context.clock.now_of(&test.name_any());
    let plan = context.places.decide(test, |places| {
        observed.places = places;
        decide(test, &observed, &context.settings, now)
    });
    let acted = act::act(context, &plan.effects).await;
    let mut settled = plan.settle(&acted);
    let mut written = write(test, settled.status.as_ref(), context).await;
    if written.as_ref().is_err_and(CallError::is_too_large) {
        settled = no_room(test, now).settle(&Acted::new());
        written = write(test, settled.status.as_ref(), context).await;
    }
    let written = written.map_err(ReconcileError::Report)?;
    context.places.taken(written.as_ref().unwrap_or(test));
    context.events.tell(test, settled.events);
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

/// Writes the status, where there is a new one.
async fn write(test: &E2ETest, status: Option<&E2ETestStatus>, context: &Context) -> Called<Option<E2ETest>> {
    match status {
        Some(status) => report::report(context, test, status).await.map(Some),
        None => Ok(None),
    }
}

/// Deletes a run that is over if its time has come; else says that its newest spec was seen, where that is not said yet.
async fn over(test: &E2ETest, context: &Context) -> Result<(Requeue, Option<E2ETest>), ReconcileError> {
    let plan = decide(test, &Observed::default(), &context.settings, context.clock.now());
    if let Some(expired) = &plan.expired {
        act::expire(&context.client, expired).await.map_err(ReconcileError::Expire)?;
        tracing::info!(run = expired.name, "Run is deleted: its ttlAfterFinished has passed");
    }
    let settled = plan.settle(&Acted::new());
    if let Some(status) = settled.status {
        report::report(context, test, &status).await.map_err(ReconcileError::Report)?;
    }
    Ok((settled.requeue, None))
}

impl Context {
    /// Of an operator that knows of no run yet; with it, whom its passes wake and who publishes what they tell.
    pub fn new(
        client: Client,
        settings: Settings,
        metrics: Arc<Metrics>,
        clock: Arc<Clock>,
    ) -> (Arc<Self>, Woken, Publisher) {
        let (events, publisher) = Events::channel(Arc::clone(&metrics));
        let (wake, woken) = Wake::channel();
        let context = Self {
            events,
            retries: Retries::default(),
            outages: Outages::default(),
            followers: Followers::new(client.clone(), wake.clone()),
            places: Places::new(settings.max_running, wake),
            pods: Pods::default(),
            gates: Gates::new(client.clone(), Arc::clone(&clock)),
            clock,
            client,
            settings,
            metrics,
        };
        (Arc::new(context), woken, publisher)
    }

    /// A run that is over or gone needs nothing any more.
    pub(crate) fn forget(&self, run: &str) {
        self.retries.over(run);
        self.clock.forget(run);
        self.outages.over(run);
        self.pods.forget(run);
        self.followers.keep(run, &[]);
        self.gates.leave(run);
    }
}

/// When to try again after an error. An active run is never left alone for long: people wait for it.
pub fn retry_after(run: &str, error: &ReconcileError, context: &Context) -> Duration {
    match error.class() {
        Class::Conflict | Class::Transient => context.retries.failed(run),
        Class::Terminal => REFUSED,
    }
}

/// The result of a call to the API server.
type Called<T> = Result<T, CallError>;
