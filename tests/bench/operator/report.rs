//! From what was measured to the table.

use std::time::Duration;

use crate::{
    calls::{self, Calls},
    figures::{Line, Sample, Table},
    scenarios::{Burst, Churn, Latencies},
};

/// Everything that was measured; memory in MiB.
pub struct Measured {
    /// The machine's load average at the start.
    pub load: String,
    /// Objects of a burst.
    pub objects: usize,
    /// Latencies of the operator.
    pub ours: Latencies,
    /// Latencies of the peer.
    pub theirs: Latencies,
    /// Memory of an idle operator, each time.
    pub our_idle: Vec<f64>,
    /// Memory of an idle peer, each time.
    pub their_idle: Vec<f64>,
    /// Verdicts as seen by polling.
    pub polled: Sample,
    /// The operator's burst.
    pub burst: Burst,
    /// Memory with the burst's objects.
    pub full: f64,
    /// The most memory until then.
    pub high_water: f64,
    /// Calls in the steady state.
    pub steady: Calls,
    /// For how long.
    pub steady_seconds: u64,
    /// How long the burst took to finish.
    pub finished: Duration,
    /// From SIGTERM to the end.
    pub stopped: Duration,
    /// From the start until ready, with finished objects.
    pub synced: Duration,
    /// Calls after the restart.
    pub after_restart: Calls,
    /// Memory after the restart.
    pub restarted: f64,
    /// Memory during the churn.
    pub churn: Churn,
    /// For how long.
    pub churn_seconds: u64,
    /// The peer's burst.
    pub their_burst: Burst,
    /// The peer's memory with the burst's objects.
    pub their_full: f64,
}

impl Measured {
    /// The table, and below it what it stands on.
    pub fn table(&self) -> String {
        let mut table = Table::default();
        self.latencies(&mut table);
        self.memory(&mut table);
        self.scale(&mut table);
        self.calls(&mut table);
        format!(
            "\n{}\nload average at the start: {}\ncalls of {} runs: {}\n",
            table.text(),
            self.load,
            self.ours.job.n(),
            spoken(&self.ours.calls)
        )
    }

    fn latencies(&self, table: &mut Table) {
        let (floor, ours, theirs) = (&self.ours.floor, &self.ours, &self.theirs);
        table.add(Line {
            what: "floor: status written → seen by a watcher".into(),
            measured: floor.shown(),
            n: floor.n(),
            ..Line::default()
        });
        for (percent, limit) in [(50, 5.0), (99, 6.0)] {
            let (measured, floor) = (ours.condition.percentile(percent), floor.percentile(percent));
            table.add(Line {
                what: format!("Job finished → condition seen, p{percent}"),
                goal: format!("≤ {limit} × floor"),
                measured: format!("{measured:.1} ms"),
                beside: format!("floor {floor:.1} ms"),
                ratio: format!("{:.1}", measured / floor),
                n: ours.condition.n(),
                met: Some(measured <= limit * floor),
            });
        }
        table.add(Line {
            what: "the same, seen by asking once a second".into(),
            measured: self.polled.shown(),
            beside: ours.condition.shown(),
            ratio: format!("{:.0}", self.polled.percentile(50) / ours.condition.percentile(50)),
            n: self.polled.n(),
            ..Line::default()
        });
        for (percent, limit) in [(50, 25.0), (99, 100.0)] {
            let measured = ours.job.percentile(percent);
            table.add(Line {
                what: format!("E2ETest created → Job seen, p{percent}"),
                goal: format!("≤ {limit} ms"),
                measured: format!("{measured:.1} ms"),
                beside: format!("floor {:.1} ms", floor.percentile(percent)),
                ratio: format!("{:.1}", measured / floor.percentile(percent)),
                n: ours.job.n(),
                met: Some(measured <= limit),
            });
        }
        for (what, ours, theirs) in [
            ("created → Job, against kopf, p50", &ours.job, &theirs.job),
            ("finished → condition, against kopf, p50", &ours.condition, &theirs.condition),
        ] {
            let (measured, peer) = (ours.percentile(50), theirs.percentile(50));
            table.add(Line {
                what: what.into(),
                goal: "≥ 5 × faster".into(),
                measured: format!("{measured:.1} ms"),
                beside: format!("kopf {}", theirs.shown()),
                ratio: format!("{:.1}", peer / measured),
                n: theirs.n(),
                met: Some(peer >= 5.0 * measured),
            });
        }
    }

