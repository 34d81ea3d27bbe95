//! Clusters that are somebody's: never changed without being asked to, never removed.

use std::fs;

use e2e_tests::{
    cluster::context,
    program::{checkout, image_flags, image_folders, kfe2e, start_command, test_image},
};

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
