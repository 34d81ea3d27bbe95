//! Results for tests.

use crds::{
    run_event::Stage,
    run_result::{RunResult, SCHEMA_VERSION, StageResult, TestResult},
    v1alpha1::{CellSummary, ComponentStatus, RunReason, TestReason, TestState},
};

/// A run of two tests that both passed.
pub(crate) fn passed() -> RunResult {
    RunResult {
        schema_version: SCHEMA_VERSION,
        run: "kubeflow".into(),
        version: "0.1.0".into(),
        exit_code: 0,
        reason: Some(RunReason::TestsPassed),
        message: "2 of 2 tests passed".into(),
        start_time: "2026-11-23T12:00:00Z".parse().unwrap(),
        completion_time: "2026-11-23T12:01:10Z".parse().unwrap(),
        environment: [("kubernetes".to_owned(), "v1.36.3".to_owned())].into(),
        stages: vec![stage(Stage::Up, 7.3, None), stage(Stage::Test, 20.5, None)],
        components: vec![component("istio-system", 2, 2, None)],
        tests: vec![
            TestResult {
                cells: Some(CellSummary { passed: 5, failed: 0, total: 5, current: None }),
                ..test("notebook", TestState::Passed)
            },
            test("script", TestState::Passed),
        ],
        problems: Vec::new(),
    }
}

/// A run of which one test failed.
pub(crate) fn failed() -> RunResult {
    let failed = TestResult {
        reason: Some(TestReason::CellFailed),
        message: Some("cell 3: ZeroDivisionError: division by zero".into()),
        cells: Some(CellSummary { passed: 2, failed: 1, total: 5, current: None }),
        files: vec!["notebook/executed.ipynb".into()],
        ..test("notebook", TestState::Failed)
    };
    RunResult {
        exit_code: 1,
        reason: Some(RunReason::TestsFailed),
        message: "1 of 2 tests failed: notebook".into(),
        tests: vec![failed, test("script", TestState::Passed)],
        ..passed()
    }
}

/// A run that ended in `up`.
pub(crate) fn died() -> RunResult {
    RunResult {
        exit_code: 4,
        reason: None,
        message: "the node is not ready".into(),
        stages: vec![stage(Stage::Up, 60.0, Some("the node is not ready: no CNI configuration"))],
        components: Vec::new(),
        tests: Vec::new(),
        ..passed()
    }
}

/// A run whose gate never opened.
pub(crate) fn not_ready() -> RunResult {
    RunResult {
        exit_code: 3,
        reason: Some(RunReason::KubeflowNotReady),
        message: "Kubeflow was not ready within 45m".into(),
        components: vec![
            component("istio-system", 2, 2, None),
            component(
                "pipelines",
                11,
                14,
                Some("Deployment kubeflow/mysql: ImagePullBackOff docker.io/mysql:8"),
            ),
        ],
        tests: vec![TestResult { seconds: None, ..test("script", TestState::NotRun) }],
        ..passed()
    }
}

pub(crate) fn test(name: &str, state: TestState) -> TestResult {
    TestResult {
        name: name.into(),
        state,
        reason: None,
        message: None,
        seconds: Some(3.0),
        cells: None,
        files: Vec::new(),
    }
}

pub(crate) fn component(name: &str, ready: i32, total: i32, blocking: Option<&str>) -> ComponentStatus {
    let blocking = blocking.map(str::to_owned);
    ComponentStatus { name: name.into(), ready, total, blocking, first_ready_time: None }
}

pub(crate) fn stage(stage: Stage, seconds: f64, error: Option<&str>) -> StageResult {
    StageResult { stage, seconds, figures: [].into(), error: error.map(str::to_owned) }
}
