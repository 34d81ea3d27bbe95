//! Sends the objects of a wave, a few at a time, each until it is in.

use std::{
    borrow::Cow,
    sync::atomic::{AtomicUsize, Ordering},
};

use futures::{StreamExt as _, stream::FuturesUnordered};
use kube::{
    Api, Client, ResourceExt as _,
    api::{DynamicObject, PartialObjectMeta, Patch, PatchParams, ValidationDirective},
};
use serde_json::Value;
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep, timeout_at},
};

use super::{Applied, AppliedObject, ApplyError, ApplyOptions, Judgement, Progress, Target, judge};
use crate::{ask::backoff, found::found, object::Object};

/// Sends objects and keeps count.
pub(super) struct Sender<'a> {
    client: &'a Client,
    options: &'a ApplyOptions,
    params: PatchParams,
    progress: &'a (dyn Fn(Progress<'_>) + Sync),
    total: usize,
    /// One permit for each request under way; an object that waits holds none.
    requests: Semaphore,
    retries: AtomicUsize,
    applied: parking_lot::Mutex<Applied>,
}

/// A resourceVersion that no object has: the first write of a store is its second revision.
const NO_VERSION: &str = "1";

/// What is sent so that an object can be made by it, and none be changed. The API server compares a resourceVersion with
/// that of the object that is there, and passes over it where there is none. A POST could say the same, but takes two
/// seconds for a custom resource whose CRD is new.
fn only_new(object: &Object) -> Value {
    let mut manifest = object.manifest().clone();
    if let Some(metadata) = manifest.pointer_mut("/metadata").and_then(Value::as_object_mut) {
        metadata.insert("resourceVersion".to_owned(), NO_VERSION.into());
    }
    manifest
}

/// Whether the field manager has a part in an object.
pub(crate) fn has_part(object: &PartialObjectMeta<DynamicObject>, manager: &str) -> bool {
    object.managed_fields().iter().any(|entry| entry.manager.as_deref() == Some(manager))
}

/// What became of an object.
enum Taken {
    /// It is in.
    In(AppliedObject),
    /// It is there, and somebody else's.
    Found,
}

/// How an object's turn ended without it being in.
enum Ended {
    Refused(ApplyError),
    OutOfTime(String),
}

