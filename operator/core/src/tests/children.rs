//! What the children look like: within Pod Security `restricted`, owned, and with nothing that could be expanded.

use serde_json::{Value, json};

use super::support::*;
use crate::{Effect, Observed};

/// The effects that start the first test of a run.
fn effects(spec: &str) -> Vec<Effect> {
    let mut test = run(spec);
    pass(&mut test, &Observed::default(), 0);
    pass(&mut test, &Observed::default(), 0).effects.remove(0).effects
}

/// The Job of a run, as JSON.
fn job_of(spec: &str) -> Value {
    let Some(Effect::CreateJob(job)) = effects(spec).pop() else { panic!("the last effect creates the Job") };
    serde_json::to_value(job).unwrap()
}

const SCRIPT: &str = "tests:\n- name: a\n  image: python\n  runAsUser: 1234\n  timeout: 5m\n  startTimeout: 2m\n  \
                      env: [{name: PRICE, value: 'cost $(HOME) $5'}, {name: HOME, value: /mine}]\n  \
                      script: {source: {inline: 'print(1)'}, interpreter: [python3, -u], args: ['$(E2E_RUN)', '--x']}";

#[test]
fn the_job_runs_one_pod_once_and_ends_by_itself() {
    let job = job_of(SCRIPT);
    let spec = &job["spec"];
    assert_eq!(spec["backoffLimit"], 0);
    assert_eq!((&spec["completions"], &spec["parallelism"]), (&json!(1), &json!(1)));
    assert_eq!(spec["podReplacementPolicy"], "Failed");
    assert_eq!(spec["template"]["spec"]["restartPolicy"], "Never");
    assert_eq!(spec["template"]["spec"]["activeDeadlineSeconds"], 2 * 60 + 5 * 60 + 60);
    assert_eq!(spec["activeDeadlineSeconds"], 2 * 60 + 5 * 60 + 60 + 5 * 60);
    let owner = &job["metadata"]["ownerReferences"][0];
    assert_eq!(
        (&owner["kind"], &owner["uid"], &owner["controller"]),
        (&json!("E2ETest"), &json!(RUN_UID), &json!(true))
    );
    assert_eq!(owner["blockOwnerDeletion"], false);
    assert_eq!(job["metadata"]["namespace"], "profile");
}

#[test]
fn the_pod_is_within_pod_security_restricted() {
    let job = job_of(SCRIPT);
    let pod = &job["spec"]["template"]["spec"];
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(pod["securityContext"]["runAsUser"], 1234);
    assert_eq!(pod["securityContext"]["fsGroup"], 1234);
    assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
    assert_eq!(pod["automountServiceAccountToken"], false);
    assert_eq!(pod["enableServiceLinks"], false);
    let containers = [&pod["initContainers"][0], &pod["initContainers"][1], &pod["containers"][0]];
    for container in containers {
        let security = &container["securityContext"];
        assert_eq!(security["allowPrivilegeEscalation"], false, "{container}");
        assert_eq!(security["capabilities"], json!({ "drop": ["ALL"] }), "{container}");
        assert!(container["resources"]["limits"].get("cpu").is_none(), "{container}");
    }
    for key in ["hostNetwork", "hostPID", "hostIPC"] {
        assert!(pod.get(key).is_none());
    }
    let volumes = pod["volumes"].as_array().unwrap();
    assert!(
        volumes.iter().all(|volume| volume.get("emptyDir").is_some() || volume.get("configMap").is_some())
    );
}

#[test]
fn the_runner_is_told_what_to_do() {
    let job = job_of(SCRIPT);
    let pod = &job["spec"]["template"]["spec"];
    assert_eq!(pod["initContainers"][0]["command"], json!(["/runner", "install", "/kfe2e/runner"]));
    assert_eq!(pod["initContainers"][1]["command"], json!(["/runner", "results", "--dir", "/kfe2e/results"]));
    assert_eq!(pod["initContainers"][1]["restartPolicy"], "Always");
    let main = &pod["containers"][0];
    assert_eq!(main["command"], json!(["/kfe2e/runner"]));
    let expected = "script --source /kfe2e-source/script --results /kfe2e/results --timeout 300 \
                    --interpreter python3 --interpreter -u -- $$(E2E_RUN) --x";
    let words: Vec<&str> =
        main["args"].as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
    assert_eq!(words.join(" "), expected);

    let notebook =
        job_of("tests:\n- {name: n, image: i, notebook: {source: {configMap: {name: mine, key: x.ipynb}}}}");
    let pod = &notebook["spec"]["template"]["spec"];
    assert_eq!(
        pod["containers"][0]["args"],
        json!([
            "notebook",
            "--source",
            "/kfe2e-source/notebook.ipynb",
            "--results",
            "/kfe2e/results",
            "--timeout",
            "1200"
        ])
    );
    let source = &pod["volumes"][1]["configMap"];
    assert_eq!(source, &json!({ "name": "mine", "items": [{ "key": "x.ipynb", "path": "notebook.ipynb" }] }));
}

