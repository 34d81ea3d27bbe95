//! The operator against its goals, on a bare API server: latencies against the floor of the same API server and against a peer on
//! kopf, memory, bursts, quiet and restarts, and what it asks the API server for. It prints one table, and fails only where it could not
//! measure.
//!
//! Arguments: `--operator FILE` (a release build), `--kopf FILE`, and `--runs N`, `--peer-runs N`, `--objects N`, `--churn SECONDS`.
//! A minute of churn, the default, shows only a leak that is a fast one; 600 seconds are what the goal speaks of.

#![allow(clippy::large_futures, reason = "there are few, and none is moved often")]

mod again;
mod calls;
mod figures;
mod process;
mod report;
mod scenarios;
mod seen;
mod stand_in;
mod world;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use e2e_tests::{
    program::{Removed, checkout},
    trials::runtime,
};

use tokio::signal::unix::{SignalKind, signal};

use crate::{process::Process, report::Measured, scenarios::Latencies, world::World};

/// Name of the cluster.
const CLUSTER: &str = "bench-operator";
/// How often the operator and its peer take turns.
const ROUNDS: usize = 5;
/// How long an idle process is left alone before its memory is read.
const REST: Duration = Duration::from_secs(1);
/// How long nothing may be written in the steady state.
const STEADY: Duration = Duration::from_secs(20);
/// How long nothing may be written after a restart.
const AFTER_RESTART: Duration = Duration::from_secs(5);
/// How many runs are polled.
const POLLED: usize = 32;

/// What is measured, and how often.
struct Arguments {
    operator: PathBuf,
    kopf: PathBuf,
    runs: usize,
    peer_runs: usize,
    objects: usize,
    churn: Duration,
}

fn arguments() -> Result<Arguments, lexopt::Error> {
    use lexopt::{Arg::Long, ValueExt as _};
    let mut all = Arguments {
        operator: PathBuf::new(),
        kopf: PathBuf::new(),
        runs: 1000,
        peer_runs: 200,
        objects: 1000,
        churn: Duration::from_secs(60),
    };
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("operator") => all.operator = parser.value()?.into(),
            Long("kopf") => all.kopf = parser.value()?.into(),
            Long("runs") => all.runs = parser.value()?.parse()?,
            Long("peer-runs") => all.peer_runs = parser.value()?.parse()?,
            Long("objects") => all.objects = parser.value()?.parse()?,
            Long("churn") => all.churn = Duration::from_secs(parser.value()?.parse()?),
            // `cargo bench` says so by itself.
            Long("bench") => {}
            other => return Err(other.unexpected()),
        }
    }
    Ok(all)
}

fn main() -> ExitCode {
    let arguments = match arguments() {
        Ok(arguments) => arguments,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    let removed = Removed(CLUSTER);
    let outcome = runtime().block_on(async {
        tokio::select! {
            table = measure(&arguments) => Some(table),
            () = told_to_end() => None,
        }
    });
    drop(removed);
    match outcome {
        Some(table) => {
            print!("{table}");
            ExitCode::SUCCESS
        }
        None => ExitCode::from(130),
    }
}

/// Resolves with the first SIGINT or SIGTERM: the cluster and the processes are then removed all the same.
async fn told_to_end() {
    let mut interrupt = signal(SignalKind::interrupt()).unwrap();
    let mut terminate = signal(SignalKind::terminate()).unwrap();
    tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
}

/// Everything, in order. What takes turns with the peer comes first.
async fn measure(arguments: &Arguments) -> String {
    let logs = tempfile::tempdir().unwrap();
    let log = |name: &str| logs.path().join(name);
    let handlers = checkout().join("tests/bench/operator/peer.py");
    let world = World::up(CLUSTER).await;
    let load = load();

    let (mut ours, mut theirs) = (Latencies::default(), Latencies::default());
    let (mut our_idle, mut their_idle) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        world.create_floor().await;
        let operator = Process::operator(&arguments.operator, &world.kubeconfig, &log("operator")).await;
        tokio::time::sleep(REST).await;
        our_idle.push(operator.resident());
        let count = arguments.runs / ROUNDS;
        ours.add(scenarios::latencies(&world, &format!("ours-{round}"), count, true).await);
        operator.stop().await;
        world.delete_all().await;
        eprintln!("round {}: ours {}", round + 1, ours.condition.shown());

        let peer = Process::peer(&arguments.kopf, &handlers, &world.kubeconfig, &log("peer")).await;
        tokio::time::sleep(REST).await;
        their_idle.push(peer.resident());
        let count = arguments.peer_runs / ROUNDS;
        theirs.add(scenarios::latencies(&world, &format!("peer-{round}"), count, false).await);
        peer.stop().await;
        world.delete_all().await;
        eprintln!("round {}: kopf {}", round + 1, theirs.condition.shown());
    }

    let mut operator = Process::operator(&arguments.operator, &world.kubeconfig, &log("operator")).await;
    let polled = scenarios::polled(&world, POLLED).await;
    let burst = scenarios::burst(&world, "burst", arguments.objects).await;
    scenarios::settle(&world).await;
    let full = operator.resident();
    let steady = scenarios::idle_calls(&world, STEADY).await;
    let high_water = operator.high_water();
    eprintln!("burst: {:.1} s", burst.all.as_secs_f64());
    let finished = scenarios::finish_all(&world, "burst", arguments.objects).await;
    scenarios::settle(&world).await;
    let stopped = operator.stop().await;
    operator = Process::operator(&arguments.operator, &world.kubeconfig, &log("operator")).await;
    let synced = operator.ready_after;
    let after_restart = scenarios::idle_calls(&world, AFTER_RESTART).await;
    let restarted = operator.resident();
    eprintln!("churn for {} s", arguments.churn.as_secs());
    let churn = scenarios::churn(&world, &mut operator, arguments.churn).await;
    operator.stop().await;
    world.delete_all().await;

    let peer = Process::peer(&arguments.kopf, &handlers, &world.kubeconfig, &log("peer")).await;
    let their_burst = scenarios::burst(&world, "peer-burst", arguments.objects).await;
    scenarios::settle(&world).await;
    let their_full = peer.resident();
    peer.stop().await;

    Measured {
        load,
        objects: arguments.objects,
        ours,
        theirs,
        our_idle,
        their_idle,
        polled,
        burst,
        full,
        high_water,
        steady,
        steady_seconds: STEADY.as_secs(),
        finished,
        stopped,
        synced,
        after_restart,
        restarted,
        churn,
        churn_seconds: arguments.churn.as_secs(),
        their_burst,
        their_full,
    }
    .table()
}

/// The machine's load before anything is measured.
fn load() -> String {
    std::fs::read_to_string(Path::new("/proc/loadavg")).unwrap_or_default().trim().to_owned()
}
