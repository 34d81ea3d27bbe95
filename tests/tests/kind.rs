//! `--cluster kind`: real kind clusters in a real Docker, used as its users do.

#[path = "kind/limited.rs"]
mod limited;
#[path = "kind/of_others.rs"]
mod of_others;
#[path = "kind/refusals.rs"]
mod refusals;
#[path = "kind/world.rs"]
mod world;

use std::{fs, process::ExitCode, sync::Arc};

use crds::run_event::{RunEvent, Stage, What};
use e2e_tests::{
    runs::{SAMPLES, result, run_arguments},
    trials::{plain, run},
};
use libtest_mimic::Trial;
use nix::sys::signal::Signal;
use serde_json::Value;

use of_others::{existing, others_untouched, overtaken, replaced, reuse_of_nothing};
use refusals::{docker_absent, refusals, unfit_machine};
use world::{LIMIT, SHORT, Shared, World, everything, files};

fn main() -> ExitCode {
    let shared = Arc::new(Shared::default());
    let trial = |name: &'static str, test: fn(&World)| {
        let shared = Arc::clone(&shared);
        plain(name, move || test(shared.get()))
    };
    let slow = |name, test| trial(name, test).with_ignored_flag(true);
    let mut trials = vec![
        trial("the samples pass on kind, which is picked where docker answers", samples_pass),
        slow("three nodes run tests", three_nodes),
        slow("other clusters of the user are left alone", others_untouched),
        slow("a cluster that the user made where ours was is theirs", replaced),
        slow("a run removes only what it made itself", overtaken),
        slow("a run that may reuse a cluster and finds none leaves nothing", reuse_of_nothing),
        slow("two kind clusters and an embedded one live side by side", side_by_side),
        slow("a cluster that ends leaves others the limits that they need", limits_stay),
        slow("an existing kind cluster is left as it was", existing),
        slow("what keeps a kind cluster from being made is said in one sentence", refusals),
        slow("what keeps this machine from having a kind cluster is found before", unfit_machine),
        slow("where no docker answers, the embedded cluster is taken", docker_absent),
    ];
    trials.extend([Stage::Up, Stage::Install, Stage::Deploy, Stage::Test, Stage::Collect].map(
        |stage| -> Trial {
            let shared = Arc::clone(&shared);
            let name = format!("nothing is left after sigkill during {} and down", stage.as_str());
            plain(name, move || killed(shared.get(), stage)).with_ignored_flag(true)
        },
    ));
    run(trials, || drop(shared))
}

fn samples_pass(world: &World) {
    let before = everything(world);
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let ended = world.run("e2e-kind", "tests/kubeflow-mini", &out, &SAMPLES).expect(0);
    assert!(ended.stderr.contains("--cluster kind is taken, as Docker answers here"), "{}", ended.stderr);
    let result = result(&out);
    assert_eq!(result.environment["cluster"], "kind");
    assert_eq!(result.problems, Vec::<String>::new());
    let up = result.stages.iter().find(|stage| stage.stage == Stage::Up).unwrap();
    for figure in ["nodeReadySeconds", "dnsReadySeconds", "imageLoadSeconds"] {
        assert!(up.figures.contains_key(figure), "{figure}: {:?}", up.figures);
    }
    let wanted = [
        "junit.xml",
        "objects/events.yaml",
        "objects/pods.yaml",
        "run.json",
        "summary.md",
        "tests/kubeflow-pipelines/executed.ipynb",
        "tests/kubeflow-pipelines/test.log",
        "tests/kubeflow-pipelines/verdict.json",
        "tests/kubeflow-pipelines-2/output.log",
        "tests/kubeflow-pipelines-2/test.log",
        "tests/kubeflow-pipelines-2/verdict.json",
    ];
    assert_eq!(files(&out), wanted.map(Into::into).into());
    // What `kind export logs` brings.
    let node = out.join("cluster/e2e-kind-control-plane");
    assert!(node.join("kubelet.log").is_file(), "no {}", node.display());
    assert_eq!(everything(world), before);
}

