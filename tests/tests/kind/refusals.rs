//! What keeps a kind cluster from being made, each in one sentence.

use std::{fs, net::TcpListener, os::unix::fs::PermissionsExt as _, path::Path, process::Command};

use bootstrap_embedded::KIND_VERSION;
use e2e_tests::program::{kfe2e, start_command};
use serde_json::json;

use super::world::{LIMIT, SHORT, World, everything};

pub(super) fn refusals(world: &World) {
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
        (vec!["--kubernetes-version", "1.32.0"], 2, "1.33 is the oldest that is supported"),
        (vec!["--kind-image", "localhost/none:1"], 4, "is not on this machine and cannot be pulled"),
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
    let sentence = format!("Docker does not answer at {host}: start it");
    assert!(ended.stderr.contains(&sentence), "{}", ended.stderr);
    let mut silent = Command::new(kfe2e());
    silent.args(["down", "--cluster", "kind", "--name", "e2e-refused"]).env("DOCKER_HOST", &host);
    let ended = start_command(&mut silent, "kfe2e down without docker".into()).wait(SHORT).expect(0);
    let sentence = "whether there is one cannot be told: Docker does not answer";
    assert!(ended.stderr.contains(sentence), "{}", ended.stderr);
    removals(world, folder.path());
    secret(&folder.path().join("secret"));
    assert_eq!(everything(world), before);
}

/// What a removal says where it removes nothing.
fn removals(world: &World, state: &Path) {
    let down = |name: &str| {
        let mut command = world.command(&kfe2e(), &["down", "--cluster", "kind", "--name", name]);
        command.env("XDG_STATE_HOME", state);
        start_command(&mut command, format!("kfe2e down --name {name}")).wait(SHORT)
    };
    let record = state.join("kfe2e/kind/e2e-damaged/record.json");
    fs::create_dir_all(record.parent().unwrap()).unwrap();
    fs::write(&record, "{").unwrap();
    let said = down("e2e-mistyped").expect(0).stderr;
    assert!(said.contains("recorded there: `e2e-damaged` (kind)"), "{said}");
    let said = down("e2e-damaged").expect(4).stderr;
    for part in [record.to_str().unwrap(), "`kind delete cluster --name e2e-damaged`"] {
        assert!(said.contains(part), "{said}");
    }
    // What goes wrong on the way is told once.
    program(&state.join("docker"), "echo it broke >&2; exit 1");
    fs::write(&record, recorded(Some("0"))).unwrap();
    let said = down_with_stubs("e2e-damaged", state);
    assert_eq!(said.matches("it broke").count(), 1, "{said}");
}

/// What is printed beside a failure may be a key, and is not said.
fn secret(state: &Path) {
    let record = state.join("kfe2e/kind/e2e-secret/record.json");
    fs::create_dir_all(record.parent().unwrap()).unwrap();
    fs::write(&record, recorded(None)).unwrap();
    fs::write(record.with_file_name("kubeconfig"), "").unwrap();
    let node = r#"[{"Id": "n", "Name": "e2e-secret-control-plane", "State": {"Status": "running"}}]"#;
    program(&state.join("docker"), &format!("[ \"$1\" = ps ] && echo n || echo '{node}'"));
    let version = format!("kind {KIND_VERSION} go1.26.8 linux/amd64");
    program(
        &state.join("kind"),
        &format!("[ \"$1\" = version ] && echo '{version}' && exit\necho KEY; exit 1"),
    );
    let said = down_with_stubs("e2e-secret", state);
    let sentence = "`kind get kubeconfig --name e2e-secret` failed: it exited with code 1";
    assert!(said.contains(sentence) && !said.contains("KEY"), "{said}");
}

/// The record of a cluster with this mark, or of one that was found.
fn recorded(mark: Option<&str>) -> String {
    let engine = json!({"runtime": "docker", "variables": {}});
    json!({"schemaVersion": 2, "engine": engine, "mark": mark, "invocations": ["i"], "complete": true,
        "nodes": 1, "image": null, "networkIsOurs": false})
    .to_string()
}

/// A program that says of itself that it is Docker, and does this else.
fn program(place: &Path, does: &str) {
    let info = r#"{"DockerRootDir": "/var/lib/docker"}"#;
    fs::write(place, format!("#!/bin/sh\n[ \"$1\" = info ] && echo '{info}' && exit\n{does}\n")).unwrap();
    fs::set_permissions(place, fs::Permissions::from_mode(0o755)).unwrap();
}

/// What `kfe2e down` says that finds no other programs than those in the folder of its state, and fails.
fn down_with_stubs(name: &str, state: &Path) -> String {
    let mut command = Command::new(kfe2e());
    command.args(["down", "--name", name]).env("XDG_STATE_HOME", state).env("PATH", state);
    start_command(&mut command, "kfe2e down with stubs".into()).wait(SHORT).expect(4).stderr
}

/// What the flags have nothing to do with: processors, ports, disk, rights.
pub(super) fn unfit_machine(world: &World) {
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
    let mut command =
        world.command(Path::new("setpriv"), &["--reuid=65534", "--regid=65534", "--clear-groups"]);
    command.arg(&program).args(["up", "--name", "e2e-unfit"]).env("HOME", "/nonexistent");
    command.env_remove("XDG_STATE_HOME");
    let sentence =
        "--cluster embedded is taken, as --cluster kind cannot be: you have no right to use Docker";
    let ended = start_command(&mut command, "nobody, without --cluster".into()).wait(SHORT).expect(2);
    assert!(ended.stderr.contains(sentence), "{}", ended.stderr);
    assert_eq!(everything(world), before);
}

/// An image archive for a processor that this machine has not.
pub(super) fn other_processor(folder: &Path) -> String {
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

pub(super) fn docker_absent(world: &World) {
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
