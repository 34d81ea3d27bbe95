//! What somebody else keeps where something is about to be removed: instances of a CRD, what runs in a namespace.

use std::collections::{BTreeMap, BTreeSet};

use crds::{inventory::InventoryObject, names::group_and_version};
use k8s_openapi::{
    api::core::v1::Namespace,
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
    apimachinery::pkg::apis::meta::v1::{APIGroupList, OwnerReference},
};
use kube::{
    Api, Client, ResourceExt as _,
    api::{ApiResource, DynamicObject, ListParams, PartialObjectMeta},
};
use tokio::sync::OnceCell;

use crate::{
    apply::{ApplyError, ApplyOptions, learn},
    ask::{Patience, Unanswered, ask},
    found::found,
    object::Identity,
    resource::Resources,
};

/// Kinds that run something in a namespace.
const WORKLOADS: [(&str, &str, &str); 8] = [
    ("apps/v1", "Deployment", "deployments"),
    ("apps/v1", "StatefulSet", "statefulsets"),
    ("apps/v1", "DaemonSet", "daemonsets"),
    ("apps/v1", "ReplicaSet", "replicasets"),
    ("batch/v1", "CronJob", "cronjobs"),
    ("batch/v1", "Job", "jobs"),
    ("v1", "ReplicationController", "replicationcontrollers"),
    ("v1", "Pod", "pods"),
];

/// How many objects are asked for at once.
const PAGE: u32 = 500;

/// How many owners are followed from an object: Pod, ReplicaSet, Deployment and a custom resource or two.
const OWNERS: usize = 8;

type Metadata = PartialObjectMeta<DynamicObject>;

/// Why nobody can say whose something is.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unknown {
    /// The API server does not say.
    #[error(transparent)]
    Answer(#[from] Unanswered),
    /// The kind of an owner cannot be learnt.
    #[error(transparent)]
    Kind(#[from] ApplyError),
    /// The owners of the object, which own one another.
    #[error("the owners of {0} have no end")]
    Owners(String),
}

/// What is ours, by UID: what has the name of something that was made may be somebody else's by now.
pub(super) struct Ours<'a> {
    client: &'a Client,
    options: &'a ApplyOptions,
    uids: BTreeSet<&'a str>,
    /// What the API server serves, once it was asked.
    served: OnceCell<APIGroupList>,
}

