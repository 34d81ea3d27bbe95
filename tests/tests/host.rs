//! The embedded cluster on the host: what works in it, and that nothing is left of it.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use e2e_tests::{
    cluster::{Cluster, Shared, down, eventually},
    host::Host,
    program::{Removed, Running, kfe2e, run as run_kfe2e, start, start_command, test_image},
    terminal::Terminal,
    trials::{plain, run, runtime, trial},
};
use nix::sys::signal::Signal;
use serde_json::json;

fn main() -> ExitCode {
    let (runtime, shared) = (runtime(), Shared::new("e2e-host"));
    let before = Host::now();
    let trials = vec![
        trial(
            "dns, services, exec, logs, port-forward and volumes work",
            &runtime,
            &shared,
            everything_works,
        ),
        trial(
            "two clusters live side by side, and two ups of one name are one",
            &runtime,
            &shared,
            side_by_side,
        ),
        trial("pods reach a server in another network namespace", &runtime, &shared, pods_reach_the_outside),
        plain("down removes what a killed up left", killed_up),
        plain("an interrupted up removes what it made", interrupted_up),
        plain("an up whose terminal is closed removes what it made", closed_terminal),
        plain("an up that is to outlive its terminal goes on", outlived_terminal),
        plain("down twice is no error", down_twice),
        plain("a cluster that was there is left as it is", foreign_cluster),
        plain("a full disk ends up with exit 4 and leaves nothing", full_disk),
    ];
    run(trials, || {
        shared.remove();
        Host::now().assert_unchanged_since(&before);
    })
}

const POD: &str = "probe";

async fn cluster(shared: Arc<Shared>) -> Arc<Cluster> {
    shared.get(|name| async move { Cluster::up_with_images(name).await }).await
}

/// A restricted pod that serves files over HTTP, its claim, and a Service before it.
fn probe() -> serde_json::Value {
    let restricted = json!({"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}});
    json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data", "namespace": "default"},
         "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "10Mi"}}}},
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "probe", "namespace": "default"},
         "spec": {"selector": {"app": "probe"}, "ports": [{"port": 80, "targetPort": 8000}]}},
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": POD, "namespace": "default", "labels": {"app": "probe"}},
         "spec": {
            "terminationGracePeriodSeconds": 0,
            "securityContext": {"runAsNonRoot": true, "runAsUser": 1000, "fsGroup": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{"name": "main", "image": test_image(), "imagePullPolicy": "Never", "securityContext": restricted,
                "command": ["sh", "-c", "echo hello > /data/index.html && echo started && cd /data && exec python3 -m http.server 8000"],
                "readinessProbe": {"httpGet": {"port": 8000}, "periodSeconds": 1},
                "volumeMounts": [{"name": "data", "mountPath": "/data"}]}],
            "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]}}]})
}

async fn everything_works(shared: Arc<Shared>) {
    let cluster = cluster(shared).await;
    for figure in ["nodeReadySeconds", "imageLoadSeconds", "dnsReadySeconds"] {
        assert!(
            cluster.figures[figure].as_f64().is_some_and(|seconds| seconds >= 0.0),
            "{figure}: {}",
            cluster.figures
        );
    }
    cluster.apply(&probe());
    cluster.kubectl(&["wait", "--for=condition=Ready", "pod/probe", "--timeout=60s"]).expect(0);
    assert_eq!(cluster.kubectl(&["logs", POD]).expect(0).stdout.lines().next(), Some("started"));
    let fetch = "import urllib.request as r; print(r.urlopen('http://probe.default.svc.cluster.local/', timeout=10).read().decode())";
    let through_service = || async {
        let ended = cluster.kubectl(&["exec", POD, "--", "python3", "-c", fetch]);
        ended.stdout.starts_with("hello").then_some(())
    };
    eventually("the service to answer by its name", Duration::from_secs(30), through_service).await;

    let mut forward = std::process::Command::new(e2e_tests::cluster::kubectl())
        .args(["--kubeconfig", &cluster.kubeconfig, "port-forward", "pod/probe", "18000:8000"])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let forwarded = || async {
        std::net::TcpStream::connect("127.0.0.1:18000").ok().and_then(|mut stream| {
            use std::io::{Read as _, Write as _};
            stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            stream.write_all(b"GET / HTTP/1.0\r\n\r\n").ok()?;
            let mut text = String::new();
            stream.read_to_string(&mut text).ok()?;
            text.contains("hello").then_some(())
        })
    };
    eventually("the forwarded port to answer", Duration::from_secs(30), forwarded).await;
    forward.kill().unwrap();
    forward.wait().unwrap();
}

async fn side_by_side(shared: Arc<Shared>) {
    let first = cluster(shared).await;
    let (one, two) = (
        start(&["up", "--cluster", "embedded", "--name", "e2e-second", "--nodes", "0"]),
        start(&["up", "--cluster", "embedded", "--name", "e2e-second", "--nodes", "0"]),
    );
    one.wait(Duration::from_secs(120)).expect(0);
    two.wait(Duration::from_secs(120)).expect(0);
    let second = Cluster::up("e2e-second", &["--nodes", "0"]).await;
    second.kubectl(&["create", "namespace", "only-in-second"]).expect(0);
    assert_eq!(first.kubectl(&["get", "namespace", "only-in-second"]).code, Some(1));
    second.down().expect(0);
    first.kubectl(&["get", "--raw", "/readyz"]).expect(0);
}

async fn pods_reach_the_outside(shared: Arc<Shared>) {
    let cluster = cluster(shared).await;
    // Another machine, played by a network namespace of this test's own.
    let outside = Outside::start();
    cluster.apply(
        &json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "caller", "namespace": "default"}, "spec": {
        "restartPolicy": "Never", "terminationGracePeriodSeconds": 0,
        "containers": [{"name": "main", "image": test_image(), "imagePullPolicy": "Never", "command": ["python3", "-c",
            format!("import urllib.request as r; print(r.urlopen('http://{}:8000/', timeout=20).status)", Outside::ADDRESS)]}]}}),
    );
    let phase = || async {
        let phase = cluster
            .kubectl(&["get", "pod", "caller", "-o", "jsonpath={.status.phase}"])
            .stdout
            .trim()
            .to_owned();
        matches!(phase.as_str(), "Succeeded" | "Failed").then_some(phase)
    };
    let phase = eventually("the calling pod to end", Duration::from_secs(60), phase).await;
    let log = cluster.kubectl(&["logs", "caller"]).stdout;
    assert_eq!((phase.as_str(), log.trim()), ("Succeeded", "200"));
    drop(outside);
}

