//! An etcd that goes back to an earlier state, while operators run on and know of a later one. What counts is the history
//! that follows from the earlier state.

use std::{process::Command, time::Instant};

use super::{
    case::{Case, Plan},
    control_plane::Part,
    judge::Finding,
    matrix,
    operator::Operator,
    outcome::Outcome,
    world::World,
};

/// The parts of a control plane that have to do with its data.
struct Data {
    etcd: Part,
    server: Part,
    manager: Part,
    copy: tempfile::TempDir,
}

impl Data {
    fn of(world: &World) -> Self {
        let part = |component| Part::find(&world.cluster.name, component);
        Self {
            etcd: part("etcd"),
            server: part("kube-apiserver"),
            manager: part("kube-controller-manager"),
            copy: tempfile::tempdir().unwrap(),
        }
    }

    /// Stops everything that writes.
    async fn stop(&self) {
        for part in [&self.manager, &self.server, &self.etcd] {
            part.kill();
            part.await_end().await;
        }
    }

    /// Starts it again.
    async fn start(&self, world: &World) {
        self.etcd.start();
        self.server.start();
        world.await_server().await;
        self.manager.start();
    }

    /// Keeps a copy of the data.
    fn keep(&self) {
        let to = self.copy.path().join("data");
        copy(&self.etcd.flag("data-dir"), to.to_str().unwrap());
    }

    /// Puts the copy in the place of the data.
    fn put_back(&self) {
        let data = self.etcd.flag("data-dir");
        std::fs::remove_dir_all(&data).unwrap();
        copy(self.copy.path().join("data").to_str().unwrap(), &data);
    }
}

/// Copies a folder as it is.
fn copy(from: &str, to: &str) {
    let copied = Command::new("cp").args(["--archive", from, to]).status().unwrap();
    assert!(copied.success(), "{from} could not be copied to {to}");
}

/// Runs of which etcd forgets a part: two whose tests ran and end twice, one of which nobody had heard, one that is gone.
pub async fn run(world: &World) -> Vec<String> {
    matrix::prepare(world, [Outcome::Pass, Outcome::Fail, Outcome::Delete].into_iter()).await;
    let prepare = |outcome| Case::prepare(world, Plan::new(outcome, Vec::new()));
    let [passing, failing, unseen, forgotten] = [
        prepare(Outcome::Pass).await,
        prepare(Outcome::Fail).await,
        prepare(Outcome::Pass).await,
        prepare(Outcome::Delete).await,
    ];
    let data = Data::of(world);
    let mut operators: Vec<Operator> =
        [&passing, &failing].map(|case| Operator::start(&case.access)).into_iter().collect();
    for case in [&passing, &failing, &unseen] {
        case.create().await;
    }
    let (passing_pod, failing_pod) = tokio::try_join!(passing.start_pod(), failing.start_pod()).unwrap();
    let (passing_pod, failing_pod) = (passing_pod.unwrap(), failing_pod.unwrap());

    data.stop().await;
    data.keep();
    data.start(world).await;
    operators.extend([&unseen, &forgotten].map(|case| Operator::start(&case.access)));
    forgotten.create().await;
    let ended = async |case: &Case<'_>, pod: &str| {
        case.end_pod(pod).await?;
        case.end().await
    };
    let first = tokio::try_join!(
        ended(&passing, &passing_pod),
        ended(&failing, &failing_pod),
        unseen.play(),
        forgotten.start_pod(),
    );
    first.unwrap();

    data.stop().await;
    data.put_back();
    data.start(world).await;
    let back = Instant::now();
    let restored = world.anew().await;
    let [passing, failing, unseen, forgotten] =
        [passing, failing, unseen, forgotten].map(|case| Case { world: &restored, ..case });
    let second = tokio::join!(
        ended(&passing, &passing_pod),
        ended(&failing, &failing_pod),
        unseen.play(),
        forgotten.calm_down(),
    );
    let mut wrong = Vec::new();
    let results = [second.0, second.1, second.2, second.3];
    for (case, result) in [passing, failing, unseen, forgotten].iter().zip(results) {
        let mut own: Vec<String> = result.err().into_iter().chain(case.calm_down().await.err()).collect();
        let Finding { violations, .. } = case.judge(std::mem::take(&mut own), back, Some(back)).await;
        wrong.extend(violations);
    }
    let ended = operators.iter_mut().filter_map(Operator::ended);
    wrong.extend(ended.map(|status| format!("an operator ended by itself: {status}")));
    wrong
}
