//! What is measured: each function is one scenario against an operator that runs.

use std::time::{Duration, Instant};

use crate::{
    calls::{self, Calls},
    figures::Sample,
    process::Process,
    seen::Sight,
    stand_in,
    world::{NAMESPACES, World, namespace},
};

/// Runs at once during the churn.
const WORKERS: usize = 4;
/// For how long nothing may be written until it is quiet.
const QUIET: Duration = Duration::from_secs(1);
/// How long it may take until it is quiet.
const QUIET_WITHIN: Duration = Duration::from_secs(60);

/// Latencies, one run after the other.
#[derive(Default)]
pub struct Latencies {
    /// One write of a status until a watcher sees it.
    pub floor: Sample,
    /// From asking for a run until a watcher sees its Job.
    pub job: Sample,
    /// From the write that completes a Job until a watcher sees the run's condition.
    pub condition: Sample,
    /// What others than this program asked the API server for meanwhile.
    pub calls: Calls,
}

impl Latencies {
    /// Adds what another round measured.
    pub fn add(&mut self, other: Self) {
        for (mine, theirs) in [
            (&mut self.floor, other.floor),
            (&mut self.job, other.job),
            (&mut self.condition, other.condition),
        ] {
            theirs.each(|value| mine.add(value));
        }
        for (what, count) in other.calls {
            *self.calls.entry(what).or_default() += count;
        }
    }
}

/// `count` runs, one after the other, with a sample of the floor between any two where there is an object for it.
pub async fn latencies(world: &World, prefix: &str, count: usize, with_floor: bool) -> Latencies {
    // The first run opens connections and fills caches; it is not counted.
    one(world, &format!("{prefix}-warm"), 0).await;
    settle(world).await;
    let before = calls::of_others(&world.client, &world.own).await;
    let mut all = Latencies::default();
    for index in 0..count {
        if with_floor {
            all.floor.add(world.floor().await);
        }
        let (job, condition) = one(world, &format!("{prefix}-{index}"), index).await;
        all.job.add(job);
        all.condition.add(condition);
    }
    settle(world).await;
    all.calls = calls::less(&calls::of_others(&world.client, &world.own).await, &before);
    all
}

/// One run from its creation to its end.
async fn one(world: &World, name: &str, index: usize) -> (Duration, Duration) {
    let namespace = namespace(index);
    let asked = world.create(name, &namespace).await;
    let made = world.sights.when(Sight::Job(name.into())).await;
    let condition = finish(world, name, &namespace).await;
    (made - asked, condition)
}

/// Plays the Job of a run to its end; how long it then took until a watcher saw the run's condition.
async fn finish(world: &World, name: &str, namespace: &str) -> Duration {
    let job = stand_in::play(world, name, namespace).await;
    let completed = stand_in::complete(world, &job).await;
    let seen = world.sights.when(Sight::Finished(name.into())).await;
    seen - completed
}

/// The same verdicts, seen by someone who asks once a second as in a shell's loop; a few at once, out of step.
pub async fn polled(world: &World, count: usize) -> Sample {
    let mut sample = Sample::default();
    let one = |index: usize| async move {
        let (name, namespace) = (format!("polled-{index}"), namespace(index));
        world.create(&name, &namespace).await;
        world.sights.when(Sight::Job(name.clone())).await;
        let job = stand_in::play(world, &name, &namespace).await;
        let poll = async {
            let mut ticks = tokio::time::interval(Duration::from_secs(1));
            loop {
                ticks.tick().await;
                world.own.add("GET e2etests");
                let run = world.runs().get(&name).await.unwrap();
                if run.status.is_some_and(|status| status.completion_time.is_some()) {
                    return Instant::now();
                }
            }
        };
        let complete = async {
            // Spread evenly over the second between two questions.
            let phase = u32::try_from(index % count).unwrap() * 1000 / u32::try_from(count).unwrap();
            tokio::time::sleep(Duration::from_millis(phase.into())).await;
            stand_in::complete(world, &job).await
        };
        let (seen, completed) = futures::join!(poll, complete);
        seen - completed
    };
    for value in world.each(count, one).await {
        sample.add(value);
    }
    sample
}

