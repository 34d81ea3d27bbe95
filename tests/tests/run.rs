//! `kfe2e run` from outside: exit codes, the output folder, bad input, and nothing left behind.

use std::{fs, path::Path, process::ExitCode, time::Duration};

use crds::run_event::{RunEvent, Stage, What};
use e2e_tests::{
    cluster::down,
    host::Host,
    objects::notebook_json,
    program::{Removed, Running, run as kfe2e, start, test_image},
    runs::{SAMPLES, result, run_arguments},
    terminal::Terminal,
    trials::{plain, run},
};
use nix::sys::signal::Signal;
use serde_json::Value;

/// How long a whole run may take on a busy machine.
const LIMIT: Duration = Duration::from_secs(400);

fn main() -> ExitCode {
    let mut trials = vec![
        plain("the samples pass against the small kubeflow", samples_pass),
        plain("a raising cell is in every report", raising_cell),
        plain("a component that never becomes ready ends in exit 3", not_ready),
        plain("bad input is refused in one sentence before anything is done", bad_input),
        plain("a run whose terminal is closed ends in order", closed_terminal),
    ];
    let at = |word: &str, stage: Stage, test: fn(Stage)| {
        // Every stage takes minutes; the two in which most can be left behind are the daily sample.
        let sample = matches!(stage, Stage::Up | Stage::Test);
        plain(format!("nothing is left after {word} during {}", stage.as_str()), move || test(stage))
            .with_ignored_flag(!sample)
    };
    trials.extend(Stage::ALL.map(|stage| at("sigint", stage, cancelled)));
    trials.extend(Stage::ALL.map(|stage| at("sigkill and down", stage, killed)));
    run(trials, || {})
}

fn arguments(name: &str, kubeflow: &str, out: &Path, more: &[&str]) -> Vec<String> {
    run_arguments(name, kubeflow, out, &[&["--cluster", "embedded"], more].concat())
}

/// The text outputs of an executed notebook.
fn outputs(path: &Path) -> String {
    let notebook: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let cells = notebook["cells"].as_array().unwrap().clone();
    let outputs = cells.iter().flat_map(|cell| cell["outputs"].as_array().cloned().unwrap_or_default());
    let texts: Vec<String> = outputs.map(|output| format!("{}{}", output["text"], output["data"])).collect();
    texts.join("\n")
}

fn samples_pass() {
    let _removed = Removed("e2e-samples");
    let before = Host::now();
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let ended = kfe2e(&arguments("e2e-samples", "tests/kubeflow-mini", &out, &SAMPLES), LIMIT).expect(0);
    assert!(ended.stdout.contains(out.to_str().unwrap()), "{}", ended.stdout);
    let result = result(&out);
    assert_eq!((result.exit_code, result.tests.len()), (0, 2));
    assert_eq!(
        result.stages.iter().map(|stage| stage.stage.as_str()).collect::<Vec<_>>(),
        ["up", "install", "deploy", "test", "collect", "down"]
    );
    assert_eq!(result.problems, Vec::<String>::new());
    let executed = outputs(&out.join("tests/kubeflow-pipelines/executed.ipynb"));
    // A pod's name is what only a real execution in a pod gives.
    assert!(executed.contains("kubeflow-pipelines-"), "{executed}");
    for file in ["junit.xml", "summary.md", "objects/pods.yaml", "cluster/kubelet.log"] {
        assert!(out.join(file).is_file(), "{file} is missing");
    }
    Host::now().assert_unchanged_since(&before);
}

fn raising_cell() {
    let _removed = Removed("e2e-raising");
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let ended = kfe2e(
        &arguments(
            "e2e-raising",
            "none",
            &out,
            &["--notebook", "manifests/samples/raises.ipynb", "--output", "json"],
        ),
        LIMIT,
    )
    .expect(1);
    let last: Value = serde_json::from_str(ended.stdout.lines().last().unwrap()).unwrap();
    assert_eq!(last["event"], "runFinished");
    assert_eq!(last["result"]["exitCode"], 1);
    let message = result(&out).tests[0].message.clone().unwrap();
    assert!(message.starts_with("cell 3: "), "{message}");
    let exception = message.trim_start_matches("cell 3: ").split(':').next().unwrap();
    for file in ["junit.xml", "summary.md"] {
        let text = fs::read_to_string(out.join(file)).unwrap();
        assert!(text.contains(exception), "{file} does not name {exception}:\n{text}");
    }
    let executed = outputs(&out.join("tests/raises/executed.ipynb"));
    assert!(!executed.is_empty());
}

