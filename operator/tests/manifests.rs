//! The manifests' own arithmetic: which value `kustomize` copies where.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends by panicking")]

use std::{collections::BTreeSet, fs, path::Path, time::Duration};

use serde_json::Value;

/// A YAML file of `manifests`.
fn manifest(path: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests").join(path);
    serde_saphyr::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// Follows a field path of kustomize, such as `spec.containers.[name=operator].image`.
fn at<'a>(object: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(object, |place, step| {
        let next = match step.strip_prefix('[').and_then(|step| step.strip_suffix(']')?.split_once('=')) {
            Some((key, value)) => place.as_array().unwrap().iter().find(|entry| entry[key] == value),
            None => place.get(step),
        };
        next.unwrap_or_else(|| panic!("no {step} of {path}"))
    })
}

#[test]
fn a_changed_image_reaches_the_helper_containers_too() {
    let deployment = manifest("manager/deployment.yaml");
    let replacement = &manifest("default/kustomization.yaml")["replacements"][0];
    for object in [&replacement["source"], &replacement["targets"][0]["select"]] {
        assert_eq!(object["kind"], deployment["kind"]);
        assert_eq!(object["name"], deployment["metadata"]["name"]);
    }
    let source = replacement["source"]["fieldPath"].as_str().unwrap();
    let target = replacement["targets"][0]["fieldPaths"][0].as_str().unwrap();
    assert_eq!(source.rsplit('.').next(), Some("image"));
    assert!(target.contains("[name=KFE2E_IMAGE]"), "{target}");
    assert_eq!(at(&deployment, source), at(&deployment, target));
}

/// The documents of a YAML file of `manifests`.
fn manifests(path: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests").join(path);
    serde_saphyr::from_multiple(&fs::read_to_string(path).unwrap()).unwrap()
}

/// Names of the operator's metrics in a text.
fn metrics_in(text: &str) -> BTreeSet<String> {
    text.split(|character: char| !character.is_ascii_alphanumeric() && character != '_')
        .filter(|word| word.starts_with("e2etest_operator_"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn alerts_speak_of_metrics_that_there_are() {
    let metrics = operator::metrics::Metrics::default();
    // A family shows no line before its first value.
    metrics.requeued("now");
    metrics.pass_ended(Duration::ZERO, None);
    let served = metrics.text().unwrap();
    let mut asked = BTreeSet::new();
    let rules = manifest("prometheus/rules.yaml");
    for rule in rules["spec"]["groups"][0]["rules"].as_array().unwrap() {
        asked.extend(metrics_in(rule["expr"].as_str().unwrap()));
        for text in ["summary", "action"] {
            assert!(!rule["annotations"][text].as_str().unwrap().is_empty(), "{rule}");
        }
    }
    assert!(asked.len() >= 5, "{asked:?}");
    for name in &asked {
        let family = name.trim_end_matches("_total");
        assert!(served.contains(&format!("# TYPE {family} ")), "{name} is not among\n{served}");
    }
    // Outcomes of the rules are verdicts that exist.
    let outcomes = rules.to_string();
    for outcome in outcomes.split("outcome=\\\"").skip(1).map(|rest| rest.split('\\').next().unwrap()) {
        assert!(crds::v1alpha1::RunReason::from_name(outcome).is_some(), "{outcome}");
    }
}

#[test]
fn prometheus_finds_the_operator() {
    let deployment = manifest("manager/deployment.yaml");
    let labels = &deployment["spec"]["template"]["metadata"]["labels"];
    let service = manifest("prometheus/service.yaml");
    let monitor = manifest("prometheus/service_monitor.yaml");
    let has = |labels: &Value, wanted: &Value| {
        wanted.as_object().unwrap().iter().all(|(key, value)| labels[key] == *value)
    };
    assert!(has(labels, &service["spec"]["selector"]));
    assert!(has(&service["metadata"]["labels"], &monitor["spec"]["selector"]["matchLabels"]));
    assert_eq!(service["spec"]["ports"][0]["name"], monitor["spec"]["endpoints"][0]["port"]);
    let ports = &deployment["spec"]["template"]["spec"]["containers"][0]["ports"];
    assert_eq!(service["spec"]["ports"][0]["targetPort"], ports[0]["name"]);
}

#[test]
fn the_operator_speaks_to_the_api_server_alone() {
    let policy = manifest("network-policy/operator.yaml");
    let deployment = manifest("manager/deployment.yaml");
    let spec = &policy["spec"];
    assert_eq!(policy["metadata"]["namespace"], deployment["metadata"]["namespace"]);
    assert_eq!(spec["podSelector"], deployment["spec"]["selector"]);
    assert_eq!(spec["policyTypes"], serde_json::json!(["Ingress", "Egress"]));
    let ports = |direction: &str| -> Vec<&Value> {
        let rules = spec[direction].as_array().unwrap();
        rules.iter().flat_map(|rule| rule["ports"].as_array().unwrap()).map(|port| &port["port"]).collect()
    };
    assert_eq!(ports("egress"), [443, 6443, 8443, 16443]);
    assert_eq!(ports("ingress"), ["http"]);
}

/// A policy that matches another account than the Deployment's protects nothing.
#[test]
fn the_policies_speak_of_the_operators_account() {
    let deployment = manifest("manager/deployment.yaml");
    let account = format!(
        "system:serviceaccount:{}:{}",
        deployment["metadata"]["namespace"].as_str().unwrap(),
        deployment["spec"]["template"]["spec"]["serviceAccountName"].as_str().unwrap()
    );
    let all = manifests("rbac/operator_policy.yaml");
    let policies: Vec<&Value> =
        all.iter().filter(|object| object["kind"] == "ValidatingAdmissionPolicy").collect();
    let bound: BTreeSet<&str> =
        all.iter().filter_map(|object| object["spec"]["policyName"].as_str()).collect();
    assert_eq!(policies.len(), 4);
    for policy in policies {
        let condition = policy["spec"]["matchConditions"][0]["expression"].as_str().unwrap();
        assert_eq!(condition, format!("request.userInfo.username == '{account}'"));
        assert!(bound.contains(policy["metadata"]["name"].as_str().unwrap()));
        assert_eq!(policy["spec"]["failurePolicy"], "Fail");
    }
}
