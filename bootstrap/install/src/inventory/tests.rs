//! Who may write an inventory, and what becomes of it when several claim, remove and run.

use std::time::Duration;

use crds::inventory::State;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::*;
use crate::{
    api_server::{ApiServer, Fault, INVENTORY},
    remove::remove,
};

const OBJECT: &str = "/api/v1/namespaces/default/configmaps/a";

fn options() -> ApplyOptions {
    ApplyOptions { concurrency: 1, ..ApplyOptions::until(Instant::now() + Duration::from_mins(1)) }
}

fn object(name: &str) -> InventoryObject {
    InventoryObject {
        api_version: "v1".into(),
        kind: "ConfigMap".into(),
        namespace: Some("default".into()),
        name: name.into(),
        uid: None,
        made: true,
        needed_by: None,
    }
}

fn set() -> Vec<Object> {
    let manifest =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "default"}});
    vec![Object::new(manifest).unwrap()]
}

/// An object as somebody else, or we, made it.
fn made_by(manager: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "a", "namespace": "default", "managedFields": [{"manager": manager}]}})
}

async fn claimed(server: &ApiServer, invocation: &str) -> Claim {
    claim(&server.client(), invocation).await.unwrap().unwrap()
}

#[tokio::test(start_paused = true)]
async fn of_two_only_one_claims_a_cluster() {
    let server = ApiServer::default();
    let client = server.client();
    assert_eq!(claimed(&server, "first").await.invocation(), "first");
    assert!(claim(&client, "second").await.unwrap().is_none());
    // Who asks again has lost the answer.
    assert!(claim(&client, "first").await.unwrap().is_some());
    assert_eq!(server.inventory().unwrap().objects.len(), 1, "the namespace that was made for it");
}

