//! What each test left: the frames of its `results` sidecar, and its own log, below `tests/NAME/`.

use std::{collections::BTreeMap, fs, path::Path};

use bootstrap_report::{Excerpt, Excerpts, log_tail, traceback};
use crds::{frame, names};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client, ResourceExt as _, api::ListParams};

use super::logs::{self, Container};

/// Files by test, relative to the output folder, and what could not be had.
#[derive(Clone, Debug, Default)]
pub struct Results {
    /// Paths by the name of the test.
    pub files: BTreeMap<String, Vec<String>>,
    /// Tracebacks and the ends of logs, by the name of the test.
    pub excerpts: Excerpts,
    /// One sentence for each thing that is missing.
    pub problems: Vec<String>,
}

/// Reads the results of every test pod of the run.
pub async fn collect(client: &Client, namespace: &str, run_uid: &str, out: &Path) -> Results {
    let mut results = Results::default();
    let params = ListParams::default().labels(&format!("{}={run_uid}", names::label::RUN_UID));
    let pods = match Api::<Pod>::namespaced(client.clone(), namespace).list(&params).await {
        Ok(pods) => pods,
        Err(error) => {
            results.problems.push(format!("results: listing the pods of the run: {error}"));
            return results;
        }
    };
    for pod in pods {
        let Some(test) = pod.labels().get(names::label::TEST).cloned() else { continue };
        match one(client, &pod, &test, out).await {
            Ok(found) => {
                results.files.entry(test.clone()).or_default().extend(found.files);
                results.excerpts.entry(test).or_default().extend(found.excerpts);
                results.problems.extend(found.problems);
            }
            Err(problem) => results.problems.push(problem),
        }
    }
    results
}

/// What one pod left.
#[derive(Default)]
struct Found {
    files: Vec<String>,
    excerpts: Vec<Excerpt>,
    problems: Vec<String>,
}

async fn one(client: &Client, pod: &Pod, test: &str, out: &Path) -> Result<Found, String> {
    let place = format!("results of {test}");
    let relative = format!("tests/{test}");
    let folder = out.join(&relative);
    fs::create_dir_all(&folder).map_err(|error| format!("{place}: {}: {error}", folder.display()))?;
    let container = |name: &str| Container {
        namespace: pod.namespace().unwrap_or_default(),
        pod: pod.name_any(),
        name: name.into(),
        previous: false,
    };
    let mut found = Found::default();
    let mut files = Vec::new();
    match logs::read(client, &container(names::pod::RESULTS_CONTAINER)).await {
        Ok(log) => {
            let unpacked = frame::unpack(&log);
            found.problems.extend(unpacked.problems.iter().map(|problem| format!("{place}: {problem}")));
            files = unpacked.files;
        }
        Err(error) => found.problems.push(format!("{place}: {error}")),
    }
    let notebook = files.iter().find(|(name, _)| name == names::pod::EXECUTED_NOTEBOOK);
    found.excerpts.extend(notebook.and_then(|(_, content)| traceback(&String::from_utf8_lossy(content))));
    match logs::read(client, &container(names::pod::TEST_CONTAINER)).await {
        Ok(log) => {
            found.excerpts.extend(log_tail("test.log", &log));
            files.push(("test.log".into(), log.into_bytes()));
        }
        Err(error) => found.problems.push(format!("{place}: log: {error}")),
    }
    for (name, content) in files {
        fs::write(folder.join(&name), content).map_err(|error| format!("{place}: {name}: {error}"))?;
        found.files.push(format!("{relative}/{name}"));
    }
    Ok(found)
}
