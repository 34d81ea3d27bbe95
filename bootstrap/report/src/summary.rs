//! `summary.md`: the verdict first, then what failed and why, then the rest.

use crds::run_result::{RunResult, TestResult};
use crds::v1alpha1::TestState;

use crate::{
    Excerpts,
    folder::{JUNIT_XML, RUN_JSON},
    junit::is_ready,
    markdown::{block, inline, link, table},
    words,
};

/// Most components that are not ready to list; each has the same few causes by then.
const MOST_COMPONENTS: usize = 30;

/// The summary in Markdown; excerpts stand under their tests.
pub fn summary(result: &RunResult, excerpts: &Excerpts) -> String {
    let parts = [
        verdict(result),
        tests(result),
        failures(result, excerpts),
        components(result),
        problems(result),
        stages(result),
        files(result),
    ];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n")
}

fn verdict(result: &RunResult) -> String {
    format!(
        "# {} {}: {}\n\nRun {} with kfe2e {}, {}.\n",
        words::mark(words::succeeded(result)),
        words::verdict(result),
        inline(&result.message),
        inline(&result.run),
        inline(&result.version),
        words::seconds(words::run_seconds(result)),
    )
}

fn tests(result: &RunResult) -> String {
    if result.tests.is_empty() {
        return "No test ran.\n".into();
    }
    let rows: Vec<Vec<String>> = result
        .tests
        .iter()
        .map(|test| {
            vec![
                test.name.clone(),
                words::marked_state(test),
                test.reason.map_or_else(String::new, |reason| reason.to_string()),
                test.seconds.map_or_else(String::new, words::seconds),
                words::cells(test),
            ]
        })
        .collect();
    table(&["test", "result", "reason", "time", "cells"], &rows)
}

/// A section for each test that should have passed and did not.
fn failures(result: &RunResult, excerpts: &Excerpts) -> String {
    let failed =
        result.tests.iter().filter(|test| !matches!(test.state, TestState::Passed | TestState::NotRun));
    failed.map(|test| failure(test, excerpts)).collect::<Vec<_>>().join("\n")
}

fn failure(test: &TestResult, excerpts: &Excerpts) -> String {
    let reason = test.reason.map_or_else(|| words::state(test.state).to_owned(), |reason| reason.to_string());
    let mut parts = vec![format!("## {}: {reason}\n", inline(&test.name))];
    parts.extend(test.message.as_ref().map(|message| format!("**{reason}**: {}\n", inline(message))));
    let excerpts = excerpts.get(&test.name).into_iter().flatten();
    parts.extend(
        excerpts.map(|excerpt| format!("**{}**\n\n{}", inline(&excerpt.title), block(&excerpt.text))),
    );
    if !test.files.is_empty() {
        let files: Vec<String> = test.files.iter().map(|file| link(file)).collect();
        parts.push(format!("Files: {}\n", files.join(", ")));
    }
    parts.join("\n")
}

/// What is not ready as a table, what is ready as a line.
fn components(result: &RunResult) -> String {
    let (ready, not_ready): (Vec<_>, Vec<_>) =
        result.components.iter().partition(|component| is_ready(component));
    if ready.is_empty() && not_ready.is_empty() {
        return String::new();
    }
    let count = words::count(result.components.len(), "component");
    let mut parts = vec![format!("## Kubeflow: {} of {count} ready\n", ready.len())];
    if !not_ready.is_empty() {
        let rows: Vec<Vec<String>> = not_ready
            .iter()
            .take(MOST_COMPONENTS)
            .map(|component| {
                let count = format!("❌ {}/{}", component.ready, component.total);
                vec![component.name.clone(), count, component.blocking.clone().unwrap_or_default()]
            })
            .collect();
        parts.push(table(&["component", "ready", "blocked by"], &rows));
    }
    if not_ready.len() > MOST_COMPONENTS {
        parts.push(format!("and {} more\n", not_ready.len() - MOST_COMPONENTS));
    }
    if !ready.is_empty() {
        let names: Vec<String> = ready
            .iter()
            .map(|component| format!("{} {}/{}", inline(&component.name), component.ready, component.total))
            .collect();
        parts.push(format!("Ready: {}\n", names.join(", ")));
    }
    parts.join("\n")
}

fn problems(result: &RunResult) -> String {
    if result.problems.is_empty() {
        return String::new();
    }
    let lines: Vec<String> =
        result.problems.iter().map(|problem| format!("- Missing: {}", inline(problem))).collect();
    format!("## Not collected\n\n{}\n", lines.join("\n"))
}

