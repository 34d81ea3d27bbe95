//! What a case came to.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{
    case::{Case, PATIENCE, RECOVERED, TIMEOUT},
    history::Change,
    invariants::{Evidence, condition, is_of},
    outcome::Outcome,
};
use crate::proxy::Entry;

/// The longest that the operator waits for an answer, with what a busy machine adds.
const LONGEST_CALL: Duration = Duration::from_secs(12);

/// How long the operator should take after a fault.
const GOAL: Duration = Duration::from_secs(2);

/// What a time that Kubernetes keeps may be off by.
const SECOND: Duration = Duration::from_secs(1);

/// What a case came to.
#[derive(Debug)]
pub struct Finding {
    /// Everything that was wrong.
    pub violations: Vec<String>,
    /// Whether it has to be measured again, alone; nothing else was wrong then.
    pub slow: bool,
    /// The writes, in order.
    pub writes: Vec<(String, usize)>,
    /// Every site, with the writes' and the reads'.
    pub sites: BTreeSet<String>,
    /// The verdict's reason, and the test's state, at the end.
    pub end: Value,
}

impl Case<'_> {
    /// Judges everything that happened.
    pub(super) async fn judge(
        &self,
        mut wrong: Vec<String>,
        began: Instant,
        fault_ended: Option<Instant>,
    ) -> Finding {
        let Self { world, name, plan, .. } = self;
        wrong.extend(world.history.catch_up(name, name, PATIENCE).await.err());
        let changes = world.history.changes(|change| is_of(change, name));
        let entries = self.proxy.journal.entries();
        let clean = world.known_clean(plan.outcome);
        let counts = clean.as_ref().map(|clean| count(&clean.writes)).unwrap_or_default();
        let recovery = fault_ended.map(|ended| {
            let due = if plan.outcome == Outcome::Timeout { began + TIMEOUT } else { began };
            let waited =
                |(from, to): &(Instant, Instant)| to.saturating_duration_since((*from).max(ended).max(due));
            self.waits.borrow().iter().map(waited).max().unwrap_or_default()
        });
        let lasting = fault_ended
            .map_or(0, |ended| usize::try_from(ended.saturating_duration_since(began).as_secs()).unwrap());
        let longest =
            entries.iter().filter(|entry| entry.call.verb != "watch").max_by_key(|entry| entry.took);
        let longest =
            longest.map_or((Duration::ZERO, String::new()), |entry| (entry.took, entry.call.to_string()));
        if longest.0 > LONGEST_CALL {
            wrong.push(format!("{} took {:?}", longest.1, longest.0));
        }
        let run = world.history.object("E2ETest", "", name);
        let end = run.map_or(Value::Null, |run| {
            json!([condition(&run.data, "Succeeded")["reason"], run.data["status"]["tests"][0]["state"]])
        });
        wrong.extend(self.unexpected_end(&end).map(|what| format!("I-6 {what}")));
        wrong.extend(self.ended_early(began, &changes).map(|what| format!("I-6 {what}")));
        let evidence = Evidence {
            run: name,
            outcome: plan.outcome,
            changes,
            journal: &entries,
            clean: &counts,
            lasting,
        };
        if clean.is_some() || plan.rules.is_empty() {
            wrong.extend(evidence.violations());
        }
        // What the API server refuses for good is asked for less often: it is no fault that is over.
        let counted = recovery.filter(|_| plan.within <= RECOVERED);
        let slow = wrong.is_empty() && !plan.alone && counted.is_some_and(|recovery| recovery > GOAL);
        if !slow {
            let late = recovery.filter(|recovery| *recovery > plan.within);
            wrong.extend(
                late.map(|late| format!("the world waited {late:?} for the operator after the fault")),
            );
            world.score.add(&plan.describe(), wrong.len(), entries.len(), counted, longest);
        }
        if !wrong.is_empty() {
            wrong.push(format!("operator's log:\n{}", self.access.log()));
        }
        let sites = entries.iter().map(|entry| entry.call.site()).collect();
        let mut numbers = BTreeMap::<String, usize>::new();
        let mut writes: Vec<&Entry> = entries.iter().filter(|entry| entry.call.is_write()).collect();
        writes.sort_by_key(|entry| entry.at);
        let writes = writes
            .into_iter()
            .map(|entry| {
                let number = numbers.entry(entry.call.site()).or_default();
                *number += 1;
                (entry.call.site(), *number)
            })
            .collect();
        Finding { violations: wrong, slow, writes, sites, end }
    }

    /// By how much a run that runs out of its time ended before that.
    fn ended_early(&self, began: Instant, changes: &[Arc<Change>]) -> Option<String> {
        let is_end = |change: &&Arc<Change>| {
            change.kind == "E2ETest" && condition(&change.object.data, "Finished")["status"] == "True"
        };
        let end = changes.iter().find(is_end).filter(|_| self.plan.outcome == Outcome::Timeout)?;
        // Kubernetes counts in whole seconds.
        let early = (began + TIMEOUT).saturating_duration_since(end.at + SECOND);
        (!early.is_zero()).then(|| format!("it timed out {early:?} before its time"))
    }

    /// How the end differs from what the world did.
    fn unexpected_end(&self, end: &Value) -> Option<String> {
        let reason = end[0].as_str();
        let right = match self.plan.outcome.verdict() {
            None => end.is_null(),
            Some((_, wanted)) => {
                reason.is_some_and(|reason| reason == wanted || self.plan.also.contains(&reason))
            }
        };
        (!right).then(|| format!("it ended as {end}, and the world says {}", self.plan.outcome))
    }
}

/// How often each site is called.
fn count(writes: &[(String, usize)]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for (site, _) in writes {
        *counts.entry(site.clone()).or_default() += 1;
    }
    counts
}
