//! `--cluster microk8s` against stand-ins of `snap` and `microk8s`: what is called, and that what was there stays. The
//! API server behind the stand-in is real, an embedded cluster's.

#[path = "microk8s/ours_or_theirs.rs"]
mod ours_or_theirs;
#[path = "microk8s/stand_in.rs"]
mod stand_in;

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use e2e_tests::{
    cluster::{Cluster, Shared},
    program::{checkout, start_command, test_image},
    trials::{plain, run, runtime, trial},
};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use stand_in::{DOWN, LIMIT, StandIn, UP};

/// How long a whole run may take on a busy machine.
const RUN_WITHIN: Duration = Duration::from_secs(300);

fn main() -> ExitCode {
    let (runtime, shared) = (runtime(), Shared::new("e2e-microk8s"));
    // The daily sample of what takes minutes: the first and the last.
    let trials = vec![
        trial("a cluster is made, joined, loaded and removed", &runtime, &shared, whole_life),
        trial("a run ends succeeded, with microk8s' own report", &runtime, &shared, whole_run)
            .with_ignored_flag(true),
        plain("a microk8s that was there is left as it is", ours_or_theirs::foreign).with_ignored_flag(true),
        plain(
            "one that somebody installs after a kill is left as it is",
            ours_or_theirs::installed_after_a_kill,
        )
        .with_ignored_flag(true),
        plain("one that somebody installs in place of ours is left as it is", ours_or_theirs::reinstalled)
            .with_ignored_flag(true),
        plain("one that somebody installs at the same time is left as it is", ours_or_theirs::overtaken)
            .with_ignored_flag(true),
        plain("down after sigkill removes what was ours, at every call", ours_or_theirs::killed)
            .with_ignored_flag(true),
        plain(
            "down after a sigkill while snapd is asked finds what comes of it",
            ours_or_theirs::killed_while_snapd_is_asked,
        )
        .with_ignored_flag(true),
        plain("a refreshed microk8s of ours is removed all the same", ours_or_theirs::refreshed)
            .with_ignored_flag(true),
        trial("a run removes its own cluster alone", &runtime, &shared, replaced_in_the_midst)
            .with_ignored_flag(true),
        plain("sigint ends an up with exit 130 and leaves nothing", ours_or_theirs::interrupted)
            .with_ignored_flag(true),
        plain("two at once do not disturb each other", two_at_once).with_ignored_flag(true),
        plain("a failed addon ends an up with exit 4, a report, and leaves nothing", failed_addon)
            .with_ignored_flag(true),
        plain("a microk8s that does not become ready is said to be so", never_ready).with_ignored_flag(true),
        plain("bad input and a silent snapd are refused in one sentence", refused),
    ];
    run(trials, || shared.remove())
}

/// A small layout with one image.
fn layout(folder: &Path) -> PathBuf {
    let (spec, out) = (folder.join("spec.json"), folder.join("layout"));
    let text = json!({ "name": "localhost/small:1", "minimalRoot": true, "layers": [] });
    fs::write(&spec, text.to_string()).unwrap();
    let arguments = ["image", "write", "--spec", spec.to_str().unwrap(), "--out", out.to_str().unwrap()];
    e2e_tests::program::run(&arguments, LIMIT).expect(0);
    out
}

/// The stand-in with a real cluster behind it, which has the images: what is imported goes to the stand-in.
async fn stand_in(shared: Arc<Shared>) -> StandIn {
    let make = |name| async move { Cluster::up_with_images(name).await };
    let stand_in = StandIn::new();
    fs::copy(&shared.get(make).await.kubeconfig, stand_in.path("kubeconfig")).unwrap();
    stand_in
}

