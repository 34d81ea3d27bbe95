//! The last lines that `kfe2e` prints.

use std::path::Path;

use crds::{
    run_result::{RunResult, TestResult},
    v1alpha1::TestState,
};

use crate::{folder::SUMMARY_MD, junit::is_ready, plain, words};

/// Most components that are not ready to print.
const MOST_COMPONENTS: usize = 5;

/// The verdict, the tests, what blocks Kubeflow where it was not ready, and where the report is.
pub fn closing_lines(result: &RunResult, folder: &Path) -> String {
    let width =
        result.tests.iter().map(|test| plain::one_line(&test.name).chars().count()).max().unwrap_or_default();
    let mut lines: Vec<String> = result.tests.iter().map(|test| test_line(test, width)).collect();
    if !words::succeeded(result) {
        let not_ready: Vec<_> = result.components.iter().filter(|component| !is_ready(component)).collect();
        for component in not_ready.iter().take(MOST_COMPONENTS) {
            let name = plain::one_line(&component.name);
            let blocking = component.blocking.as_deref().map(plain::one_line).unwrap_or_default();
            lines.push(
                format!("  {name} {}/{} ready  {blocking}", component.ready, component.total)
                    .trim_end()
                    .to_owned(),
            );
        }
        if not_ready.len() > MOST_COMPONENTS {
            lines.push(format!("  and {} more that are not ready", not_ready.len() - MOST_COMPONENTS));
        }
    }
    lines.extend(
        result.problems.iter().map(|problem| format!("  not collected: {}", plain::one_line(problem))),
    );
    let took = words::seconds(words::run_seconds(result));
    lines.push(format!("{}: {} ({took})", words::verdict(result), plain::one_line(&result.message)));
    lines.push(format!("report: {}", folder.join(SUMMARY_MD).display()));
    lines.join("\n") + "\n"
}

/// A test, how it ended and why.
fn test_line(test: &TestResult, width: usize) -> String {
    let mut parts =
        vec![format!("  {:width$}", plain::one_line(&test.name)), words::state(test.state).to_owned()];
    parts.extend(test.seconds.map(words::seconds));
    if test.state != TestState::Passed {
        let reason = test.reason.map(|reason| reason.to_string());
        let why: Vec<String> =
            reason.into_iter().chain(test.message.as_deref().map(plain::one_line)).collect();
        if !why.is_empty() {
            parts.push(why.join(": "));
        }
    }
    parts.join("  ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;

    #[test]
    fn a_passed_run_ends_with_its_verdict_and_its_report() {
        assert_eq!(
            closing_lines(&fixtures::passed(), Path::new("out")),
            "  notebook  passed  3.0 s\n  script    passed  3.0 s\n\
             Succeeded: 2 of 2 tests passed (1 min 10 s)\nreport: out/summary.md\n"
        );
    }

    #[test]
    fn a_failed_test_says_why_on_its_line() {
        assert_eq!(
            closing_lines(&fixtures::failed(), Path::new("out")).lines().next(),
            Some("  notebook  failed  3.0 s  CellFailed: cell 3: ZeroDivisionError: division by zero")
        );
    }

    #[test]
    fn what_blocks_kubeflow_is_printed() {
        assert_eq!(
            closing_lines(&fixtures::not_ready(), Path::new("out")),
            "  script  not run\n\
             \x20 pipelines 11/14 ready  Deployment kubeflow/mysql: ImagePullBackOff docker.io/mysql:8\n\
             Kubeflow not ready: Kubeflow was not ready within 45m (1 min 10 s)\nreport: out/summary.md\n"
        );
    }

    #[test]
    fn a_terminal_is_not_at_the_mercy_of_a_message() {
        let mut result = fixtures::failed();
        result.tests[0].message = Some("\u{1b}[2J\u{7}gone\r\nline".into());
        let lines = closing_lines(&result, Path::new("out"));
        assert!(lines.contains(": gone line\n"), "{lines:?}");
    }
}
