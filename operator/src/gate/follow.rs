//! One watch: a list in pages, then events from where it ended, for ever.
//!
//! The library's watcher is not used here because it does not say when it reads again after an error, and a gate must say
//! for how long it cannot be judged; nor can it leave away what nobody needs of an object before it is kept in memory.

use std::{collections::BTreeMap, convert::Infallible, sync::Arc, time::Duration};

use crds::names::{SYSTEM_NAMESPACE, label};
use futures::TryStreamExt as _;
use kube::{
    api::{ListParams, WatchParams},
    core::{Request, WatchEvent},
};
use operator_core::gate::{
    BLINK, Facts, Followed, Identity as _, Key, KindId, Reader, Reading, Source, Table,
};
use serde::Deserialize;
use tokio::time::{Instant, sleep, timeout};

use super::Shared;
use crate::{
    backoff::Backoff,
    error::CallError,
    reconcile::call::{LIMIT, call},
};

/// How long a watch may go on before the API server ends it; a connection that died silently is noticed as late.
const WATCH_SECONDS: u32 = 120;
/// How long a watch has to last not to be one that the API server only ended at once.
const LASTING: Duration = Duration::from_secs(1);

/// Follows a source until the task is dropped.
pub(super) async fn follow<K: Followed>(shared: Arc<Shared>, source: Source) {
    let kind = source.kind();
    let mut follower = Follower { shared, source, kind, position: None, backoff: Backoff::new(), away: None };
    loop {
        let Err(trouble) = follower.go_on::<K>().await;
        follower.tell::<K>(trouble);
        sleep(follower.backoff.wait()).await;
    }
}

/// Why a watch does not go on.
enum Trouble {
    /// The position is too old: everything has to be listed again.
    Expired,
    /// The API server does not serve the kind.
    NotServed,
    /// The operator lacks the right.
    Denied(String),
    /// The API server is away. It may come back with an older state, in which the position does not exist yet: everything
    /// has to be listed again.
    Away(String),
    /// Something that may pass by itself.
    Passing(String),
}

impl From<CallError> for Trouble {
    fn from(error: CallError) -> Self {
        match error.status().map(|status| status.code) {
            Some(410) => Self::Expired,
            Some(404) => Self::NotServed,
            Some(403) if error.is_missing_right() => Self::Denied(format!(
                "{error}: let the operator read it with a ClusterRole that carries the label {}=true (`kfe2e inventory` writes one)",
                label::AGGREGATE_TO_OPERATOR
            )),
            _ => Self::Passing(error.to_string()),
        }
    }
}

/// One page of a list.
#[derive(Deserialize)]
#[serde(bound = "K: Followed")]
struct Page<K> {
    #[serde(default)]
    metadata: PageMeta,
    items: Option<Vec<K>>,
}

/// Where a page ends.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PageMeta {
    resource_version: Option<String>,
    #[serde(rename = "continue")]
    next: Option<String>,
}

/// Where a watch goes on.
struct Position {
    request: Request,
    version: String,
}

/// One source that is followed.
struct Follower {
    shared: Arc<Shared>,
    source: Source,
    kind: KindId,
    position: Option<Position>,
    backoff: Backoff,
    /// Since when it is not followed.
    away: Option<Instant>,
}

impl Follower {
    /// Goes on from where it was, until something is in the way.
    async fn go_on<K: Followed>(&mut self) -> Result<Infallible, Trouble> {
        loop {
            let mut position = match self.position.take() {
                Some(position) => position,
                None => self.list::<K>().await?,
            };
            let began = Instant::now();
            let watched = self.watch::<K>(&mut position).await;
            self.away.get_or_insert_with(Instant::now);
            let lasted = began.elapsed() >= LASTING;
            if !matches!(watched, Err(Trouble::Expired | Trouble::NotServed | Trouble::Away(_))) {
                self.position = Some(position);
            }
            watched?;
            if !lasted {
                return Err(Trouble::Passing("the API server ended the watch at once".to_owned()));
            }
        }
    }

    /// Says what is in the way, where that counts.
    fn tell<K: Followed>(&mut self, trouble: Trouble) {
        let reading = match trouble {
            Trouble::Expired => return,
            Trouble::NotServed => Reading::NotServed,
            Trouble::Denied(why) => Reading::Unreadable(why),
            Trouble::Passing(why) | Trouble::Away(why) => {
                let since = *self.away.get_or_insert_with(Instant::now);
                tracing::warn!(kind = self.kind.kind, %why, "Watch of a gate was interrupted");
                if since.elapsed() < BLINK {
                    return;
                }
                Reading::Unreadable(why)
            }
        };
        self.change::<K>(|table| table.failed(reading));
    }

    /// It is followed again.
    fn is_back<K: Followed>(&mut self, change: impl FnOnce(&mut Table<K::Row>) -> bool) {
        let too_long = self.away.take().is_some_and(|since| since.elapsed() >= BLINK);
        self.change::<K>(|table| {
            let missed = too_long && table.missed();
            change(table) || missed
        });
    }

    fn change<K: Followed>(&self, change: impl FnOnce(&mut Table<K::Row>) -> bool) {
        self.shared.change(|facts: &mut Facts| change(K::table(facts, &self.kind)));
    }