#[tokio::test(start_paused = true)]
async fn a_claim_ends_with_the_inventory_that_was_made_for_it() {
    let server = ApiServer::default();
    let first = claimed(&server, "first").await;
    first.record(vec![object("a")]).await.unwrap();
    // Somebody removed all, and another run began: the first must not write into its inventory.
    server.remove(INVENTORY);
    claimed(&server, "second").await;
    assert!(matches!(first.record(vec![object("b")]).await, Err(InventoryError::Lost)));
    assert!(matches!(first.forget(&object("a")).await, Err(InventoryError::Lost)));
    assert_eq!(server.inventory().unwrap().objects.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_added_to_what_is_being_removed() {
    let server = ApiServer::default();
    let client = server.client();
    let run = claimed(&server, "run").await;
    let held = read(&client).await.unwrap().unwrap();
    let closed = close(&client, held, &options()).await.unwrap().unwrap();
    assert_eq!(closed.inventory.state, State::Removing);
    assert!(matches!(run.record(vec![object("a")]).await, Err(InventoryError::Lost)));
    assert!(claim(&client, "next").await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn two_removals_and_a_new_run_do_not_meet() {
    let server = ApiServer::default();
    let client = server.client();
    claimed(&server, "old").await;
    let held = read(&client).await.unwrap().unwrap();
    let one = close(&client, held.clone(), &options()).await.unwrap().unwrap();
    let other = close(&client, held.clone(), &options()).await.unwrap().unwrap();
    give_up(&client, one, Vec::new()).await.unwrap();
    assert!(server.inventory().is_none());
    claimed(&server, "new").await;
    // The other removal comes to its end: what is there now is not what it read.
    give_up(&client, other, Vec::new()).await.unwrap();
    assert_eq!(server.inventory().unwrap().invocation, "new");
    // So does one that had only begun.
    assert!(close(&client, held, &options()).await.unwrap().is_none());
    assert_eq!(server.inventory().unwrap().state, State::Claimed);
}

#[tokio::test(start_paused = true)]
async fn an_object_whose_answer_was_lost_is_known_again_by_who_made_it() {
    for (manager, uid) in [("kfe2e", Some("1")), ("kubectl", None)] {
        let server = ApiServer::default();
        let client = server.client();
        let run = claimed(&server, "run").await;
        run.record(vec![object("a"), object("never-made")]).await.unwrap();
        let mut there = made_by(manager);
        there["metadata"]["uid"] = "1".into();
        server.put(OBJECT, there);
        let held = read(&client).await.unwrap().unwrap();
        let closed = close(&client, held, &options()).await.unwrap().unwrap();
        let uids: Vec<_> =
            closed.inventory.objects.iter().skip(1).map(|object| object.uid.as_deref()).collect();
        assert_eq!(uids, [uid, None], "{manager}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_object_of_another_run_is_never_taken_for_one_whose_answer_was_lost() {
    let server = ApiServer::default();
    let client = server.client();
    claimed(&server, "old").await.record(vec![object("a")]).await.unwrap();
    let held = read(&client).await.unwrap().unwrap();
    // Between the look at the inventory and the look at the object, another removal ends and another run makes its own.
    server.after(&format!("GET {OBJECT}"), INVENTORY, None);
    server.put(OBJECT, made_by("kfe2e"));
    assert!(close(&client, held, &options()).await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn what_stays_is_written_down_and_the_next_run_takes_it_over() {
    let server = ApiServer::default();
    let client = server.client();
    claimed(&server, "old").await;
    let held = read(&client).await.unwrap().unwrap();
    let closed = close(&client, held, &options()).await.unwrap().unwrap();
    let kept = InventoryObject { uid: Some("1".into()), needed_by: Some("Pod b/c".into()), ..object("a") };
    give_up(&client, closed, vec![kept.clone()]).await.unwrap();
    let left = server.inventory().unwrap();
    assert_eq!((left.state, &left.objects), (State::Left, &vec![kept.clone()]));
    claimed(&server, "new").await;
    let next = server.inventory().unwrap();
    assert_eq!((next.state, next.invocation.as_str(), &next.objects[0]), (State::Claimed, "new", &kept));
}

#[tokio::test(start_paused = true)]
async fn what_is_made_is_recorded_with_its_uid() {
    let server = ApiServer::default();
    let run = claimed(&server, "run").await;
    let recorded = apply_recorded(&run, &set(), Before::Unknown, &options(), &|_| ()).await.unwrap();
    assert_eq!((recorded.applied.objects.len(), recorded.kept.len()), (1, 0));
    let uid = server.get(OBJECT).unwrap()["metadata"]["uid"].as_str().unwrap().to_owned();
    assert_eq!(server.inventory().unwrap().objects[1], InventoryObject { uid: Some(uid), ..object("a") });
}

#[tokio::test(start_paused = true)]
async fn what_somebody_makes_after_the_look_is_not_changed_and_not_recorded_as_made() {
    let server = ApiServer::default();
    let run = claimed(&server, "run").await;
    server.after(&format!("GET {OBJECT}"), OBJECT, Some(made_by("kubectl")));
    let recorded = apply_recorded(&run, &set(), Before::Unknown, &options(), &|_| ()).await.unwrap();
    assert_eq!((recorded.applied.objects.len(), recorded.kept.len()), (0, 1));
    assert_eq!(server.get(OBJECT).unwrap()["metadata"]["managedFields"][0]["manager"], "kubectl");
    assert!(!server.inventory().unwrap().made(&object("a")));
}

#[tokio::test(start_paused = true)]
async fn what_is_made_after_somebody_removed_the_rest_is_removed_too() {
    let server = ApiServer::default();
    let run = claimed(&server, "run").await;
    server.after(&format!("PATCH {OBJECT}"), INVENTORY, None);
    let lost = apply_recorded(&run, &set(), Before::Unknown, &options(), &|_| ()).await;
    assert!(matches!(lost, Err(RecordedError::Inventory(InventoryError::Lost))));
    assert_eq!(server.get(OBJECT), None);
}

/// A set of two waves.
fn namespaced_set() -> Vec<Object> {
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}});
    let config =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "n"}});
    [namespace, config].map(|manifest| Object::new(manifest).unwrap()).into()
}

const NAMESPACE: &str = "/api/v1/namespaces/n";
const IN_IT: &str = "/api/v1/namespaces/n/configmaps/a";

#[tokio::test(start_paused = true)]
async fn a_run_whose_things_somebody_removes_ends_before_the_next_wave() {
    let server = ApiServer::default();
    let run = claimed(&server, "run").await;
    server.after(&format!("PATCH {NAMESPACE}"), INVENTORY, None);
    let lost = apply_recorded(&run, &namespaced_set(), Before::Unknown, &options(), &|_| ()).await;
    assert!(matches!(lost, Err(RecordedError::Inventory(InventoryError::Lost))));
    assert!(!server.requests().contains(&format!("PATCH {IN_IT}")));
    assert_eq!(server.get(NAMESPACE), None);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_beside_a_removal_leaves_nothing_either() {
    let server = ApiServer::default();
    let run = claimed(&server, "run").await;
    server.after(&format!("PATCH {IN_IT}"), INVENTORY, None);
    server.forbid(&format!("PATCH {IN_IT}"));
    let lost = apply_recorded(&run, &namespaced_set(), Before::Unknown, &options(), &|_| ()).await;
    assert!(matches!(lost, Err(RecordedError::Inventory(InventoryError::Lost))));
    assert_eq!(server.get(NAMESPACE), None);
}

#[tokio::test(start_paused = true)]
async fn what_a_stopped_run_was_making_is_taken_back_once_nobody_lists_it() {
    for (next, stays) in [(None, false), (Some("next"), true)] {
        let server = ApiServer::default();
        let run = claimed(&server, "run").await;
        run.record(vec![object("a")]).await.unwrap();
        server.put(OBJECT, made_by("kfe2e"));
        // While the inventory is the run's, its removal is what removes.
        take_back(&run).await.unwrap();
        assert!(server.get(OBJECT).is_some());
        server.remove(INVENTORY);
        if let Some(next) = next {
            claimed(&server, next).await;
        }
        take_back(&run).await.unwrap();
        // What has no known UID may be the next run's.
        assert_eq!(server.get(OBJECT).is_some(), stays);
    }
}

/// An inventory's life: claimed, filled, closed, what it lists removed, given up.
async fn lives(server: &ApiServer) {
    let client = server.client();
    let run = claimed(server, "run").await;
    apply_recorded(&run, &namespaced_set(), Before::Unknown, &options(), &|_| ()).await.unwrap();
    let held = read(&client).await.unwrap().unwrap();
    let closed = close(&client, held, &options()).await.unwrap().unwrap();
    let mut objects = closed.inventory.objects.clone();
    objects.retain(|object| !object.is_same(&namespace::entry()));
    let removed = remove(&client, &objects, &options(), &mut |_, _| ()).await.unwrap();
    assert!(removed.failures.is_empty() && removed.kept.is_empty(), "{removed:?}");
    give_up(&client, closed, Vec::new()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn whichever_request_fails_once_nothing_is_left() {
    let server = ApiServer::default();
    lives(&server).await;
    let requests = server.requests();
    for (nth, request) in requests.iter().enumerate() {
        for fault in Fault::ALL {
            let server = ApiServer::default();
            server.fail(nth, fault);
            lives(&server).await;
            for path in [INVENTORY, NAMESPACE, IN_IT] {
                assert_eq!(server.get(path), None, "{fault:?} at {request} (number {nth})");
            }
        }
    }
}