/// An HTTP server in a network namespace, reachable from the host only.
struct Outside {
    server: std::process::Child,
    /// Whether the folder of named namespaces became a mount only now.
    mounted: bool,
}

/// Where `ip` keeps named network namespaces; it makes a mount of it at first use.
const NAMESPACES: &str = "/run/netns";

fn is_mounted(path: &str) -> bool {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    mounts.lines().any(|line| line.split(' ').nth(1) == Some(path))
}

impl Outside {
    const NAMESPACE: &str = "e2e-outside";
    const ADDRESS: &str = "10.99.99.2";

    fn start() -> Self {
        let ip = |arguments: &str| {
            let status = std::process::Command::new("ip").args(arguments.split(' ')).status().unwrap();
            assert!(status.success(), "ip {arguments}");
        };
        let mounted = !is_mounted(NAMESPACES);
        ip(&format!("netns add {}", Self::NAMESPACE));
        ip(&format!("link add e2e-out0 type veth peer name e2e-out1 netns {}", Self::NAMESPACE));
        ip("addr add 10.99.99.1/24 dev e2e-out0");
        ip("link set e2e-out0 up");
        ip(&format!("-n {} addr add {}/24 dev e2e-out1", Self::NAMESPACE, Self::ADDRESS));
        ip(&format!("-n {} link set e2e-out1 up", Self::NAMESPACE));
        let folder = std::env::temp_dir();
        let server = std::process::Command::new("ip")
            .args(["netns", "exec", Self::NAMESPACE, "python3", "-m", "http.server", "8000", "--directory"])
            .arg(folder)
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let outside = Self { server, mounted };
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        while std::net::TcpStream::connect((Self::ADDRESS, 8000)).is_err() {
            assert!(
                std::time::Instant::now() < deadline,
                "the server in {} does not answer",
                Self::NAMESPACE
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        outside
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        self.server.kill().unwrap();
        self.server.wait().unwrap();
        let remove = |program: &str, arguments: &[&str]| {
            std::process::Command::new(program).args(arguments).status().unwrap();
        };
        // Its end of the pair goes with the namespace, but not before the kernel gets to it.
        remove("ip", &["link", "del", "e2e-out0"]);
        remove("ip", &["netns", "del", Self::NAMESPACE]);
        if self.mounted {
            remove("umount", &[NAMESPACES]);
        }
    }
}

/// What exists on the host at points spread over `up`, below `/run/kfe2e/NAME`.
const POINTS: [&str; 3] = ["", "netns", "containerd.sock"];

/// Where that much of a cluster is.
fn place(name: &str, point: &str) -> PathBuf {
    Path::new("/run/kfe2e").join(name).join(point)
}

/// Starts `up` and waits until it has made that much.
fn half_made(name: &str, point: &str) -> Running {
    let mut up = start(&["up", "--cluster", "embedded", "--name", name]);
    up.await_path(&place(name, point), Duration::from_secs(60));
    up
}

/// SIGKILL while `up` is at work, then `down`.
fn killed_up() {
    for point in POINTS {
        let before = Host::now();
        let _removed = Removed("e2e-killed");
        let up = half_made("e2e-killed", point);
        up.signal(Signal::SIGKILL);
        assert_eq!(up.wait(Duration::from_secs(60)).code, None, "it was to be killed at {point:?}");
        down("e2e-killed").expect(0);
        Host::now().assert_unchanged_since(&before);
    }
}

fn interrupted_up() {
    for point in POINTS {
        let before = Host::now();
        let _removed = Removed("e2e-interrupted");
        let up = half_made("e2e-interrupted", point);
        up.signal(Signal::SIGINT);
        let ended = up.wait(Duration::from_secs(90));
        assert_eq!(ended.code, Some(130), "at {point:?}: {}", ended.stderr);
        Host::now().assert_unchanged_since(&before);
    }
}

/// SIGHUP, and from then on nothing that `up` says can be written anywhere.
fn closed_terminal() {
    for point in POINTS {
        let before = Host::now();
        let _removed = Removed("e2e-closed");
        let mut terminal = Terminal::start(&["up", "--cluster", "embedded", "--name", "e2e-closed"]);
        terminal.await_path(&place("e2e-closed", point), Duration::from_secs(60));
        assert_eq!(terminal.close(Duration::from_secs(90)), 130, "at {point:?}");
        Host::now().assert_unchanged_since(&before);
    }
}

/// What `nohup` does for a program.
fn outlived_terminal() {
    let _removed = Removed("e2e-outlived");
    let mut up = std::process::Command::new("sh");
    up.args(["-c", "trap '' HUP; exec \"$0\" \"$@\""]).arg(kfe2e());
    up.args(["up", "--cluster", "embedded", "--name", "e2e-outlived", "--nodes", "0"]);
    let mut up = start_command(&mut up, "kfe2e up, which SIGHUP does nothing to".into());
    up.await_path(&place("e2e-outlived", ""), Duration::from_secs(60));
    up.signal(Signal::SIGHUP);
    up.wait(Duration::from_secs(120)).expect(0);
}

/// A cluster that somebody else made is never removed by a command that cannot use it.
fn foreign_cluster() {
    let _removed = Removed("e2e-foreign");
    run_kfe2e(
        &["up", "--cluster", "embedded", "--name", "e2e-foreign", "--nodes", "0"],
        Duration::from_secs(120),
    )
    .expect(0);
    run_kfe2e(&["up", "--cluster", "embedded", "--name", "e2e-foreign"], Duration::from_secs(120)).expect(4);
    let folder = tempfile::tempdir().unwrap();
    let (script, out) = (folder.path().join("a.py"), folder.path().join("out"));
    std::fs::write(&script, "pass").unwrap();
    let run = [
        "run",
        "--cluster",
        "embedded",
        "--name",
        "e2e-foreign",
        "--kubeflow",
        "none",
        "--script",
        script.to_str().unwrap(),
        "--out",
        out.to_str().unwrap(),
    ];
    let refused = run_kfe2e(&run, Duration::from_secs(120)).expect(4);
    assert!(refused.stderr.contains("kfe2e down"), "{}", refused.stderr);
    run_kfe2e(
        &["up", "--cluster", "embedded", "--name", "e2e-foreign", "--nodes", "0"],
        Duration::from_secs(20),
    )
    .expect(0);
    let kubeconfig = "/var/lib/kfe2e/e2e-foreign/kubeconfig";
    let mut alive = std::process::Command::new(e2e_tests::cluster::kubectl());
    alive.args(["--kubeconfig", kubeconfig, "get", "--raw", "/readyz"]);
    start_command(&mut alive, "kubectl get".into()).wait(Duration::from_secs(20)).expect(0);
}

fn down_twice() {
    run_kfe2e(&["down", "--name", "e2e-never-made"], Duration::from_secs(60)).expect(0);
    run_kfe2e(&["down", "--name", "e2e-never-made"], Duration::from_secs(60)).expect(0);
}

/// The disk of one `up` is full: a small file system in a mount namespace that only it sees.
fn full_disk() {
    let before = Host::now();
    let script = "mkdir -p /var/lib/kfe2e && mount -t tmpfs -o size=4m e2e-full /var/lib/kfe2e && exec \"$0\" up --name e2e-full";
    let mut up = std::process::Command::new("unshare");
    up.args(["--mount", "--propagation", "private", "sh", "-c", script]).arg(kfe2e());
    let ended = start_command(&mut up, "kfe2e up on a full disk".into()).wait(Duration::from_secs(120));
    assert_eq!(ended.code, Some(4), "{}", ended.stderr);
    assert!(ended.stderr.contains("is too full"), "{}", ended.stderr);
    down("e2e-full").expect(0);
    Host::now().assert_unchanged_since(&before);
}
