//! `junit.xml`: the tests, Kubeflow's components and the run itself as suites, for the viewers of CI systems.
//!
//! It is red exactly when the run is: a run that did not succeed has at least one failure or error, whatever ended it.

use std::{iter, time::Duration};

use crds::{
    run_result::{RunResult, TestResult},
    v1alpha1::{ComponentStatus, RunReason, TestState},
};
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite, XmlString};

use crate::{Excerpts, plain, words};

/// The JUnit XML of a run; excerpts stand in the failures of their tests.
pub fn junit(result: &RunResult, excerpts: &Excerpts) -> String {
    let mut suites = Vec::new();
    if !result.tests.is_empty() {
        let tests = result.tests.iter().map(|test| test_case(test, excerpts));
        suites.push(suite(result, "tests", tests));
    }
    if !result.components.is_empty() {
        let components =
            result.components.iter().map(|component| component_case(component, words::succeeded(result)));
        suites.push(suite(result, "kubeflow", components));
    }
    suites.push(suite(result, "run", run_cases(result, is_red(&suites))));
    let mut report = Report::new(plain::one_line(&result.run));
    report.set_time(duration(words::run_seconds(result))).add_test_suites(suites);
    // Writing into memory: there is nothing that can fail.
    report.to_string().unwrap_or_default()
}

fn suite(result: &RunResult, name: &str, cases: impl IntoIterator<Item = TestCase>) -> TestSuite {
    let mut suite = TestSuite::new(name);
    suite.extra.insert(XmlString::new("timestamp"), XmlString::new(result.start_time.to_string()));
    for mut case in cases {
        case.set_classname(format!("kfe2e.{name}"));
        suite.add_test_case(case);
    }
    suite
}

/// Whether a suite has a failure or an error.
fn is_red(suites: &[TestSuite]) -> bool {
    suites.iter().any(|suite| suite.failures + suite.errors > 0)
}

fn test_case(test: &TestResult, excerpts: &Excerpts) -> TestCase {
    let status = match test.state {
        TestState::Passed => TestCaseStatus::success(),
        TestState::NotRun => skipped(test.message.as_deref().unwrap_or("the run ended before its turn")),
        TestState::Failed => problem(NonSuccessKind::Failure, test, excerpts),
        TestState::Error | TestState::Inconclusive | TestState::Pending | TestState::Running => {
            problem(NonSuccessKind::Error, test, excerpts)
        }
    };
    let mut case = TestCase::new(plain::one_line(&test.name), status);
    if let Some(seconds) = test.seconds {
        case.set_time(duration(seconds));
    }
    case
}

fn problem(kind: NonSuccessKind, test: &TestResult, excerpts: &Excerpts) -> TestCaseStatus {
    let kind_of_problem =
        test.reason.map_or_else(|| words::state(test.state).to_owned(), |reason| reason.to_string());
    let message = plain::one_line(test.message.as_deref().unwrap_or_else(|| words::state(test.state)));
    let evidence = excerpts.get(&test.name).into_iter().flatten();
    let evidence = evidence
        .map(|excerpt| format!("{}:\n{}", plain::one_line(&excerpt.title), plain::lines(&excerpt.text)));
    let description = iter::once(message.clone()).chain(evidence).collect::<Vec<_>>().join("\n\n");
    let mut status = TestCaseStatus::non_success(kind);
    status.set_type(kind_of_problem).set_message(message).set_description(description);
    status
}

/// A component that is not ready fails, unless the run succeeded: then it was ready when the tests began, and the case
/// says what became of it without turning a green run red.
fn component_case(component: &ComponentStatus, succeeded: bool) -> TestCase {
    let status = if is_ready(component) {
        TestCaseStatus::success()
    } else {
        let count = format!("{} of {} objects ready", component.ready, component.total);
        let message = component.blocking.as_deref().map_or_else(|| count.clone(), plain::one_line);
        if succeeded {
            skipped(&format!("not ready at the end of the run: {message}"))
        } else {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            status
                .set_type("NotReady")
                .set_message(message.clone())
                .set_description(format!("{message} ({count})"));
            status
        }
    };
    TestCase::new(plain::one_line(&component.name), status)
}

/// Nothing to wait for is not ready.
pub(crate) const fn is_ready(component: &ComponentStatus) -> bool {
    component.total > 0 && component.ready >= component.total && component.blocking.is_none()
}

/// The stages, and the verdict where nothing else says that the run did not succeed.
fn run_cases(result: &RunResult, red: bool) -> Vec<TestCase> {
    let mut cases: Vec<TestCase> = result
        .stages
        .iter()
        .map(|stage| {
            let status = stage
                .error
                .as_deref()
                .map_or_else(TestCaseStatus::success, |error| run_error("StageFailed", error));
            let mut case = TestCase::new(stage.stage.as_str(), status);
            case.set_time(duration(stage.seconds));
            case
        })
        .collect();
    let said = red || result.stages.iter().any(|stage| stage.error.is_some());
    if !words::succeeded(result) && !said {
        let reason = result.reason.map_or("InfrastructureError", RunReason::as_str);
        cases.push(TestCase::new("verdict", run_error(reason, &result.message)));
    }
    cases
}

fn run_error(kind: &str, message: &str) -> TestCaseStatus {
    let message = plain::one_line(message);
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
    status.set_type(kind).set_message(message.clone()).set_description(message);
    status
}

fn skipped(message: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::skipped();
    status.set_message(plain::one_line(message));
    status
}

