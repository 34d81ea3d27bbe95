//! Server-side apply of a set, wave by wave: the only part of the crate that talks to an API server.

mod discover;
mod judge;
mod send;

use std::{collections::HashSet, fmt, time::Duration};

use crds::names::INSTALL_FIELD_MANAGER;
use kube::Client;
use tokio::time::Instant;

pub(crate) use discover::learn;
pub use judge::{Expected, Judgement, Refusal, judge, judge_question};
pub(crate) use send::has_part;

use crate::{
    ask::{Patience, REQUEST_WITHIN},
    namespaces::makes_namespace,
    object::{Identity, Object},
    order::{WaveName, waves},
    resource::{Resource, ResourceError, Resources},
};

/// How a set is applied.
#[derive(Clone, Debug)]
pub struct ApplyOptions {
    /// Field manager; constant for a tool, or else fields are never given up.
    pub field_manager: String,
    /// Take fields over from other field managers.
    pub force: bool,
    /// Whether an object that is there already, and that this field manager has no part in, is left alone: it is somebody
    /// else's.
    pub only_new: bool,
    /// When passing reasons are no longer waited for.
    pub deadline: Instant,
    /// Most requests under way at once. A few saturate an API server of few cores; more only lengthen its queue.
    pub concurrency: usize,
    /// How long one request may take.
    pub request_timeout: Duration,
}

impl ApplyOptions {
    /// The options of an installation that has to be through at `deadline`.
    pub fn until(deadline: Instant) -> Self {
        Self {
            field_manager: INSTALL_FIELD_MANAGER.into(),
            force: false,
            only_new: false,
            deadline,
            concurrency: 4,
            request_timeout: REQUEST_WITHIN,
        }
    }

    /// The same, but through within `limit` from now at the latest.
    #[must_use]
    pub(crate) fn at_most(&self, limit: Duration) -> Self {
        Self { deadline: self.deadline.min(Instant::now() + limit), ..self.clone() }
    }

    /// How long one question is asked.
    pub(crate) const fn patience(&self) -> Patience {
        Patience { deadline: self.deadline, request: self.request_timeout }
    }
}

/// What happens while a set is applied.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Progress<'a> {
    /// A wave begins.
    WaveStarted {
        /// Which.
        wave: WaveName,
        /// How many objects it has.
        objects: usize,
    },
    /// An object is in.
    Applied {
        /// Which.
        object: &'a Identity,
        /// How many of the set are in now.
        done: usize,
        /// How many the set has.
        total: usize,
    },
    /// An object is refused for a passing reason; said once for each reason in a row.
    Waiting {
        /// Which.
        object: &'a Identity,
        /// One sentence.
        reason: &'a str,
    },
}

/// What was applied.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Applied {
    /// One for each object of the set, in the order in which the API server took them.
    pub objects: Vec<AppliedObject>,
    /// Indices of those that somebody else made, which were left alone.
    pub found: Vec<usize>,
    /// Requests that had to be made again.
    pub retries: usize,
}

/// An object as the API server took it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AppliedObject {
    /// Index into the set.
    pub index: usize,
    /// Its UID.
    pub uid: Option<String>,
    /// Its generation, for kinds that count.
    pub generation: Option<i64>,
}

/// Why a set is not applied, or not wholly.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// A kind that cannot be sent; nothing was applied.
    #[error(transparent)]
    Resource(#[from] ResourceError),
    /// The API server could not be asked for a kind; nothing was applied.
    #[error("cannot ask the API server for the kinds of {api_version}: {reason}")]
    Discovery {
        /// Group and version.
        api_version: String,
        /// What it said.
        reason: String,
    },
    /// The API server refuses an object, and waiting would not help.
    #[error("{object}: {refusal}")]
    Refused {
        /// Which.
        object: Box<Identity>,
        /// Why.
        #[source]
        refusal: Refusal,
    },
    /// The deadline passed while objects waited.
    #[error("{}", waited(.waiting))]
    Deadline {
        /// What still waited, and for what.
        waiting: Vec<(Identity, String)>,
    },
}

