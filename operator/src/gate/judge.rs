//! Judges a gate after every change of what it looks at, and sees to it that it is looked at all the time.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use operator_core::gate::{History, Readiness, Target};
use tokio::time::{Instant, sleep, sleep_until};

use super::Shared;

/// How long changes are gathered before they are judged.
const DEBOUNCE: Duration = Duration::from_millis(20);
/// How often the runs of a gate that stays closed are told what has changed, at most.
const PROGRESS: Duration = Duration::from_secs(1);
/// How often a gate is looked at without a change: a process that stood still notices by it that it has looked away.
const BEAT: Duration = Duration::from_secs(1);

/// Judges a gate until the task is dropped.
pub(super) async fn judge(shared: Arc<Shared>, target: Arc<Target>) {
    let mut changes = shared.facts.subscribe();
    let mut sources = BTreeSet::new();
    let mut history = History::default();
    let mut judged = None;
    let mut published: Option<(Arc<Readiness>, Instant)> = None;
    loop {
        let (wanted, now) = {
            let facts = changes.borrow_and_update();
            let wanted = target.sources(&facts);
            let now = facts.history(&wanted);
            (wanted, now)
        };
        if wanted != sources {
            shared.follow(&target, &wanted);
            (sources, judged) = (wanted, None);
        }
        let mut was_broken = now.breaks != history.breaks;
        history = now;
        let mut due = None;
        let mut differs = None;
        if judged != Some(now.changes) {
            let readiness = Readiness::of(&target, &shared.facts.borrow());
            match (readiness, &published) {
                // Of what has not been read nobody knows how it stands.
                (None, _) => was_broken = true,
                (Some(next), Some((last, _))) if next == **last => judged = Some(now.changes),
                // What only counts up is told at a pace that people can read; a gate that opens or closes, at once.
                (Some(next), Some((last, at)))
                    if !next.is_ready() && !last.is_ready() && at.elapsed() < PROGRESS =>
                {
                    due = Some(*at + PROGRESS);
                }
                (Some(next), _) => {
                    judged = Some(now.changes);
                    let next = Arc::new(next);
                    published = Some((Arc::clone(&next), Instant::now()));
                    differs = Some(next);
                }
            }
        }
        shared.look(&target, was_broken, differs.as_ref());
        tokio::select! {
            told = changes.changed() => {
                if told.is_err() {
                    return;
                }
                sleep(DEBOUNCE).await;
            }
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
            () = sleep(BEAT) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use http::{Request, Response};
    use jiff::Timestamp;
    use k8s_openapi::api::{
        apps::v1::DeploymentStatus,
        core::v1::{NamespaceStatus, Pod},
    };
    use kube::{Client, client::Body};
    use operator_core::gate::{
        BLINK, Followed, Identity as _, Judged, KindId, Object, Over, Plain, Reading, Source,
    };
    use serde_json::{Value, json};
    use tokio::time::timeout;
    use tower_test::mock;

    use super::*;
    use crate::gate::Gates;

    type By<Status> = Object<<Status as Judged>::Spec, Status>;

    /// A gate over one namespace.
    fn target() -> Target {
        Target { over: Over::Namespaces(vec!["kf".to_owned()]), ignore: Vec::new() }
    }

    fn deployments() -> KindId {
        KindId::new("apps", "v1", "Deployment")
    }

    /// An object is read.
    fn put<K: Followed>(gates: &Gates, kind: &KindId, object: Value) {
        let object: K = serde_json::from_value(object).unwrap();
        let row = object.row(kind);
        gates.shared.change(|facts| K::table(facts, kind).put(object.meta().key(), row));
    }

    /// The gate's watches have read that namespace, and a Deployment in it that is ready.
    fn all_is_ready(gates: &Gates) {
        let sources = target().sources(&gates.shared.facts.borrow());
        for source in &sources {
            gates.shared.change(|facts| match source {
                Source::Pods => Pod::table(facts, &source.kind()).replace(BTreeMap::new()),
                _ => Plain::table(facts, &source.kind()).replace(BTreeMap::new()),
            });
        }
        let namespace = json!({ "metadata": { "name": "kf" }, "status": { "phase": "Active" } });
        put::<By<NamespaceStatus>>(gates, &KindId::new("", "v1", "Namespace"), namespace);
        let deployment = json!({
            "metadata": { "name": "web", "namespace": "kf" }, "spec": { "selector": {} },
            "status": { "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1 },
        });
        put::<By<DeploymentStatus>>(gates, &deployments(), deployment);
    }

    /// Since when the gate has been ready, once it is since another time than `known`.
    async fn ready_since(gates: &Gates, known: Option<Timestamp>) -> Timestamp {
        let look = async {
            loop {
                let seen = gates.look("nightly", &target());
                match seen.and_then(|seen| seen.ready_since) {
                    Some(since) if Some(since) != known => return since,
                    _ => sleep(Duration::from_millis(5)).await,
                }
            }
        };
        timeout(Duration::from_secs(10), look).await.expect("the gate was not seen to be ready")
    }

    /// Gates whose API server never answers: what their watches read is put there by hand.
    fn gates() -> (Gates, mock::Handle<Request<Body>, Response<Body>>) {
        let (service, handle) = mock::pair::<Request<Body>, Response<Body>>();
        (Gates::new(Client::new(service, "default"), Arc::default()), handle)
    }

    #[tokio::test]
    async fn a_break_in_watching_begins_the_wait_anew() {
        let (gates, _silent) = gates();
        assert_eq!(gates.look("nightly", &target()), None);
        all_is_ready(&gates);
        let since = ready_since(&gates, None).await;
        // Broken and mended before anybody judged it.
        gates.shared.change(|facts| {
            let table = Plain::table(facts, &deployments());
            table.failed(Reading::Unreadable("no answer".to_owned()));
            table.recovered()
        });
        let again = ready_since(&gates, Some(since)).await;
        assert!(again > since);
        gates.shared.change(|facts| Plain::table(facts, &deployments()).missed());
        assert!(ready_since(&gates, Some(again)).await > again);
    }

    #[tokio::test]
    async fn a_gate_at_which_nothing_changes_is_looked_at_all_the_time() {
        let (gates, _silent) = gates();
        gates.look("nightly", &target());
        all_is_ready(&gates);
        let since = ready_since(&gates, None).await;
        sleep(BLINK + BEAT).await;
        let seen = gates.look("nightly", &target()).unwrap();
        assert_eq!(seen.ready_since, Some(since));
    }
}
