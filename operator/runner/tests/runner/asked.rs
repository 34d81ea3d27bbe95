//! What a test may ask for beside its source: parameters, packages, a receipt, a program of the image.

use std::process::Command;

use crate::harness::{Pod, notebook};
use crds::{v1alpha1::TestReason, verdict::Checks};
use serde_json::json;

/// Seconds that are enough for any of these tests.
const ENOUGH: u32 = 120;

/// Makes a wheel of a package that says `hello`.
const WHEEL: &str = "\
import sys, zipfile
with zipfile.ZipFile(sys.argv[1] + '/kfe2e_hello-1.0-py3-none-any.whl', 'w') as wheel:
    wheel.writestr('kfe2e_hello.py', 'WORD = \"hello\"')
    info = 'kfe2e_hello-1.0.dist-info/'
    wheel.writestr(info + 'METADATA', 'Metadata-Version: 2.1\\nName: kfe2e-hello\\nVersion: 1.0\\n')
    wheel.writestr(info + 'WHEEL', 'Wheel-Version: 1.0\\nGenerator: x\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')
    wheel.writestr(info + 'RECORD', 'kfe2e_hello.py,,\\n' + ''.join(info + name + ',,\\n' for name in ('METADATA', 'WHEEL', 'RECORD')))
";

/// A folder with that wheel.
fn wheels(pod: &Pod) -> String {
    let folder = pod.path("home").display().to_string();
    assert!(Command::new("python3").args(["-c", WHEEL, &folder]).status().unwrap().success());
    folder
}

#[test]
fn parameters_replace_a_notebooks_own_values() {
    let pod = Pod::new();
    let mut document =
        notebook(&["steps, word = 1, 'a'", "assert (steps, word) == (3, 'b c'), (steps, word)"]);
    document["cells"][0]["metadata"] = json!({"tags": ["parameters"]});
    let mut command = pod.notebook_command(&document.to_string(), ENOUGH);
    command.args(["--parameter", "steps=3", "--parameter", "word=b c"]);
    let ended = pod.end(command.output().unwrap());
    assert!(ended.verdict.passed, "{:?}", ended.verdict);
    let cells = pod.executed()["cells"].clone();
    assert_eq!(cells[1]["metadata"]["tags"], json!(["injected-parameters"]));
    assert_eq!(cells.as_array().unwrap().len(), 3);
}

#[test]
fn packages_are_there_before_the_test_starts() {
    let pod = Pod::new();
    let words = ["--requirement", "kfe2e-hello==1.0", "--interpreter", "python3"];
    let mut script = pod.script_command("import kfe2e_hello\nprint(kfe2e_hello.WORD)", ENOUGH, &words);
    let folder = wheels(&pod);
    let offline = |command: &mut Command| {
        command.env("PIP_NO_INDEX", "1").env("PIP_FIND_LINKS", &folder).env("PIP_ROOT_USER_ACTION", "ignore");
    };
    offline(&mut script);
    let ended = pod.end(script.output().unwrap());
    assert!(ended.verdict.passed, "{:?}\n{}", ended.verdict, ended.stdout);
    assert_eq!(pod.result("output.log"), "hello\n");
    assert!(pod.path("packages").join("kfe2e_hello.py").is_file());

    let mut command = pod.notebook_command(&notebook(&["import kfe2e_hello"]).to_string(), ENOUGH);
    command.args(["--requirement", "kfe2e-hello"]);
    offline(&mut command);
    let ended = pod.end(command.output().unwrap());
    assert!(ended.verdict.passed, "{:?}\n{}", ended.verdict, ended.stdout);
}

#[test]
fn packages_that_cannot_be_installed_are_said_so_and_nothing_runs() {
    let pod = Pod::new();
    let words = ["--requirement", "kfe2e-none==1.0", "--interpreter", "sh"];
    let mut script = pod.script_command("touch ran", ENOUGH, &words);
    script.env("PIP_NO_INDEX", "1");
    let ended = pod.end(script.output().unwrap());
    assert_eq!(ended.verdict.reason, Some(TestReason::NonZeroExit));
    let expected = "the requirements cannot be installed: exit code 1: ERROR: No matching distribution found for kfe2e-none==1.0";
    assert_eq!(ended.verdict.message, expected);
    assert!(!pod.path("home").join("ran").exists());

    let mut command = pod.notebook_command(&notebook(&["1"]).to_string(), ENOUGH);
    command.args(["--requirement", "kfe2e-none==1.0"]).env("PIP_NO_INDEX", "1");
    let ended = pod.end(command.output().unwrap());
    assert_eq!(ended.verdict.message, expected);
    assert_eq!(ended.verdict.cells.map(|cells| cells.passed), Some(0));
}

#[test]
fn a_pass_without_a_required_receipt_is_none() {
    let words = ["--receipt", "required", "--interpreter", "sh"];
    let ended = Pod::new().script("echo done", ENOUGH, &words);
    assert_eq!((ended.verdict.passed, ended.verdict.reason), (false, Some(TestReason::NoReceipt)));

    let receipt =
        r#"echo '{"checks": [{"name": "a", "ok": true}, {"name": "b", "ok": true}]}' > "$E2E_RECEIPT""#;
    let pod = Pod::new();
    let ended = pod.script(receipt, ENOUGH, &words);
    assert!(ended.verdict.passed, "{:?}", ended.verdict);
    assert_eq!(ended.verdict.checks, Some(Checks { passed: 2, total: 2 }));
    assert!(pod.path("results").join("receipt.json").is_file(), "it is shipped with the results");

    let failed = receipt.replacen("true", "false", 1);
    let ended = Pod::new().script(&failed, ENOUGH, &["--interpreter", "sh"]);
    assert_eq!(ended.verdict.reason, Some(TestReason::ReceiptFailed));
}

#[test]
fn a_program_of_the_image_is_run_as_it_is() {
    for (words, message) in [
        (&["--", "sh", "-c", "test \"$0\" = '$(HOME)' && exit 3", "$(HOME)"][..], Some("exit code 3")),
        (&["--", "true"], None),
        (&["--", "kfe2e-none"], Some("exit code 127: program \"kfe2e-none\" is not in the image's PATH")),
    ] {
        let pod = Pod::new();
        let ended = pod.end(pod.program_command(ENOUGH, words).output().unwrap());
        assert_eq!(
            (ended.verdict.passed, ended.verdict.message.as_str()),
            (message.is_none(), message.unwrap_or_default())
        );
    }
}