impl<'a> Ours<'a> {
    /// All that was made, but for what stays.
    pub(super) fn of(
        client: &'a Client,
        options: &'a ApplyOptions,
        made: &[&'a InventoryObject],
        stays: &BTreeSet<String>,
    ) -> Self {
        let uids = made.iter().filter_map(|object| object.uid.as_deref());
        Self {
            client,
            options,
            uids: uids.filter(|uid| !stays.contains(*uid)).collect(),
            served: OnceCell::new(),
        }
    }

    /// The answer to one question.
    async fn ask<T, F>(&self, request: impl Fn() -> F) -> Result<T, Unanswered>
    where
        F: Future<Output = kube::Result<T>>,
    {
        ask(self.options.patience(), request).await
    }

    /// What somebody else keeps in an object of ours, if anything: a sentence's subject.
    pub(super) async fn kept_in(&self, object: &InventoryObject) -> Result<Option<String>, Unknown> {
        match object.kind.as_str() {
            "CustomResourceDefinition" => self.instance(&object.name).await,
            "Namespace" => self.workload(&object.name).await,
            _ => Ok(None),
        }
    }

    /// An instance of a CRD that is somebody else's.
    async fn instance(&self, name: &str) -> Result<Option<String>, Unknown> {
        let api: Api<CustomResourceDefinition> = Api::all(self.client.clone());
        let Some(crd) = self.ask(|| async { found(api.get(name).await) }).await? else { return Ok(None) };
        let Some(resource) = stored(&crd) else { return Ok(None) };
        let api: Api<DynamicObject> = Api::all_with(self.client.clone(), &resource);
        let mut pages = Pages::of(&api, self.options.patience());
        while let Some(page) = pages.next().await? {
            for object in &page {
                if self.is_foreign(object, object.namespace().as_deref()).await? {
                    return Ok(Some(place(&resource.kind, object)));
                }
            }
        }
        Ok(None)
    }

    /// Whether an instance of a CRD of ours is somebody else's. What is in a namespace of ours goes with it, if that goes.
    async fn is_foreign(&self, instance: &Metadata, namespace: Option<&str>) -> Result<bool, Unknown> {
        if let Some(name) = namespace {
            match self.namespace(name).await? {
                Goes::Already => return Ok(false),
                Goes::WithUs => return Ok(self.workload(name).await?.is_some()),
                Goes::Not => {}
            }
        }
        self.is_kept(instance).await
    }

    /// What becomes of a namespace.
    async fn namespace(&self, name: &str) -> Result<Goes, Unknown> {
        let api = Api::<Namespace>::all(self.client.clone());
        let namespace = self.ask(|| async { found(api.get_metadata(name).await) }).await?;
        Ok(match namespace {
            None => Goes::Already,
            Some(it) if it.metadata.deletion_timestamp.is_some() => Goes::Already,
            Some(it) if it.uid().is_some_and(|uid| self.uids.contains(uid.as_str())) => Goes::WithUs,
            Some(_) => Goes::Not,
        })
    }

    /// What somebody else runs in a namespace.
    async fn workload(&self, namespace: &str) -> Result<Option<String>, Unknown> {
        for (api_version, kind, plural) in WORKLOADS {
            let (group, version) = group_and_version(api_version);
            let resource = ApiResource {
                group: group.into(),
                version: version.into(),
                api_version: api_version.into(),
                kind: kind.into(),
                plural: plural.into(),
            };
            let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), namespace, &resource);
            let mut pages = Pages::of(&api, self.options.patience());
            while let Some(page) = pages.next().await? {
                for object in &page {
                    if self.is_kept(object).await? {
                        return Ok(Some(place(kind, object)));
                    }
                }
            }
        }
        Ok(None)
    }

    /// What of ours owns, in the end, a namespace that was not made by us, in which somebody else runs something: the
    /// garbage collector would take it with its owner. UIDs, each with a sentence's subject.
    pub(super) async fn kept_as_owners(&self) -> Result<BTreeMap<String, String>, Unknown> {
        let mut kept = BTreeMap::new();
        let api: Api<DynamicObject> =
            Api::all_with(self.client.clone(), &ApiResource::erase::<Namespace>(&()));
        let mut pages = Pages::of(&api, self.options.patience());
        while let Some(page) = pages.next().await? {
            for namespace in page.iter().filter(|it| !it.owner_references().is_empty()) {
                let End::Ours(owner) = self.end(namespace).await? else { continue };
                if namespace.uid().as_ref() == Some(&owner) || kept.contains_key(&owner) {
                    continue;
                }
                if let Some(workload) = self.workload(&namespace.name_any()).await? {
                    kept.insert(owner, workload);
                }
            }
        }
        Ok(kept)
    }

    /// Whether an object stays when what is ours goes: neither it nor what owns it in the end is ours, or is going.
    async fn is_kept(&self, object: &Metadata) -> Result<bool, Unknown> {
        Ok(self.end(object).await? == End::Stays)
    }

    /// Where the way from an object to who controls it ends.
    async fn end(&self, object: &Metadata) -> Result<End, Unknown> {
        let mut last = object.clone();
        for _ in 0..OWNERS {
            if let Some(ours) = last.uid().filter(|uid| self.uids.contains(uid.as_str())) {
                return Ok(End::Ours(ours));
            }
            if last.metadata.deletion_timestamp.is_some() {
                return Ok(End::Goes);
            }
            let Some(owner) = controller(&last).cloned() else { return Ok(End::Stays) };
            // What is owned by something that is gone goes after it. An owner is in the namespace of what it owns, or in none.
            let named = owner_identity(&owner, object.namespace());
            let Some(above) = self.owner(named, &owner.uid).await? else { return Ok(End::Goes) };
            last = above;
        }
        Err(Unknown::Owners(place("object", object)))
    }

    /// An owner, in whatever version its kind is served by now: a reference keeps the one it was written with.
    async fn owner(&self, named: Identity, uid: &str) -> Result<Option<Metadata>, Unknown> {
        for version in self.versions(&named).await? {
            let identity = Identity { version, ..named.clone() };
            let mut resources = Resources::default();
            learn(self.client, [&identity], &mut resources, self.options).await?;
            let Some(resource) = resources.find(&identity).map_err(ApplyError::from)? else { continue };
            let api = resource.api(self.client, &identity);
            let answer = self.ask(|| async { found(api.get_metadata(&identity.name).await) }).await?;
            if let Some(owner) = answer.filter(|it| it.uid().as_deref() == Some(uid)) {
                return Ok(Some(owner));
            }
        }
        Ok(None)
    }

    /// The versions in which an object's group is served, the one that it names first; none of a group that is gone.
    async fn versions(&self, named: &Identity) -> Result<Vec<String>, Unanswered> {
        if named.group.is_empty() {
            return Ok(vec![named.version.clone()]);
        }
        let served = self.served.get_or_try_init(|| self.ask(|| self.client.list_api_groups())).await?;
        let group = served.groups.iter().find(|group| group.name == named.group);
        let versions = group.iter().flat_map(|group| &group.versions);
        let mut versions: Vec<String> = versions.map(|version| version.version.clone()).collect();
        versions.sort_by_key(|version| *version != named.version);
        Ok(versions)
    }
}

