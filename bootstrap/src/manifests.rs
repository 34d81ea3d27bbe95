//! The operator's manifests, carried in the program: the same files that `kubectl apply -k manifests/default` reads.

use bootstrap_install::{Object, source};
use crds::names;
use serde_json::json;

/// A file of `manifests` with its path there.
macro_rules! manifest {
    ($path:literal) => {
        ($path, include_str!(concat!("../../manifests/", $path)))
    };
}

/// Files of `manifests/default`, in the order of its kustomizations.
const OPERATOR: &[(&str, &str)] = &[
    manifest!("crd/e2etests.e2e.kubeflow.org.yaml"),
    manifest!("manager/namespace.yaml"),
    manifest!("manager/deployment.yaml"),
    manifest!("rbac/service_account.yaml"),
    manifest!("rbac/operator_role.yaml"),
    manifest!("rbac/inventory_role.yaml"),
    manifest!("rbac/events_role.yaml"),
    manifest!("rbac/target_role.yaml"),
    manifest!("rbac/requester_policy.yaml"),
    manifest!("rbac/operator_policy.yaml"),
    manifest!("network-policy/operator.yaml"),
];

/// The RoleBinding by which a namespace lets the operator in.
const TARGET: (&str, &str) = manifest!("target/role_binding.yaml");

/// Where the manifests name the image of the operator, which the tests' helper containers have too.
const IMAGE_PLACES: [&str; 2] =
    ["/spec/template/spec/containers/0/image", "/spec/template/spec/containers/0/env/0/value"];

/// The image that the manifests name.
pub fn released_image() -> String {
    format!("{}:{}", names::IMAGE_REPOSITORY, env!("CARGO_PKG_VERSION"))
}

/// Everything that the operator needs in a cluster, with this image.
pub fn operator(image: &str) -> Result<Vec<Object>, String> {
    OPERATOR.iter().try_fold(Vec::new(), |mut objects, file| {
        for object in parse(*file)? {
            let is_operator = object.identity().is("apps", "Deployment");
            objects.push(if is_operator { replaced(&object, &IMAGE_PLACES, image)? } else { object });
        }
        Ok(objects)
    })
}

/// The right to run tests in `namespace`.
pub fn target_binding(namespace: &str) -> Result<Vec<Object>, String> {
    parse(TARGET)?.into_iter().map(|object| replaced(&object, &["/metadata/namespace"], namespace)).collect()
}

/// A target namespace for clusters without Kubeflow, with the tests' service account.
pub fn target(namespace: &str, service_account: &str) -> Result<Vec<Object>, String> {
    let labels = json!({ names::label::MANAGED_BY: names::label::MANAGED_BY_VALUE });
    let objects = [
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": labels}}),
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {
            "name": service_account, "namespace": namespace, "labels": labels}}),
    ];
    objects.into_iter().map(|object| Object::new(object).map_err(|error| error.to_string())).collect()
}

fn parse((path, text): (&str, &str)) -> Result<Vec<Object>, String> {
    let documents = source::parse(text).map_err(|error| format!("manifests/{path}: {error}"))?;
    Ok(documents.into_iter().map(|(_, object)| object).collect())
}

/// The same object with `text` in these places.
fn replaced(object: &Object, places: &[&str], text: &str) -> Result<Object, String> {
    let mut manifest = object.manifest().clone();
    for place in places {
        if let Some(found) = manifest.pointer_mut(place) {
            *found = text.into();
        }
    }
    Object::new(manifest).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    /// The files that a kustomization lists, in order, relative to `manifests`.
    fn resources(folder: &str) -> Vec<String> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests");
        let text = fs::read_to_string(root.join(folder).join("kustomization.yaml")).unwrap();
        let entries: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("- ")).collect();
        entries
            .into_iter()
            .flat_map(|entry| match entry.strip_prefix("../") {
                Some(other) => resources(other),
                None => vec![format!("{folder}/{entry}")],
            })
            .collect()
    }

    #[test]
    fn the_program_carries_what_kubectl_applies() {
        let carried: Vec<&str> = OPERATOR.iter().map(|(path, _)| *path).collect();
        assert_eq!(carried, resources("default"));
        assert_eq!(vec![TARGET.0.to_owned()], resources("target"));
    }

    #[test]
    fn the_image_has_the_version_of_the_program_or_is_the_one_that_is_asked_for() {
        let carried = parse(OPERATOR[2]).unwrap();
        let asked = operator("registry.example.org/kubeflow-e2e:1").unwrap();
        let deployment = asked.iter().find(|object| object.identity().kind == "Deployment").unwrap();
        for place in IMAGE_PLACES {
            assert_eq!(carried[0].text(place), Some(released_image().as_str()), "{place}");
            assert_eq!(deployment.text(place), Some("registry.example.org/kubeflow-e2e:1"), "{place}");
        }
        assert_eq!(deployment.text("/spec/template/spec/containers/0/env/0/name"), Some("KFE2E_IMAGE"));
        assert_eq!(deployment.identity().namespace.as_deref(), Some(names::SYSTEM_NAMESPACE));
        assert_eq!(operator(&released_image()).unwrap().len(), asked.len());
    }

    #[test]
    fn the_binding_moves_to_the_target_namespace() {
        let binding = target_binding("mine").unwrap();
        assert_eq!(binding.len(), 1);
        assert_eq!(binding[0].identity().namespace.as_deref(), Some("mine"));
        assert_eq!(binding[0].identity().name, names::TARGET_ROLE_BINDING);
    }
}
