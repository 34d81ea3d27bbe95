//! Waits for objects of a cluster by watching them: a watch that is lost is begun anew, until the deadline.

use std::{
    collections::BTreeMap,
    fmt::{self, Debug},
    pin::pin,
};

use bootstrap_install::apply::{Judgement, judge_question};
use futures::StreamExt as _;
use kube::{
    Api, Resource, ResourceExt as _,
    runtime::{
        WatchStreamExt as _,
        watcher::{self, Config, Event, watcher},
    },
};
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout_at};

/// Which objects of a kind, and for how long.
#[derive(Clone, Debug)]
pub struct Wait<'a> {
    /// What is waited for: the end of a sentence.
    pub what: &'a str,
    /// Which objects are looked at.
    pub objects: Config,
    /// When it is given up.
    pub deadline: Instant,
}

/// The one object of that name.
pub fn named(name: &str) -> Config {
    Config::default().fields(&format!("metadata.name={name}"))
}

/// What was waited for did not come about.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Unmet {
    what: String,
    /// What was lacking, or kept anybody from knowing, last.
    lacks: String,
    /// For how many seconds, where it was not given up before the deadline.
    seconds: Option<u64>,
}

impl fmt::Display for Unmet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, lacks, seconds } = self;
        match seconds {
            Some(seconds) => write!(formatter, "waited {seconds} s in vain for {what}: {lacks}"),
            None => write!(formatter, "waiting for {what}: {lacks}"),
        }
    }
}

impl std::error::Error for Unmet {}

/// Watches objects until nothing is lacking any more; the error says what was, last. `lacking` is asked about all of them,
/// which may be none.
///
/// # Errors
/// The deadline passes, or the API server refuses for good to tell.
pub async fn until<K>(
    api: Api<K>,
    wait: Wait<'_>,
    lacking: impl Fn(&[&K]) -> Option<String>,
) -> Result<(), Unmet>
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let Wait { what, objects: config, deadline } = wait;
    let begin = Instant::now();
    let unmet = |lacks: String, seconds| Err(Unmet { what: what.to_owned(), lacks, seconds });
    let mut events = pin!(watcher(api, config).default_backoff());
    let mut objects: BTreeMap<(Option<String>, String), K> = BTreeMap::new();
    let mut lacks = "the API server has not answered".to_owned();
    let place = |object: &K| (object.namespace(), object.name_any());
    loop {
        let Ok(event) = timeout_at(deadline, events.next()).await else {
            return unmet(lacks, Some(begin.elapsed().as_secs()));
        };
        match event {
            None => return unmet(format!("the watch ended: {lacks}"), None),
            // It tries again by itself.
            Some(Err(error)) => match passing(&error) {
                Ok(reason) => {
                    lacks = reason;
                    continue;
                }
                Err(refused) => return unmet(refused, None),
            },
            Some(Ok(Event::Init)) => {
                objects.clear();
                continue;
            }
            Some(Ok(Event::InitApply(object))) => {
                objects.insert(place(&object), object);
                continue;
            }
            Some(Ok(Event::InitDone)) => {}
            Some(Ok(Event::Apply(object))) => {
                objects.insert(place(&object), object);
            }
            Some(Ok(Event::Delete(object))) => {
                objects.remove(&place(&object));
            }
        }
        match lacking(&objects.values().collect::<Vec<_>>()) {
            None => return Ok(()),
            Some(reason) => lacks = reason,
        }
    }
}