#[test]
fn variables_are_taken_literally_and_the_tests_own_win() {
    let job = job_of(SCRIPT);
    let env = job["spec"]["template"]["spec"]["containers"][0]["env"].as_array().unwrap().clone();
    let value = |name: &str| {
        let all: Vec<&Value> = env.iter().filter(|variable| variable["name"] == name).collect();
        assert_eq!(all.len(), 1, "{name}");
        all[0]["value"].as_str().map(str::to_owned)
    };
    assert_eq!(value("PRICE").as_deref(), Some("cost $$(HOME) $$5"));
    assert_eq!(value("HOME").as_deref(), Some("/mine"));
    assert_eq!(value("E2E_RUN").as_deref(), Some("nightly"));
    assert_eq!(value("E2E_TEST").as_deref(), Some("a"));
    assert_eq!(value("POD_NAME"), None, "it comes from the pod itself");
}

/// The words that the runner of the first test is started with.
fn arguments(spec: &str) -> String {
    let job = job_of(spec);
    let words = job["spec"]["template"]["spec"]["containers"][0]["args"].as_array().unwrap().clone();
    words.iter().map(|word| word.as_str().unwrap()).collect::<Vec<_>>().join(" ")
}

#[test]
fn each_kind_of_test_is_told_what_it_needs() {
    let notebook = "tests:\n- {name: n, image: i, receipt: Required, requirements: ['kfp==2.17.0'], \
                    notebook: {source: {inline: x}, parameters: {steps: '3', price: '$(HOME)'}}}";
    assert_eq!(
        arguments(notebook),
        "notebook --source /kfe2e-source/notebook.ipynb --results /kfe2e/results --timeout 1200 --receipt required \
         --requirement kfp==2.17.0 --parameter price=$$(HOME) --parameter steps=3"
    );
    let job = "tests:\n- {name: j, image: i, job: {command: [/bin/test, -f], args: [$(E2E_RUN)]}}";
    assert_eq!(arguments(job), "program --results /kfe2e/results --timeout 1200 -- /bin/test -f $$(E2E_RUN)");
    let pod = job_of(job)["spec"]["template"]["spec"].clone();
    let volumes: Vec<&Value> =
        pod["volumes"].as_array().unwrap().iter().map(|volume| &volume["name"]).collect();
    assert_eq!(volumes, ["run"], "a program has no source");
    assert_eq!(effects(job).len(), 1, "and so no ConfigMap");
}

#[test]
fn a_token_for_the_kubernetes_api_is_in_the_tests_container_only() {
    let spec = "tests:\n- {name: a, image: i, kubernetesAccess: true, script: {source: {inline: x}}}";
    let pod = job_of(spec)["spec"]["template"]["spec"].clone();
    assert_eq!(pod["automountServiceAccountToken"], false);
    let has_mount = |container: &Value| {
        container["volumeMounts"].as_array().unwrap().iter().any(|mount| mount["name"] == "kubernetes-access")
    };
    assert!(has_mount(&pod["containers"][0]));
    assert!(pod["initContainers"].as_array().unwrap().iter().all(|container| !has_mount(container)));
    let volumes = pod["volumes"].as_array().unwrap();
    let token = volumes.iter().find(|volume| volume["name"] == "kubernetes-access").unwrap();
    let token = &token["projected"]["sources"][0]["serviceAccountToken"];
    assert_eq!(
        token,
        &json!({ "path": "token", "expirationSeconds": 3607 }),
        "its audience is the API server's"
    );
    assert!(job_of(SCRIPT)["spec"]["template"]["spec"]["volumes"].as_array().unwrap().len() == 2);
}

#[test]
fn a_test_can_choose_its_node_and_ask_for_baseline() {
    let spec = "tests:\n- {name: a, image: i, podSecurity: baseline, nodeSelector: {pool: gpu}, \
                tolerations: [{key: gpu, operator: Exists, effect: NoSchedule}], script: {source: {inline: x}}}";
    let pod = job_of(spec)["spec"]["template"]["spec"].clone();
    assert_eq!(pod["nodeSelector"], json!({ "pool": "gpu" }));
    assert_eq!(pod["tolerations"], json!([{ "key": "gpu", "operator": "Exists", "effect": "NoSchedule" }]));
    assert_eq!(pod["containers"][0]["securityContext"], json!({}));
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true, "nobody is root at any level");
    assert_eq!(pod["initContainers"][0]["securityContext"]["capabilities"], json!({ "drop": ["ALL"] }));
}

#[test]
fn a_run_with_pipeline_access_has_a_pod_default_of_its_own() {
    let spec = "tests:\n- {name: a, image: i, pipelineAccess: true, script: {source: {inline: x}}}";
    let all = effects(spec);
    let Effect::ApplyPodDefault(object) = &all[1] else { panic!("the second effect applies the PodDefault") };
    let object = serde_json::to_value(object).unwrap();
    assert_eq!(
        (&object["apiVersion"], &object["kind"]),
        (&json!("kubeflow.org/v1alpha1"), &json!("PodDefault"))
    );
    let selector = object["spec"]["selector"]["matchLabels"].as_object().unwrap().clone();
    let labels = job_of(spec)["spec"]["template"]["metadata"]["labels"].clone();
    assert_eq!(selector["e2e.kubeflow.org/run-uid"], RUN_UID, "it can select no other run's pods");
    assert!(selector.iter().all(|(key, value)| labels[key] == *value), "it selects the pod");
    let token = &object["spec"]["volumes"][0]["projected"]["sources"][0]["serviceAccountToken"];
    assert_eq!(token["audience"], "pipelines.kubeflow.org");

    let without = job_of(SCRIPT);
    assert!(
        without["spec"]["template"]["metadata"]["labels"].get("e2e.kubeflow.org/pipeline-access").is_none()
    );
    assert_eq!(effects(SCRIPT).len(), 2);
}