    fn memory(&self, table: &mut Table) {
        let (idle, their_idle) = (largest(&self.our_idle), smallest(&self.their_idle));
        let objects = self.objects;
        for (what, goal, measured, peer) in [
            ("resident memory, idle".to_owned(), 12.0, idle, their_idle),
            (format!("resident memory, {objects} runs with Jobs"), 24.0, self.full, self.their_full),
        ] {
            table.add(Line {
                what: what.clone(),
                goal: format!("≤ {goal} MiB"),
                measured: format!("{measured:.1} MiB"),
                beside: format!("kopf {peer:.0} MiB"),
                ratio: format!("{:.1}", peer / measured),
                n: if goal < 20.0 { self.our_idle.len() } else { 1 },
                met: Some(measured <= goal),
            });
            table.add(Line {
                what: format!("{what}, against kopf"),
                goal: "≥ 5 × less".into(),
                measured: format!("{measured:.1} MiB"),
                beside: format!("kopf {peer:.0} MiB"),
                ratio: format!("{:.1}", peer / measured),
                n: 1,
                met: Some(peer >= 5.0 * measured),
            });
        }
        for (what, measured, n) in [
            (format!("the most memory until {objects} runs had Jobs"), self.high_water, 1),
            (format!("resident memory, restarted with {objects} finished runs"), self.restarted, 1),
        ] {
            table.add(Line { what, measured: format!("{measured:.1} MiB"), n, ..Line::default() });
        }
        let Churn { runs, early, late } = self.churn;
        table.add(Line {
            what: format!("memory over {} s of churn", self.churn_seconds),
            goal: "flat within 2 %".into(),
            measured: format!("{late:.2} MiB"),
            beside: format!("earlier {early:.2} MiB"),
            ratio: format!("{:+.1} %", (late / early - 1.0) * 100.0),
            n: runs,
            met: Some((late / early - 1.0).abs() <= 0.02),
        });
    }

    fn scale(&self, table: &mut Table) {
        let (seconds, theirs) = (self.burst.all.as_secs_f64(), self.their_burst.all.as_secs_f64());
        table.add(Line {
            what: format!("{} runs at once → their Jobs", self.objects),
            goal: "≤ 20 s".into(),
            measured: format!("{seconds:.1} s"),
            beside: format!("kopf {theirs:.1} s"),
            ratio: format!("{:.1}", theirs / seconds),
            n: self.objects,
            met: Some(seconds <= 20.0),
        });
        table.add(Line {
            what: "slowest namespace / fastest".into(),
            goal: "≤ 2".into(),
            measured: format!("{:.2}", self.burst.spread),
            beside: format!("kopf {:.2}", self.their_burst.spread),
            n: crate::world::NAMESPACES,
            met: Some(self.burst.spread <= 2.0),
            ..Line::default()
        });
        table.add(Line {
            what: format!("{} Jobs played to their ends → conditions", self.objects),
            measured: format!("{:.1} s", self.finished.as_secs_f64()),
            n: self.objects,
            ..Line::default()
        });
        table.add(Line {
            what: format!("restart with {} finished runs → ready", self.objects),
            goal: "≤ 1 s".into(),
            measured: format!("{:.2} s", self.synced.as_secs_f64()),
            beside: format!("end {:.2} s", self.stopped.as_secs_f64()),
            n: 1,
            met: Some(self.synced <= Duration::from_secs(1)),
            ..Line::default()
        });
    }

    fn calls(&self, table: &mut Table) {
        for (what, found) in [
            (format!("writes in {} s of steady state", self.steady_seconds), &self.steady),
            ("writes after the restart".to_owned(), &self.after_restart),
        ] {
            let writes = calls::writes(found);
            table.add(Line {
                what,
                goal: "0".into(),
                measured: writes.to_string(),
                beside: spoken(found),
                n: self.objects,
                met: Some(writes == 0),
                ..Line::default()
            });
        }
        #[allow(clippy::cast_precision_loss)]
        let per_run = |calls: &Calls, runs: usize| calls.values().sum::<u64>() as f64 / runs.max(1) as f64;
        let (ours, theirs) = (&self.ours, &self.theirs);
        let (measured, peer) = (per_run(&ours.calls, ours.job.n()), per_run(&theirs.calls, theirs.job.n()));
        table.add(Line {
            what: "API calls for a run of one test".into(),
            goal: "≤ 40".into(),
            measured: format!("{measured:.1}"),
            beside: format!("kopf {peer:.1}"),
            ratio: format!("{:.1}", peer / measured),
            n: ours.job.n(),
            met: Some(measured <= 40.0),
        });
        let lists: Vec<&str> = ours.calls.keys().filter_map(|what| what.strip_prefix("LIST ")).collect();
        table.add(Line {
            what: "LISTs after the start".into(),
            goal: "pods, events".into(),
            measured: lists.join(", "),
            n: ours.job.n(),
            met: Some(lists.iter().all(|what| ["pods", "events"].contains(what))),
            ..Line::default()
        });
    }
}

fn largest(values: &[f64]) -> f64 {
    values.iter().copied().fold(0.0, f64::max)
}

fn smallest(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::INFINITY, f64::min)
}

fn spoken(calls: &Calls) -> String {
    let all: Vec<String> = calls.iter().map(|(what, count)| format!("{count} {what}")).collect();
    if all.is_empty() { "nothing".into() } else { all.join(", ") }
}
