//! Clusters that are somebody's: never changed without being asked to, never removed.

use std::{fs, path::Path};

use crds::run_event::{RunEvent, Stage, What};
use e2e_tests::{
    cluster::context,
    program::{checkout, image_flags, image_folders, kfe2e, start_command, test_image},
    runs::run_arguments,
};
use nix::sys::signal::Signal;

use super::world::{LIMIT, SHORT, World, everything, state};

pub(super) fn others_untouched(world: &World) {
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

pub(super) fn replaced(world: &World) {
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = folder.path().join("kubeconfig");
    let of_user = |arguments: &[&str]| world.kind_of_user("e2e-replaced", &kubeconfig, arguments);
    let before = everything(world);
    world.up("e2e-replaced", &[]);
    let record = state().join("kind/e2e-replaced/record.json");
    let complete = fs::read_to_string(&record).unwrap();
    of_user(&["delete", "cluster"]).expect(0);
    of_user(&["create", "cluster", "--image", &world.image]).expect(0);
    let theirs = nodes(world, "e2e-replaced");
    // An attempt of just now that was killed before it made anything.
    let mut begun: serde_json::Value = serde_json::from_str(&complete).unwrap();
    begun["complete"] = false.into();
    for text in [complete, begun.to_string()] {
        for (command, code) in [("up", 4), ("down", 0)] {
            fs::create_dir_all(record.parent().unwrap()).unwrap();
            fs::write(&record, &text).unwrap();
            let arguments = [command, "--cluster", "kind", "--name", "e2e-replaced"];
            let ended = world.kfe2e(&arguments, SHORT).expect(code);
            assert!(ended.stderr.contains("kind delete cluster --name e2e-replaced"), "{}", ended.stderr);
            assert!(!record.exists(), "the stale record is still there after {command}");
            assert_eq!(nodes(world, "e2e-replaced"), theirs, "after {command}");
        }
    }
    of_user(&["delete", "cluster"]).expect(0);
    remove_network(world, &before);
    assert_eq!(everything(world), before);
}

/// While a run tests, its cluster is removed and another one is made of the same name, by another user.
pub(super) fn overtaken(world: &World) {
    let before = everything(world);
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("script.py");
    fs::write(&script, "import time; time.sleep(600)").unwrap();
    let (out, home) = (folder.path().join("out"), folder.path().join("state"));
    let more = ["--cluster", "kind", "--output", "json", "--script", script.to_str().unwrap()];
    let all = run_arguments("e2e-overtaken", "none", &out, &more);
    let mut running = world.start(&all.iter().map(String::as_str).collect::<Vec<_>>());
    running.await_line("the tests", LIMIT, |line| {
        let event: RunEvent = serde_json::from_str(line).unwrap();
        matches!(event.what, What::StageStarted { stage: Stage::Test })
    });
    world.down("e2e-overtaken").expect(0);
    let of_another = |command: &str, home: Option<&Path>| {
        let arguments = [command, "--cluster", "kind", "--name", "e2e-overtaken"];
        let mut command = world.command(&kfe2e(), &arguments);
        command.envs(home.map(|home| ("XDG_STATE_HOME", home)));
        start_command(&mut command, format!("kfe2e {}", arguments.join(" "))).wait(LIMIT).expect(0);
    };
    // Of the same user, the record has the same place.
    of_another("up", None);
    let theirs = nodes(world, "e2e-overtaken");
    // It may have ended by itself, as its cluster is gone.
    running.signal(Signal::SIGINT);
    let ended = running.wait(SHORT);
    let cleaned_up = ended.stdout.contains(r#""event":"stageFinished","stage":"down""#);
    assert!(cleaned_up, "{}\n{}", ended.stdout, ended.stderr);
    assert_eq!(nodes(world, "e2e-overtaken"), theirs);
    of_another("down", None);
    // What another user's record says, nobody else acts upon.
    of_another("up", Some(&home));
    let theirs = nodes(world, "e2e-overtaken");
    world.kfe2e(&["down", "--cluster", "kind", "--name", "e2e-overtaken"], SHORT).expect(4);
    assert_eq!(nodes(world, "e2e-overtaken"), theirs);
    of_another("down", Some(&home));
    assert_eq!(everything(world), before);
}

/// The identities of a cluster's containers.
fn nodes(world: &World, cluster: &str) -> String {
    let label = format!("label=io.x-k8s.kind.cluster={cluster}");
    world.docker.docker(&["ps", "--all", "--quiet", "--no-trunc", "--filter", &label], SHORT)
}

/// Whoever made the last cluster in it would have to remove the network that ours had made.
fn remove_network(world: &World, before: &[String]) {
    if !before.iter().any(|line| line == "network kind") {
        world.docker.docker(&["network", "rm", "kind"], SHORT);
    }
}

pub(super) fn reuse_of_nothing(world: &World) {
    let before = everything(world);
    let folder = tempfile::tempdir().unwrap();
    let more = ["--cluster", "kind", "--reuse", "--script", "manifests/samples/hello.py"];
    world.run("e2e-reuse", "none", &folder.path().join("out"), &more).expect(0);
    assert_eq!(everything(world), before);
}

pub(super) fn existing(world: &World) {
    let images = image_flags();
    let kubeconfig = world.up("e2e-existing-kind", &images.iter().map(String::as_str).collect::<Vec<_>>());
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
