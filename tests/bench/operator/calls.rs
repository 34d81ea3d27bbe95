//! What the API server was asked for, by its own count.

use std::{collections::BTreeMap, sync::Arc};

use kube::Client;
use parking_lot::Mutex;

/// Resources that a run is about; the API server's own affairs, such as leases, are not counted.
const RESOURCES: [&str; 9] = [
    "configmaps",
    "daemonsets",
    "deployments",
    "e2etests",
    "events",
    "jobs",
    "poddefaults",
    "pods",
    "statefulsets",
];

/// Requests by verb and resource, such as `PATCH e2etests/status`.
pub type Calls = BTreeMap<String, u64>;

/// The requests that this program itself made, which are not the operator's.
#[derive(Clone, Default)]
pub struct Own(Arc<Mutex<Calls>>);

impl Own {
    /// One more.
    pub fn add(&self, what: &str) {
        *self.0.lock().entry(what.to_owned()).or_default() += 1;
    }

    fn so_far(&self) -> Calls {
        self.0.lock().clone()
    }
}

/// All requests so far but our own. Watches are counted once they end, so they are left out.
pub async fn of_others(client: &Client, own: &Own) -> Calls {
    let request = http::Request::get("/metrics").body(Vec::new()).unwrap();
    let text = client.request_text(request).await.expect("the API server's metrics can be read");
    less(&parse(&text), &own.so_far())
}

/// The counts of `after` without those of `before`.
pub fn less(after: &Calls, before: &Calls) -> Calls {
    let left = |(what, count): (&String, &u64)| {
        let count = count.saturating_sub(before.get(what).copied().unwrap_or_default());
        (count > 0).then(|| (what.clone(), count))
    };
    after.iter().filter_map(left).collect()
}

/// How many of them write.
pub fn writes(calls: &Calls) -> u64 {
    let reads = |what: &&String| ["GET ", "LIST "].iter().any(|verb| what.starts_with(verb));
    calls.iter().filter(|(what, _)| !reads(what)).map(|(_, count)| count).sum()
}

/// The counts in Prometheus' text.
fn parse(text: &str) -> Calls {
    let mut calls = Calls::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("apiserver_request_total{")) {
        let Some((labels, count)) = line.rsplit_once("} ") else { continue };
        let label = |name: &str| {
            labels
                .split("\",")
                .find_map(|pair| pair.trim_end_matches('"').strip_prefix(&format!("{name}=\"")))
        };
        let (Some(verb), Some(resource)) = (label("verb"), label("resource")) else { continue };
        if verb == "WATCH" || !RESOURCES.contains(&resource) {
            continue;
        }
        let what = match label("subresource") {
            Some("") | None => format!("{verb} {resource}"),
            Some(subresource) => format!("{verb} {resource}/{subresource}"),
        };
        let count: f64 = count.parse().unwrap_or_default();
        // Counters are whole numbers, written as floating-point ones.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let count = count as u64;
        *calls.entry(what).or_default() += count;
    }
    calls
}
