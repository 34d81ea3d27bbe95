//! The operator's process on a control plane without nodes: its cap on pods, its end, and what the API server cannot store.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use crds::{
    names::label,
    v1alpha1::{ConditionType, E2ETest},
};
use e2e_tests::{
    cluster::{Cluster, Shared, eventually},
    faults::{control_plane::Part, node::StandIn},
    objects::{TARGET, conditions, e2etest, finished, message, script},
    operator::Operator,
    trials::{run, runtime, trial},
};
use k8s_openapi::api::{batch::v1::Job, core::v1::Pod};
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, ListParams, PostParams},
};
use libtest_mimic::Trial;
use serde_json::json;

/// How long anything may take here before a trial fails.
const LIMIT: Duration = Duration::from_secs(60);
/// How long a pod runs.
const RUNS_FOR: Duration = Duration::from_millis(300);

fn main() -> ExitCode {
    let (runtime, shared) = (runtime(), Shared::new("e2e-operator"));
    let trials: Vec<Trial> = vec![
        trial("no more pods run at once than the operator is told", &runtime, &shared, capped),
        trial("an operator that is asked to end does so soon and loses nothing", &runtime, &shared, stopped),
        trial(
            "an api server that answers nobody keeps no operator from its end",
            &runtime,
            &shared,
            silenced,
        ),
        trial("a run without room for its status ends and says so", &runtime, &shared, no_room),
    ];
    run(trials, || shared.remove())
}