fn not_ready() {
    let _removed = Removed("e2e-not-ready");
    let folder = tempfile::tempdir().unwrap();
    let (out, kubeflow, file) =
        (folder.path().join("out"), folder.path().join("kubeflow.yaml"), folder.path().join("e2etest.yaml"));
    let container = format!(
        "{{name: main, image: '{}', imagePullPolicy: Never, command: [python3, -c, 'raise SystemExit(7)'], readinessProbe: {{tcpSocket: {{port: 1}}}}}}",
        test_image()
    );
    let deployment = format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: crashes, namespace: broken}}\nspec:\n  selector: {{matchLabels: {{app: a}}}}\n  template:\n    metadata: {{labels: {{app: a}}}}\n    spec:\n      containers: [{container}]\n"
    );
    fs::write(
        &kubeflow,
        format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: broken}}\n---\n{deployment}"),
    )
    .unwrap();
    fs::write(&file, format!(
        "apiVersion: e2e.kubeflow.org/v1alpha1\nkind: E2ETest\nmetadata: {{name: not-ready}}\nspec:\n  targetNamespace: broken\n  kubeflow: {{namespaces: [broken], timeout: 20s, stableFor: 0s}}\n  tests: [{{name: never, image: '{}', script: {{source: {{inline: pass}}}}}}]\n", test_image())).unwrap();
    kfe2e(
        &arguments("e2e-not-ready", kubeflow.to_str().unwrap(), &out, &["-f", file.to_str().unwrap()]),
        LIMIT,
    )
    .expect(3);
    let result = result(&out);
    assert!(result.message.contains("Deployment broken/crashes"), "{}", result.message);
    assert!(result.message.contains("exited with code 7"), "{}", result.message);
}

fn bad_input() {
    let before = Host::now();
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let head = "apiVersion: e2e.kubeflow.org/v1alpha1\nkind: E2ETest\nmetadata: {name: a}\nspec:\n  targetNamespace: ns\n  tests: ";
    let unknown = write("unknown.yaml", &format!("{head}[{{name: t, image: i, scrpt: {{}}}}]\n"));
    let two = write(
        "two.yaml",
        &format!(
            "{head}[{{name: t, image: i, script: {{source: {{inline: x}}}}, notebook: {{source: {{inline: x}}}}}}]\n"
        ),
    );
    let (text, json, empty) = (write("notes.txt", "hello"), write("bad.ipynb", "{"), write("empty.py", ""));
    let valid = write("valid.ipynb", &notebook_json(&["1"], "python3").to_string());
    for (more, sentence) in [
        (vec!["--notebook", &text], "not a Jupyter notebook"),
        (vec!["--notebook", &json], "invalid JSON"),
        (vec!["--script", &empty], "the script is empty"),
        (vec!["--script", "/nowhere.py"], "No such file"),
        (vec!["-f", &unknown], "spec.tests[0].scrpt: unknown field"),
        (vec!["-f", &two], "spec.tests[0]: give exactly one of notebook, script and job"),
        (vec!["--notebook", &valid, "--timeout", "soon"], "is no duration"),
        (vec!["--notebook", &valid, "--images", "/nowhere"], "/nowhere"),
        (vec![], "there is nothing to test"),
    ] {
        let out = folder.path().join("out");
        let ended = kfe2e(&arguments("e2e-bad-input", "none", &out, &more), Duration::from_secs(20));
        assert_eq!(ended.code, Some(2), "{more:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(sentence), "{more:?}: {}", ended.stderr);
        assert!(!out.exists(), "{more:?} made the output folder");
    }
    let not_root = e2e_tests::program::start_command(
        std::process::Command::new("setpriv")
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .arg(copy_of_kfe2e(&folder))
            .args(["run", "--cluster", "embedded", "--kubeflow", "none", "--script", "/nowhere.py"]),
        "kfe2e as nobody".into(),
    )
    .wait(Duration::from_secs(20));
    assert_eq!(not_root.code, Some(2), "{}", not_root.stderr);
    no_containerd(&valid);
    unheard(&arguments("e2e-bad-input", "none", &folder.path().join("out"), &["--notebook", &text]));
    Host::now().assert_unchanged_since(&before);
}

/// A refusal that cannot be written anywhere keeps its exit code.
fn unheard(arguments: &[String]) {
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "exec \"$0\" \"$@\" 2> /dev/full"]).arg(e2e_tests::program::kfe2e()).args(arguments);
    e2e_tests::program::start_command(&mut command, "kfe2e with a full standard error".into())
        .wait(Duration::from_secs(20))
        .expect(2);
}

/// A machine without containerd, played by a mount namespace in which the program is no program.
fn no_containerd(notebook: &str) {
    let hide = "for place in /usr/bin /usr/sbin /bin /sbin /usr/local/bin /usr/local/sbin; do \
        [ ! -f $place/containerd ] || mount --bind /dev/null $place/containerd; done; exec \"$0\" \"$@\"";
    let mut command = std::process::Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c", hide]).arg(e2e_tests::program::kfe2e());
    command.args(["run", "--cluster", "embedded", "--name", "e2e-bad-input", "--kubeflow", "none"]);
    command.args(["--notebook", notebook]);
    let ended = e2e_tests::program::start_command(&mut command, "kfe2e without containerd".into())
        .wait(Duration::from_secs(20));
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    assert!(ended.stderr.contains("this machine lacks containerd"), "{}", ended.stderr);
}

