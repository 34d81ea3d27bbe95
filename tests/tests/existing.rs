//! `--cluster existing`: a cluster that somebody has is used, and left exactly as it was.

use std::{fs, path::Path, process::ExitCode, sync::Arc, time::Duration};

use e2e_tests::{
    cluster::{Cluster, Shared, context},
    program::{Ended, Running, image_folders, run as kfe2e, start, test_image},
    trials::{run, runtime, trial},
};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

/// How long a run may take on a busy machine.
const LIMIT: Duration = Duration::from_secs(300);

/// How long a refusal may take.
const SHORT: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    let (runtime, shared) = (runtime(), Shared::new("e2e-existing"));
    // Those that take minutes are ignored; the daily sample is what is not.
    let trials = vec![
        trial("a run leaves the cluster as it was", &runtime, &shared, left_as_it_was),
        trial("an operator that is deployed stays until down removes it", &runtime, &shared, deployed),
        trial("a killed run is removed by down", &runtime, &shared, killed).with_ignored_flag(true),
        trial("a foreign kubeflow is tested and never overwritten", &runtime, &shared, foreign_kubeflow)
            .with_ignored_flag(true),
        trial(
            "an operator that is there is used, and another is refused",
            &runtime,
            &shared,
            foreign_operator,
        )
        .with_ignored_flag(true),
        trial(
            "a namespace stays for a job of somebody else, until that is gone",
            &runtime,
            &shared,
            foreign_job,
        )
        .with_ignored_flag(true),
        trial("a run of somebody else is neither overwritten nor removed", &runtime, &shared, foreign_run)
            .with_ignored_flag(true),
        trial("a second run is refused and disturbs nothing", &runtime, &shared, two_at_once)
            .with_ignored_flag(true),
        trial("what keeps a cluster from being used is said in one sentence", &runtime, &shared, refusals),
    ];
    run(trials, || shared.remove())
}

async fn cluster(shared: Arc<Shared>) -> Arc<Cluster> {
    shared.get(|name| async move { Cluster::up_with_images(name).await }).await
}

/// The flags that name the cluster.
fn named(cluster: &Cluster) -> Vec<String> {
    let context = context(&cluster.kubeconfig);
    ["--cluster", "existing", "--kubeconfig", &cluster.kubeconfig, "--context", &context]
        .map(Into::into)
        .into()
}

/// `kfe2e run` in the cluster.
fn arguments(cluster: &Cluster, kubeflow: &str, out: &Path, more: &[&str]) -> Vec<String> {
    let mut all = vec!["run".to_owned()];
    all.extend(named(cluster));
    all.extend(["--kubeflow", kubeflow, "--image", &test_image(), "--out"].map(Into::into));
    all.push(out.display().to_string());
    all.extend(more.iter().map(ToString::to_string));
    all
}

fn down(cluster: &Cluster) -> Ended {
    let mut all = vec!["down".to_owned()];
    all.extend(named(cluster));
    kfe2e(&all, LIMIT)
}

/// Everything in the cluster that a run could add, change or remove, by kind, name and UID.
fn everything(cluster: &Cluster) -> Vec<String> {
    let kinds = "namespaces,customresourcedefinitions,clusterroles,clusterrolebindings,roles,rolebindings,\
                 serviceaccounts,configmaps,secrets,services,deployments,jobs,pods,mutatingwebhookconfigurations,\
                 validatingadmissionpolicies,validatingadmissionpolicybindings,persistentvolumeclaims";
    // Who manages its fields shows an object that was applied over, even if nothing in it changed.
    let columns = "custom-columns=K:.kind,NS:.metadata.namespace,N:.metadata.name,U:.metadata.uid,\
                   L:.metadata.labels,A:.metadata.annotations,M:.metadata.managedFields[*].manager";
    let text = cluster.kubectl(&["get", kinds, "-A", "--no-headers", "-o", columns]).expect(0).stdout;
    let mut lines: Vec<String> =
        text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    lines.sort();
    lines
}

fn assert_unchanged(cluster: &Cluster, before: &[String]) {
    let after = everything(cluster);
    let more: Vec<_> = after.iter().filter(|line| !before.contains(line)).collect();
    let less: Vec<_> = before.iter().filter(|line| !after.contains(line)).collect();
    assert!(more.is_empty() && less.is_empty(), "left: {more:#?}\nmissing: {less:#?}");
}