/// What waited, in one sentence: the first object with its reason, and how many more.
fn waited(waiting: &[(Identity, String)]) -> impl fmt::Display {
    let Some((object, reason)) = waiting.first() else {
        return "the deadline passed before everything was applied".to_owned();
    };
    let others = match waiting.len() {
        1 => String::new(),
        more => format!(" (and {} more objects)", more - 1),
    };
    format!("the deadline passed while {object} waited{others}: {reason}")
}

/// Applies every object of the set, in the order of [`waves`].
///
/// What is refused for a passing reason (a CRD that does not serve yet, a namespace that is being made, a conflict of
/// two writes, a busy API server, a webhook that does not answer, a lost connection) is sent again until the deadline,
/// and `progress` is told why. Any other refusal ends the apply. It may be called again at any time: what is in already
/// stays as it is.
///
/// kube's client repeats requests by itself where its configuration has `default_retry`; leave that off, so that every
/// reason is seen here.
///
/// # Errors
/// Names the object and says what the API server says.
pub async fn apply(
    client: &Client,
    objects: &[Object],
    options: &ApplyOptions,
    progress: &(dyn Fn(Progress<'_>) + Sync),
) -> Result<Applied, ApplyError> {
    apply_while(client, objects, options, progress, || std::future::ready(true)).await
}

/// As [`apply`], but asks before each wave whether to go on; what was applied until then is the answer.
pub(crate) async fn apply_while<F: Future<Output = bool> + Send>(
    client: &Client,
    objects: &[Object],
    options: &ApplyOptions,
    progress: &(dyn Fn(Progress<'_>) + Sync),
    goes_on: impl Fn() -> F + Sync,
) -> Result<Applied, ApplyError> {
    let mut resources = Resources::of(objects);
    learn(client, objects.iter().map(Object::identity), &mut resources, options).await?;
    let targets = targets(objects, &resources)?;
    let sender = send::Sender::new(client, options, progress, objects.len());
    for wave in waves(objects) {
        if !goes_on().await {
            break;
        }
        progress(Progress::WaveStarted { wave: wave.name, objects: wave.objects.len() });
        sender.wave(&wave.objects.iter().filter_map(|index| targets.get(*index)).collect::<Vec<_>>()).await?;
    }
    Ok(sender.applied())
}

/// Where an object goes.
#[derive(Debug)]
struct Target<'a> {
    index: usize,
    object: &'a Object,
    resource: Resource,
    /// `apiVersion` and kind, for sentences.
    kind: String,
    namespace_expected: bool,
}

impl Target<'_> {
    fn expected(&self) -> Expected<'_> {
        Expected { kind: &self.kind, fresh: self.resource.fresh, namespace: self.namespace_expected }
    }
}

/// Where each object goes, or the first that has nowhere to go.
fn targets<'a>(objects: &'a [Object], resources: &Resources) -> Result<Vec<Target<'a>>, ResourceError> {
    let coming: HashSet<&str> = objects
        .iter()
        .filter(|object| object.identity().is("", "Namespace") || makes_namespace(object))
        .map(|object| object.identity().name.as_str())
        .chain(["default", "kube-system", "kube-public", "kube-node-lease"])
        .collect();
    let target = |(index, object): (usize, &'a Object)| {
        let identity = object.identity();
        let api_version = identity.api_version();
        let resource = resources.find(identity)?.ok_or_else(|| ResourceError::Unknown {
            object: Box::new(identity.clone()),
            api_version: api_version.clone(),
        })?;
        let namespace = resource.namespace(identity);
        Ok(Target {
            index,
            object,
            kind: format!("{api_version} {}", identity.kind),
            namespace_expected: namespace.is_none_or(|namespace| coming.contains(namespace)),
            resource,
        })
    };
    objects.iter().enumerate().map(target).collect()
}

#[cfg(test)]
mod tests;
