//! `--cluster kind`: real kind clusters in a real Docker, used as its users do.

use std::{
    collections::BTreeSet,
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    sync::{Arc, OnceLock},
    time::Duration,
};

use crds::{
    run_event::{RunEvent, Stage, What},
    run_result::RunResult,
};
use e2e_tests::{
    cluster::{context, kubectl},
    docker::{Docker, node_image_archive},
    program::{Ended, Running, checkout, image_folders, kfe2e, start_command, test_image},
    trials::{plain, run},
};
use libtest_mimic::Trial;
use nix::sys::signal::Signal;

/// How long a run may take on a busy machine.
const LIMIT: Duration = Duration::from_secs(400);

/// How long a refusal, or a removal, may take.
const SHORT: Duration = Duration::from_secs(120);

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
        slow("a run that may reuse a cluster and finds none leaves nothing", reuse_of_nothing),
        slow("two kind clusters and an embedded one live side by side", side_by_side),
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

/// What the trials share: a Docker that answers, with the node image.
struct World {
    docker: Docker,
    image: String,
}

#[derive(Default)]
struct Shared(OnceLock<World>);

impl Shared {
    fn get(&self) -> &World {
        self.0.get_or_init(|| {
            let docker = Docker::start();
            let image = docker.load(&node_image_archive());
            World { docker, image }
        })
    }
}

impl World {
    fn command(&self, program: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(arguments).envs(self.docker.variables()).env("KFE2E_KIND_IMAGE", &self.image);
        command
    }

    fn start(&self, arguments: &[&str]) -> Running {
        start_command(&mut self.command(&kfe2e(), arguments), format!("kfe2e {}", arguments.join(" ")))
    }

    fn kfe2e(&self, arguments: &[&str], limit: Duration) -> Ended {
        self.start(arguments).wait(limit)
    }

    /// `kind` as the user calls it, for a cluster of their own.
    fn kind_of_user(&self, name: &str, kubeconfig: &Path, arguments: &[&str]) -> Ended {
        let mut all = arguments.to_vec();
        all.extend(["--name", name, "--kubeconfig", kubeconfig.to_str().unwrap()]);
        start_command(&mut self.command(&kind(), &all), format!("kind {}", all.join(" "))).wait(LIMIT)
    }

    fn run(&self, name: &str, kubeflow: &str, out: &Path, more: &[&str]) -> Ended {
        let all = run_arguments(name, kubeflow, out, more);
        self.kfe2e(&all.iter().map(String::as_str).collect::<Vec<_>>(), LIMIT)
    }

    fn up(&self, name: &str, more: &[&str]) -> PathBuf {
        let mut all = vec!["up", "--cluster", "kind", "--name", name];
        all.extend(more);
        let said = self.kfe2e(&all, LIMIT).expect(0).stdout;
        said.trim()
            .strip_prefix("export KUBECONFIG=")
            .unwrap_or_else(|| panic!("no kubeconfig: {said}"))
            .into()
    }

    fn down(&self, name: &str) -> Ended {
        self.kfe2e(&["down", "--name", name], SHORT)
    }

    fn kubectl(&self, kubeconfig: &Path, arguments: &[&str]) -> Ended {
        let mut all = vec!["--kubeconfig", kubeconfig.to_str().unwrap()];
        all.extend(arguments);
        start_command(&mut self.command(&kubectl(), &all), format!("kubectl {}", all.join(" "))).wait(SHORT)
    }
}

/// The flags of a run, without `--cluster`.
fn run_arguments(name: &str, kubeflow: &str, out: &Path, more: &[&str]) -> Vec<String> {
    let mut all: Vec<String> =
        ["run", "--name", name, "--kubeflow", kubeflow, "--out"].map(Into::into).into();
    all.extend([out.display().to_string(), "--image".into(), test_image()]);
    for folder in image_folders() {
        all.extend(["--images".into(), folder.display().to_string()]);
    }
    all.extend(more.iter().map(ToString::to_string));
    all
}

/// Everything that a kind cluster could leave: in Docker, and in files of the user.
fn everything(world: &World) -> Vec<String> {
    let home = PathBuf::from(std::env::var("HOME").unwrap());
    let mut all = world.docker.everything();
    let kubeconfig = fs::read_to_string(home.join(".kube/config")).unwrap_or_default();
    all.push(format!("kubeconfig {kubeconfig}"));
    // Records, and the lock files beside them.
    let records = fs::read_dir(state().join("kind")).into_iter().flatten();
    let records = records.map(|entry| entry.unwrap().path()).chain([state().join("kind.lock")]);
    let mut records: Vec<_> = records.filter(|path| path.exists()).collect();
    records.sort();
    all.extend(records.into_iter().map(|path| format!("record {}", path.display())));
    for limit in ["max_user_instances", "max_user_watches"] {
        let value = fs::read_to_string(format!("/proc/sys/fs/inotify/{limit}")).unwrap();
        all.push(format!("fs.inotify.{limit} {}", value.trim()));
    }
    all
}