fn script(folder: &Path, text: &str) -> String {
    let path = folder.join("script.py");
    fs::write(&path, text).unwrap();
    path.display().to_string()
}

async fn left_as_it_was(shared: Arc<Shared>) {
    let cluster = cluster(shared).await;
    // Two objects that the set brings too, and that are somebody's.
    let foreign = [
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kubeflow", "labels": {"team": "theirs"}}}),
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "theirs", "namespace": "kubeflow"}}),
    ];
    for object in &foreign {
        cluster.apply(object);
    }
    let before = everything(&cluster);
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let samples = ["--script", "manifests/samples/kubeflow-pipelines.py"];
    kfe2e(&arguments(&cluster, "tests/kubeflow-mini", &out, &samples), LIMIT).expect(0);
    assert_unchanged(&cluster, &before);
    let result: Value = serde_json::from_slice(&fs::read(out.join("run.json")).unwrap()).unwrap();
    assert_eq!(result["environment"]["cluster"], "existing");
    // Only the namespaces of the run are looked at: the others are somebody's.
    let mut logs: Vec<String> = fs::read_dir(out.join("logs"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    logs.sort();
    assert_eq!(logs, ["kubeflow", "kubeflow-e2e-system", "kubeflow-user-example-com"]);
    let again = down(&cluster).expect(0);
    assert!(again.stderr.contains("nothing in this cluster was made by kfe2e"), "{}", again.stderr);
    cluster.kubectl(&["delete", "namespace", "kubeflow", "--timeout=60s"]).expect(0);
}

/// Starts a run whose test sleeps, and waits for a line of its progress.
fn start_and_reach(cluster: &Cluster, folder: &Path, line: &str) -> Running {
    let sleeps = script(folder, "import time; time.sleep(600)");
    let more = ["--script", &sleeps, "--output", "json"];
    let mut running = start(&arguments(cluster, "tests/kubeflow-mini", &folder.join("out"), &more));
    running.await_line(line, LIMIT, |seen| seen.contains(line));
    running
}

/// `kfe2e deploy` into these namespaces.
fn deploy(cluster: &Cluster, targets: &[&str]) -> Ended {
    let mut all = vec!["deploy".to_owned()];
    all.extend(named(cluster));
    all.extend(targets.iter().flat_map(|target| ["--target".to_owned(), (*target).to_owned()]));
    kfe2e(&all, LIMIT)
}

async fn deployed(shared: Arc<Shared>) {
    let cluster = cluster(shared).await;
    let namespaces = ["team-a", "team-b"];
    for namespace in namespaces {
        cluster.kubectl(&["create", "namespace", namespace]).expect(0);
    }
    let before = everything(&cluster);
    let refused = deploy(&cluster, &["team-a", "team-c"]).expect(2);
    assert!(refused.stderr.contains("--target team-c: there is no such namespace"), "{}", refused.stderr);
    assert_unchanged(&cluster, &before);

    deploy(&cluster, &["team-a"]).expect(0);
    let with_one = everything(&cluster);
    // The same once more changes nothing; a further namespace is added to what is there.
    deploy(&cluster, &["team-a"]).expect(0);
    assert_unchanged(&cluster, &with_one);
    let said = deploy(&cluster, &["team-b"]).expect(0).stderr;
    assert!(said.contains("may run tests in team-b"), "{said}");
    for namespace in namespaces {
        let run = json!({"apiVersion": "e2e.kubeflow.org/v1alpha1", "kind": "E2ETest", "metadata": {"name": namespace}, "spec": {
            "targetNamespace": namespace, "serviceAccountName": "default",
            "tests": [{"name": "hello", "image": test_image(), "script": {"source": {"inline": "print('hello')"}}}]}});
        cluster.apply(&run);
        let run = format!("e2etest/{namespace}");
        cluster.kubectl(&["wait", "--for=condition=Succeeded", &run, "--timeout=120s"]).expect(0);
        cluster.kubectl(&["delete", &run, "--timeout=60s"]).expect(0);
    }

    // While their kind is served: the garbage collector learns of new kinds within half a minute.
    let gone = || async {
        let jobs = cluster.kubectl(&["get", "jobs,pods", "-A", "-l", "e2e.kubeflow.org/run", "-o", "name"]);
        jobs.expect(0).stdout.is_empty().then_some(())
    };
    e2e_tests::cluster::eventually("the runs' Jobs to be gone", SHORT, gone).await;

    let folder = tempfile::tempdir().unwrap();
    let text = script(folder.path(), "print('hello')");
    let run = kfe2e(&arguments(&cluster, "none", &folder.path().join("out"), &["--script", &text]), LIMIT);
    assert!(run.clone().expect(4).stdout.contains("that `kfe2e deploy` put there"), "{}", run.stdout);
    down(&cluster).expect(0);
    assert_unchanged(&cluster, &before);
    for namespace in namespaces {
        cluster.kubectl(&["delete", "namespace", namespace, "--timeout=60s"]).expect(0);
    }
}

async fn killed(shared: Arc<Shared>) {
    let cluster = cluster(shared).await;
    let before = everything(&cluster);
    for line in ["33 objects", "\"stage\":\"deploy\"", "script is running"] {
        let folder = tempfile::tempdir().unwrap();
        let running = start_and_reach(&cluster, folder.path(), line);
        running.signal(Signal::SIGKILL);
        running.wait(SHORT);
        down(&cluster).expect(0);
        assert_unchanged(&cluster, &before);
    }
}

async fn foreign_kubeflow(shared: Arc<Shared>) {
    let cluster = cluster(shared).await;
    let installed = e2e_tests::cluster::eventually("the small Kubeflow to be accepted", SHORT, || async {
        let arguments = ["apply", "--server-side", "--force-conflicts", "-k", "tests/kubeflow-mini"];
        Some(cluster.kubectl(&arguments)).filter(|ended| ended.code == Some(0))
    });
    installed.await;
    cluster.kubectl(&["rollout", "status", "-n", "kubeflow", "deployment", "--timeout=120s"]).expect(0);
    let before = everything(&cluster);
    let folder = tempfile::tempdir().unwrap();
    let more = ["--script", "manifests/samples/kubeflow-pipelines.py"];
    let refused =
        kfe2e(&arguments(&cluster, "tests/kubeflow-mini", &folder.path().join("no"), &more), SHORT).expect(2);
    assert!(refused.stdout.contains("a Kubeflow that kfe2e did not install"), "{}", refused.stdout);
    assert_unchanged(&cluster, &before);
    // The sample needs the token that the PodDefault of this Kubeflow brings.
    kfe2e(&arguments(&cluster, "none", &folder.path().join("yes"), &more), LIMIT).expect(0);
    assert_unchanged(&cluster, &before);
    cluster
        .kubectl(&["delete", "--ignore-not-found", "--timeout=120s", "-k", "tests/kubeflow-mini"])
        .expect(0);
}

async fn foreign_operator(shared: Arc<Shared>) {
    let cluster = cluster(shared).await;
    cluster.kubectl(&["apply", "--server-side", "-k", "manifests/default"]).expect(0);
    let before = everything(&cluster);
    let folder = tempfile::tempdir().unwrap();
    let text = script(folder.path(), "print('hello')");
    let more = ["--script", text.as_str()];
    kfe2e(&arguments(&cluster, "none", &folder.path().join("used"), &more), LIMIT).expect(0);
    assert_unchanged(&cluster, &before);
    let label =
        ["label", "crd", "e2etests.e2e.kubeflow.org", "--overwrite", "app.kubernetes.io/version=9.9.9"];
    cluster.kubectl(&label).expect(0);
    let refused = kfe2e(&arguments(&cluster, "none", &folder.path().join("refused"), &more), SHORT).expect(2);
    assert!(refused.stdout.contains("of version 9.9.9"), "{}", refused.stdout);
    let refused = deploy(&cluster, &["default"]).expect(2);
    assert!(refused.stderr.contains("of version 9.9.9"), "{}", refused.stderr);
    cluster.kubectl(&["get", "crd", "e2etests.e2e.kubeflow.org"]).expect(0);
    cluster.kubectl(&["delete", "--timeout=120s", "-k", "manifests/default"]).expect(0);
}

async fn foreign_run(shared: Arc<Shared>) {
    let cluster = cluster(shared).await;
    let untouched = everything(&cluster);
    let folder = tempfile::tempdir().unwrap();
    let text = script(folder.path(), "print('hello')");
    let more = ["--script", text.as_str()];
    let kept = ["--script", text.as_str(), "--keep", "always"];
    kfe2e(&arguments(&cluster, "none", &folder.path().join("kept"), &kept), LIMIT).expect(0);
    let before = everything(&cluster);
    // What was kept is nobody's to remove but its owner's: a second run is refused, and cleans up nothing.
    let refused = kfe2e(&arguments(&cluster, "none", &folder.path().join("again"), &more), LIMIT).expect(4);
    assert!(refused.stdout.contains("holds what another run of kfe2e made"), "{}", refused.stdout);
    assert_unchanged(&cluster, &before);
    let theirs = |name: &str| {
        json!({
            "apiVersion": "e2e.kubeflow.org/v1alpha1", "kind": "E2ETest", "metadata": {"name": name},
            "spec": {"targetNamespace": "nowhere", "tests": [{"name": "t", "image": "i", "script": {"source": {"inline": "1"}}}]},
        })
    };
    cluster.apply(&theirs("theirs"));
    let removed = down(&cluster).expect(0);
    let stays = "e2etests.e2e.kubeflow.org stays, as E2ETest theirs needs it";
    assert!(removed.stderr.contains(stays), "{}", removed.stderr);
    cluster.kubectl(&["get", "e2etest", "theirs"]).expect(0);
    // What stays is no claim: the next run may begin. This one has the name that a run without a file has.
    cluster.apply(&theirs("kubeflow"));
    let before = everything(&cluster);
    let refused = kfe2e(&arguments(&cluster, "none", &folder.path().join("name"), &more), LIMIT).expect(2);
    assert!(refused.stdout.contains("has an E2ETest kubeflow already"), "{}", refused.stdout);
    cluster.kubectl(&["get", "e2etest", "kubeflow"]).expect(0);
    assert_unchanged(&cluster, &before);
    cluster.kubectl(&["delete", "e2etest", "kubeflow", "--timeout=60s"]).expect(0);
    // A run in between says what stays, and leaves it to the next removal again.
    let out = folder.path().join("between");
    kfe2e(&arguments(&cluster, "none", &out, &more), LIMIT).expect(0);
    let result: Value = serde_json::from_slice(&fs::read(out.join("run.json")).unwrap()).unwrap();
    assert!(result["problems"][0].as_str().unwrap().contains(stays), "{result}");
    cluster.kubectl(&["delete", "e2etest", "theirs", "--timeout=60s"]).expect(0);
    down(&cluster).expect(0);
    assert_unchanged(&cluster, &untouched);
}

/// What a user puts where a run is, while it goes on, and what is still there when it has ended.
async fn foreign_job(shared: Arc<Shared>) {
    let cluster = cluster(shared).await;
    let before = everything(&cluster);
    let folder = tempfile::tempdir().unwrap();
    let sleeps = script(folder.path(), "import time; time.sleep(600)");
    let more = ["--script", &sleeps, "--output", "json"];
    let mut running = start(&arguments(&cluster, "none", &folder.path().join("out"), &more));
    running.await_line("the test of the run", LIMIT, |line| line.contains("script is running"));
    // The namespace of the tests, which the run made.
    let namespace = "kubeflow-user-example-com";
    let theirs = json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "theirs", "namespace": namespace},
        "spec": {"suspend": true, "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "a", "image": "a"}]}}},
    });
    cluster.apply(&theirs);
    running.signal(Signal::SIGINT);
    running.wait(LIMIT).expect(130);
    cluster.kubectl(&["get", "job", "-n", namespace, "theirs"]).expect(0);
    let again = down(&cluster).expect(0);
    assert!(
        again.stderr.contains("stays, as Job kubeflow-user-example-com/theirs needs it"),
        "{}",
        again.stderr
    );
    cluster.kubectl(&["delete", "job", "-n", namespace, "theirs", "--timeout=60s"]).expect(0);
    down(&cluster).expect(0);
    assert_unchanged(&cluster, &before);
}

