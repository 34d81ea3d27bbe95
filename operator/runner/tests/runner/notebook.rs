//! Notebooks against a real ipykernel.

use std::time::{Duration, Instant};

use crate::harness::{Pod, is_alive, notebook};
use crds::{
    v1alpha1::TestReason,
    verdict::{Cells, truncate},
};
use serde_json::{Value, json};

/// Seconds that are enough for any of these notebooks.
const ENOUGH: u32 = 120;

fn text(output: &Value) -> &str {
    output["text"].as_str().unwrap_or_else(|| panic!("no stream: {output}"))
}

#[test]
fn a_passing_notebook_holds_what_only_an_execution_gives() {
    let pod = Pod::new();
    let ended = pod.notebook(
        &notebook(&[
            "import os\nprint('six times seven is', 6 * 7)",
            "",
            "open(os.path.join(os.environ['E2E_ARTIFACTS'], 'a.txt'), 'w').write('kept')",
            "os.getpid()",
        ]),
        ENOUGH,
    );
    assert!(ended.verdict.passed, "{:?}", ended.verdict);
    assert_eq!(ended.verdict.cells, Some(Cells { passed: 3, failed: 0, total: 3 }));
    let executed = pod.executed();
    let cells = executed["cells"].as_array().unwrap();
    assert_eq!(text(&cells[0]["outputs"][0]), "six times seven is 42\n");
    assert_eq!(cells[3]["outputs"][0]["output_type"], "execute_result");
    assert!(cells[3]["outputs"][0]["data"]["text/plain"].as_str().unwrap().parse::<u32>().unwrap() > 1);
    assert_eq!((&cells[0]["execution_count"], &cells[3]["execution_count"]), (&json!(1), &json!(3)));
    assert_eq!(cells[0]["id"], "cell-0");
    for time in ["iopub.execute_input", "iopub.status.busy", "iopub.status.idle", "shell.execute_reply"] {
        assert!(cells[0]["metadata"]["execution"][time].is_string(), "{time}");
    }
    assert_eq!(executed["metadata"]["language_info"]["name"], "python");
    assert_eq!(pod.result("artifacts/a.txt"), "kept");
    assert!(ended.stdout.contains("── cell 1 of 3: import os\nsix times seven is 42\n"), "{}", ended.stdout);
    assert_eq!(
        std::fs::read_dir(pod.path("home"))
            .unwrap()
            .filter(|f| f.as_ref().unwrap().file_name().to_string_lossy().starts_with(".kernel-"))
            .count(),
        0
    );
}

#[test]
fn the_third_cell_raises_and_the_fourth_never_runs() {
    let pod = Pod::new();
    let ended = pod.notebook(&notebook(&["a = 1", "a + 1", "# divide\na / 0", "print('never')"]), ENOUGH);
    assert_eq!(ended.verdict.reason, Some(TestReason::CellFailed));
    assert_eq!(
        ended.verdict.message,
        "cell 3: ZeroDivisionError: division by zero (the cell begins: # divide)"
    );
    assert_eq!(ended.verdict.cells, Some(Cells { passed: 2, failed: 1, total: 4 }));
    let cells = pod.executed()["cells"].clone();
    assert_eq!(cells[2]["outputs"][0]["ename"], "ZeroDivisionError");
    assert_eq!(cells[3]["outputs"], json!([]), "stale outputs would look like results");
    assert!(!ended.stdout.contains("never'"));
}

#[test]
fn tags_are_honoured() {
    let pod = Pod::new();
    let mut source = notebook(&["raise ValueError('wanted')", "raise ValueError('not run')", "print('end')"]);
    source["cells"][0]["metadata"]["tags"] = json!(["raises-exception"]);
    source["cells"][1]["metadata"]["tags"] = json!(["skip-execution"]);
    let ended = pod.notebook(&source, ENOUGH);
    assert!(ended.verdict.passed, "{:?}", ended.verdict);
    assert_eq!(ended.verdict.cells, Some(Cells { passed: 2, failed: 0, total: 3 }));
    let cells = pod.executed()["cells"].clone();
    assert_eq!(cells[0]["outputs"][0]["evalue"], "wanted");
    assert_eq!(text(&cells[1]["outputs"][0]), "stale");
    assert_eq!(text(&cells[2]["outputs"][0]), "end\n");
}

#[test]
fn an_error_that_is_only_shown_is_no_pass() {
    let pod = Pod::new();
    let ended = pod.notebook(
        &notebook(&["open('part.py', 'w').write('raise KeyError(1)')", "%run part.py", "1"]),
        ENOUGH,
    );
    assert_eq!(ended.verdict.reason, Some(TestReason::CellFailed));
    assert!(ended.verdict.message.starts_with("cell 2: KeyError: 1"), "{}", ended.verdict.message);
}

