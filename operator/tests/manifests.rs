//! The manifests' own arithmetic: which value `kustomize` copies where.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends by panicking")]

use std::{fs, path::Path};

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