    /// Reads all that is there.
    async fn list<K: Followed>(&mut self) -> Result<Position, Trouble> {
        let request = self.locate().await?;
        let what = self.called();
        let mut rows: BTreeMap<Key, K::Row> = BTreeMap::new();
        let mut parameters = ListParams::default().limit(self.page());
        loop {
            let http = if self.is_metadata_only() {
                request.list_metadata(&parameters)
            } else {
                request.list(&parameters)
            };
            let http = http.map_err(|error| Trouble::Passing(error.to_string()))?;
            let page: Page<K> = call("list", what.clone(), self.shared.client.request(http)).await?;
            for object in page.items.unwrap_or_default() {
                rows.extend(object.row(&self.kind).map(|row| (object.meta().key(), row)));
            }
            if let Some(next) = page.metadata.next.filter(|next| !next.is_empty()) {
                parameters.continue_token = Some(next);
                continue;
            }
            self.is_back::<K>(|table| table.replace(rows));
            return Ok(Position { request, version: page.metadata.resource_version.unwrap_or_default() });
        }
    }

    /// Follows changes until the API server ends the watch, as it does from time to time.
    async fn watch<K: Followed>(&mut self, position: &mut Position) -> Result<(), Trouble> {
        let parameters = WatchParams::default().timeout(WATCH_SECONDS);
        let http = if self.is_metadata_only() {
            position.request.watch_metadata(&parameters, &position.version)
        } else {
            position.request.watch(&parameters, &position.version)
        };
        let http = http.map_err(|error| Trouble::Passing(error.to_string()))?;
        let what = self.called();
        let opened = call("watch", what.clone(), self.shared.client.request_events::<K>(http)).await;
        let events = opened.map_err(|error| match Trouble::from(error) {
            Trouble::Passing(why) => Trouble::Away(why),
            other => other,
        })?;
        let mut events = std::pin::pin!(events);
        let limit = Duration::from_secs(WATCH_SECONDS.into()) + LIMIT;
        // An answer alone is no watch: what stands between may answer, and cut at once.
        let mut goes_on = false;
        loop {
            let next = match timeout(if goes_on { limit } else { LASTING }, events.try_next()).await {
                Err(_) if goes_on => {
                    // Nobody knows since when.
                    self.change::<K>(Table::missed);
                    return Err(CallError::TimedOut { verb: "watch", object: what, limit }.into());
                }
                next => next.ok(),
            };
            let failed = |source| CallError::Api { verb: "watch", object: what.clone(), source };
            let event = match next.transpose().map_err(failed)? {
                Some(None) => return Ok(()),
                Some(Some(WatchEvent::Error(status))) => {
                    return Err(failed(kube::Error::Api(status)).into());
                }
                Some(Some(event)) => Some(event),
                None => None,
            };
            if !goes_on {
                goes_on = true;
                self.is_back::<K>(Table::recovered);
            }
            let Some(event) = event else { continue };
            let (object, is_there) = match event {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => (object, true),
                WatchEvent::Deleted(object) => (object, false),
                WatchEvent::Bookmark(bookmark) => {
                    position.version = bookmark.metadata.resource_version;
                    continue;
                }
                WatchEvent::Error(status) => return Err(failed(kube::Error::Api(status)).into()),
            };
            if let Some(version) = object.meta().version() {
                version.clone_into(&mut position.version);
            }
            let row = if is_there { object.row(&self.kind) } else { None };
            self.change::<K>(|table| table.put(object.meta().key(), row));
        }
    }

    /// Where the kind is served.
    async fn locate(&self) -> Result<Request, Trouble> {
        let client = &self.shared.client;
        let KindId { group, version, kind } = &self.kind;
        if self.source == Source::Inventories {
            return Ok(Request::new(format!("/api/v1/namespaces/{SYSTEM_NAMESPACE}/configmaps")));
        }
        let place = self.kind.api_version();
        let what = format!("the kinds of {place}");
        let (root, served) = if group.is_empty() {
            ("api", call("read", what, client.list_core_api_resources(version)).await?)
        } else {
            ("apis", call("read", what, client.list_api_group_resources(&place)).await?)
        };
        let resource =
            served.resources.iter().find(|resource| resource.kind == *kind && !resource.name.contains('/'));
        let resource = resource.ok_or(Trouble::NotServed)?;
        Ok(Request::new(format!("/{root}/{place}/{}", resource.name)))
    }

    /// Whether the metadata is all that is needed.
    fn is_metadata_only(&self) -> bool {
        matches!(&self.source, Source::Objects(kind) if kind.reader() == Reader::Plain)
    }

    /// How many objects are read at once: those of a kind that may be large, only a few, so that memory stays flat.
    fn page(&self) -> u32 {
        match &self.source {
            Source::Objects(kind) => match kind.reader() {
                Reader::Plain => 250,
                Reader::Definition => 8,
                Reader::Custom
                | Reader::ApiService
                | Reader::Claim
                | Reader::DaemonSet
                | Reader::Deployment
                | Reader::Job
                | Reader::Namespace
                | Reader::Pod
                | Reader::Profile
                | Reader::ReplicaSet
                | Reader::StatefulSet
                | Reader::Webhooks => 50,
            },
            Source::Pods | Source::Endpoints | Source::Inventories => 50,
        }
    }

    /// What is read, as an error names it.
    fn called(&self) -> String {
        format!("{} of {}", self.kind.kind, self.kind.api_version())
    }
}