impl<'a> Sender<'a> {
    pub(super) fn new(
        client: &'a Client,
        options: &'a ApplyOptions,
        progress: &'a (dyn Fn(Progress<'_>) + Sync),
        total: usize,
    ) -> Self {
        let params = PatchParams {
            force: options.force,
            field_manager: Some(options.field_manager.clone()),
            // As kubectl: a field that the API server would drop silently is a mistake in the manifest.
            field_validation: Some(ValidationDirective::Strict),
            ..PatchParams::default()
        };
        Self {
            client,
            options,
            params,
            progress,
            total,
            requests: Semaphore::new(options.concurrency.max(1)),
            retries: AtomicUsize::new(0),
            applied: parking_lot::Mutex::new(Applied::default()),
        }
    }

    /// What is in.
    pub(super) fn applied(self) -> Applied {
        Applied { retries: self.retries.into_inner(), ..self.applied.into_inner() }
    }

    /// Sends a wave; ends early at the first final refusal.
    pub(super) async fn wave(&self, targets: &[&Target<'_>]) -> Result<(), ApplyError> {
        let mut sent: FuturesUnordered<_> =
            targets.iter().map(|target| async move { (*target, self.until_applied(target).await) }).collect();
        let mut waiting = Vec::new();
        while let Some((target, ended)) = sent.next().await {
            match ended {
                Ok(()) => {}
                Err(Ended::Refused(error)) => return Err(error),
                Err(Ended::OutOfTime(reason)) => waiting.push((target.object.identity().clone(), reason)),
            }
        }
        if waiting.is_empty() { Ok(()) } else { Err(ApplyError::Deadline { waiting }) }
    }

    /// Sends one object until it is in, is refused for good, or the deadline passes.
    async fn until_applied(&self, target: &Target<'_>) -> Result<(), Ended> {
        let identity = target.object.identity();
        let mut said = String::new();
        for attempt in 0_u32.. {
            let (reason, after) = match self.once(target).await {
                Ok(taken) => {
                    let mut applied = self.applied.lock();
                    match taken {
                        Taken::In(object) => applied.objects.push(object),
                        Taken::Found => applied.found.push(target.index),
                    }
                    (self.progress)(Progress::Applied {
                        object: identity,
                        done: applied.objects.len() + applied.found.len(),
                        total: self.total,
                    });
                    return Ok(());
                }
                Err(Judgement::Passing { reason, after }) => (reason, after),
                Err(Judgement::Final(refusal)) => {
                    let object = Box::new(identity.clone());
                    return Err(Ended::Refused(ApplyError::Refused { object, refusal }));
                }
            };
            if reason != said {
                (self.progress)(Progress::Waiting { object: identity, reason: &reason });
                said.clone_from(&reason);
            }
            let pause = backoff(attempt, after);
            if Instant::now() + pause >= self.options.deadline {
                return Err(Ended::OutOfTime(reason));
            }
            self.retries.fetch_add(1, Ordering::Relaxed);
            sleep(pause).await;
        }
        Err(Ended::OutOfTime(said))
    }

    /// One request, once there is room for it.
    async fn once(&self, target: &Target<'_>) -> Result<Taken, Judgement> {
        let busy = |_| passing("too many requests are under way");
        let permit = self.requests.acquire().await.map_err(busy)?;
        let identity = target.object.identity();
        let api = target.resource.api(self.client, identity);
        let manifest = if self.options.only_new {
            Cow::Owned(only_new(target.object))
        } else {
            Cow::Borrowed(target.object.manifest())
        };
        let patch = Patch::Apply(manifest.as_ref());
        // The answer is asked for without spec and status: a CRD's would be half a megabyte.
        let answer = timeout_at(self.until(), api.patch_metadata(&identity.name, &self.params, &patch)).await;
        let taken = match answer {
            Ok(Ok(taken)) => Ok(Taken::In(applied(target, taken))),
            Ok(Err(kube::Error::Api(status))) if self.options.only_new && status.code == 409 => {
                self.found(target, &api, kube::Error::Api(status)).await
            }
            Ok(Err(error)) => Err(judge(&error, target.expected())),
            Err(_) => Err(passing("the API server does not answer")),
        };
        drop(permit);
        taken
    }

    /// Whose an object is that is there already. An earlier request may have made it, whose answer was lost.
    async fn found(
        &self,
        target: &Target<'_>,
        api: &Api<DynamicObject>,
        conflict: kube::Error,
    ) -> Result<Taken, Judgement> {
        let answer = timeout_at(self.until(), api.get_metadata(&target.object.identity().name)).await;
        let answer = answer.map_err(|_| passing("the API server does not answer"))?;
        match found(answer).map_err(|error| judge(&error, target.expected()))? {
            Some(there) if has_part(&there, &self.options.field_manager) => {
                Ok(Taken::In(applied(target, there)))
            }
            Some(_) => Ok(Taken::Found),
            // It has gone in the meantime, or the conflict was about something else.
            None => Err(judge(&conflict, target.expected())),
        }
    }

    fn until(&self) -> Instant {
        self.options.deadline.min(Instant::now() + self.options.request_timeout)
    }
}

fn applied(target: &Target<'_>, object: PartialObjectMeta<DynamicObject>) -> AppliedObject {
    AppliedObject { index: target.index, uid: object.metadata.uid, generation: object.metadata.generation }
}

fn passing(reason: &str) -> Judgement {
    Judgement::Passing { reason: reason.to_owned(), after: None }
}