/// Where `kfe2e` writes down what it made.
fn state() -> PathBuf {
    let folder = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let state = folder("XDG_STATE_HOME").or_else(|| folder("HOME").map(|home| home.join(".local/state")));
    state.unwrap().join("kfe2e")
}

/// The files of a results folder that do not carry a random name.
fn files(out: &Path) -> BTreeSet<String> {
    let own = ["run.json", "junit.xml", "summary.md", "objects/pods.yaml", "objects/events.yaml"];
    let mut found: BTreeSet<String> =
        own.into_iter().filter(|file| out.join(file).is_file()).map(Into::into).collect();
    for test in fs::read_dir(out.join("tests")).unwrap() {
        let test = test.unwrap().path();
        found.extend(fs::read_dir(&test).unwrap().map(|file| {
            let file = file.unwrap().path();
            file.strip_prefix(out).unwrap().display().to_string()
        }));
    }
    found
}

fn result(out: &Path) -> RunResult {
    serde_json::from_slice(&fs::read(out.join("run.json")).unwrap()).unwrap()
}

fn samples_pass(world: &World) {
    let before = everything(world);
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let samples = [
        "--notebook",
        "manifests/samples/kubeflow-pipelines.ipynb",
        "--script",
        "manifests/samples/kubeflow-pipelines.py",
    ];
    let ended = world.run("e2e-kind", "tests/kubeflow-mini", &out, &samples).expect(0);
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

fn three_nodes(world: &World) {
    let before = everything(world);
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let more = ["--cluster", "kind", "--nodes", "3", "--script", "manifests/samples/kubeflow-pipelines.py"];
    world.run("e2e-three", "tests/kubeflow-mini", &out, &more).expect(0);
    let nodes = fs::read_to_string(out.join("objects/nodes.yaml")).unwrap();
    for node in ["e2e-three-control-plane", "e2e-three-worker", "e2e-three-worker2"] {
        assert!(nodes.contains(&format!("name: {node}\n")), "{node} is missing");
    }
    assert_eq!(everything(world), before);
}

/// The kind program that `kfe2e` uses, as the user's own.
fn kind() -> PathBuf {
    let cache = std::env::var("KFE2E_CACHE")
        .map_or_else(|_| PathBuf::from(std::env::var("HOME").unwrap()).join(".cache/kfe2e"), PathBuf::from);
    cache.join("assets/kind-v0.33.0/kind")
}

fn others_untouched(world: &World) {
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = folder.path().join("kubeconfig");
    let of_user = |arguments: &[&str]| world.kind_of_user("e2e-theirs", &kubeconfig, arguments);
    // A first cluster brings the program.
    world.up("e2e-ours", &[]);
    of_user(&["create", "cluster", "--image", &world.image]).expect(0);
    let images = image_folders().remove(0);
    for command in [&["up"][..], &["down"], &["image", "load", images.to_str().unwrap()]] {
        let arguments = [command, &["--cluster", "kind", "--name", "e2e-theirs"]].concat();
        let refused = world.kfe2e(&arguments, SHORT).expect(4);
        assert!(refused.stderr.contains("kind delete cluster --name e2e-theirs"), "{}", refused.stderr);
    }
    world.down("e2e-ours").expect(0);
    let left = everything(world).join("\n");
    assert!(left.contains("container e2e-theirs-control-plane") && left.contains("network kind"), "{left}");
    assert!(!left.contains("e2e-ours"), "{left}");
    let reused =
        world.kfe2e(&["up", "--cluster", "kind", "--name", "e2e-theirs", "--reuse"], LIMIT).expect(0);
    assert!(reused.stdout.contains("export KUBECONFIG="), "{}", reused.stdout);
    // Its owner makes it anew, with other keys.
    of_user(&["delete", "cluster"]).expect(0);
    of_user(&["create", "cluster", "--image", &world.image, "--wait", "120s"]).expect(0);
    world.down("e2e-theirs").expect(0);
    assert!(everything(world).join("\n").contains("container e2e-theirs-control-plane"));
    of_user(&["delete", "cluster"]).expect(0);
}

fn replaced(world: &World) {
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = folder.path().join("kubeconfig");
    let of_user = |arguments: &[&str]| world.kind_of_user("e2e-replaced", &kubeconfig, arguments);
    let before = everything(world);
    world.up("e2e-replaced", &[]);
    let record = state().join("kind/e2e-replaced/record.json");
    let complete = fs::read_to_string(&record).unwrap();
    of_user(&["delete", "cluster"]).expect(0);
    of_user(&["create", "cluster", "--image", &world.image]).expect(0);
    let ids =
        || world.docker.docker(&["ps", "--quiet", "--no-trunc", "--filter", "name=e2e-replaced"], SHORT);
    let theirs = ids();
    // An attempt of long ago that made nothing.
    let mut begun: serde_json::Value = serde_json::from_str(&complete).unwrap();
    begun["complete"] = false.into();
    begun["begun"] = "2020-01-01T00:00:00Z".into();
    for text in [complete, begun.to_string()] {
        for (command, code) in [("up", 4), ("down", 0)] {
            fs::create_dir_all(record.parent().unwrap()).unwrap();
            fs::write(&record, &text).unwrap();
            let arguments = [command, "--cluster", "kind", "--name", "e2e-replaced"];
            let ended = world.kfe2e(&arguments, SHORT).expect(code);
            assert!(ended.stderr.contains("kind delete cluster --name e2e-replaced"), "{}", ended.stderr);
            assert!(!record.exists(), "the stale record is still there after {command}");
            assert_eq!(ids(), theirs, "after {command}");
        }
    }
    of_user(&["delete", "cluster"]).expect(0);
    // Whoever made the last cluster in it would have to remove the network that ours had made.
    let kept = before.iter().any(|line| line == "network kind");
    if !kept {
        world.docker.docker(&["network", "rm", "kind"], SHORT);
    }
    assert_eq!(everything(world), before);
}

fn reuse_of_nothing(world: &World) {
    let before = everything(world);
    let folder = tempfile::tempdir().unwrap();
    let more = ["--cluster", "kind", "--reuse", "--script", "manifests/samples/hello.py"];
    world.run("e2e-reuse", "none", &folder.path().join("out"), &more).expect(0);
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

fn existing(world: &World) {
    let mut more = Vec::new();
    let folders = image_folders();
    for folder in &folders {
        more.extend(["--images", folder.to_str().unwrap()]);
    }
    let kubeconfig = world.up("e2e-existing-kind", &more);
    let everything = || {
        let kinds =
            "namespaces,crd,clusterroles,deployments,serviceaccounts,configmaps,validatingadmissionpolicies";
        world.kubectl(&kubeconfig, &["get", kinds, "-A", "-o", "name"]).expect(0).stdout
    };
    let before = everything();
    let context = context(kubeconfig.to_str().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let arguments = [
        "run",
        "--cluster",
        "existing",
        "--kubeconfig",
        kubeconfig.to_str().unwrap(),
        "--context",
        &context,
        "--kubeflow",
        "tests/kubeflow-mini",
        "--image",
        &test_image(),
        "--out",
        out.to_str().unwrap(),
        "--script",
        "manifests/samples/kubeflow-pipelines.py",
    ];
    let mut command = world.command(&kfe2e(), &arguments);
    command.current_dir(checkout());
    start_command(&mut command, "kfe2e run --cluster existing".into()).wait(LIMIT).expect(0);
    assert_eq!(everything(), before);
    world.down("e2e-existing-kind").expect(0);
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

fn refusals(world: &World) {
    let before = everything(world);
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let no_yaml = write("no.yaml", "kind: [");
    let other = write("other.yaml", "kind: Pod\napiVersion: v1\n");
    let unknown = write("unknown.yaml", "kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\nnodez: []\n");
    let image =
        "kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\nnodes: [{role: control-plane, image: other:1}]\n";
    let image = write("image.yaml", image);
    let up = |more: &[&str]| {
        let mut all = vec!["up", "--cluster", "kind", "--name", "e2e-refused"];
        all.extend(more);
        all.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    for (more, code, sentence) in [
        (vec!["--kind-config", "/nowhere"], 2, "/nowhere"),
        (vec!["--kind-config", &no_yaml], 2, "no.yaml"),
        (vec!["--kind-config", &other], 2, "other.yaml"),
        (vec!["--kind-config", &unknown], 2, "nodez"),
        (vec!["--nodes", "0"], 2, "nodes"),
        (vec!["--kind-image", "localhost/none:1"], 4, "localhost/none:1"),
        (vec!["--kind-config", &image, "--kind-image", &world.image], 2, "it names the node image other:1"),
        (vec!["--kind-image", &world.image, "--kubernetes-version", "1.36.3"], 2, "--kind-image"),
    ] {
        let all = up(&more);
        let ended = world.kfe2e(&all.iter().map(String::as_str).collect::<Vec<_>>(), SHORT);
        assert_eq!(ended.code, Some(code), "{more:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(sentence), "{more:?}: {}", ended.stderr);
    }
    let all = up(&[]);
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let nowhere = folder.path().join("no.sock");
    let host = format!("unix://{}", nowhere.display());
    let mut silent = Command::new(kfe2e());
    silent.args(&all).env("DOCKER_HOST", &host);
    let ended = start_command(&mut silent, "kfe2e without docker".into()).wait(SHORT);
    assert_eq!(ended.code, Some(4), "{}", ended.stderr);
    assert!(ended.stderr.contains("Docker"), "{}", ended.stderr);
    assert_eq!(everything(world), before);
}

/// What the flags have nothing to do with: processors, ports, disk, rights.
fn unfit_machine(world: &World) {
    let before = everything(world);
    let folder = tempfile::tempdir().unwrap();
    let up = ["up", "--cluster", "kind", "--name", "e2e-unfit"];
    let refused = |command: &mut Command, what: &str, sentence: &str| {
        let ended = start_command(command, what.into()).wait(SHORT);
        assert_eq!(ended.code, Some(4), "{what}: {}", ended.stderr);
        assert!(ended.stderr.contains(sentence), "{what}: {}", ended.stderr);
        assert_eq!(ended.stderr.trim().lines().count(), 1, "{what}: {}", ended.stderr);
    };

    let other = world.docker.load(&other_processor(folder.path()));
    let arguments = [&up[..], &["--kind-image", &other]].concat();
    refused(
        &mut world.command(&kfe2e(), &arguments),
        "an image for s390x",
        "is for s390x, and Docker runs on",
    );
    world.docker.unload(&other);

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let config = folder.path().join("port.yaml");
    let mapping = format!("{{containerPort: 80, hostPort: {port}, listenAddress: 127.0.0.1}}");
    let nodes = format!("nodes: [{{role: control-plane, extraPortMappings: [{mapping}]}}]");
    fs::write(&config, format!("kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\n{nodes}\n")).unwrap();
    let arguments = [&up[..], &["--kind-config", config.to_str().unwrap()]].concat();
    let sentence =
        format!("port {port} of 127.0.0.1, which the kind configuration gives to the cluster, is in use");
    refused(&mut world.command(&kfe2e(), &arguments), "a port in use", &sentence);

    // A small disk, which only this process sees where Docker has its own.
    let root = world.docker.docker(&["info", "--format", "{{.DockerRootDir}}"], SHORT);
    let hide = "mount -t tmpfs -o size=1m none \"$0\" && exec \"$@\"";
    let mut command = world.command(Path::new("unshare"), &["--mount", "--propagation", "private"]);
    command.args(["sh", "-c", hide, root.trim()]).arg(kfe2e()).args(up);
    refused(&mut command, "a small disk", "has 0.0 GB left, and this cluster takes");

    let program = folder.path().join("kfe2e");
    fs::copy(kfe2e(), &program).unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let mut command =
        world.command(Path::new("setpriv"), &["--reuid=65534", "--regid=65534", "--clear-groups"]);
    command.arg(&program).args(up).env("HOME", "/nonexistent").env_remove("XDG_STATE_HOME");
    refused(&mut command, "nobody", "you have no right to use Docker");
    assert_eq!(everything(world), before);
}

/// An image archive for a processor that this machine has not.
fn other_processor(folder: &Path) -> String {
    let config = r#"{"architecture": "s390x", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": []}}"#;
    let manifest =
        r#"[{"Config": "config.json", "RepoTags": ["localhost/kfe2e-other-processor:1"], "Layers": []}]"#;
    fs::write(folder.join("config.json"), config).unwrap();
    fs::write(folder.join("manifest.json"), manifest).unwrap();
    let archive = folder.join("image.tar").display().to_string();
    let mut command = Command::new("tar");
    command.args(["--create", "--file", &archive, "--directory"]).arg(folder);
    command.args(["config.json", "manifest.json"]);
    start_command(&mut command, "tar".into()).wait(SHORT).expect(0);
    archive
}

fn docker_absent(world: &World) {
    let before = everything(world);
    let folder = tempfile::tempdir().unwrap();
    let nowhere = format!("unix://{}", folder.path().join("no.sock").display());
    let call = |arguments: &[&str]| {
        let mut command = Command::new(kfe2e());
        command.args(arguments).env("DOCKER_HOST", &nowhere).env("CONTAINER_HOST", &nowhere);
        start_command(&mut command, format!("kfe2e {} without docker", arguments.join(" ")))
            .wait(LIMIT)
            .expect(0)
    };
    let said = call(&["up", "--name", "e2e-absent", "--nodes", "0"]).stderr;
    call(&["down", "--name", "e2e-absent"]);
    let sentence = "--cluster embedded is taken, as neither Docker nor Podman answers here";
    assert!(said.contains(sentence), "{said}");
    assert_eq!(everything(world), before);
}
