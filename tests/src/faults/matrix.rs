//! Many cases side by side.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures::{StreamExt as _, future::join_all, stream};
use jiff::SignedDuration;

use super::{
    case::{Case, Plan},
    judge::Finding,
    outcome::Outcome,
    world::World,
};
use crate::proxy::{Fault, Moment, Refusal, Rule};

/// Cases side by side: they mostly wait.
const SIDE_BY_SIDE: usize = 16;

/// Runs a case with nothing beside its rules.
pub async fn run(world: &World, plan: Plan) -> Finding {
    Case::prepare(world, plan).await.run(async { None }).await
}

/// The run without faults of an outcome, made at first use.
pub async fn clean(world: &World, outcome: Outcome) -> Arc<Finding> {
    if let Some(known) = world.known_clean(outcome) {
        return known;
    }
    let found = run(world, Plan::new(outcome, Vec::new())).await;
    assert!(found.violations.is_empty(), "{outcome} without faults: {:#?}", found.violations);
    world.remember_clean(outcome, found)
}

/// Makes the runs without faults of these outcomes, side by side.
pub async fn prepare(world: &World, outcomes: impl Iterator<Item = Outcome>) {
    let names: BTreeMap<String, Outcome> = outcomes.map(|outcome| (outcome.to_string(), outcome)).collect();
    join_all(names.into_values().map(|outcome| clean(world, outcome))).await;
}

/// Runs all cases; fails with everything that was wrong in any of them. What took long among many others is measured again
/// by itself, since a busy machine is no fault.
pub async fn run_all(world: &World, plans: Vec<Plan>) {
    prepare(world, plans.iter().map(|plan| plan.outcome)).await;
    let all = plans.len();
    let crowd = plans.into_iter().map(|plan| Plan { alone: false, ..plan });
    let cases = crowd.map(|plan| async move { (run(world, plan.clone()).await, plan) });
    let (mut wrong, mut slow) = (Vec::new(), Vec::new());
    let mut findings = std::pin::pin!(stream::iter(cases).buffer_unordered(SIDE_BY_SIDE));
    while let Some((found, plan)) = findings.next().await {
        if found.slow {
            slow.push(plan);
        } else {
            wrong.extend(complaint(&plan, &found));
        }
    }
    for plan in slow {
        let plan = Plan { alone: true, ..plan };
        let found = run(world, plan.clone()).await;
        wrong.extend(complaint(&plan, &found));
    }
    assert!(wrong.is_empty(), "{} of {all} cases:\n{}", wrong.len(), wrong.join("\n"));
}

/// What was wrong in a case, which is told at once: many more may follow.
fn complaint(plan: &Plan, found: &Finding) -> Option<String> {
    let text = format!("{}:\n  {}", plan.describe(), found.violations.join("\n  "));
    let wrong = !found.violations.is_empty();
    wrong.then(|| {
        println!("{text}");
        text
    })
}

/// Every write of a run, at every moment around it.
pub async fn kills(world: &World, outcome: Outcome) -> Vec<Plan> {
    let writes = clean(world, outcome).await.writes.clone();
    let each = |(site, number): (String, usize)| {
        Moment::ALL
            .map(|moment| Plan::new(outcome, vec![Rule::new(site.clone(), number, 1, Fault::Kill(moment))]))
    };
    writes.into_iter().flat_map(each).collect()
}

/// An operator whose clock differs by so much all the time, or is set by so much before it starts again.
pub fn clocks(clocks: &[SignedDuration], outcomes: &[Outcome]) -> Vec<Plan> {
    let mut plans = Vec::new();
    for outcome in outcomes {
        for clock in clocks {
            let kill = Rule::new("create jobs", 1, 1, Fault::Kill(Moment::Answered));
            plans.push(Plan { clocks: vec![*clock], ..Plan::new(*outcome, Vec::new()) });
            plans
                .push(Plan { clocks: vec![SignedDuration::ZERO, *clock], ..Plan::new(*outcome, vec![kill]) });
        }
    }
    plans
}

/// Every call of a run that ends like this, with everything that can go wrong with it.
pub async fn calls(world: &World, outcome: Outcome, wanted: impl Fn(&str) -> bool) -> Vec<Plan> {
    let sites = clean(world, outcome).await.sites.clone();
    let mut plans = Vec::new();
    for site in sites.iter().filter(|site| wanted(site)) {
        let mut add = |times: usize, fault: Fault| {
            plans.push(excused(outcome, Rule::new(site.clone(), 1, times, fault)));
        };
        for fault in [Fault::Drop, Fault::LoseAnswer, Fault::Delay(Duration::from_millis(500))] {
            add(1, fault);
        }
        for refusal in Refusal::ALL {
            let lasting = matches!(refusal.code, 403 | 409 | 500);
            add(1, Fault::Answer(refusal.clone()));
            if lasting {
                add(3, Fault::Answer(refusal));
            }
        }
        if site.starts_with("watch ") {
            for fault in
                [Fault::Cut(0), Fault::Cut(1), Fault::Repeat, Fault::Late(Duration::from_millis(300))]
            {
                add(usize::MAX / 2, fault);
            }
        } else if !site.ends_with(" everywhere") {
            add(1, Fault::Delay(Duration::from_secs(11)));
        }
        if site.starts_with("list ") && site.ends_with(" everywhere") {
            // The list of the second operator, before which it asks whether the kind is served.
            let mut plan = excused(outcome, Rule::new(site.clone(), 2, 3, Fault::Older));
            plan.rules.push(Rule::new("patch e2etests/status", 2, 1, Fault::Kill(Moment::Answered)));
            plans.push(plan);
        }
    }
    plans
}

/// A plan that knows what the API server's own words excuse.
fn excused(outcome: Outcome, rule: Rule) -> Plan {
    let mut plan = Plan::new(outcome, vec![rule.clone()]);
    let (child, read) = (
        ["patch configmaps", "patch poddefaults", "create jobs"].contains(&rule.site.as_str()),
        rule.site.starts_with("get "),
    );
    match rule.fault {
        // What can never be granted ends a test when it is said of a child, and is asked for less often otherwise.
        Fault::Answer(Refusal { code: 400 | 422, .. }) if child => plan.also = &["InfrastructureError"],
        Fault::Answer(Refusal { code: 400 | 422, .. }) => plan.within = Duration::from_secs(14),
        // A recorded Job that is not there has vanished.
        Fault::Answer(Refusal { code: 404, .. }) if read => plan.also = &["InfrastructureError"],
        Fault::Delay(wait) => plan.lasting = wait,
        _ => {}
    }
    plan
}