async fn two_at_once(shared: Arc<Shared>) {
    let cluster = cluster(shared).await;
    let before = everything(&cluster);
    let folder = tempfile::tempdir().unwrap();
    let first = start_and_reach(&cluster, folder.path(), "33 objects");
    let text = script(folder.path(), "print('hello')");
    let more = ["--script", text.as_str()];
    let second =
        kfe2e(&arguments(&cluster, "tests/kubeflow-mini", &folder.path().join("second"), &more), LIMIT);
    let second = second.expect(4);
    assert!(second.stdout.contains("holds what another run of kfe2e made"), "{}", second.stdout);
    let mut first = first;
    first.await_line("the test of the first run", LIMIT, |line| line.contains("script is running"));
    first.signal(Signal::SIGINT);
    first.wait(LIMIT).expect(130);
    assert_unchanged(&cluster, &before);
}

async fn refusals(shared: Arc<Shared>) {
    let cluster = cluster(shared).await;
    let before = everything(&cluster);
    let folder = tempfile::tempdir().unwrap();
    let text = script(folder.path(), "print('hello')");
    let config: Value = serde_json::from_str(
        &cluster.kubectl(&["config", "view", "--raw", "--minify", "-o", "json"]).expect(0).stdout,
    )
    .unwrap();
    let authority = &config["clusters"][0]["cluster"];
    let token = cluster.kubectl(&["create", "token", "default", "--duration=10m"]).expect(0).stdout;
    let kubeconfig = folder.path().join("kubeconfig");
    let user = |name: &str, token: &str| json!({"name": name, "user": {"token": token}});
    let context =
        |name: &str, cluster: &str| json!({"name": name, "context": {"cluster": cluster, "user": name}});
    let text_of = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "powerless",
        "clusters": [
            {"name": "real", "cluster": authority},
            {"name": "gone", "cluster": {"server": "https://127.0.0.1:1"}},
        ],
        "users": [user("powerless", token.trim()), user("expired", "expired"), user("nobody", "x")],
        "contexts": [context("powerless", "real"), context("expired", "real"), context("nobody", "gone")],
    });
    fs::write(&kubeconfig, text_of.to_string()).unwrap();
    let kubeconfig = kubeconfig.to_str().unwrap();
    let folders = image_folders();
    let layout = folders[0].to_str().unwrap();
    for (more, code, sentence) in [
        (vec![], 2, "needs --kubeconfig FILE and --context NAME"),
        (vec!["--kubeconfig", kubeconfig], 2, "needs --kubeconfig FILE and --context NAME"),
        (vec!["--kubeconfig", "/nowhere", "--context", "a"], 2, "no such file"),
        (vec!["--kubeconfig", kubeconfig, "--context", "a"], 2, "it has powerless, expired, nobody"),
        (vec!["--kubeconfig", kubeconfig, "--context", "nobody"], 4, "cannot be reached: Connection refused"),
        (vec!["--kubeconfig", kubeconfig, "--context", "expired"], 4, "may have expired"),
        (vec!["--kubeconfig", kubeconfig, "--context", "powerless"], 4, "its user may not create configmaps"),
        (
            vec!["--kubeconfig", kubeconfig, "--context", "powerless", "--images", layout],
            2,
            "--images (or KFE2E_IMAGES) belongs to",
        ),
        (
            vec!["--kubeconfig", kubeconfig, "--context", "powerless", "--kubernetes-version", "1.36"],
            2,
            "--kubernetes-version belongs to",
        ),
        (vec!["--context", "a", "--addons", "dns"], 2, "--addons belongs to --cluster microk8s"),
        (
            vec!["--context", "a", "--nodes", "3"],
            2,
            "--nodes belongs to --cluster kind or microk8s or embedded",
        ),
    ] {
        let out = folder.path().join("out");
        let mut all = vec!["run", "--cluster", "existing", "--kubeflow", "none", "--script", &text, "--out"];
        all.push(out.to_str().unwrap());
        all.extend(&more);
        let ended = kfe2e(&all, SHORT);
        assert_eq!(ended.code, Some(code), "{more:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(sentence), "{more:?}: {}", ended.stderr);
        assert!(!out.exists(), "{more:?} made the output folder");
    }
    assert_unchanged(&cluster, &before);
}
