//! What the pod's other containers do: bring the runner in, ship the results out.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _},
    os::unix::fs::PermissionsExt as _,
    process::{Child, ChildStderr, Command, Stdio},
};

use crate::harness::{Pod, notebook, terminate};
use crds::frame::unpack;

fn runner() -> Command {
    Command::new(env!("CARGO_BIN_EXE_runner"))
}

#[test]
fn an_installed_copy_works_and_has_its_folders() {
    let volume = tempfile::tempdir().unwrap();
    let copy = volume.path().join("runner");
    // A restarted container installs again.
    for _ in 0..2 {
        assert!(runner().arg("install").arg(&copy).status().unwrap().success());
    }
    let mode = |name: &str| fs::metadata(volume.path().join(name)).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode("runner"), mode("results"), mode("home")), (0o755, 0o775, 0o775));
    assert!(Command::new(copy).arg("--help").status().unwrap().success());
}

#[test]
fn a_volume_that_is_not_there_is_named() {
    let output = runner().args(["install", "/nonexistent/runner"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let sentence = String::from_utf8(output.stderr).unwrap();
    assert!(
        sentence.starts_with("runner: the copy /nonexistent/runner cannot be made: No such file"),
        "{sentence}"
    );
}

#[test]
fn wrong_usage_is_exit_code_2_and_one_line() {
    let output = runner().args(["notebook", "--timeout", "soon"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let sentence = String::from_utf8(output.stderr).unwrap();
    assert_eq!(sentence.lines().count(), 1, "{sentence}");
}

#[test]
fn the_sidecar_ships_the_same_bytes() {
    let pod = Pod::new();
    assert!(pod.notebook(&notebook(&["print('x' * 50000)"]), 120).verdict.passed);
    let results = pod.path("results");
    let noise: Vec<u8> = (0..100_000_u32).map(|n| n.to_le_bytes()[1]).collect();
    fs::write(results.join("noise.bin"), &noise).unwrap();

    let mut sidecar = runner();
    sidecar.arg("results").arg("--dir").arg(&results).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = sidecar.spawn().unwrap();
    let _notes = wait_until_ready(&mut child);
    terminate(&child);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let unpacked = unpack(&String::from_utf8(output.stdout).unwrap());
    assert_eq!(unpacked.problems, Vec::<String>::new());
    let names: Vec<&str> = unpacked.files.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["noise.bin", "executed.ipynb", "verdict.json"]);
    for (name, content) in &unpacked.files {
        assert_eq!(&fs::read(results.join(name)).unwrap(), content, "{name}");
    }
}

#[test]
fn a_sidecar_whose_log_is_gone_ends() {
    let pod = Pod::new();
    fs::write(pod.path("results/a.bin"), vec![0; 1_000_000]).unwrap();
    let mut sidecar = runner();
    sidecar
        .arg("results")
        .arg("--dir")
        .arg(pod.path("results"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = sidecar.spawn().unwrap();
    drop(child.stdout.take());
    let mut notes = wait_until_ready(&mut child);
    terminate(&child);
    assert_eq!(child.wait().unwrap().code(), Some(1));
    let mut sentence = String::new();
    notes.read_to_string(&mut sentence).unwrap();
    assert!(sentence.starts_with("runner: frames cannot be written to stdout: "), "{sentence}");
}

/// Waits until the sidecar says that it waits for SIGTERM; before that the signal would end it.
fn wait_until_ready(child: &mut Child) -> BufReader<ChildStderr> {
    let mut notes = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    notes.read_line(&mut line).unwrap();
    assert!(line.starts_with("waiting for SIGTERM"), "{line}");
    notes
}