async fn cluster(shared: Arc<Shared>) -> Arc<Cluster> {
    shared
        .get(|name| async move {
            let cluster = Cluster::control_plane(name).await;
            cluster.kubectl(&["apply", "--server-side", "-k", "manifests/crd"]).expect(0);
            cluster.apply(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": TARGET}}));
            let account = json!({"name": crds::names::kubeflow::DEFAULT_EDITOR, "namespace": TARGET});
            cluster.apply(&json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": account}));
            cluster
        })
        .await
}

/// Creates runs of one test each; their names.
async fn create(cluster: &Cluster, prefix: &str, count: usize) -> Vec<String> {
    let api: Api<E2ETest> = Api::all(cluster.client.clone());
    let names: Vec<String> = (0..count).map(|number| format!("{prefix}-{number}")).collect();
    for name in &names {
        api.create(&PostParams::default(), &e2etest(name, vec![script("only", "pass")])).await.unwrap();
    }
    names
}

/// All Jobs of runs whose names begin with `prefix`.
async fn jobs(cluster: &Cluster, prefix: &str) -> Vec<Job> {
    let api: Api<Job> = Api::namespaced(cluster.client.clone(), TARGET);
    let mut all = api.list(&ListParams::default()).await.unwrap().items;
    all.retain(|job| run_of(job.labels()).starts_with(prefix));
    all
}

/// The run that the object belongs to.
fn run_of(labels: &BTreeMap<String, String>) -> &str {
    labels.get(label::RUN).map_or("", String::as_str)
}

async fn capped(shared: Arc<Shared>) {
    let cluster = cluster(shared).await;
    let mut node = Node::new(StandIn::start(cluster.client.clone()).await, &cluster);
    let _operator = Operator::start_with(&cluster, &["--max-running", "2"]);
    let names = create(&cluster, "capped", 5).await;
    let runs: Api<E2ETest> = Api::all(cluster.client.clone());
    let (deadline, mut most) = (Instant::now() + LIMIT, 0);
    loop {
        let unfinished = |job: &Job| job.status.iter().all(|status| status.completion_time.is_none());
        // Only this trial ends pods, and a Job ends after its pod: whatever runs at once is seen.
        let at_once = jobs(&cluster, "capped").await.iter().filter(|job| unfinished(job)).count();
        most = most.max(at_once);
        node.go_on().await;
        let all = runs.list(&ListParams::default()).await.unwrap().items;
        if all.iter().all(|run| conditions(run)[2] == "True TestsPassed") {
            break;
        }
        assert!(
            Instant::now() < deadline,
            "five runs did not pass within {LIMIT:?}, two at a time: {all:#?}"
        );
        // What this loop looks at changes by what it does itself.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(most, 2, "pods at once");
    assert_eq!(node.ran.iter().collect::<BTreeSet<_>>(), names.iter().collect(), "each had its turn");
    assert_eq!(node.ran.len(), names.len(), "and only one: {:?}", node.ran);
    remove(&cluster, &names).await;
}

/// Runs every pod for a moment.
struct Node {
    stand_in: Arc<StandIn>,
    pods: Api<Pod>,
    began: BTreeMap<String, Instant>,
    /// The runs whose pods it has run, in their order.
    ran: Vec<String>,
}

impl Node {
    fn new(stand_in: Arc<StandIn>, cluster: &Cluster) -> Self {
        let pods = Api::namespaced(cluster.client.clone(), TARGET);
        Self { stand_in, pods, began: BTreeMap::new(), ran: Vec::new() }
    }

    /// Begins and ends what is due.
    async fn go_on(&mut self) {
        for pod in self.pods.list(&ListParams::default()).await.unwrap() {
            let name = pod.name_any();
            let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
            match self.began.get(&name) {
                _ if matches!(phase, Some("Succeeded" | "Failed")) => {}
                Some(began) if began.elapsed() < RUNS_FOR => {}
                Some(_) => self.stand_in.ended(TARGET, &name, true).await.unwrap(),
                None => {
                    self.stand_in.bind(TARGET, &name).await.unwrap();
                    self.stand_in.running(TARGET, &name).await.unwrap();
                    self.ran.push(run_of(pod.labels()).to_owned());
                    self.began.insert(name, Instant::now());
                }
            }
        }
    }
}

async fn stopped(shared: Arc<Shared>) {
    let cluster = cluster(shared).await;
    let operator = Operator::start(&cluster);
    let names = create(&cluster, "stopped", 10).await;
    eventually("a Job to be made", LIMIT, || async { jobs(&cluster, "stopped").await.pop() }).await;
    let (took, _) = operator.stop();
    println!("the operator ended {} ms after SIGTERM", took.as_millis());
    is_gone_on_with(&cluster, "stopped", &names).await;
}

async fn silenced(shared: Arc<Shared>) {
    let cluster = cluster(shared).await;
    let server = Part::find(&cluster.name, "kube-apiserver");
    let operator = Operator::start(&cluster);
    // They are created faster than the operator takes them up, so that it is at work when they are all there.
    let names = create(&cluster, "silenced", 60).await;
    server.freeze();
    let stopped = tokio::task::spawn_blocking(|| operator.stop()).await;
    server.thaw();
    let (took, log) = stopped.unwrap();
    println!("the operator ended {} ms after SIGTERM, without any answer", took.as_millis());
    assert!(log.contains("Passes were broken off"), "{log}");
    is_gone_on_with(&cluster, "silenced", &names).await;
}

/// Another operator finishes what one that was ended has begun, and makes nothing twice.
async fn is_gone_on_with(cluster: &Cluster, prefix: &str, names: &[String]) {
    let runs: Api<E2ETest> = Api::all(cluster.client.clone());
    let made = jobs(cluster, prefix).await;
    for job in &made {
        let run = runs.get(run_of(job.labels())).await.unwrap();
        let attempts = run.status.iter().flat_map(|status| &status.tests).map(|test| test.attempt);
        assert_eq!(
            attempts.collect::<Vec<_>>(),
            [1],
            "{}: its attempt was written down first",
            job.name_any()
        );
    }
    let _operator = Operator::start(cluster);
    let known = |run: E2ETest| run.status?.tests.pop()?.job.map(|job| job.uid);
    for name in names {
        let uid = eventually("the Job to be written down", LIMIT, || async {
            known(runs.get(name).await.unwrap())
        });
        let uid = uid.await;
        let mut of_run = jobs(cluster, prefix).await;
        of_run.retain(|job| run_of(job.labels()) == *name);
        assert_eq!(of_run.iter().filter_map(kube::ResourceExt::uid).collect::<Vec<_>>(), [uid], "{name}");
    }
    for job in made {
        let now = jobs(cluster, prefix).await;
        assert!(now.iter().any(|now| now.uid() == job.uid()), "{} was replaced", job.name_any());
    }
    remove(cluster, names).await;
}

/// Characters of which each takes six bytes where it is stored, and as many as the rules allow: whatever room they leave is
/// enough for a sentence, and not for the status of many tests.
async fn no_room(shared: Arc<Shared>) {
    let cluster = cluster(shared).await;
    let api: Api<E2ETest> = Api::all(cluster.client.clone());
    let largest = |characters: usize| {
        let mut tests: Vec<_> = (1..64).map(|number| script(&format!("t{number}"), "x")).collect();
        tests.push(script("large", &"\u{1}".repeat(characters)));
        e2etest("no-room", tests)
    };
    // How much the API server stores is its own affair, so it is asked: first for what it just takes.
    let mut characters = 262_000;
    let just = loop {
        match api.create(&PostParams::default(), &largest(characters)).await {
            Ok(_) => break characters,
            Err(kube::Error::Api(status)) => assert!(status.message.contains("too large"), "{status:?}"),
            Err(error) => panic!("{error}"),
        }
        characters -= 200;
        assert!(characters > 200_000, "nothing is taken");
    };
    remove(&cluster, &["no-room".to_owned()]).await;
    // Then for one with a few thousand bytes less.
    assert_ne!(just, 262_000, "everything is taken");
    api.create(&PostParams::default(), &largest(just - 600)).await.unwrap();
    let _operator = Operator::start(&cluster);
    let ended = finished(&cluster, "no-room").await;
    assert_eq!(conditions(&ended), ["Unknown NotRequested", "True InvalidSpec", "False InvalidSpec"]);
    let said = message(&ended, ConditionType::Succeeded);
    assert!(said.contains("leave no room for the status"), "{said}");
    assert_eq!(jobs(&cluster, "no-room").await.len(), 0);
    remove(&cluster, &["no-room".to_owned()]).await;
}

/// Removes runs, so that the next trial begins with none.
async fn remove(cluster: &Cluster, names: &[String]) {
    let api: Api<E2ETest> = Api::all(cluster.client.clone());
    for name in names {
        api.delete(name, &DeleteParams::background()).await.unwrap();
    }
    let gone = || async { api.list(&ListParams::default()).await.unwrap().items.is_empty().then_some(()) };
    eventually("the runs to be gone", LIMIT, gone).await;
}