#[test]
fn a_missing_kernel_is_named_with_those_there_are() {
    let pod = Pod::new();
    let mut source = notebook(&["1"]);
    source["metadata"]["kernelspec"]["name"] = json!("julia-1.9");
    let ended = pod.notebook(&source, ENOUGH);
    assert_eq!(ended.verdict.reason, Some(TestReason::KernelDied));
    let message = &ended.verdict.message;
    assert!(message.starts_with("kernel \"julia-1.9\" is not in the image: found python3;"), "{message}");
}

#[test]
fn a_kernel_that_cannot_start_is_told_with_its_last_words() {
    let pod = Pod::new();
    let mut source = notebook(&["1"]);
    for (kernel, argv, message) in [
        (
            "broken",
            &["sh", "-c", "echo no such library >&2; exit 4"][..],
            "the kernel ended before it was ready with exit code 4: no such library",
        ),
        (
            "absent",
            &["/nonexistent/kernel"][..],
            "kernel \"absent\" cannot be started: /nonexistent/kernel cannot be run: No such file or directory (os error 2)",
        ),
    ] {
        pod.add_kernel(kernel, argv);
        source["metadata"]["kernelspec"]["name"] = json!(kernel);
        let ended = pod.notebook(&source, ENOUGH);
        assert_eq!(ended.verdict.reason, Some(TestReason::KernelDied));
        assert_eq!(ended.verdict.message, message);
    }
}

#[test]
fn a_kernel_that_ends_itself_is_noticed_at_once() {
    for (source, how) in [
        ("import os, sys\nprint('last', flush=True)\nos._exit(3)", "exit code 3"),
        (
            "import os\nprint('last', flush=True)\nos.kill(os.getpid(), 9)",
            "signal 9 (SIGKILL), as when memory runs out",
        ),
        ("import ctypes\nprint('last', flush=True)\nctypes.string_at(0)", "signal 11 (SIGSEGV)"),
    ] {
        let pod = Pod::new();
        let started = Instant::now();
        let ended = pod.notebook(&notebook(&["1", source]), ENOUGH);
        assert_eq!(ended.verdict.reason, Some(TestReason::KernelDied));
        let expected = format!("cell 2: the kernel ended with {how} (the cell begins: import ");
        assert!(ended.verdict.message.starts_with(&expected), "{}", ended.verdict.message);
        assert!(
            !ended.verdict.message.contains("WARNING"),
            "of the kernel's start: {}",
            ended.verdict.message
        );
        assert_eq!(ended.verdict.cells, Some(Cells { passed: 1, failed: 1, total: 2 }));
        assert!(started.elapsed() < Duration::from_mins(1));
    }
}

#[test]
fn a_cell_that_takes_too_long_is_interrupted_and_its_traceback_kept() {
    let pod = Pod::new();
    let ended = pod.notebook(&notebook(&["1", "import time\nprint('began')\ntime.sleep(1000)"]), 6);
    assert_eq!(ended.verdict.reason, Some(TestReason::TimedOut));
    assert_eq!(
        ended.verdict.message,
        "cell 2: not finished within the test's timeout of 6 s (the cell begins: import time)"
    );
    let outputs = pod.executed()["cells"][1]["outputs"].clone();
    assert_eq!(text(&outputs[0]), "began\n");
    assert_eq!(outputs[1]["ename"], "KeyboardInterrupt");
}

#[test]
fn a_cell_that_ignores_the_interrupt_is_killed_with_what_it_started() {
    let pod = Pod::new();
    let source = "import subprocess, time\n\
        child = subprocess.Popen(['sleep', '1000'], start_new_session=True)\n\
        print(child.pid, flush=True)\n\
        while True:\n    try:\n        time.sleep(1000)\n    except KeyboardInterrupt:\n        pass";
    let started = Instant::now();
    let ended = pod.notebook(&notebook(&[source]), 5);
    assert_eq!(ended.verdict.reason, Some(TestReason::TimedOut));
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    let outputs = pod.executed()["cells"][0]["outputs"].clone();
    assert!(!is_alive(text(&outputs[0])));
}

#[test]
fn sigterm_saves_what_there_is_and_names_the_cell() {
    let pod = Pod::new();
    let source = notebook(&["print('first')", "import time\nprint('second', flush=True)\ntime.sleep(1000)"]);
    let command = pod.notebook_command(&source.to_string(), ENOUGH);
    let started = Instant::now();
    let ended = pod.terminate_after(command, "second");
    assert_eq!(ended.verdict.reason, Some(TestReason::TimedOut));
    assert_eq!(
        ended.verdict.message,
        "stopped while cell 2 ran: the pod was told to end (the cell begins: import time)"
    );
    assert_eq!(text(&pod.executed()["cells"][0]["outputs"][0]), "first\n");
    assert!(started.elapsed() < Duration::from_mins(1));
}

