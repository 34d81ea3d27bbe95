//! Words for verdicts, states and times: the same in every form of the report.

use std::collections::BTreeMap;

use crds::{
    ExitCode,
    run_result::{RunResult, TestResult},
    v1alpha1::TestState,
};

/// The verdict in words.
pub(crate) fn verdict(result: &RunResult) -> &'static str {
    let code = ExitCode::ALL.into_iter().find(|code| code.code() == result.exit_code);
    match code {
        Some(ExitCode::Succeeded) => "Succeeded",
        Some(ExitCode::TestsFailed) => "Tests failed",
        Some(ExitCode::Usage) => "Cannot be run as asked",
        Some(ExitCode::KubeflowNotReady) => "Kubeflow not ready",
        Some(ExitCode::Infrastructure) => "Infrastructure error",
        Some(ExitCode::TimedOut) => "Timed out",
        Some(ExitCode::Inconclusive) => "Inconclusive",
        Some(ExitCode::Cancelled) => "Cancelled",
        None => "Failed",
    }
}

/// Whether the run succeeded.
pub(crate) const fn succeeded(result: &RunResult) -> bool {
    result.exit_code == ExitCode::Succeeded.code()
}

/// A mark that is seen before it is read.
pub(crate) const fn mark(good: bool) -> &'static str {
    if good { "✅" } else { "❌" }
}

/// How a test ended, in words.
pub(crate) const fn state(state: TestState) -> &'static str {
    match state {
        TestState::Pending => "not started",
        TestState::Running => "not ended",
        TestState::Passed => "passed",
        TestState::Failed => "failed",
        TestState::Error => "error",
        TestState::Inconclusive => "inconclusive",
        TestState::NotRun => "not run",
    }
}

/// How a test ended, with its mark.
pub(crate) fn marked_state(test: &TestResult) -> String {
    let mark = match test.state {
        TestState::Passed => "✅",
        TestState::NotRun => "⏭️",
        _ => "❌",
    };
    format!("{mark} {}", state(test.state))
}

/// Passed cells of all cells.
pub(crate) fn cells(test: &TestResult) -> String {
    test.cells.map_or_else(String::new, |cells| format!("{}/{}", cells.passed, cells.total))
}

/// A time as people say it: three figures are enough.
pub(crate) fn seconds(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return "?".into();
    }
    if seconds < 9.95 {
        return format!("{seconds:.1} s");
    }
    // At most some hours: far from what a float cannot hold exactly.
    let whole = std::time::Duration::try_from_secs_f64(seconds.round()).unwrap_or_default().as_secs();
    match whole {
        0..60 => format!("{whole} s"),
        60..3600 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
    }
}

/// Figures of a stage as people read them: `nodeReadySeconds` 6.12 as `node ready 6.1 s`, `objects` 12 as `objects 12`.
pub fn figures(figures: &BTreeMap<String, f64>) -> String {
    let words = |name: &str| {
        name.chars().fold(String::new(), |mut words, character| {
            if character.is_uppercase() {
                words.push(' ');
            }
            words.extend(character.to_lowercase());
            words
        })
    };
    let text = |(name, value): (&String, &f64)| match name.strip_suffix("Seconds") {
        Some(name) => format!("{} {}", words(name), seconds(*value)),
        None => format!("{} {value}", words(name)),
    };
    figures.iter().map(text).collect::<Vec<_>>().join(", ")
}

/// How long the run took.
pub(crate) fn run_seconds(result: &RunResult) -> f64 {
    result.completion_time.duration_since(result.start_time).as_secs_f64().max(0.0)
}

/// `1 test`, `2 tests`.
pub(crate) fn count(number: usize, of: &str) -> String {
    if number == 1 { format!("{number} {of}") } else { format!("{number} {of}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_read_as_words() {
        let all = [("imageLoadSeconds", 2.04), ("nodeReadySeconds", 6.16), ("objects", 12.0)];
        let all = all.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        assert_eq!(figures(&all), "image load 2.0 s, node ready 6.2 s, objects 12");
        assert_eq!(figures(&BTreeMap::new()), "");
    }

    #[test]
    fn times_are_short() {
        let said =
            [0.0, 0.04, 1.26, 9.97, 59.4, 59.6, 61.0, 3599.9, 3600.0, 7384.0, f64::NAN, -1.0].map(seconds);
        assert_eq!(
            said,
            [
                "0.0 s",
                "0.0 s",
                "1.3 s",
                "10 s",
                "59 s",
                "1 min 0 s",
                "1 min 1 s",
                "1 h 0 min",
                "1 h 0 min",
                "2 h 3 min",
                "?",
                "?"
            ]
        );
    }
}
