//! A small API server for tests: objects by path, with UIDs, versions, preconditions and finalizers as the real one has
//! them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use http::{Request, Response};
use kube::{Client, client::Body};
use parking_lot::{Mutex, MutexGuard};
use serde_json::{Value, json};

/// The last part of the paths that are lists.
const PLURALS: [&str; 13] = [
    "bars",
    "configmaps",
    "cronjobs",
    "customresourcedefinitions",
    "daemonsets",
    "deployments",
    "foos",
    "jobs",
    "namespaces",
    "pods",
    "replicasets",
    "replicationcontrollers",
    "statefulsets",
];

/// The path of the inventory.
pub(crate) const INVENTORY: &str = "/api/v1/namespaces/kubeflow-e2e-system/configmaps/kubeflow-e2e";

/// The server, shared with what it runs in.
#[derive(Clone, Default)]
pub(crate) struct ApiServer(Arc<Mutex<State>>);

/// What goes wrong with one request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// The server is too busy to obey it.
    Busy,
    /// It is obeyed, and the answer is lost.
    LostAnswer,
}

impl Fault {
    /// All of them.
    pub(crate) const ALL: [Self; 2] = [Self::Busy, Self::LostAnswer];
}

#[derive(Default)]
struct State {
    objects: BTreeMap<String, Value>,
    clock: u64,
    page: Option<usize>,
    requests: Vec<String>,
    /// Requests that are not allowed.
    forbidden: Vec<String>,
    /// What goes wrong at which request, counted from 0.
    faults: BTreeMap<usize, Fault>,
    /// What somebody does right after a request.
    after: Vec<(String, String, Option<Value>)>,
}

impl ApiServer {
    /// A client of it.
    pub(crate) fn client(&self) -> Client {
        let (service, mut handle) = tower_test::mock::pair::<Request<Body>, Response<Body>>();
        let server = self.clone();
        tokio::spawn(async move {
            while let Some((request, respond)) = handle.next_request().await {
                let (method, uri) = (request.method().to_string(), request.uri().clone());
                let sent = request.into_body().collect_bytes().await.unwrap();
                let body = serde_json::from_slice(&sent).unwrap_or_default();
                let (code, answer) = server.state().answer(&method, uri.path(), uri.query(), &body);
                let response = Response::builder().status(code);
                respond.send_response(response.body(Body::from(answer.to_string().into_bytes())).unwrap());
            }
        });
        Client::new(service, "default")
    }

    /// Puts an object there; one without a UID gets one.
    pub(crate) fn put(&self, path: &str, object: Value) {
        self.state().put(path, object);
    }

    /// Takes an object away.
    pub(crate) fn remove(&self, path: &str) {
        self.state().objects.remove(path);
    }

    /// What somebody puts there, or takes away, right after a request such as `GET /api/v1/pods`.
    pub(crate) fn after(&self, request: &str, path: &str, object: Option<Value>) {
        self.state().after.push((request.to_owned(), path.to_owned(), object));
    }

    /// Forbids a request such as `PATCH /api/v1/namespaces/a`.
    pub(crate) fn forbid(&self, request: &str) {
        self.state().forbidden.push(request.to_owned());
    }

    /// Lets one request go wrong, counted from 0.
    pub(crate) fn fail(&self, nth: usize, fault: Fault) {
        self.state().faults.insert(nth, fault);
    }

    /// The object there.
    pub(crate) fn get(&self, path: &str) -> Option<Value> {
        self.state().objects.get(path).cloned()
    }

    /// What the inventory says.
    pub(crate) fn inventory(&self) -> Option<crds::inventory::Inventory> {
        let parse =
            |map: Value| crds::inventory::Inventory::parse(map["data"]["inventory.json"].as_str().unwrap());
        self.get(INVENTORY).map(|map| parse(map).unwrap())
    }

    /// How many objects a list has at most.
    pub(crate) fn page(&self, size: usize) {
        self.state().page = Some(size);
    }

    /// The requests so far, without their queries.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.state().requests.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }
}

impl State {
    fn put(&mut self, path: &str, mut object: Value) -> Value {
        self.clock += 1;
        let clock = self.clock;
        let metadata = &mut object["metadata"];
        if metadata["uid"].is_null() {
            metadata["uid"] = format!("uid-{clock}").into();
        }
        metadata["resourceVersion"] = clock.to_string().into();
        self.objects.insert(path.to_owned(), object.clone());
        object
    }