#[test]
fn a_kernel_that_never_answers_ends_with_the_test() {
    let pod = Pod::new();
    pod.add_kernel("slow", &["sh", "-c", "sleep 1000"]);
    let mut source = notebook(&["1"]);
    source["metadata"]["kernelspec"]["name"] = json!("slow");
    let ended = pod.notebook(&source, 2);
    assert_eq!(ended.verdict.reason, Some(TestReason::TimedOut));
    assert_eq!(
        ended.verdict.message,
        "the kernel was not ready: not finished within the test's timeout of 2 s"
    );
}

#[test]
fn big_output_is_cut_and_said_so_and_later_cells_still_run() {
    let pod = Pod::new();
    let ended = pod
        .notebook(&notebook(&["for i in range(40):\n    print('x' * 1024 * 512)", "print('after')"]), ENOUGH);
    assert!(ended.verdict.passed, "{}", ended.verdict.message);
    let cells = pod.executed()["cells"].clone();
    let first = text(&cells[0]["outputs"][0]);
    assert_eq!(first.len(), 8 * 1024 * 1024);
    let mark = text(&cells[0]["outputs"][1]);
    assert!(mark.contains("bytes of this cell's output are left out"), "{}", truncate(mark, 200));
    assert_eq!(text(&cells[1]["outputs"][0]), "after\n");
}

#[test]
fn displays_are_updated_across_cells_and_cleared() {
    let pod = Pod::new();
    let ended = pod.notebook(
        &notebook(&[
            "from IPython.display import display, clear_output\nhandle = display('old', display_id=True)",
            "handle.update('new')",
            "print('gone')\nclear_output()\nprint('stays')",
            "print('gone too')\nclear_output(wait=True)\nprint('stays too')",
        ]),
        ENOUGH,
    );
    assert!(ended.verdict.passed, "{:?}", ended.verdict);
    let cells = pod.executed()["cells"].clone();
    assert_eq!(cells[0]["outputs"][0]["data"]["text/plain"], "'new'");
    assert_eq!(cells[1]["outputs"], json!([]));
    assert_eq!(text(&cells[2]["outputs"][0]), "stays\n");
    assert_eq!(text(&cells[3]["outputs"][0]), "stays too\n");
}

#[test]
fn asking_for_input_fails_at_once() {
    let pod = Pod::new();
    let ended = pod.notebook(&notebook(&["input('name? ')"]), ENOUGH);
    assert_eq!(ended.verdict.reason, Some(TestReason::CellFailed));
    assert!(
        ended.verdict.message.starts_with("cell 1: StdinNotImplementedError"),
        "{}",
        ended.verdict.message
    );
}

#[test]
fn unicode_survives_in_both_directions() {
    let pod = Pod::new();
    let ended =
        pod.notebook(&notebook(&["größe = '✓ 漢字 🎉'\nprint(größe)", "raise ValueError('ünï 🎉')"]), ENOUGH);
    assert!(ended.verdict.message.starts_with("cell 2: ValueError: ünï 🎉 ("), "{}", ended.verdict.message);
    assert_eq!(text(&pod.executed()["cells"][0]["outputs"][0]), "✓ 漢字 🎉\n");
}

#[test]
fn what_cannot_be_run_is_never_a_pass() {
    for (content, sentence) in [
        (notebook(&[]).to_string(), "main.ipynb: no code cell to execute, so nothing was tested"),
        (notebook(&[" \n", ""]).to_string(), "main.ipynb: no code cell to execute, so nothing was tested"),
        (
            "{\"cells\": [".to_owned(),
            "main.ipynb cannot be run as a notebook: it is not JSON: EOF while parsing",
        ),
        (json!({"nbformat": 2}).to_string(), "it has notebook format 2, supported are 3 and 4"),
    ] {
        let pod = Pod::new();
        let ended = pod.end(pod.notebook_command(&content, ENOUGH).output().unwrap());
        assert_eq!(ended.verdict.reason, Some(TestReason::NonZeroExit));
        assert!(ended.verdict.message.contains(sentence), "{}", ended.verdict.message);
    }
}

#[test]
fn format_3_is_executed_after_its_upgrade() {
    let pod = Pod::new();
    let old = json!({"nbformat": 3, "nbformat_minor": 0, "metadata": {"name": ""}, "worksheets": [{"metadata": {}, "cells": [
        {"cell_type": "code", "collapsed": false, "input": ["print(6 * 7)"], "language": "python", "metadata": {}, "outputs": []},
    ]}]});
    let ended = pod.notebook(&old, ENOUGH);
    assert!(ended.verdict.passed, "{:?}", ended.verdict);
    assert_eq!(text(&pod.executed()["cells"][0]["outputs"][0]), "42\n");
}
