//! `E2ETest`s of the tests: built, created, awaited, and shown whole when they do not end as they should.

use std::{collections::BTreeMap, time::Duration};

use crds::v1alpha1::{
    ConditionType, E2ETest, E2ETestSpec, Gate, Notebook, PositiveDuration, Script, Source, Test, TestStatus,
    ZeroableDuration, find,
};
use kube::{Api, api::PostParams, runtime::wait::await_condition};
use serde_json::{Value, json};

use crate::{cluster::Cluster, program::test_image};

/// Namespace in which the tests' tests run: the profile of the small Kubeflow.
pub const TARGET: &str = crds::names::kubeflow::DEFAULT_PROFILE;

/// A run of these tests without a gate.
pub fn e2etest(name: &str, tests: Vec<Test>) -> E2ETest {
    let timeout = PositiveDuration("5m".into());
    E2ETest::new(name, E2ETestSpec { timeout, ..E2ETestSpec::new(TARGET, tests) })
}

/// A gate over these namespaces that opens as soon as they are ready.
pub fn gate(namespaces: &[&str], timeout: &str) -> Gate {
    Gate {
        timeout: Some(PositiveDuration(timeout.into())),
        stable_for: ZeroableDuration("0s".into()),
        ..Gate::over_namespaces(namespaces.iter().map(ToString::to_string).collect())
    }
}

/// A Python script.
pub fn script(name: &str, text: &str) -> Test {
    Test { script: Some(Script::python(Source::inline(text))), ..Test::new(name, test_image()) }
}

/// A notebook of these code cells on the kernel `python3`.
pub fn notebook(name: &str, cells: &[&str]) -> Test {
    let source = Source::inline(notebook_json(cells, "python3").to_string());
    Test { notebook: Some(Notebook { source, parameters: BTreeMap::new() }), ..Test::new(name, test_image()) }
}

/// The JSON of a notebook.
pub fn notebook_json(cells: &[&str], kernel: &str) -> Value {
    let cell = |(index, source): (usize, &&str)| json!({"cell_type": "code", "id": format!("c{index}"), "metadata": {}, "execution_count": null, "outputs": [], "source": source});
    json!({
        "nbformat": 4, "nbformat_minor": 5,
        "metadata": {"kernelspec": {"name": kernel, "display_name": kernel, "language": "python"}},
        "cells": cells.iter().enumerate().map(cell).collect::<Vec<_>>(),
    })
}

/// Creates the run and waits until it is finished.
pub async fn run_to_end(cluster: &Cluster, e2etest: &E2ETest) -> E2ETest {
    let api: Api<E2ETest> = Api::all(cluster.client.clone());
    let name = e2etest.metadata.name.clone().unwrap();
    api.create(&PostParams::default(), e2etest)
        .await
        .unwrap_or_else(|error| panic!("creating {name}: {error}"));
    finished(cluster, &name).await
}

/// Waits until the run is finished; shows everything about it when it is not.
pub async fn finished(cluster: &Cluster, name: &str) -> E2ETest {
    let limit = Duration::from_secs(240);
    let api: Api<E2ETest> = Api::all(cluster.client.clone());
    let is_finished = |object: Option<&E2ETest>| {
        let conditions =
            object.and_then(|object| object.status.as_ref()).map(|status| status.conditions.as_slice());
        conditions
            .and_then(|conditions| find(conditions, ConditionType::Finished))
            .is_some_and(|c| c.status == "True")
    };
    let ended = tokio::time::timeout(limit, await_condition(api, name, is_finished)).await;
    let Ok(object) = ended else {
        panic!("E2ETest {name} did not finish within {limit:?}:\n{}", dump(cluster, name))
    };
    object.unwrap().unwrap()
}

/// Everything that explains a run.
pub fn dump(cluster: &Cluster, name: &str) -> String {
    let commands: [&[&str]; 4] = [
        &["get", "e2etest", name, "-o", "yaml"],
        &["get", "pods", "-A", "-o", "wide"],
        &["get", "events", "-A"],
        &["logs", "-n", crds::names::SYSTEM_NAMESPACE, "deployment/kubeflow-e2e-operator", "--tail=50"],
    ];
    let texts: Vec<String> = commands
        .iter()
        .map(|command| format!("--- kubectl {}\n{}", command.join(" "), cluster.kubectl(command).stdout))
        .collect();
    texts.join("")
}

/// The three conditions as `STATUS Reason`, in the order `KubeflowReady`, `Finished`, `Succeeded`.
pub fn conditions(e2etest: &E2ETest) -> [String; 3] {
    let conditions = e2etest.status.clone().unwrap_or_default().conditions;
    ConditionType::ALL.map(|type_| {
        find(&conditions, type_)
            .map_or_else(|| "absent".into(), |condition| format!("{} {}", condition.status, condition.reason))
    })
}

/// The message of a condition.
pub fn message(e2etest: &E2ETest, type_: ConditionType) -> String {
    let conditions = e2etest.status.clone().unwrap_or_default().conditions;
    find(&conditions, type_).map(|condition| condition.message.clone()).unwrap_or_default()
}

/// The status of one test.
pub fn test_status(e2etest: &E2ETest, name: &str) -> TestStatus {
    let status = e2etest.status.clone().unwrap_or_default();
    status
        .tests
        .into_iter()
        .find(|test| test.name == name)
        .unwrap_or_else(|| panic!("no status of test {name}"))
}
