//! What one invocation of `kfe2e` makes in a cluster, as it is kept in a ConfigMap there: what a removal may remove.

use serde::{Deserialize, Serialize};

use crate::{format::read, names::group_and_version};

/// Version of [`Inventory`]'s format.
pub const SCHEMA_VERSION: i32 = 2;

/// Key of the inventory in the data of its ConfigMap.
pub const KEY: &str = "inventory.json";

/// Name of the ConfigMap. There is one in a cluster at most: who has made it has claimed the cluster.
pub const NAME: &str = "kubeflow-e2e";

/// How the names of those invocations begin that deploy the operator for good: further ones go on with what they made.
const DEPLOYS: &str = "deploy-";

/// The objects that one invocation made, or found, in the order in which they went in.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Inventory {
    /// [`SCHEMA_VERSION`].
    pub schema_version: i32,
    /// Which invocation of `kfe2e` made them.
    pub invocation: String,
    /// What it is good for now.
    pub state: State,
    /// The objects.
    pub objects: Vec<InventoryObject>,
}

/// What an inventory is good for.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum State {
    /// The cluster is its invocation's: that alone adds to it.
    Claimed,
    /// What was made is being removed: nobody adds to it any more.
    Removing,
    /// All is removed but what somebody else needs: the next invocation may claim the cluster.
    Left,
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
    /// For whose sake it stayed when it was to be removed: it is looked at again by the next removal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub needed_by: Option<String>,
}

impl Inventory {
    /// An empty one of this invocation, which claims the cluster.
    pub fn new(invocation: &str) -> Self {
        Self {
            schema_version: SCHEMA_VERSION,
            invocation: invocation.to_owned(),
            state: State::Claimed,
            objects: Vec::new(),
        }
    }

    /// Reads an inventory.
    ///
    /// # Errors
    /// It is no inventory, or one of a format that this version does not know.
    pub fn parse(text: &str) -> Result<Self, String> {
        read(text, "inventory", SCHEMA_VERSION).map_err(|error| error.to_string())
    }

    /// The name of an invocation that deploys the operator for good, with an `id` of its own.
    pub fn deployment(id: impl std::fmt::Display) -> String {
        format!("{DEPLOYS}{id}")
    }

    /// Whether it was made by such an invocation, and still stands.
    pub fn is_deployment(&self) -> bool {
        self.state == State::Claimed && self.invocation.starts_with(DEPLOYS)
    }

    /// Whether an object was made, by what is recorded, and was not left to somebody who needs it.
    pub fn made(&self, object: &InventoryObject) -> bool {
        self.objects.iter().any(|known| known.made && known.needed_by.is_none() && known.is_same(object))
    }

    /// Adds objects. What is made anew replaces what is known of its place; what is there is only learnt more of, so that
    /// what was made stays made.
    pub fn add(&mut self, objects: impl IntoIterator<Item = InventoryObject>) {
        for new in objects {
            match self.objects.iter_mut().find(|known| known.is_same(&new)) {
                Some(known) if new.made => *known = new,
                Some(known) => known.uid = new.uid.or_else(|| known.uid.take()),
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

    fn object(name: &str, made: bool, uid: Option<&str>) -> InventoryObject {
        InventoryObject {
            api_version: "apps/v1".into(),
            kind: "Deployment".into(),
            namespace: Some("kubeflow".into()),
            name: name.into(),
            uid: uid.map(Into::into),
            made,
            needed_by: None,
        }
    }

    #[test]
    fn it_reads_what_it_wrote_and_no_other_format() {
        let inventory = Inventory {
            objects: vec![object("a", true, Some("1")), object("b", false, None)],
            ..Inventory::new("i")
        };
        let text = serde_json::to_string(&inventory).unwrap();
        assert_eq!(Inventory::parse(&text), Ok(inventory));
        let newer = text.replace("\"schemaVersion\":2", "\"schemaVersion\":3");
        assert!(Inventory::parse(&newer).unwrap_err().contains("schema version 3"));
        // Without a state, as the first format was.
        let older = r#"{"schemaVersion": 1, "invocation": "i", "objects": []}"#;
        assert!(Inventory::parse(older).unwrap_err().contains("schema version 1"));
        assert!(Inventory::parse("{").unwrap_err().starts_with("no inventory"));
    }

    #[test]
    fn an_operator_that_is_to_stay_is_told_from_a_run_and_from_one_that_goes() {
        let deployment = Inventory::new(&Inventory::deployment(7));
        assert!(deployment.is_deployment());
        assert!(!Inventory { state: State::Removing, ..deployment }.is_deployment());
        assert!(!Inventory::new("7").is_deployment());
    }

    #[test]
    fn what_was_made_stays_made_when_it_is_applied_again() {
        let mut inventory = Inventory::new("i");
        inventory.add([object("a", true, None)]);
        inventory.add([object("a", false, Some("1")), object("b", false, None)]);
        assert_eq!(inventory.objects, [object("a", true, Some("1")), object("b", false, None)]);
        let newer = InventoryObject { api_version: "apps/v2".into(), ..object("b", false, None) };
        inventory.add([newer]);
        assert_eq!(inventory.objects.len(), 2);
    }

    #[test]
    fn what_was_left_to_somebody_is_ours_again_only_once_it_is_made_anew() {
        let left = InventoryObject { needed_by: Some("Pod a/b".into()), ..object("a", true, Some("1")) };
        let mut inventory = Inventory { objects: vec![left.clone()], ..Inventory::new("i") };
        inventory.add([object("a", false, None)]);
        assert!(!inventory.made(&left));
        assert_eq!(inventory.objects, std::slice::from_ref(&left));
        // It has gone since: of the new one nothing is known yet.
        inventory.add([object("a", true, None)]);
        assert!(inventory.made(&left));
        assert_eq!(inventory.objects, [object("a", true, None)]);
    }
}
