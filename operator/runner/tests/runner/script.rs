//! Scripts with real interpreters.

use std::{
    fs,
    time::{Duration, Instant},
};

use crate::harness::{Pod, is_alive};
use crds::{v1alpha1::TestReason, verdict::Verdict};

/// Seconds that are enough for any of these scripts.
const ENOUGH: u32 = 60;

const PYTHON: &[&str] = &["--interpreter", "python3"];
const SHELL: &[&str] = &["--interpreter", "sh"];

#[test]
fn a_passing_script_has_its_arguments_home_and_artefacts() {
    let pod = Pod::new();
    let script = "import os, sys\nprint(sys.argv[1:], os.getcwd(), sys.flags.utf8_mode)\nprint('note', file=sys.stderr)\n\
        open(os.environ['E2E_ARTIFACTS'] + '/a.txt', 'w').write('kept')";
    let words =
        ["--interpreter", "python3", "--interpreter", "-X", "--interpreter", "utf8", "--", "--epochs", "3"];
    let ended = pod.script(script, ENOUGH, &words);
    assert!(ended.verdict.passed, "{:?}", ended.verdict);
    let printed = format!("['--epochs', '3'] {} 1\n", pod.path("home").display());
    assert_eq!(
        (ended.stdout.as_str(), ended.stderr.as_str()),
        (format!("{printed}passed\n").as_str(), "note\n")
    );
    let log = pod.result("output.log");
    assert!(log.contains(&printed) && log.contains("note\n"), "{log}");
    assert_eq!(pod.result("artifacts/a.txt"), "kept");
}

#[test]
fn a_failing_script_is_told_by_its_last_line() {
    for (words, script, message) in [
        (PYTHON, "raise ValueError('no model')", "exit code 1: ValueError: no model"),
        (SHELL, "echo out; echo why >&2; exit 3", "exit code 3: why"),
        (SHELL, "echo only out; exit 4", "exit code 4: only out"),
        (SHELL, "kill -SEGV $$", "ended by signal 11 (SIGSEGV)"),
        (SHELL, "echo big; kill -9 $$", "ended by signal 9 (SIGKILL), as when memory runs out: big"),
        (&["--interpreter", "ruby4"], "x", "exit code 127: interpreter \"ruby4\" is not in the image's PATH"),
        (
            &["--interpreter", "/opt/none"],
            "x",
            "exit code 127: interpreter \"/opt/none\" is not in the image",
        ),
        (
            &["--interpreter", "/etc"],
            "x",
            "exit code 126: interpreter \"/etc\" cannot be run: Permission denied (os error 13)",
        ),
    ] {
        let ended = Pod::new().script(script, ENOUGH, words);
        assert_eq!(
            (ended.verdict.reason, ended.verdict.message.as_str()),
            (Some(TestReason::NonZeroExit), message),
            "{script}"
        );
    }
}

#[test]
fn an_empty_or_missing_script_is_never_a_pass() {
    let ended = Pod::new().script(" \n\n", ENOUGH, SHELL);
    assert!(
        ended.verdict.message.ends_with("main is empty, so nothing was tested"),
        "{}",
        ended.verdict.message
    );
    let pod = Pod::new();
    let mut command = pod.script_command("x", ENOUGH, SHELL);
    fs::remove_file(pod.path("main")).unwrap();
    let ended = pod.end(command.output().unwrap());
    assert!(ended.verdict.message.contains("main cannot be read: No such file"), "{}", ended.verdict.message);
}

#[test]
fn a_script_that_takes_too_long_ends_with_all_it_started() {
    let pod = Pod::new();
    let script = "trap '' TERM\nsleep 1000 & echo $! > pids\nsetsid sleep 1000 & echo $! >> pids\necho waiting\nwait; wait; sleep 1000";
    let started = Instant::now();
    let ended = pod.script(script, 2, SHELL);
    assert_eq!(ended.verdict.reason, Some(TestReason::TimedOut));
    assert_eq!(ended.verdict.message, "not finished within the test's timeout of 2 s; last line: waiting");
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    for pid in fs::read_to_string(pod.path("home/pids")).unwrap().lines() {
        assert!(!is_alive(pid), "process {pid} is still there");
    }
}

#[test]
fn a_script_that_leaves_processes_behind_ends_when_it_ends() {
    let pod = Pod::new();
    let started = Instant::now();
    let ended =
        pod.script("(sleep 1000; echo late) & setsid sleep 1000 & echo $! > pid; echo done", ENOUGH, SHELL);
    assert!(ended.verdict.passed, "{:?}", ended.verdict);
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    assert!(!is_alive(&fs::read_to_string(pod.path("home/pid")).unwrap()));
}

#[test]
fn sigterm_lets_a_script_clean_up() {
    let pod = Pod::new();
    let script = "import signal, sys, time\n\
        signal.signal(signal.SIGTERM, lambda *_: (print('cleaned up'), sys.exit(7)))\nprint('ready')\ntime.sleep(1000)";
    let ended = pod.terminate_after(pod.script_command(script, ENOUGH, PYTHON), "ready");
    assert_eq!(ended.verdict.reason, Some(TestReason::TimedOut));
    assert_eq!(ended.verdict.message, "stopped from outside: the pod was told to end; last line: cleaned up");
}

#[test]
fn a_flood_is_shown_whole_and_kept_in_part() {
    let pod = Pod::new();
    let script = "import sys\nprint('first')\nfor i in range(50):\n    sys.stdout.write('x' * 1024 * 1024)\nprint('\\nlast')\nsys.exit(5)";
    let ended = pod.script(script, ENOUGH, PYTHON);
    assert_eq!(ended.verdict.message, "exit code 5: last");
    assert!(ended.stdout.len() > 50 * 1024 * 1024);
    let log = pod.result("output.log");
    assert!(log.len() < 1024 * 1024 + 100, "{}", log.len());
    assert!(
        log.starts_with("first\n") && log.contains("bytes are left out here") && log.ends_with("\nlast\n")
    );
}

#[test]
fn output_that_is_no_text_does_no_harm() {
    let ended = Pod::new().script(r"printf '\377\376\033[31mred\n' >&2; exit 2", ENOUGH, SHELL);
    assert_eq!(ended.verdict.message, "exit code 2: \u{fffd}\u{fffd}red");
}

#[test]
fn a_volume_that_takes_no_verdict_changes_none() {
    for (script, code) in [("exit 0", 0), ("exit 3", 1)] {
        let pod = Pod::new();
        // In the way of the file that becomes verdict.json; unlike a missing right it stops root too.
        fs::create_dir(pod.path("results/.verdict.json.unfinished")).unwrap();
        let output = pod.script_command(script, ENOUGH, SHELL).output().unwrap();
        let complaint = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{complaint}");
        assert!(complaint.starts_with("runner: the verdict cannot be written to "), "{complaint}");
        let told = fs::read_to_string(pod.path("termination-log")).unwrap();
        assert_eq!(Verdict::from_termination_message(&told).unwrap().passed, code == 0);
    }
}