async fn whole_run(shared: Arc<Shared>) {
    let stand_in = stand_in(shared).await;
    let (image, out) = (test_image(), stand_in.path("out"));
    let script = ["--script", "manifests/samples/hello.py", "--image", &image];
    let arguments = [&["run", "--kubeflow", "none", "--out", out.to_str().unwrap()], &script[..]].concat();
    let ended = stand_in.start(&arguments).wait(RUN_WITHIN).expect(0);
    assert!(ended.stdout.contains(out.to_str().unwrap()), "{}", ended.stdout);
    for file in ["run.json", "junit.xml", "summary.md", "cluster/inspection-report-20261123_101500.tar.gz"] {
        assert!(out.join(file).exists(), "{file}");
    }
    assert_eq!(stand_in.calls().last().unwrap(), "snap remove --purge microk8s");
    assert!(!stand_in.path("installed").exists());
}

async fn replaced_in_the_midst(shared: Arc<Shared>) {
    let stand_in = stand_in(shared).await;
    let (image, out) = (test_image(), stand_in.path("out"));
    let run = ["run", "--name", "ours", "--kubeflow", "none", "--out", out.to_str().unwrap()];
    let script = ["--script", "manifests/samples/hello.py", "--image", &image];
    stand_in.write("hang", "microk8s inspect");
    let mut first = stand_in.start(&[&run[..], &script].concat());
    first.await_path(&stand_in.path("hanging"), RUN_WITHIN);
    // Somebody removes it, and another run makes one of the same name.
    stand_in.run(&DOWN).expect(0);
    stand_in.run(&UP).expect(0);
    stand_in.write("calls", "");
    stand_in.go_on();
    let ended = first.wait(LIMIT).expect(4);
    assert!(format!("{}{}", ended.stdout, ended.stderr).contains("it is left alone"), "{}", ended.stdout);
    assert_eq!(stand_in.calls(), Vec::<String>::new());
    stand_in.run(&DOWN).expect(0);
    assert_eq!(stand_in.left(), Vec::<&str>::new());
}

async fn whole_life(shared: Arc<Shared>) {
    let stand_in = stand_in(shared).await;
    let layout = layout(stand_in.folder.path());
    let layout = layout.to_str().unwrap();

    let up = [&UP[..], &["--output", "json", "--kubernetes-version", "1.34", "--images", layout]].concat();
    let ended = stand_in.run(&up).expect(0);
    let made = [
        "snap install microk8s --classic --channel=1.34/stable --no-wait",
        "snap watch 1",
        "snap refresh --hold microk8s",
        "microk8s status --wait-ready --timeout 600",
        "microk8s ctr images list",
        "microk8s ctr images import -",
        "microk8s enable dns",
        "microk8s enable hostpath-storage",
        "microk8s enable ingress",
        "microk8s enable metallb:10.64.140.43-10.64.140.49",
        "microk8s enable rbac",
        "microk8s status --wait-ready --timeout 600",
        "microk8s config --use-loopback",
    ];
    assert_eq!(stand_in.calls(), made);
    assert!(stand_in.lines("images")[0].starts_with("localhost/small:1 sha256:"));
    let lines: Vec<Value> = ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let kubeconfig = lines.iter().find_map(|line| line["kubeconfig"].as_str()).unwrap();
    assert_eq!(fs::metadata(kubeconfig).unwrap().permissions().mode() & 0o777, 0o600);
    let figures = &lines.iter().find(|line| line["event"] == "stageFinished").unwrap()["figures"];
    for figure in
        ["installedSeconds", "apiReadySeconds", "nodeReadySeconds", "dnsReadySeconds", "imageLoadSeconds"]
    {
        assert!(figures[figure].is_number(), "{figure}: {figures}");
    }

    // Joined: nothing is installed or imported again.
    stand_in.write("calls", "");
    stand_in.run(&up).expect(0);
    assert!(!stand_in.calls().iter().any(|call| call.contains("install") || call.contains("import")));
    // A second name, another channel.
    let second = stand_in.run(&["up", "--name", "second"]).expect(4);
    assert!(second.stderr.contains("it is the cluster `ours`"), "{}", second.stderr);
    let other = stand_in.run(&[&UP[..], &["--channel", "1.33/stable"]].concat()).expect(4);
    assert!(other.stderr.contains("from channel 1.34/stable, not 1.33/stable"), "{}", other.stderr);
    stand_in.run(&["image", "load", "--name", "ours", layout]).expect(0);

    stand_in.write("calls", "");
    stand_in.run(&DOWN).expect(0);
    assert_eq!(
        (stand_in.calls(), stand_in.left()),
        (vec!["snap remove --purge microk8s".to_owned()], vec![])
    );
    stand_in.run(&DOWN).expect(0);
    assert_eq!(stand_in.calls().len(), 1);
}