    fn answer(&mut self, method: &str, path: &str, query: Option<&str>, body: &Value) -> (u16, Value) {
        let request = format!("{method} {path}");
        let fault = self.faults.remove(&self.requests.len());
        self.requests.push(request.clone());
        if matches!(fault, Some(Fault::Busy)) {
            return status(429);
        }
        let answer = match method {
            _ if self.forbidden.contains(&request) => status(403),
            "GET" => self.read(path, query.unwrap_or_default()),
            "POST" => self.create(path, body),
            "PUT" => self.replace(path, body),
            "PATCH" => self.apply(path, body),
            _ => self.delete(path, body),
        };
        let (due, later): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.after).into_iter().partition(|(after, ..)| *after == request);
        self.after = later;
        for (_, path, object) in due {
            match object {
                Some(object) => drop(self.put(&path, object)),
                None => drop(self.objects.remove(&path)),
            }
        }
        if matches!(fault, Some(Fault::LostAnswer)) { status(504) } else { answer }
    }

    fn read(&self, path: &str, query: &str) -> (u16, Value) {
        if let Some(object) = self.objects.get(path) {
            return (200, object.clone());
        }
        match path.rsplit_once('/') {
            Some(("", "apis")) => (200, self.groups()),
            Some((prefix, plural)) if PLURALS.contains(&plural) => (200, self.list(prefix, plural, query)),
            _ => status(404),
        }
    }

    /// The groups and versions of which there is anything.
    fn groups(&self) -> Value {
        let mut groups = BTreeMap::<&str, BTreeSet<&str>>::new();
        for path in self.objects.keys() {
            let mut parts = path.split('/').skip(1);
            if let (Some("apis"), Some(group), Some(version)) = (parts.next(), parts.next(), parts.next()) {
                groups.entry(group).or_default().insert(version);
            }
        }
        let version = |group: &str, version: &str| json!({"groupVersion": format!("{group}/{version}"), "version": version});
        let groups = groups.iter().map(|(group, versions)| {
            let versions: Vec<Value> = versions.iter().map(|it| version(group, it)).collect();
            json!({"name": group, "versions": versions})
        });
        json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups.collect::<Vec<_>>()})
    }

    fn list(&self, prefix: &str, plural: &str, query: &str) -> Value {
        let is_in = |path: &str| {
            let Some((place, _)) = path.rsplit_once('/') else { return false };
            let everywhere = place.starts_with(&format!("{prefix}/namespaces/"));
            place == format!("{prefix}/{plural}") || (everywhere && place.ends_with(&format!("/{plural}")))
        };
        let all: Vec<&Value> =
            self.objects.iter().filter(|(path, _)| is_in(path)).map(|(_, object)| object).collect();
        let from = query.split('&').find_map(|part| part.strip_prefix("continue="));
        let from: usize = from.map_or(0, |from| from.parse().unwrap());
        let to = self.page.map_or(all.len(), |page| all.len().min(from + page));
        let next = if to < all.len() { to.to_string() } else { String::new() };
        json!({"kind": "List", "apiVersion": "v1", "metadata": {"continue": next}, "items": all[from..to]})
    }

    fn create(&mut self, path: &str, body: &Value) -> (u16, Value) {
        let path = format!("{path}/{}", body["metadata"]["name"].as_str().unwrap());
        if self.objects.contains_key(&path) {
            return status(409);
        }
        (201, self.put(&path, body.clone()))
    }

    fn replace(&mut self, path: &str, body: &Value) -> (u16, Value) {
        let Some(there) = self.objects.get(path) else { return status(404) };
        for field in ["uid", "resourceVersion"] {
            let asked = &body["metadata"][field];
            if !asked.is_null() && *asked != there["metadata"][field] {
                return status(409);
            }
        }
        (200, self.put(path, body.clone()))
    }

    fn apply(&mut self, path: &str, body: &Value) -> (u16, Value) {
        let asked = body["metadata"]["resourceVersion"].clone();
        if let Some(there) = self.objects.get(path) {
            return if asked.is_null() { (200, there.clone()) } else { status(409) };
        }
        let mut object = body.clone();
        object["metadata"]["managedFields"] = json!([{"manager": "kfe2e", "operation": "Apply"}]);
        (201, self.put(path, object))
    }

    fn delete(&mut self, path: &str, body: &Value) -> (u16, Value) {
        let Some(there) = self.objects.get_mut(path) else { return status(404) };
        for field in ["uid", "resourceVersion"] {
            let asked = &body["preconditions"][field];
            if !asked.is_null() && *asked != there["metadata"][field] {
                return status(409);
            }
        }
        if there["metadata"]["finalizers"].is_array() {
            there["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
            return (200, there.clone());
        }
        let gone = self.objects.remove(path).unwrap();
        // With a namespace goes what is in it.
        self.objects.retain(|other, _| !other.starts_with(&format!("{path}/")));
        (200, gone)
    }
}

fn status(code: u16) -> (u16, Value) {
    let reason = match code {
        403 => "Forbidden",
        404 => "NotFound",
        429 => "TooManyRequests",
        504 => "Timeout",
        _ => "Conflict",
    };
    let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "message": reason, "reason": reason});
    (code, status)
}