/// A configuration as Kubeflow's manifests have one: three nodes, and the issuer of service accounts' tokens.
const LIKE_KUBEFLOWS: &str = "\
kind: Cluster
apiVersion: kind.x-k8s.io/v1alpha4
nodes:
- role: control-plane
  kubeadmConfigPatches:
  - |
    kind: ClusterConfiguration
    apiServer:
      extraArgs:
      - {name: service-account-issuer, value: https://kubernetes.default.svc}
- role: worker
- role: worker
";

/// What the configuration of a user says is there, and what Kubeflow needs beside it.
fn three_nodes(world: &World) {
    let before = everything(world);
    let folder = tempfile::tempdir().unwrap();
    let image = limited::image(world, folder.path());
    let (out, config) = (folder.path().join("out"), folder.path().join("kind.yaml"));
    fs::write(&config, LIKE_KUBEFLOWS).unwrap();
    let named = ["--kind-config", config.to_str().unwrap(), "--kind-image", &image];
    let run =
        ["--cluster", "kind", "--keep", "always", "--script", "manifests/samples/kubeflow-pipelines.py"];
    world.run("e2e-three", "tests/kubeflow-mini", &out, &[&run[..], &named].concat()).expect(0);
    let nodes = fs::read_to_string(out.join("objects/nodes.yaml")).unwrap();
    let kubeconfig = world.up("e2e-three", &named);
    let read = |path: &str| -> Value {
        serde_json::from_str(&world.kubectl(&kubeconfig, &["get", "--raw", path]).expect(0).stdout).unwrap()
    };
    for node in ["e2e-three-control-plane", "e2e-three-worker", "e2e-three-worker2"] {
        assert!(nodes.contains(&format!("name: {node}\n")), "{node} is missing");
        let kubelet = &read(&format!("/api/v1/nodes/{node}/proxy/configz"))["kubeletconfig"];
        assert_eq!(kubelet["serializeImagePulls"], false, "{node}: {kubelet}");
    }
    assert_eq!(read("/.well-known/openid-configuration")["issuer"], "https://kubernetes.default.svc");
    let network = read("/apis/apps/v1/namespaces/kube-system/daemonsets/kindnet");
    let resources = &network["spec"]["template"]["spec"]["containers"][0]["resources"];
    assert!(resources.get("limits").is_none() && resources.get("requests").is_some(), "{resources}");
    world.down("e2e-three").expect(0);
    limited::remove(world, &image);
    assert_eq!(everything(world), before);
}

fn side_by_side(world: &World) {
    let before = everything(world);
    let folder = tempfile::tempdir().unwrap();
    let out = |name: &str| folder.path().join(name);
    let script = ["--cluster", "kind", "--script", "manifests/samples/hello.py"];
    let embedded = ["--cluster", "embedded", "--script", "manifests/samples/hello.py"];
    let runs = [("e2e-one", script), ("e2e-two", script), ("e2e-emb", embedded)].map(|(name, more)| {
        let all = run_arguments(name, "none", &out(name), &more);
        world.start(&all.iter().map(String::as_str).collect::<Vec<_>>())
    });
    for running in runs {
        running.wait(LIMIT).expect(0);
    }
    assert_eq!(everything(world), before);
}

/// Whoever ends first leaves the other the watchers of files that it needs, in either order.
fn limits_stay(world: &World) {
    let before = everything(world);
    let least = |instances: u64| {
        let now = fs::read_to_string("/proc/sys/fs/inotify/max_user_instances").unwrap();
        assert!(now.trim().parse::<u64>().unwrap() >= instances, "{} watchers, not {instances}", now.trim());
    };
    let embedded = |command: &str| {
        let arguments = [command, "--cluster", "embedded", "--name", "e2e-small"];
        world.kfe2e(&arguments, LIMIT).expect(0);
    };
    embedded("up");
    world.up("e2e-great", &[]);
    embedded("down");
    least(2280);
    embedded("up");
    world.down("e2e-great").expect(0);
    least(1024);
    embedded("down");
    assert_eq!(everything(world), before);
}

/// Starts a run whose test sleeps, kills it in that stage, removes it.
fn killed(world: &World, stage: Stage) {
    let before = everything(world);
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("script.py");
    let seconds = if stage == Stage::Test { 600 } else { 1 };
    fs::write(&script, format!("import time; time.sleep({seconds})")).unwrap();
    let out = folder.path().join("out");
    let more = ["--cluster", "kind", "--output", "json", "--script", script.to_str().unwrap()];
    let all = run_arguments("e2e-killed-kind", "tests/kubeflow-mini", &out, &more);
    let mut running = world.start(&all.iter().map(String::as_str).collect::<Vec<_>>());
    running.await_line("the stage", LIMIT, |line| {
        let event: RunEvent = serde_json::from_str(line).unwrap();
        match event.what {
            // In up, the worst moment: kind is at work.
            What::Progress { stage: Stage::Up, message } => {
                stage == Stage::Up && message.contains("Preparing nodes")
            }
            What::StageStarted { stage: started } => stage != Stage::Up && started == stage,
            _ => false,
        }
    });
    running.signal(Signal::SIGKILL);
    running.wait(SHORT);
    world.down("e2e-killed-kind").expect(0);
    assert_eq!(everything(world), before);
    world.down("e2e-killed-kind").expect(0);
}
