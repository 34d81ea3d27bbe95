//! An object as it was rendered, and what it is called.

use std::fmt;

use crds::{inventory::InventoryObject, names::group_and_version};
use serde_json::Value;

/// What tells an object from every other one.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Identity {
    /// API group; empty for Kubernetes' core.
    pub group: String,
    /// Version within the group.
    pub version: String,
    /// Kind.
    pub kind: String,
    /// Namespace as the object states it; `None` for a cluster-scoped object and for one that leaves it out.
    pub namespace: Option<String>,
    /// Name.
    pub name: String,
}

impl Identity {
    /// Of an object of an inventory.
    pub fn of(object: &InventoryObject) -> Self {
        Self {
            group: object.group().into(),
            version: object.version().into(),
            kind: object.kind.clone(),
            namespace: object.namespace.clone(),
            name: object.name.clone(),
        }
    }

    /// Group and version as `apiVersion` has them.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// Whether it is of that group and kind, in any version.
    pub fn is(&self, group: &str, kind: &str) -> bool {
        self.group == group && self.kind == kind
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ", self.kind)?;
        if let Some(namespace) = &self.namespace {
            write!(formatter, "{namespace}/")?;
        }
        formatter.write_str(&self.name)
    }
}

/// An object of the set.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Object {
    identity: Identity,
    manifest: Value,
}

/// Why a document is no object.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ObjectError {
    /// A string, a number, a list.
    #[error("it is no mapping")]
    NoMapping,
    /// A field that every object has is not there, is empty, or is no string.
    #[error("it has no {0}")]
    Missing(&'static str),
    /// The API server would choose the name, so that a second run would make a second object.
    #[error("it has metadata.generateName in place of metadata.name: give it a name")]
    GeneratedName,
    /// Not `version` or `group/version`.
    #[error("its apiVersion is neither a version nor group/version")]
    ApiVersion,
    /// A name that would change the meaning of a request's path.
    #[error("its {0} holds a character that no name can have")]
    Path(&'static str),
}

impl Object {
    /// Takes a manifest as it is, if it names itself fully.
    ///
    /// # Errors
    /// Says which field is missing or unusable.
    pub fn new(manifest: Value) -> Result<Self, ObjectError> {
        if !manifest.is_object() {
            return Err(ObjectError::NoMapping);
        }
        let text = |pointer: &str| {
            manifest
                .pointer(pointer)
                .and_then(Value::as_str)
                .filter(|text| !text.is_empty())
                .map(str::to_owned)
        };
        let api_version = text("/apiVersion").ok_or(ObjectError::Missing("apiVersion"))?;
        let kind = text("/kind").ok_or(ObjectError::Missing("kind"))?;
        let name = match (text("/metadata/name"), text("/metadata/generateName")) {
            (Some(name), _) => name,
            (None, Some(_)) => return Err(ObjectError::GeneratedName),
            (None, None) => return Err(ObjectError::Missing("metadata.name")),
        };
        let namespace = text("/metadata/namespace");
        let (group, version) = group_and_version(&api_version);
        if version.is_empty()
            || version.contains('/')
            || api_segment_is_unsafe(version)
            || api_segment_is_unsafe(group)
        {
            return Err(ObjectError::ApiVersion);
        }
        if path_segment_is_unsafe(&name) {
            return Err(ObjectError::Path("metadata.name"));
        }
        if namespace.as_deref().is_some_and(path_segment_is_unsafe) {
            return Err(ObjectError::Path("metadata.namespace"));
        }
        let (group, version) = (group.to_owned(), version.to_owned());
        Ok(Self { identity: Identity { group, version, kind, namespace, name }, manifest })
    }

    /// What it is called.
    pub const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The object as it is sent.
    pub const fn manifest(&self) -> &Value {
        &self.manifest
    }

    /// The text at a JSON pointer.
    pub fn text(&self, pointer: &str) -> Option<&str> {
        self.manifest.pointer(pointer).and_then(Value::as_str)
    }

    /// The list at a JSON pointer; empty where there is none.
    pub fn list(&self, pointer: &str) -> &[Value] {
        self.manifest.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }
}

/// Whether a name cannot stand as one segment of a URL. RBAC names may hold a colon, so this is not the rule of DNS names.
fn path_segment_is_unsafe(name: &str) -> bool {
    name == "."
        || name == ".."
        || name.chars().any(|c| matches!(c, '/' | '%' | '?' | '#' | '\\') || !c.is_ascii_graphic())
}

/// Whether a group or version holds what neither can.
fn api_segment_is_unsafe(segment: &str) -> bool {
    segment.chars().any(|c| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '-')))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_object_knows_its_name() {
        let object =
            Object::new(json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "mysql", "namespace": "kubeflow"}}))
                .unwrap();
        assert_eq!(object.identity().to_string(), "Deployment kubeflow/mysql");
        assert_eq!(object.identity().api_version(), "apps/v1");

        let object =
            Object::new(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "auth"}}))
                .unwrap();
        assert_eq!(object.identity().to_string(), "Namespace auth");
        assert_eq!(object.identity().api_version(), "v1");
    }

    #[test]
    fn a_role_may_have_a_colon_in_its_name() {
        let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "system:a"}});
        assert!(Object::new(role).is_ok());
    }

    #[test]
    fn what_is_missing_is_named() {
        let cases = [
            (json!("text"), "it is no mapping"),
            (json!({"kind": "Pod", "metadata": {"name": "a"}}), "it has no apiVersion"),
            (json!({"apiVersion": "v1", "metadata": {"name": "a"}}), "it has no kind"),
            (json!({"apiVersion": "v1", "kind": "Pod"}), "it has no metadata.name"),
            (json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": 7}}), "it has no metadata.name"),
            (
                json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "a-"}}),
                "it has metadata.generateName in place of metadata.name: give it a name",
            ),
            (
                json!({"apiVersion": "a/b/c", "kind": "Pod", "metadata": {"name": "a"}}),
                "its apiVersion is neither a version nor group/version",
            ),
            (
                json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "../secrets/x"}}),
                "its metadata.name holds a character that no name can have",
            ),
        ];
        for (manifest, sentence) in cases {
            assert_eq!(Object::new(manifest).unwrap_err().to_string(), sentence);
        }
    }
}