/// The program where somebody else than root can read it.
fn copy_of_kfe2e(folder: &tempfile::TempDir) -> std::path::PathBuf {
    use std::os::unix::fs::PermissionsExt as _;
    let copy = folder.path().join("kfe2e");
    fs::copy(e2e_tests::program::kfe2e(), &copy).unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    copy
}

/// Starts a run, and waits until it is well in `stage`: for up, until parts of the cluster run; for test, until the
/// test's own program does.
fn start_and_reach(name: &str, stage: Stage, folder: &Path) -> Running {
    let (kubeflow, file) = (folder.join("kubeflow.yaml"), folder.join("e2etest.yaml"));
    let seconds = if stage == Stage::Test { 600 } else { 1 };
    let namespace = "kubeflow-user-example-com";
    fs::write(&kubeflow, format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {namespace}}}\n---\napiVersion: v1\nkind: ServiceAccount\nmetadata: {{name: default-editor, namespace: {namespace}}}\n")).unwrap();
    fs::write(&file, format!("apiVersion: e2e.kubeflow.org/v1alpha1\nkind: E2ETest\nmetadata: {{name: slow}}\nspec:\n  targetNamespace: {namespace}\n  tests: [{{name: slow, image: '{}', script: {{source: {{inline: 'import time; time.sleep({seconds})'}}}}}}]\n", test_image())).unwrap();
    let more = ["-f", file.to_str().unwrap(), "--output", "json"];
    let mut running = start(&arguments(name, kubeflow.to_str().unwrap(), &folder.join("out"), &more));
    running.await_line("the stage", LIMIT, |line| {
        let event: RunEvent = serde_json::from_str(line).unwrap();
        matches!(event.what, What::StageStarted { stage: started } if started == stage)
    });
    match stage {
        Stage::Up => running.await_path(&Path::new("/run/kfe2e").join(name).join("containerd.sock"), LIMIT),
        Stage::Test => await_test_process(),
        Stage::Install | Stage::Deploy | Stage::Collect | Stage::Down => {}
    }
    running
}

/// Waits until a test's own program runs on this host: its command line names the folder of its source.
fn await_test_process() {
    let deadline = std::time::Instant::now() + LIMIT;
    let runs = || {
        fs::read_dir("/proc").unwrap().any(|entry| {
            let command = fs::read(entry.unwrap().path().join("cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&command).starts_with("python3\0/kfe2e-source/")
        })
    };
    while !runs() {
        assert!(std::time::Instant::now() < deadline, "the test's program did not start");
        // A process's start has no event that can be waited for.
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn cancelled(stage: Stage) {
    let before = Host::now();
    let folder = tempfile::tempdir().unwrap();
    let _removed = Removed("e2e-cancelled");
    let running = start_and_reach("e2e-cancelled", stage, folder.path());
    running.signal(Signal::SIGINT);
    let ended = running.wait(LIMIT);
    // A verdict that was reached before the signal stands; what comes after it cannot be cancelled.
    let code = if matches!(stage, Stage::Collect | Stage::Down) { 0 } else { 130 };
    assert_eq!(ended.code, Some(code), "{}", ended.stderr);
    assert_eq!(i32::from(result(&folder.path().join("out")).exit_code), code);
    Host::now().assert_unchanged_since(&before);
}

/// From the end of its terminal on nothing that the run says can be written but its files.
fn closed_terminal() {
    let before = Host::now();
    let folder = tempfile::tempdir().unwrap();
    let _removed = Removed("e2e-closed-run");
    let out = folder.path().join("out");
    let more = ["--script", "manifests/samples/hello.py"];
    let mut terminal = Terminal::start(&arguments("e2e-closed-run", "none", &out, &more));
    terminal.await_path(Path::new("/run/kfe2e/e2e-closed-run/containerd.sock"), LIMIT);
    assert_eq!(terminal.close(LIMIT), 130);
    let result = result(&out);
    assert_eq!((result.exit_code, result.message.as_str()), (130, "cancelled by SIGHUP"));
    Host::now().assert_unchanged_since(&before);
}

fn killed(stage: Stage) {
    let before = Host::now();
    let folder = tempfile::tempdir().unwrap();
    let _removed = Removed("e2e-killed-run");
    let running = start_and_reach("e2e-killed-run", stage, folder.path());
    running.signal(Signal::SIGKILL);
    running.wait(LIMIT);
    down("e2e-killed-run").expect(0);
    Host::now().assert_unchanged_since(&before);
}
