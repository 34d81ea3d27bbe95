//! Where objects live in the API, known without asking the API server: from the CRDs of the set and a table of
//! Kubernetes' own kinds.

mod builtin;

use std::collections::{BTreeSet, HashMap};

use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject},
};
use serde_json::Value;

use crate::object::{Identity, Object};

/// Plural and scope of a kind.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Resource {
    /// Last part of the path.
    pub plural: String,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
    /// Whether the set brings its CRD, so that it may not be served yet.
    pub fresh: bool,
}

impl Resource {
    /// The form that kube's client takes.
    pub fn api_resource(&self, identity: &Identity) -> ApiResource {
        ApiResource {
            group: identity.group.clone(),
            version: identity.version.clone(),
            api_version: identity.api_version(),
            kind: identity.kind.clone(),
            plural: self.plural.clone(),
        }
    }

    /// Where an object lives, as kubectl without a context takes it: one that names no namespace is in `default`. `None` for a
    /// cluster-scoped object.
    pub fn namespace<'a>(&self, identity: &'a Identity) -> Option<&'a str> {
        self.namespaced.then(|| identity.namespace.as_deref().unwrap_or("default"))
    }

    /// The API in which an object is read and written.
    pub fn api(&self, client: &Client, identity: &Identity) -> Api<DynamicObject> {
        let resource = self.api_resource(identity);
        match self.namespace(identity) {
            Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
            None => Api::all_with(client.clone(), &resource),
        }
    }
}

/// A kind of the set that cannot be sent.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ResourceError {
    /// The CRD of the set does not serve the version.
    #[error("{object} asks for {api_version}, and its CRD in the same set serves only {served}")]
    VersionNotServed {
        /// The object.
        object: Box<Identity>,
        /// What it asks for.
        api_version: String,
        /// The versions that the CRD serves.
        served: String,
    },
    /// Neither the set nor the cluster has its CRD.
    #[error("{object} is of a kind that neither the set nor the cluster knows: {api_version} {}; add its CRD", object.kind)]
    Unknown {
        /// The object.
        object: Box<Identity>,
        /// Its group and version.
        api_version: String,
    },
}

/// What is known of the kinds of a set.
#[derive(Clone, Debug, Default)]
pub struct Resources {
    /// By group and kind.
    defined: HashMap<(String, String), Definition>,
    /// By `apiVersion` and kind: what the API server said.
    discovered: HashMap<(String, String), Resource>,
}

#[derive(Clone, Debug)]
struct Definition {
    resource: Resource,
    served: Vec<String>,
}

impl Resources {
    /// What the CRDs of a set define.
    pub fn of(objects: &[Object]) -> Self {
        let defined = objects
            .iter()
            .filter(|object| object.identity().is("apiextensions.k8s.io", "CustomResourceDefinition"))
            .filter_map(definition)
            .collect();
        Self { defined, discovered: HashMap::new() }
    }

    /// The resource of a kind; `None` if only the API server can know it.
    ///
    /// # Errors
    /// The CRD of the set says that the version is not served.
    pub fn find(&self, identity: &Identity) -> Result<Option<Resource>, ResourceError> {
        if let Some(definition) = self.defined.get(&(identity.group.clone(), identity.kind.clone())) {
            if definition.served.contains(&identity.version) {
                return Ok(Some(definition.resource.clone()));
            }
            return Err(ResourceError::VersionNotServed {
                object: Box::new(identity.clone()),
                api_version: identity.api_version(),
                served: definition.served.join(", "),
            });
        }
        if let Some((plural, namespaced)) = builtin::builtin(&identity.group, &identity.kind) {
            return Ok(Some(Resource { plural: plural.into(), namespaced, fresh: false }));
        }
        Ok(self.discovered.get(&(identity.api_version(), identity.kind.clone())).cloned())
    }

