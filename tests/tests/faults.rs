//! The operator under faults: killed at every write, cut off, lied to, refused, doubled.

use std::{
    collections::BTreeSet,
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use e2e_tests::{
    audit,
    faults::{
        case::{Case, Plan},
        control_plane::Part,
        judge::Finding,
        matrix,
        outcome::Outcome,
        planted, restored,
        score::Score,
        world::{Shared, token},
    },
    proxy::{Fault, Refusal, Rule},
    trials::{is_whole, plain, run, runtime, trial},
};
use futures::{FutureExt as _, future::join_all};
use jiff::SignedDuration;

fn main() -> ExitCode {
    let (runtime, score) = (runtime(), Arc::<Score>::default());
    let shared = Shared::new("e2e-faults", Arc::clone(&score));
    let restored = Shared::new("e2e-faults-restored", Arc::clone(&score));
    let slow = true;
    let mut trials = vec![
        plain("a breach of each invariant is noticed", planted::check),
        trial("a run without faults is the same every time", &runtime, &shared, same_every_time),
        trial("an operator that is killed at some of its writes", &runtime, &shared, some_kills),
        trial("some of the operator's calls fail", &runtime, &shared, some_calls),
        trial("two operators make nothing twice", &runtime, &shared, two_operators),
        trial("an api server that answers nobody for 5 s", &runtime, &shared, frozen_shortly),
        trial("an api server that is killed and started again", &runtime, &shared, killed_server),
        trial("rights that are taken away and given back", &runtime, &shared, rights_revoked),
        trial("clocks that differ, and that are set", &runtime, &shared, some_clocks),
        trial("an operator that is killed at every write", &runtime, &shared, all_kills)
            .with_ignored_flag(slow),
        trial("every read of the operator fails in every way", &runtime, &shared, all_reads)
            .with_ignored_flag(slow),
        trial("every write of the operator fails in every way", &runtime, &shared, all_writes)
            .with_ignored_flag(slow),
        trial("two operators and a kill at every write", &runtime, &shared, two_operators_killed)
            .with_ignored_flag(slow),
        trial("an api server that answers nobody for 60 s", &runtime, &shared, frozen_long)
            .with_ignored_flag(slow),
        trial("a token that is replaced, and refused from then on", &runtime, &shared, token_rotates)
            .with_ignored_flag(slow),
        trial("clocks that differ by hours and days", &runtime, &shared, all_clocks).with_ignored_flag(slow),
        trial("an etcd that goes back to an earlier state", &runtime, &restored, etcd_restored)
            .with_ignored_flag(slow),
    ];
    // Last: it looks back on all of them.
    if is_whole() {
        trials.push(trial(
            "no fault makes the operator ask for what it may not",
            &runtime,
            &shared,
            within_rights,
        ));
    }
    run(trials, || {
        println!("{score}");
        shared.remove();
        restored.remove();
    })
}

async fn same_every_time(shared: Arc<Shared>) {
    let world = shared.get().await;
    matrix::prepare(world, world.outcomes().into_iter()).await;
    let again = world
        .outcomes()
        .into_iter()
        .map(|outcome| async move { (outcome, matrix::run(world, Plan::new(outcome, Vec::new())).await) });
    for (outcome, second) in join_all(again).await {
        let first = matrix::clean(world, outcome).await;
        for of_events in [false, true] {
            assert_eq!(made(&first, of_events), made(&second, of_events), "{outcome}");
        }
        assert_eq!(first.end, second.end, "{outcome}");
        assert_eq!(second.violations, Vec::<String>::new(), "{outcome}");
    }
}

/// The events, or what else was written, without what says how far a run is: which moments of a pod a pass sees is not the
/// same every time, and events are published beside the passes.
fn made(found: &Finding, of_events: bool) -> Vec<&(String, usize)> {
    let wanted = |site: &str| site != "patch e2etests/status" && site.ends_with(" events") == of_events;
    found.writes.iter().filter(|(site, _)| wanted(site)).collect()
}

async fn some_kills(shared: Arc<Shared>) {
    let world = shared.get().await;
    let plans = matrix::kills(world, Outcome::Pass).await;
    matrix::run_all(world, plans.into_iter().step_by(4).collect()).await;
}

async fn all_kills(shared: Arc<Shared>) {
    let world = shared.get().await;
    let mut plans = Vec::new();
    for outcome in world.outcomes() {
        plans.extend(matrix::kills(world, outcome).await);
    }
    matrix::run_all(world, plans).await;
}

async fn some_calls(shared: Arc<Shared>) {
    let away = Refusal { code: 500, reason: "InternalError", retry_after: None };
    let rules = [
        Rule::new("create jobs", 1, 1, Fault::LoseAnswer),
        Rule::new("create jobs", 1, 1, Fault::Answer(away.clone())),
        Rule::new("patch e2etests/status", 1, 2, Fault::LoseAnswer),
        Rule::new("get jobs", 1, 2, Fault::Answer(away)),
        Rule::new("watch pods everywhere", 1, usize::MAX / 2, Fault::Cut(1)),
        Rule::new("watch e2etests everywhere", 1, usize::MAX / 2, Fault::Repeat),
    ];
    let plans = rules.map(|rule| Plan::new(Outcome::Pass, vec![rule]));
    matrix::run_all(shared.get().await, plans.into()).await;
}

async fn all_reads(shared: Arc<Shared>) {
    let world = shared.get().await;
    let mut plans = matrix::calls(world, Outcome::Pass, is_read).await;
    let known: Vec<String> = plans.iter().map(|plan| plan.rules[0].site.clone()).collect();
    plans.extend(
        matrix::calls(world, Outcome::NotInjected, |site| is_read(site) && !known.contains(&site.to_owned()))
            .await,
    );
    matrix::run_all(world, plans).await;
}

async fn all_writes(shared: Arc<Shared>) {
    let world = shared.get().await;
    let mut plans = matrix::calls(world, Outcome::Pass, |site| !is_read(site)).await;
    for outcome in [Outcome::Timeout, Outcome::NotInjected] {
        let known: Vec<String> = plans.iter().map(|plan| plan.rules[0].site.clone()).collect();
        plans.extend(
            matrix::calls(world, outcome, |site| !is_read(site) && !known.contains(&site.to_owned())).await,
        );
    }
    matrix::run_all(world, plans).await;
}

fn is_read(site: &str) -> bool {
    ["get ", "list ", "watch "].iter().any(|verb| site.starts_with(verb))
}

async fn two_operators(shared: Arc<Shared>) {
    let world = shared.get().await;
    let plans =
        world.outcomes().into_iter().map(|outcome| Plan { operators: 2, ..Plan::new(outcome, Vec::new()) });
    matrix::run_all(world, plans.collect()).await;
}

async fn two_operators_killed(shared: Arc<Shared>) {
    let world = shared.get().await;
    let plans = matrix::kills(world, Outcome::Pass).await;
    matrix::run_all(world, plans.into_iter().map(|plan| Plan { operators: 2, ..plan }).collect()).await;
}

async fn frozen_shortly(shared: Arc<Shared>) {
    outage(shared, Part::freeze, Duration::from_secs(5), Part::thaw).await;
}

async fn frozen_long(shared: Arc<Shared>) {
    outage(shared, Part::freeze, Duration::from_secs(60), Part::thaw).await;
}

async fn killed_server(shared: Arc<Shared>) {
    outage(shared, Part::kill, Duration::from_secs(5), Part::start).await;
}

/// How long an API server that is started may take to answer.
const BACK: Duration = Duration::from_secs(15);

/// Runs whose tests have started while the API server goes away, for so long, and comes back.
async fn outage(shared: Arc<Shared>, away: fn(&Part), lasting: Duration, back: fn(&Part)) {
    let world = shared.get().await;
    let server = Part::find(&world.cluster.name, "kube-apiserver");
    let mut cases = Vec::new();
    for outcome in [Outcome::Pass, Outcome::Fail, Outcome::Delete] {
        matrix::clean(world, outcome).await;
        cases.push(
            Case::prepare(world, Plan { lasting: lasting + BACK, ..Plan::new(outcome, Vec::new()) }).await,
        );
    }
    let all = &cases;
    let away_and_back = async {
        join_all(all.iter().map(Case::await_job)).await;
        away(&server);
        // How long the fault lasts.
        tokio::time::sleep(lasting).await;
        back(&server);
        world.await_server().await;
        Some(Instant::now())
    }
    .shared();
    let findings = join_all(cases.iter().map(|case| case.run(away_and_back.clone()))).await;
    let wrong: Vec<String> = findings.into_iter().flat_map(|found| found.violations).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

async fn rights_revoked(shared: Arc<Shared>) {
    let world = shared.get().await;
    matrix::clean(world, Outcome::Pass).await;
    let case = Case::prepare(world, Plan::new(Outcome::Pass, Vec::new())).await;
    let revoked = async {
        case.await_job().await;
        world.shut_out(&case.name).await;
        // How long the fault lasts.
        tokio::time::sleep(Duration::from_secs(3)).await;
        world.let_in(&case.name).await;
        Some(Instant::now())
    };
    let found = case.run(revoked).await;
    assert!(found.violations.is_empty(), "{}", found.violations.join("\n"));
}

async fn within_rights(shared: Arc<Shared>) {
    let world = shared.get().await;
    let used = audit::used(&world.cluster.name);
    println!("{} requests of the operator, {} refused for a while", used.requests, used.passing);
    // Rights were taken away, and an API server was started again.
    assert!(used.passing > 0, "no refusal was written down");
    assert_eq!(used.missing_outside(&BTreeSet::new()), Vec::<&str>::new());
}

/// An hour, and the other way a day.
async fn some_clocks(shared: Arc<Shared>) {
    let clocks = [SignedDuration::from_hours(1), SignedDuration::from_hours(-24)];
    matrix::run_all(shared.get().await, matrix::clocks(&clocks, &[Outcome::Pass])).await;
}

async fn all_clocks(shared: Arc<Shared>) {
    let world = shared.get().await;
    let clocks = [-24, -1, 1, 24].map(SignedDuration::from_hours);
    matrix::run_all(world, matrix::clocks(&clocks, &world.outcomes())).await;
}

async fn etcd_restored(shared: Arc<Shared>) {
    let wrong = restored::run(shared.get().await).await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The client reads its token again once a minute.
const TOKEN_READ: Duration = Duration::from_secs(62);

/// Two runs whose test goes on for as long as it takes. A kubelet writes the new token long before the old one ends.
async fn token_rotates(shared: Arc<Shared>) {
    let world = shared.get().await;
    matrix::clean(world, Outcome::Pass).await;
    let plan = Plan { lasting: 2 * TOKEN_READ, ..Plan::new(Outcome::Pass, Vec::new()) };
    let [early, late] = [Case::prepare(world, plan.clone()).await, Case::prepare(world, plan).await];
    for case in [&early, &late] {
        case.hold();
    }
    let proxy = &early.proxy;
    let (early, late) = tokio::join!(early.run(rotated(&early, true)), late.run(rotated(&late, false)));
    let early_fault = proxy.last_fault();
    assert_eq!(early_fault, None, "the old token was in use for longer than a minute");
    let wrong = [early.violations, late.violations].concat();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A new token while the test runs, and the end of the old one, at once or when the operator must have read the new one.
async fn rotated(case: &Case<'_>, overlap: bool) -> Option<Instant> {
    case.await_job().await;
    let new = token(&case.world.cluster);
    case.access.write_token(&new);
    if overlap {
        // How long both are good.
        tokio::time::sleep(TOKEN_READ).await;
        case.proxy.accept_only(&new);
        case.release();
        case.proxy.last_fault()
    } else {
        case.proxy.accept_only(&new);
        case.release();
        None
    }
}