fn two_at_once() {
    let stand_in = StandIn::new();
    let mut first = stand_in.started_up_to("microk8s enable dns", &UP);
    let refused = stand_in.run(&UP).expect(4);
    assert!(refused.stderr.contains("another kfe2e is at work"), "{}", refused.stderr);
    stand_in.run(&["up", "--name", "second"]).expect(4);
    // A removal waits for its turn: whoever is about to be refused must not keep a run from cleaning up.
    let mut down = stand_in.start(&[&DOWN[..], &["--output", "json"]].concat());
    down.await_line("the wait", LIMIT, |line| line.contains("another kfe2e is at work"));
    assert!(first.is_running() && stand_in.left().contains(&"installed"));
    first.signal(Signal::SIGINT);
    first.wait(LIMIT).expect(130);
    down.wait(LIMIT).expect(0);
    assert_eq!(stand_in.left(), Vec::<&str>::new());
}

fn failed_addon() {
    let stand_in = StandIn::new();
    stand_in.write("fail", "microk8s enable ingress");
    let ended = stand_in.run(&UP).expect(4);
    assert!(
        ended.stderr.contains("`microk8s enable ingress` failed")
            || ended.stderr.contains("Failed to enable")
    );
    assert_eq!(stand_in.left(), Vec::<&str>::new());
    let logs = checkout().join("kfe2e-results/ours");
    assert!(logs.join("inspection-report-20261123_101500.tar.gz").exists());
    fs::remove_dir_all(logs).unwrap();
}

fn never_ready() {
    let stand_in = StandIn::new();
    stand_in.write("fail", "microk8s status");
    let ended = stand_in.run(&UP).expect(4);
    assert!(ended.stderr.contains("did not become ready"), "{}", ended.stderr);
    assert_eq!(stand_in.left(), Vec::<&str>::new());
    fs::remove_dir_all(checkout().join("kfe2e-results/ours")).unwrap();
}

fn refused() {
    let stand_in = StandIn::new();
    for (arguments, said) in [
        (&["--nodes", "2"][..], "--nodes 2: MicroK8s on one machine has one node"),
        (&["--kubernetes-version", "1.34", "--channel", "1.34/edge"], "both choose the snap's channel"),
        (&["--kubernetes-version", "1.34.7"], "a channel for each minor version"),
        (&["--addons", "rbac"], "--addons lacks dns"),
        (&["--metallb-addresses", "ten"], "not a range such as"),
        (&["--images", "/nowhere"], "/nowhere"),
    ] {
        let ended = stand_in.run(&[&UP[..], arguments].concat()).expect(2);
        assert!(ended.stderr.contains(said) && ended.stderr.trim().lines().count() == 1, "{}", ended.stderr);
    }
    stand_in.write("fail", "snap list");
    let silent = stand_in.run(&UP).expect(4);
    assert!(silent.stderr.contains("systemctl start snapd.socket"), "{}", silent.stderr);
    // No snap at all.
    let ended =
        start_command(stand_in.command(&UP).env("PATH", "/nowhere"), "kfe2e up".into()).wait(LIMIT).expect(2);
    assert!(ended.stderr.contains("this machine lacks snap"), "{}", ended.stderr);
    assert_eq!((stand_in.calls(), stand_in.left()), (Vec::<String>::new(), vec![]));
}
