//! What an installation consists of, as it is kept in a ConfigMap: what a removal may remove.

use serde::{Deserialize, Serialize};

/// Version of [`Inventory`]'s format.
pub const SCHEMA_VERSION: i32 = 1;

/// Key of the inventory in the data of its ConfigMap.
pub const KEY: &str = "inventory.json";

/// Name of the inventory of what was made of Kubeflow.
pub const KUBEFLOW: &str = "kubeflow-e2e-kubeflow";

/// Name of the inventory of the operator, of what lets it into namespaces, and of runs.
pub const OPERATOR: &str = "kubeflow-e2e";

/// The objects of one installation, in the order in which they went in.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Inventory {
    /// [`SCHEMA_VERSION`].
    pub schema_version: i32,
    /// The objects.
    pub objects: Vec<InventoryObject>,
}

/// One object of an installation.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InventoryObject {
    /// Group and version.
    pub api_version: String,
    /// Kind.
    pub kind: String,
    /// Namespace; absent for cluster-scoped objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Name.
    pub name: String,
    /// UID, once the API server has said it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// Whether it was not there before: only such an object may be removed. Written down before the object is made.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub made: bool,
}

impl Default for Inventory {
    fn default() -> Self {
        Self { schema_version: SCHEMA_VERSION, objects: Vec::new() }
    }
}

impl Inventory {
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
            "an inventory of format {}, and only {SCHEMA_VERSION} is known: use the kfe2e that wrote it",
            inventory.schema_version
        ))
    }

    /// Whether an object was made, by what is recorded.
    pub fn made(&self, object: &InventoryObject) -> bool {
        self.objects.iter().any(|known| known.made && known.is_same(object))
    }

    /// Adds objects, or takes over what is newly known of those that are in it already. What was made stays made.
    pub fn add(&mut self, objects: impl IntoIterator<Item = InventoryObject>) {
        for new in objects {
            match self.objects.iter_mut().find(|known| known.is_same(&new)) {
                Some(known) => {
                    known.made |= new.made;
                    known.uid = new.uid.or_else(|| known.uid.take());
                }
                None => self.objects.push(new),
            }
        }
    }
}

impl InventoryObject {
    /// Whether both are the same place in the cluster, whatever version of the API names it.
    pub fn is_same(&self, other: &Self) -> bool {
        self.group() == other.group()
            && (&self.kind, &self.namespace, &self.name) == (&other.kind, &other.namespace, &other.name)
    }

    /// The API group; empty for the core one.
    pub fn group(&self) -> &str {
        self.api_version.split_once('/').map_or("", |(group, _)| group)
    }

    /// The version of the API.
    pub fn version(&self) -> &str {
        self.api_version.split_once('/').map_or(self.api_version.as_str(), |(_, version)| version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(name: &str, made: bool, uid: Option<&str>) -> InventoryObject {
        InventoryObject {
            api_version: "apps/v1".into(),
            kind: "Deployment".into(),
            namespace: Some("kubeflow".into()),
            name: name.into(),
            uid: uid.map(Into::into),
            made,
        }
    }

    #[test]
    fn it_reads_what_it_wrote_and_no_other_format() {
        let inventory = Inventory {
            objects: vec![object("a", true, Some("1")), object("b", false, None)],
            ..Inventory::default()
        };
        let text = serde_json::to_string(&inventory).unwrap();
        assert_eq!(Inventory::parse(&text), Ok(inventory));
        let newer = text.replace("\"schemaVersion\":1", "\"schemaVersion\":2");
        assert!(Inventory::parse(&newer).unwrap_err().contains("format 2"));
        assert!(Inventory::parse("{").unwrap_err().starts_with("no inventory"));
    }

    #[test]
    fn what_was_made_stays_made_when_it_is_applied_again() {
        let mut inventory = Inventory::default();
        inventory.add([object("a", true, None)]);
        inventory.add([object("a", false, Some("1")), object("b", false, None)]);
        assert_eq!(inventory.objects, [object("a", true, Some("1")), object("b", false, None)]);
        let newer = InventoryObject { api_version: "apps/v2".into(), ..object("b", false, None) };
        inventory.add([newer]);
        assert_eq!(inventory.objects.len(), 2);
    }
}