fn stages(result: &RunResult) -> String {
    if result.stages.is_empty() {
        return String::new();
    }
    let rows: Vec<Vec<String>> = result
        .stages
        .iter()
        .map(|stage| {
            let note = stage.error.as_ref().map_or_else(
                || words::figures(&stage.figures),
                |error| format!("{} {error}", words::mark(false)),
            );
            vec![stage.stage.as_str().to_owned(), words::seconds(stage.seconds), note]
        })
        .collect();
    format!("## Stages\n\n{}", table(&["stage", "time", ""], &rows))
}

/// Where the rest is, and what ran.
fn files(result: &RunResult) -> String {
    let ran: Vec<String> = result
        .environment
        .iter()
        .map(|(name, value)| format!("{} {}", inline(name), inline(value)))
        .collect();
    let ran = if ran.is_empty() { String::new() } else { format!("\n\nRan: {}", ran.join(", ")) };
    format!("More in {} and {}.{ran}\n", link(RUN_JSON), link(JUNIT_XML))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Excerpt, fixtures, markdown::tests::columns};

    #[test]
    fn a_failed_run_fits_a_screen_and_says_why() {
        let excerpt = Excerpt { title: "Traceback of cell 3".into(), text: "1/0\nZeroDivisionError".into() };
        let excerpts = [("notebook".to_owned(), vec![excerpt])].into();
        assert_eq!(
            summary(&fixtures::failed(), &excerpts),
            "\
# ❌ Tests failed: 1 of 2 tests failed: notebook

Run kubeflow with kfe2e 0.1.0, 1 min 10 s.

| test | result | reason | time | cells |
| --- | --- | --- | --- | --- |
| notebook | ❌ failed | CellFailed | 3.0 s | 2/5 |
| script | ✅ passed |  | 3.0 s |  |

## notebook: CellFailed

**CellFailed**: cell 3: ZeroDivisionError: division by zero

**Traceback of cell 3**

```text
1/0
ZeroDivisionError
```

Files: [notebook/executed.ipynb](notebook/executed.ipynb)

## Kubeflow: 1 of 1 component ready

Ready: istio-system 2/2

## Stages

| stage | time |  |
| --- | --- | --- |
| up | 7.3 s |  |
| test | 21 s |  |

More in [run.json](run.json) and [junit.xml](junit.xml).

Ran: kubernetes v1.36.3
"
        );
    }

    #[test]
    fn what_is_not_ready_stands_first() {
        let summary = summary(&fixtures::not_ready(), &Excerpts::new());
        assert!(
            summary.starts_with("# ❌ Kubeflow not ready: Kubeflow was not ready within 45m\n"),
            "{summary}"
        );
        assert!(
            summary.contains(
                "## Kubeflow: 1 of 2 components ready\n\n| component | ready | blocked by |\n| --- | --- | --- |\n\
                 | pipelines | ❌ 11/14 | Deployment kubeflow/mysql: ImagePullBackOff docker.io/mysql:8 |\n\n\
                 Ready: istio-system 2/2\n"
            ),
            "{summary}"
        );
        assert!(summary.contains("| script | ⏭️ not run |  |  |  |"), "{summary}");
        assert!(!summary.contains("## script"), "{summary}");
    }

    #[test]
    fn a_run_that_died_early_says_in_which_stage() {
        let summary = summary(&fixtures::died(), &Excerpts::new());
        assert!(summary.contains("No test ran.\n"), "{summary}");
        assert!(
            summary.contains("| up | 1 min 0 s | ❌ the node is not ready: no CNI configuration |"),
            "{summary}"
        );
    }

    #[test]
    fn a_passed_run_says_so_first() {
        assert!(
            summary(&fixtures::passed(), &Excerpts::new())
                .starts_with("# ✅ Succeeded: 2 of 2 tests passed\n")
        );
    }

    proptest! {
        #[test]
        fn no_text_of_a_cluster_changes_the_structure(text in "\\PC{0,60}|[|\\\\\\n\\r`<>#*&-]{0,60}") {
            let mut result = fixtures::failed();
            result.message.clone_from(&text);
            result.problems = vec![text.clone()];
            result.tests[0].name.clone_from(&text);
            result.tests[0].message = Some(text.clone());
            result.components = vec![fixtures::component(&text, 0, 1, Some(&text))];
            result.stages[0].error = Some(text.clone());
            result.environment = [(text.clone(), text.clone())].into();
            let summary = summary(&result, &Excerpts::new());
            prop_assert!(!summary.contains('<'));
            let headings = summary.lines().filter(|line| line.starts_with('#')).count();
            prop_assert_eq!(headings, 5, "{}", summary);
            let rows: Vec<&str> = summary.lines().filter(|line| line.starts_with("| ")).collect();
            let widths: Vec<usize> = rows.iter().map(|row| columns(row)).collect();
            prop_assert_eq!(widths, [5, 5, 5, 5, 3, 3, 3, 3, 3, 3, 3], "{}", summary);
        }
    }
}
