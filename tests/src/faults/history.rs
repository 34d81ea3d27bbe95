//! Everything that happened to the objects of all cases, straight from the API server and never through a proxy.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use crds::v1alpha1::E2ETest;
use futures::StreamExt as _;
use k8s_openapi::api::{
    batch::v1::Job,
    core::v1::{ConfigMap, Pod},
};
use kube::{
    Api, Client, ResourceExt as _,
    api::{DynamicObject, ListParams, WatchEvent, WatchParams},
    core::{ApiResource, GroupVersionKind},
};
use tokio::{sync::watch, task::JoinSet};

use crate::cluster::eventually;

/// Kinds that are followed.
pub const KINDS: [&str; 5] = ["E2ETest", "Job", "Pod", "ConfigMap", "PodDefault"];

/// How long a new kind may take to be served.
const SERVED: Duration = Duration::from_secs(30);

/// How long to wait for an API server that is away, before asking again.
const ASK_AGAIN: Duration = Duration::from_millis(50);

/// How a followed kind is asked for.
fn resource(kind: &str) -> ApiResource {
    match kind {
        "E2ETest" => ApiResource::erase::<E2ETest>(&()),
        "Job" => ApiResource::erase::<Job>(&()),
        "Pod" => ApiResource::erase::<Pod>(&()),
        "ConfigMap" => ApiResource::erase::<ConfigMap>(&()),
        _ => ApiResource::from_gvk(&GroupVersionKind::gvk("kubeflow.org", "v1alpha1", kind)),
    }
}

/// One change of one object.
#[derive(Clone, Debug)]
pub struct Change {
    /// Its kind.
    pub kind: &'static str,
    /// Whether it is gone; the object is then the last version of it.
    pub deleted: bool,
    /// The object after the change.
    pub object: DynamicObject,
    /// When it was heard of.
    pub at: Instant,
}

impl Change {
    /// The version of the object, by which changes of all kinds are in order: there is one etcd.
    pub fn version(&self) -> u64 {
        number(&self.object)
    }
}