/// Why a watch was lost, if it may be had again.
fn passing(error: &watcher::Error) -> Result<String, String> {
    use watcher::Error::{InitialListFailed, NoResourceVersion, WatchError, WatchFailed, WatchStartFailed};
    match error {
        InitialListFailed(cause) | WatchStartFailed(cause) => match judge_question(cause) {
            Judgement::Passing { reason, .. } => Ok(reason),
            Judgement::Final(refusal) => Err(refusal.to_string()),
        },
        // However it broke off, it began.
        WatchError(_) | WatchFailed(_) => Ok(error.to_string()),
        NoResourceVersion => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::{Request, Response};
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::{Client, client::Body};
    use serde_json::{Value, json};

    use super::*;

    fn map(version: &str, ready: bool) -> Value {
        let data = if ready { json!({"ready": "yes"}) } else { json!({}) };
        json!({"apiVersion": "v1", "kind": "ConfigMap", "data": data,
            "metadata": {"name": "a", "namespace": "b", "resourceVersion": version}})
    }

    fn list(items: &[Value]) -> (u16, String) {
        let list = json!({"apiVersion": "v1", "kind": "ConfigMapList", "metadata": {"resourceVersion": "1"}, "items": items});
        (200, list.to_string())
    }

    fn event(what: &str, object: &Value) -> (u16, String) {
        (200, format!("{}\n", json!({"type": what, "object": object})))
    }

    fn status(code: u16) -> (u16, String) {
        let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code,
            "message": "the script says no", "reason": "Any"});
        (code, status.to_string())
    }

    /// What a watch says that has nothing to go on from any more.
    fn expired() -> (u16, String) {
        event("ERROR", &serde_json::from_str(&status(410).1).unwrap())
    }

    /// Waits a minute for the object to be ready, where an API server answers so, and then no more.
    async fn waited(answers: Vec<(u16, String)>) -> Result<(), String> {
        let (service, mut handle) = tower_test::mock::pair::<Request<Body>, Response<Body>>();
        let server = tokio::spawn(async move {
            for (code, body) in answers {
                let (_, respond) = handle.next_request().await.expect("a request");
                let response = Response::builder().status(code).body(Body::from(body.into_bytes()));
                respond.send_response(response.unwrap());
            }
            // Whoever asks on gets no answer.
            let _unanswered = handle.next_request().await;
            std::future::pending::<()>().await;
        });
        let api: Api<ConfigMap> = Api::namespaced(Client::new(service, "b"), "b");
        let wait = Wait {
            what: "the map to be ready",
            objects: named("a"),
            deadline: Instant::now() + Duration::from_mins(1),
        };
        let lacking = |found: &[&ConfigMap]| match found {
            [] => Some("there is none".to_owned()),
            [map, ..] if map.data.as_ref().is_none_or(BTreeMap::is_empty) => Some("it is not".to_owned()),
            _ => None,
        };
        let outcome = until(api, wait, lacking).await.map_err(|unmet| unmet.to_string());
        server.abort();
        outcome
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_that_cannot_be_had_for_a_while_is_begun_again() {
        let (waiting, ready) = (map("1", false), map("2", true));
        for answers in [
            vec![status(503), list(std::slice::from_ref(&ready))],
            vec![list(&[]), status(429), event("ADDED", &ready)],
            vec![
                list(std::slice::from_ref(&waiting)),
                event("MODIFIED", &waiting),
                status(500),
                event("MODIFIED", &ready),
            ],
            // Too old to go on from: all is listed anew.
            vec![list(&[waiting]), expired(), list(&[ready])],
        ] {
            assert_eq!(waited(answers.clone()).await, Ok(()), "{answers:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_gone_when_the_watch_is_back_is_not_taken_for_there() {
        let answers = vec![list(&[map("1", false)]), expired(), list(&[])];
        let why = "waited 60 s in vain for the map to be ready: there is none";
        assert_eq!(waited(answers).await.unwrap_err(), why);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_ends_it_at_once_and_the_deadline_with_the_last_reason() {
        assert_eq!(
            waited(vec![status(503), status(403)]).await.unwrap_err(),
            "waiting for the map to be ready: the script says no"
        );
        assert_eq!(
            waited(vec![status(503)]).await.unwrap_err(),
            "waited 60 s in vain for the map to be ready: the script says no"
        );
    }
}