fn duration(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Excerpt, fixtures};

    fn xml(result: &RunResult) -> String {
        junit(result, &Excerpts::new())
    }

    /// Names of all elements, or why the text is no XML.
    fn elements(xml: &str) -> Result<Vec<String>, String> {
        let mut reader = quick_xml::Reader::from_str(xml);
        reader.config_mut().enable_all_checks(true);
        let mut names = Vec::new();
        loop {
            match reader.read_event().map_err(|error| error.to_string())? {
                quick_xml::events::Event::Eof => return Ok(names),
                quick_xml::events::Event::Start(start) | quick_xml::events::Event::Empty(start) => {
                    for attribute in start.attributes() {
                        attribute.map_err(|error| error.to_string())?;
                    }
                    names.push(String::from_utf8_lossy(start.name().as_ref()).into_owned());
                }
                _ => {}
            }
        }
    }

    fn reds(xml: &str) -> usize {
        elements(xml).unwrap().iter().filter(|name| *name == "failure" || *name == "error").count()
    }

    #[test]
    fn a_failed_test_is_written_as_ci_systems_read_it() {
        let excerpt = Excerpt { title: "Traceback of cell 3".into(), text: "1/0 <module>".into() };
        let excerpts = [("notebook".to_owned(), vec![excerpt])].into();
        assert_eq!(
            junit(&fixtures::failed(), &excerpts),
            r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="kubeflow" tests="5" skipped="0" failures="1" errors="0" time="70.000">
    <testsuite name="tests" tests="2" skipped="0" errors="0" failures="1" timestamp="2026-11-23T12:00:00Z">
        <testcase name="notebook" classname="kfe2e.tests" time="3.000">
            <failure message="cell 3: ZeroDivisionError: division by zero" type="CellFailed">cell 3: ZeroDivisionError: division by zero

Traceback of cell 3:
1/0 &lt;module&gt;</failure>
        </testcase>
        <testcase name="script" classname="kfe2e.tests" time="3.000"/>
    </testsuite>
    <testsuite name="kubeflow" tests="1" skipped="0" errors="0" failures="0" timestamp="2026-11-23T12:00:00Z">
        <testcase name="istio-system" classname="kfe2e.kubeflow"/>
    </testsuite>
    <testsuite name="run" tests="2" skipped="0" errors="0" failures="0" timestamp="2026-11-23T12:00:00Z">
        <testcase name="up" classname="kfe2e.run" time="7.300"/>
        <testcase name="test" classname="kfe2e.run" time="20.500"/>
    </testsuite>
</testsuites>
"#
        );
    }

    #[test]
    fn a_run_that_died_early_is_red() {
        let xml = xml(&fixtures::died());
        assert!(
            xml.contains(
                r#"<error message="the node is not ready: no CNI configuration" type="StageFailed">"#
            ),
            "{xml}"
        );
        assert_eq!(reds(&xml), 1);
    }

    #[test]
    fn a_component_that_is_not_ready_fails_with_what_blocks_it() {
        let xml = xml(&fixtures::not_ready());
        assert!(
            xml.contains(
                r#"message="Deployment kubeflow/mysql: ImagePullBackOff docker.io/mysql:8" type="NotReady""#
            ),
            "{xml}"
        );
        assert!(xml.contains(r#"<skipped message="the run ended before its turn""#), "{xml}");
    }

    #[test]
    fn a_lapse_after_the_start_does_not_turn_a_green_run_red() {
        let components =
            vec![fixtures::component("pipelines", 1, 2, Some("Deployment a/b: CrashLoopBackOff"))];
        let xml = xml(&RunResult { components, ..fixtures::passed() });
        assert_eq!(reds(&xml), 0);
        assert!(xml.contains("not ready at the end of the run: Deployment a/b: CrashLoopBackOff"), "{xml}");
    }

    #[test]
    fn a_component_without_objects_is_not_ready() {
        let components = vec![fixtures::component("ghost", 0, 0, None)];
        assert_eq!(reds(&xml(&RunResult { components, ..fixtures::not_ready() })), 1);
    }

    #[test]
    fn red_is_the_run_and_nothing_else() {
        for code in [1, 2, 3, 4, 5, 6, 130, 77] {
            let xml = xml(&RunResult { exit_code: code, reason: None, ..fixtures::passed() });
            assert_eq!(reds(&xml), 1, "{code}: {xml}");
        }
        assert_eq!(reds(&xml(&fixtures::passed())), 0);
        for state in [TestState::Error, TestState::Inconclusive, TestState::Pending, TestState::Running] {
            let tests = vec![fixtures::test("a", state)];
            assert_eq!(reds(&xml(&RunResult { tests, exit_code: 4, ..fixtures::passed() })), 1, "{state:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_gives_well_formed_xml(text in any::<String>(), seconds in any::<f64>()) {
            let mut result = fixtures::failed();
            result.message.clone_from(&text);
            result.run.clone_from(&text);
            for test in &mut result.tests {
                test.name.clone_from(&text);
                test.message = Some(text.clone());
                test.seconds = Some(seconds);
            }
            result.components = vec![fixtures::component(&text, 0, 1, Some(&text))];
            result.stages[0].error = Some(text.clone());
            let excerpts = [(text.clone(), vec![Excerpt { title: text.clone(), text }])].into();
            let xml = junit(&result, &excerpts);
            let names = elements(&xml);
            prop_assert!(names.is_ok(), "{:?} in {}", names, xml);
            let not_allowed = |c: char| (c.is_control() && !matches!(c, '\n' | '\t')) || matches!(c, '\u{fffe}' | '\u{ffff}');
            prop_assert!(!xml.contains(not_allowed));
        }
    }
}