    /// The `apiVersion`s of objects that the API server has to be asked for, sorted.
    ///
    /// # Errors
    /// As [`Resources::find`].
    pub fn unknown<'a>(
        &self,
        objects: impl IntoIterator<Item = &'a Identity>,
    ) -> Result<Vec<String>, ResourceError> {
        let mut unknown = BTreeSet::new();
        for identity in objects {
            if self.find(identity)?.is_none() {
                unknown.insert(identity.api_version());
            }
        }
        Ok(unknown.into_iter().collect())
    }

    /// Adds what the API server says of a kind.
    pub fn learn(&mut self, api_version: &str, kind: &str, plural: &str, namespaced: bool) {
        let resource = Resource { plural: plural.into(), namespaced, fresh: false };
        self.discovered.insert((api_version.into(), kind.into()), resource);
    }
}

/// Group and kind that a CRD defines, and where; `None` for one that the API server will refuse anyway.
fn definition(crd: &Object) -> Option<((String, String), Definition)> {
    let group = crd.text("/spec/group")?;
    let kind = crd.text("/spec/names/kind")?;
    let plural = crd.text("/spec/names/plural")?.to_owned();
    let namespaced = crd.text("/spec/scope")? == "Namespaced";
    let served = crd
        .list("/spec/versions")
        .iter()
        .filter(|version| version.get("served").and_then(Value::as_bool) == Some(true))
        .filter_map(|version| version.get("name").and_then(Value::as_str).map(str::to_owned))
        .collect();
    let resource = Resource { plural, namespaced, fresh: true };
    Some(((group.to_owned(), kind.to_owned()), Definition { resource, served }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn identities(set: &[Object]) -> impl Iterator<Item = &Identity> {
        set.iter().map(Object::identity)
    }

    fn crd() -> Object {
        Object::new(json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": "profiles.kubeflow.org"},
            "spec": {
                "group": "kubeflow.org", "scope": "Cluster", "names": {"kind": "Profile", "plural": "profiles"},
                "versions": [{"name": "v1beta1", "served": true}, {"name": "v1", "served": true}, {"name": "v0", "served": false}],
            },
        }))
        .unwrap()
    }

    fn object(api_version: &str, kind: &str) -> Object {
        Object::new(json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "a"}})).unwrap()
    }

    #[test]
    fn crds_and_the_table_answer_without_a_request() {
        let set = [crd(), object("kubeflow.org/v1", "Profile"), object("apps/v1", "Deployment")];
        let resources = Resources::of(&set);
        assert_eq!(resources.unknown(identities(&set)).unwrap(), [] as [&str; 0]);
        assert_eq!(
            resources.find(set[1].identity()).unwrap(),
            Some(Resource { plural: "profiles".into(), namespaced: false, fresh: true })
        );
        assert_eq!(
            resources.find(set[2].identity()).unwrap(),
            Some(Resource { plural: "deployments".into(), namespaced: true, fresh: false })
        );
    }

    #[test]
    fn only_what_nobody_knows_is_asked_for_and_only_once() {
        let set =
            [object("kubeflow.org/v1alpha1", "PodDefault"), object("kubeflow.org/v1alpha1", "PodDefault")];
        let mut resources = Resources::of(&set);
        assert_eq!(resources.unknown(identities(&set)).unwrap(), ["kubeflow.org/v1alpha1"]);
        resources.learn("kubeflow.org/v1alpha1", "PodDefault", "poddefaults", true);
        assert_eq!(resources.unknown(identities(&set)).unwrap(), [] as [&str; 0]);
    }

    #[test]
    fn a_version_that_the_crd_does_not_serve_is_an_error_before_anything_is_sent() {
        let set = [crd(), object("kubeflow.org/v0", "Profile")];
        assert_eq!(
            Resources::of(&set).unknown(identities(&set)).unwrap_err().to_string(),
            "Profile a asks for kubeflow.org/v0, and its CRD in the same set serves only v1beta1, v1"
        );
    }
}
