//! Installs the Python packages that a test asks for, into a folder of the pod.

use std::{
    ffi::{OsStr, OsString},
    io,
    path::Path,
    process::Command,
};

use crds::verdict::Verdict;

use crate::{
    children::Children,
    command_line::Run,
    script::{session::supervise, verdict::verdict},
    stop::Stopper,
    workplace::Workplace,
};

/// File of pip's output, below the results.
const LOG_FILE: &str = "requirements.log";

/// The Python of a test that does not run one itself.
const PYTHON: &str = "python3";

/// Installs what the test asks for; the verdict of a test that cannot begin.
///
/// # Errors
/// What goes wrong with the runner itself.
pub async fn install(
    run: &Run,
    program: Option<&OsStr>,
    workplace: &Workplace,
    children: &mut Children,
    stopper: &mut Stopper,
) -> io::Result<Option<Verdict>> {
    let Some(folder) = workplace.packages.as_ref() else { return Ok(None) };
    let mut command = Command::new(python(program));
    command
        .args(["-m", "pip", "install", "--no-input", "--disable-pip-version-check", "--no-cache-dir"])
        .args(["--progress-bar", "off", "--target"])
        .arg(folder)
        .arg("--")
        .args(&run.requirements)
        .current_dir(&workplace.folder);
    let (end, last) = supervise(command, "program", &run.results.join(LOG_FILE), children, stopper).await?;
    let mut found = verdict(&end, last.as_deref());
    found.message = format!("the requirements cannot be installed: {}", found.message);
    Ok((!found.passed).then_some(found))
}

/// The Python that will read the packages: the test's own, if it is one.
fn python(program: Option<&OsStr>) -> OsString {
    let name = program.and_then(|program| Path::new(program).file_name()?.to_str());
    match (program, name) {
        (Some(program), Some(name)) if name.starts_with("python") => program.to_owned(),
        _ => PYTHON.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_for_the_python_that_runs_the_test() {
        for (program, expected) in [
            (Some("/opt/conda/bin/python3.11"), "/opt/conda/bin/python3.11"),
            (Some("python"), "python"),
            (Some("bash"), "python3"),
            (None, "python3"),
        ] {
            assert_eq!(python(program.map(OsStr::new)), OsString::from(expected));
        }
    }
}