/// Kind, namespace and name.
type Key = (&'static str, String, String);

#[derive(Default)]
struct Records {
    changes: Vec<Arc<Change>>,
    live: BTreeMap<Key, Arc<Change>>,
}

/// The changes of one API server since its start.
pub struct History {
    client: Client,
    records: Arc<watch::Sender<Records>>,
    _followers: JoinSet<()>,
}

impl History {
    /// Follows all kinds from now on.
    pub async fn begin(client: Client) -> Self {
        let records = Arc::new(watch::Sender::new(Records::default()));
        let mut followers = JoinSet::new();
        for kind in KINDS {
            let api = Api::<DynamicObject>::all_with(client.clone(), &resource(kind));
            // A kind that was only just defined is refused for a moment.
            let listed = || async { api.list(&ListParams::default()).await.ok() };
            let all = eventually(&format!("{kind}s to be served"), SERVED, listed).await;
            let from = all.metadata.resource_version.unwrap();
            for object in all.items {
                record(&records, Change { kind, deleted: false, object, at: Instant::now() });
            }
            followers.spawn(follow(kind, api, from, Arc::clone(&records)));
        }
        Self { client, records, _followers: followers }
    }

    /// The object as it was last heard of; `None` where it is gone or never was.
    pub fn object(&self, kind: &'static str, namespace: &str, name: &str) -> Option<DynamicObject> {
        let key = (kind, namespace.to_owned(), name.to_owned());
        self.records.borrow().live.get(&key).map(|change| change.object.clone())
    }

    /// All objects of a kind in a namespace.
    pub fn objects(&self, kind: &'static str, namespace: &str) -> Vec<DynamicObject> {
        let from = (kind, namespace.to_owned(), String::new());
        let records = self.records.borrow();
        let all = records.live.range(from..).take_while(|(key, _)| key.0 == kind && key.1 == namespace);
        all.map(|(_, change)| change.object.clone()).collect()
    }

    /// All changes that `wanted` selects, in the order in which they were heard of.
    pub fn changes(&self, wanted: impl Fn(&Change) -> bool) -> Vec<Arc<Change>> {
        self.records.borrow().changes.iter().filter(|change| wanted(change)).cloned().collect()
    }

    /// Waits until `look` finds something; an error with what was awaited after `limit`.
    pub async fn until<T>(
        &self,
        what: &str,
        limit: Duration,
        mut look: impl FnMut(&Self) -> Option<T>,
    ) -> Result<T, String> {
        let mut heard = self.records.subscribe();
        let search = async {
            loop {
                heard.mark_unchanged();
                if let Some(found) = look(self) {
                    return found;
                }
                heard.changed().await.unwrap();
            }
        };
        let found = tokio::time::timeout(limit, search).await;
        found.map_err(|_| format!("waited {} s for {what}", limit.as_secs()))
    }

    /// Waits until everything of a namespace, and this run, is known as it is now.
    pub async fn catch_up(&self, namespace: &str, run: &str, limit: Duration) -> Result<(), String> {
        for kind in KINDS {
            let wide = kind == "E2ETest";
            let (api, parameters) = if wide {
                let one = ListParams::default().fields(&format!("metadata.name={run}"));
                (Api::<DynamicObject>::all_with(self.client.clone(), &resource(kind)), one)
            } else {
                let client = self.client.clone();
                (Api::namespaced_with(client, namespace, &resource(kind)), ListParams::default())
            };
            let now = api.list(&parameters).await.map_err(|error| error.to_string())?;
            let version = |object: &DynamicObject| (object.name_any(), number(object));
            let want: BTreeMap<String, u64> = now.items.iter().map(version).collect();
            self.until(&format!("the history of {kind}s in {namespace}"), limit, |history| {
                let known = if wide {
                    history.object(kind, "", run).into_iter().collect()
                } else {
                    history.objects(kind, namespace)
                };
                let known: BTreeMap<String, u64> = known.iter().map(version).collect();
                let newer =
                    |(name, version): (&String, &u64)| known.get(name).is_some_and(|it| it >= version);
                want.iter().all(newer).then_some(())
            })
            .await?;
        }
        Ok(())
    }
}

/// The version of an object, which grows.
fn number(object: &DynamicObject) -> u64 {
    object.resource_version().and_then(|version| version.parse().ok()).unwrap_or_default()
}

/// Follows one kind for good. A connection that breaks is opened again where it broke, so that nothing is missed.
async fn follow(
    kind: &'static str,
    api: Api<DynamicObject>,
    mut from: String,
    records: Arc<watch::Sender<Records>>,
) {
    loop {
        let parameters = WatchParams::default().timeout(290);
        if let Ok(stream) = api.watch(&parameters, &from).await {
            let mut stream = std::pin::pin!(stream);
            while let Some(Ok(event)) = stream.next().await {
                let (deleted, object) = match event {
                    WatchEvent::Added(object) | WatchEvent::Modified(object) => (false, object),
                    WatchEvent::Deleted(object) => (true, object),
                    WatchEvent::Bookmark(mark) => {
                        from = mark.metadata.resource_version;
                        continue;
                    }
                    WatchEvent::Error(_) => {
                        from = relist(kind, &api, &records).await.unwrap_or(from);
                        break;
                    }
                };
                from = object.resource_version().unwrap();
                record(&records, Change { kind, deleted, object, at: Instant::now() });
            }
        }
        // The API server may be stopped: that it comes back has no event.
        tokio::time::sleep(ASK_AGAIN).await;
    }
}

/// An API server that starts again has forgotten old versions: what is there now is then the next change. While it was
/// away nobody could change anything.
async fn relist(
    kind: &'static str,
    api: &Api<DynamicObject>,
    records: &watch::Sender<Records>,
) -> Option<String> {
    let all = api.list(&ListParams::default()).await.ok()?;
    let known: Vec<Arc<Change>> = {
        let records = records.borrow();
        records.live.values().filter(|change| change.kind == kind).cloned().collect()
    };
    let gone = |change: &&Arc<Change>| !all.items.iter().any(|object| object.uid() == change.object.uid());
    for change in known.iter().filter(gone) {
        let object = change.object.clone();
        record(records, Change { kind, deleted: true, object, at: Instant::now() });
    }
    let new = |object: &&DynamicObject| {
        let version = object.resource_version();
        !known
            .iter()
            .any(|change| change.object.uid() == object.uid() && change.object.resource_version() == version)
    };
    for object in all.items.iter().filter(new).cloned() {
        record(records, Change { kind, deleted: false, object, at: Instant::now() });
    }
    all.metadata.resource_version
}

/// Adds a change, and wakes who waits for one.
fn record(records: &watch::Sender<Records>, change: Change) {
    let change = Arc::new(change);
    let object = &change.object;
    let key = (change.kind, object.namespace().unwrap_or_default(), object.name_any());
    records.send_modify(|records| {
        if change.deleted {
            records.live.remove(&key);
        } else {
            records.live.insert(key, Arc::clone(&change));
        }
        records.changes.push(change);
    });
}
