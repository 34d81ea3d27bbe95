//! What a gate looks at: the objects of an installation, named in a ConfigMap in the operator's namespace.

use serde::{Deserialize, Serialize};

use crate::names::group_and_version;

/// Version of [`GateInventory`]'s format.
pub const SCHEMA_VERSION: i32 = 1;

/// Key of the inventory in the data of its ConfigMap.
pub const KEY: &str = "inventory.json";

/// Name of the inventory of a Kubeflow that `kfe2e` installs.
pub const KUBEFLOW: &str = "kubeflow";

/// The objects of one installation.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GateInventory {
    /// [`SCHEMA_VERSION`].
    pub schema_version: i32,
    /// The objects.
    pub objects: Vec<GateObject>,
}

/// One object of an installation.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GateObject {
    /// Group and version.
    pub api_version: String,
    /// Kind.
    pub kind: String,
    /// Namespace; absent for cluster-scoped objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Name.
    pub name: String,
}

impl GateInventory {
    /// The inventory of these objects.
    pub const fn new(objects: Vec<GateObject>) -> Self {
        Self { schema_version: SCHEMA_VERSION, objects }
    }

    /// Reads an inventory.
    ///
    /// # Errors
    /// It is no inventory, or one of a format that this version does not know.
    pub fn parse(text: &str) -> Result<Self, String> {
        let inventory: Self = serde_json::from_str(text).map_err(|error| format!("no inventory: {error}"))?;
        if inventory.schema_version == SCHEMA_VERSION {
            return Ok(inventory);
        }
        Err(format!(
            "an inventory of format {}, and only {SCHEMA_VERSION} is known: write it with the kfe2e of the operator's version",
            inventory.schema_version
        ))
    }
}

impl GateObject {
    /// The API group; empty for the core one.
    pub fn group(&self) -> &str {
        group_and_version(&self.api_version).0
    }

    /// The version of the API.
    pub fn version(&self) -> &str {
        group_and_version(&self.api_version).1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_what_it_wrote_and_no_other_format() {
        let object = GateObject {
            api_version: "apps/v1".into(),
            kind: "Deployment".into(),
            namespace: Some("kubeflow".into()),
            name: "a".into(),
        };
        assert_eq!((object.group(), object.version()), ("apps", "v1"));
        let inventory = GateInventory::new(vec![object]);
        let text = serde_json::to_string(&inventory).unwrap();
        assert_eq!(
            text,
            r#"{"schemaVersion":1,"objects":[{"apiVersion":"apps/v1","kind":"Deployment","namespace":"kubeflow","name":"a"}]}"#
        );
        assert_eq!(GateInventory::parse(&text), Ok(inventory));
        let newer = text.replace("\"schemaVersion\":1", "\"schemaVersion\":2");
        assert!(GateInventory::parse(&newer).unwrap_err().contains("format 2"));
        assert!(GateInventory::parse("{").unwrap_err().starts_with("no inventory"));
    }
}