/// Many runs at once.
pub struct Burst {
    /// From the first request until the last Job was seen.
    pub all: Duration,
    /// The slowest namespace's last Job against the fastest's.
    pub spread: f64,
}

/// Creates `count` runs at once, in all namespaces in turn, and waits for their Jobs.
pub async fn burst(world: &World, prefix: &str, count: usize) -> Burst {
    let began = Instant::now();
    let create = world.each(count, |index| {
        let name = format!("{prefix}-{index}");
        async move { world.create(&name, &namespace(index)).await }
    });
    let seen = futures::future::join_all(
        (0..count).map(|index| world.sights.when(Sight::Job(format!("{prefix}-{index}")))),
    );
    let (_, seen) = futures::join!(create, seen);
    let last = |of: usize| seen.iter().skip(of).step_by(NAMESPACES).max().map(|at| at.duration_since(began));
    let lasts: Vec<f64> = (0..NAMESPACES).filter_map(last).map(|last| last.as_secs_f64()).collect();
    let slowest = lasts.iter().copied().fold(0.0, f64::max);
    let fastest = lasts.iter().copied().fold(f64::INFINITY, f64::min);
    Burst { all: Duration::from_secs_f64(slowest), spread: slowest / fastest }
}

/// Plays all of a burst's Jobs to their ends; how long that took.
pub async fn finish_all(world: &World, prefix: &str, count: usize) -> Duration {
    let began = Instant::now();
    world
        .each(count, |index| {
            let name = format!("{prefix}-{index}");
            async move { finish(world, &name, &namespace(index)).await }
        })
        .await;
    began.elapsed()
}

/// Waits until nobody writes any more.
pub async fn settle(world: &World) {
    let began = Instant::now();
    let mut before = calls::of_others(&world.client, &world.own).await;
    loop {
        tokio::time::sleep(QUIET).await;
        let now = calls::of_others(&world.client, &world.own).await;
        if calls::writes(&calls::less(&now, &before)) == 0 {
            return;
        }
        assert!(began.elapsed() < QUIET_WITHIN, "writes do not end: {:?}", calls::less(&now, &before));
        before = now;
    }
}

/// What others than this program ask the API server for while nothing happens.
pub async fn idle_calls(world: &World, window: Duration) -> Calls {
    let before = calls::of_others(&world.client, &world.own).await;
    tokio::time::sleep(window).await;
    calls::less(&calls::of_others(&world.client, &world.own).await, &before)
}

/// Memory while runs come, end and go.
pub struct Churn {
    /// How many runs came and went.
    pub runs: usize,
    /// Mean of the second quarter of the time, in MiB: the first is for warming up.
    pub early: f64,
    /// Mean of the last quarter, in MiB.
    pub late: f64,
}

/// Lets runs come, end and go for so long.
pub async fn churn(world: &World, operator: &mut Process, length: Duration) -> Churn {
    let began = Instant::now();
    let worker = |worker: usize| async move {
        let mut count = 0;
        while began.elapsed() < length {
            let name = format!("churn-{worker}-{count}");
            one(world, &name, worker).await;
            world.delete(&name, &namespace(worker)).await;
            count += 1;
        }
        count
    };
    let sample = async {
        let mut samples = Vec::new();
        let mut ticks = tokio::time::interval(length / 200);
        while began.elapsed() < length {
            ticks.tick().await;
            operator.assert_running();
            samples.push(operator.resident());
        }
        samples
    };
    let (counts, samples) = futures::join!(futures::future::join_all((0..WORKERS).map(worker)), sample);
    let quarter = |number: usize| {
        let part = &samples[samples.len() * number / 4..samples.len() * (number + 1) / 4];
        #[allow(clippy::cast_precision_loss)]
        let count = part.len() as f64;
        part.iter().sum::<f64>() / count
    };
    Churn { runs: counts.iter().sum(), early: quarter(1), late: quarter(3) }
}