/// Where the way from an object to who controls it ends.
#[derive(Debug, Eq, PartialEq)]
enum End {
    /// At something of ours, of this UID.
    Ours(String),
    /// At something that is going or gone.
    Goes,
    /// At something that is neither.
    Stays,
}

/// What becomes of a namespace.
enum Goes {
    /// It is going or gone, with all that is in it.
    Already,
    /// It is ours.
    WithUs,
    /// It is somebody else's.
    Not,
}

/// A list in parts, to its end.
struct Pages<'a> {
    api: &'a Api<DynamicObject>,
    /// Where the next part begins; `None` once there is none.
    next: Option<String>,
    patience: Patience,
}

impl<'a> Pages<'a> {
    const fn of(api: &'a Api<DynamicObject>, patience: Patience) -> Self {
        Self { api, next: Some(String::new()), patience }
    }

    /// The next part; a kind that is not served has none.
    async fn next(&mut self) -> Result<Option<Vec<Metadata>>, Unanswered> {
        let Some(from) = self.next.take() else { return Ok(None) };
        let mut params = ListParams::default().limit(PAGE);
        if !from.is_empty() {
            params = params.continue_token(&from);
        }
        let api = self.api;
        let list = ask(self.patience, || async { found(api.list_metadata(&params).await) }).await?;
        let Some(list) = list else { return Ok(None) };
        self.next = list.metadata.continue_.filter(|token| !token.is_empty());
        Ok(Some(list.items))
    }
}

/// The version of a CRD in which its instances can be listed with the least help: the stored one needs no conversion, and
/// what converts may be gone.
fn stored(crd: &CustomResourceDefinition) -> Option<ApiResource> {
    let served = crd.spec.versions.iter().filter(|version| version.served);
    let version = served.max_by_key(|version| version.storage)?;
    Some(ApiResource {
        group: crd.spec.group.clone(),
        version: version.name.clone(),
        api_version: format!("{}/{}", crd.spec.group, version.name),
        kind: crd.spec.names.kind.clone(),
        plural: crd.spec.names.plural.clone(),
    })
}

/// Who controls an object, or else owns it.
fn controller(object: &Metadata) -> Option<&OwnerReference> {
    let owners = object.owner_references();
    owners.iter().find(|owner| owner.controller == Some(true)).or_else(|| owners.first())
}

fn owner_identity(owner: &OwnerReference, namespace: Option<String>) -> Identity {
    let (group, version) = group_and_version(&owner.api_version);
    Identity {
        group: group.into(),
        version: version.into(),
        kind: owner.kind.clone(),
        namespace,
        name: owner.name.clone(),
    }
}

fn place(kind: &str, object: &Metadata) -> String {
    match object.namespace() {
        Some(namespace) => format!("{kind} {namespace}/{}", object.name_any()),
        None => format!("{kind} {}", object.name_any()),
    }
}
