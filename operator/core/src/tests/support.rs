//! Builders from minimal YAML: what a person would write, through the real validation.

use std::time::Duration;

use crds::{
    names::label,
    v1alpha1::{ConditionType, E2ETest, E2ETestStatus, TestStatus, find},
    verdict::{Cells, Verdict},
};
use jiff::Timestamp;
use k8s_openapi::api::{batch::v1::Job, core::v1::Pod};
use serde::de::DeserializeOwned;

use crate::{Acted, AttemptFacts, Batch, Effect, Observed, Plan, Report, Settings, decide, names};

/// UID of every test's run.
pub(super) const RUN_UID: &str = "0f5e4a5c-19cd-4f6d-8d5e-3a3f6f0b8f11";
/// UID of every test's Job.
pub(super) const JOB_UID: &str = "job-uid";

/// Status of a pod whose test runs.
pub(super) const RUNNING: &str = "{phase: Running, containerStatuses: [{name: test, image: i, imageID: '', ready: true, restartCount: 0, \
                                  state: {running: {}}}]}";

/// Reads YAML.
pub(super) fn yaml<T: DeserializeOwned>(text: &str) -> T {
    serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// Settings of every test.
pub(super) fn settings() -> Settings {
    Settings::with_image("ghcr.io/kubeflow/kubeflow-e2e:test")
}

/// The point in time `seconds` after the run was created.
pub(super) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

/// A time as Kubernetes writes it.
pub(super) fn time(seconds: i64) -> String {
    at(seconds).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A run with this spec, `targetNamespace` given.
pub(super) fn run(spec: &str) -> E2ETest {
    let spec = spec.replace('\n', "\n  ");
    yaml(&format!(
        "apiVersion: e2e.kubeflow.org/v1alpha1\nkind: E2ETest\nmetadata: {{name: nightly, uid: {RUN_UID}, generation: 1}}\n\
         spec:\n  targetNamespace: profile\n  {spec}\n"
    ))
}

/// A run of scripts with these names and no gate.
pub(super) fn scripts(names: &[&str]) -> E2ETest {
    let one =
        |name: &&str| format!("- {{name: {name}, image: python, script: {{source: {{inline: pass}}}}}}");
    let tests = names.iter().map(one).collect::<Vec<_>>().join("\n");
    run(&format!("tests:\n{tests}"))
}

/// One pass, all of whose effects are done.
pub(super) fn pass(test: &mut E2ETest, observed: &Observed, seconds: i64) -> Plan {
    let plan = decide(test, observed, &settings(), at(seconds));
    let Report { status, .. } = plan.settle(&Acted::new());
    if let Some(status) = status {
        test.status = Some(status);
    }
    plan
}

/// A run whose first test's Job was made and written down.
pub(super) fn started(mut test: E2ETest) -> E2ETest {
    pass(&mut test, &Observed::default(), 0);
    let status = test.status.as_mut().unwrap();
    for entry in status.tests.iter_mut().filter(|entry| entry.attempt > 0) {
        let name = names::job(&entry.name, RUN_UID, entry.attempt);
        entry.job = Some(crds::v1alpha1::JobReference { name, uid: JOB_UID.to_owned() });
    }
    test
}

/// The Job of a run's test, with this status.
pub(super) fn job(test: &str, status: &str) -> Job {
    yaml(&format!(
        "metadata:\n  name: {}\n  namespace: profile\n  uid: {JOB_UID}\n  ownerReferences:\n  - {{apiVersion: e2e.kubeflow.org/v1alpha1, \
         kind: E2ETest, name: nightly, uid: {RUN_UID}, controller: true}}\nspec: {{template: {{}}}}\nstatus: {status}\n",
        names::job(test, RUN_UID, 1)
    ))
}

/// A Job that is Complete.
pub(super) fn complete(test: &str) -> Job {
    job(test, "{conditions: [{type: Complete, status: 'True'}]}")
}

/// A pod of that Job, on a node, with this status.
pub(super) fn pod(test: &str, status: &str) -> Pod {
    yaml(&format!(
        "metadata:\n  name: {test}-pod\n  namespace: profile\n  uid: pod-uid\n  labels: {{{}: {test}}}\n  ownerReferences:\n  \
         - {{apiVersion: batch/v1, kind: Job, name: x, uid: {JOB_UID}, controller: true}}\n\
         spec: {{nodeName: node, serviceAccountName: default-editor, containers: [{{name: test}}]}}\nstatus: {status}\n",
        label::TEST
    ))
}

/// The status of a pod whose test's container ended like this.
pub(super) fn ended(phase: &str, exit_code: i32, message: &str, more: &str) -> String {
    let message = serde_json::to_string(message).unwrap();
    format!(
        "{{phase: {phase}, containerStatuses: [{{name: test, image: python, imageID: '', ready: false, restartCount: 0, state: \
         {{terminated: {{exitCode: {exit_code}, message: {message}, startedAt: '{}', finishedAt: '{}'{more}}}}}}}]}}",
        time(1),
        time(5)
    )
}

/// The termination message of a test that passed.
pub(super) fn passed_message() -> String {
    Verdict::passed(Some(Cells { passed: 2, failed: 0, total: 2 })).to_termination_message().unwrap()
}

/// What is seen of one test's Job and pods.
pub(super) fn seen(test: &str, job: Option<Job>, pods: Vec<Pod>) -> Observed {
    let facts = AttemptFacts { job, pods, ..AttemptFacts::default() };
    Observed { attempts: [(test.to_owned(), facts)].into(), ..Observed::default() }
}

/// The first test's entry.
pub(super) fn first(test: &E2ETest) -> &TestStatus {
    &test.status.as_ref().unwrap().tests[0]
}

/// `Status/Reason` of a condition.
pub(super) fn condition(test: &E2ETest, type_: ConditionType) -> String {
    let status = test.status.clone().unwrap_or_default();
    find(&status.conditions, type_)
        .map(|condition| format!("{}/{}", condition.status, condition.reason))
        .unwrap_or_default()
}

/// The message of `Succeeded`.
pub(super) fn message(status: &E2ETestStatus) -> &str {
    &find(&status.conditions, ConditionType::Succeeded).unwrap().message
}

/// The effects of a plan, by verb and kind.
pub(super) fn verbs(plan: &Plan) -> Vec<String> {
    let of = |batch: &Batch| {
        let name = batch.test.clone();
        batch
            .effects
            .iter()
            .map(move |effect: &Effect| {
                let (verb, kind) = effect.verb_and_kind();
                format!("{name}: {verb} {kind}")
            })
            .collect::<Vec<_>>()
    };
    plan.effects.iter().flat_map(of).collect()
}

/// Minutes as seconds.
pub(super) const fn minutes(minutes: u64) -> i64 {
    Duration::from_mins(minutes).as_secs().cast_signed()
}
