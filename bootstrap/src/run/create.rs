//! Creates the `E2ETest` of a run: once, and only if nobody else has one of its name.

use std::time::Duration;

use bootstrap_install::Claim;
use crds::{
    inventory::InventoryObject,
    names::{self, annotation::INVOCATION},
    run_event::Stage,
    v1alpha1::E2ETest,
};
use kube::{Api, ResourceExt as _, api::PostParams};
use tokio::time::{Instant, sleep, timeout_at};

use crate::{failure::Failure, progress::Progress};

/// How long the API server may take to accept the object.
const WITHIN: Duration = Duration::from_secs(30);

/// Pause before the object is sent again.
const PAUSE: Duration = Duration::from_millis(500);

/// Creates the object. It is never applied: an object of this name that is there already holds the verdict of another
/// run.
pub async fn create(claim: &Claim, e2etest: &E2ETest, progress: &Progress) -> Result<E2ETest, Failure> {
    let api: Api<E2ETest> = Api::all(claim.client().clone());
    let invocation = claim.invocation();
    let mut object = e2etest.clone();
    object.annotations_mut().insert(INVOCATION.into(), invocation.to_owned());
    let name = object.name_any();
    let params =
        PostParams { field_manager: Some(names::INSTALL_FIELD_MANAGER.into()), ..PostParams::default() };
    record(claim, &name, None).await?;
    let deadline = Instant::now() + WITHIN;
    let mut said = String::new();
    loop {
        let why = match timeout_at(deadline, api.create(&params, &object)).await {
            Ok(Ok(created)) => {
                record(claim, &name, created.uid()).await?;
                return Ok(created);
            }
            Ok(Err(kube::Error::Api(status))) if status.is_already_exists() => {
                // An answer that cannot be had decides nothing: then the entry stays, and its removal looks again.
                let Some(created) = present(&api, &name, invocation).await? else {
                    // Somebody else's, made in the moment before: it was never ours.
                    forget(claim, &name).await?;
                    return Err(taken(&name));
                };
                record(claim, &name, created.uid()).await?;
                return Ok(created);
            }
            Ok(Err(kube::Error::Api(status))) if status.is_invalid() => {
                let why = format!("the API server refuses E2ETest {name}: {}", status.message);
                return Err(Failure::usage(why));
            }
            Ok(Err(kube::Error::Api(status))) if status.code < 500 && status.code != 429 => {
                return Err(Failure::infrastructure(format!("creating E2ETest {name}: {}", status.message)));
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer".into(),
        };
        if Instant::now() + PAUSE >= deadline {
            let seconds = WITHIN.as_secs();
            return Err(Failure::infrastructure(format!(
                "creating E2ETest {name}: {why} (tried for {seconds} s)"
            )));
        }
        if why != said {
            progress.say(Stage::Test, format!("creating E2ETest {name} is tried again: {why}"));
            said = why;
        }
        sleep(PAUSE).await;
    }
}

/// The object of that name, if it is ours: the answer to an earlier request may have been lost.
async fn present(api: &Api<E2ETest>, name: &str, invocation: &str) -> Result<Option<E2ETest>, Failure> {
    let found = tokio::time::timeout(WITHIN, api.get(name)).await;
    let failed = |why: String| Failure::infrastructure(format!("reading E2ETest {name}: {why}"));
    let found = found.map_err(|_| failed("no answer".into()))?.map_err(|error| failed(error.to_string()))?;
    Ok(Some(found)
        .filter(|found| found.annotations().get(INVOCATION).is_some_and(|known| known == invocation)))
}

/// That the name is somebody else's.
fn taken(name: &str) -> Failure {
    Failure::usage(format!(
        "E2ETest {name} exists already, with the verdict of another run: remove it with \
         `kubectl delete e2etest {name}`, or give yours another metadata.name"
    ))
}

/// Writes into the inventory that the run is ours: before it is made, and again with its UID.
async fn record(claim: &Claim, name: &str, uid: Option<String>) -> Result<(), Failure> {
    let recorded = claim.record(vec![entry(name, uid)]).await;
    recorded.map_err(|error| Failure::infrastructure(error.to_string()))
}

async fn forget(claim: &Claim, name: &str) -> Result<(), Failure> {
    let forgotten = claim.forget(&entry(name, None)).await;
    forgotten.map_err(|error| Failure::infrastructure(error.to_string()))
}

fn entry(name: &str, uid: Option<String>) -> InventoryObject {
    InventoryObject {
        api_version: format!("{}/v1alpha1", names::GROUP),
        kind: "E2ETest".into(),
        namespace: None,
        name: name.into(),
        uid,
        made: true,
        needed_by: None,
    }
}
