//! From what was read to how many objects are ready, and what keeps the others from it.
//!
//! Nothing is ever ready by emptiness: an inventory or a namespace that is missing, cannot be read or asks for nothing
//! counts as one object that is not ready.

use std::collections::BTreeSet;

use crds::names::{SYSTEM_NAMESPACE, kubeflow::DEFAULT_EDITOR};

use super::{
    blocking::{Blocking, Severity},
    component::{Component, Tallies, by_place},
    facts::{Facts, Reading, Source},
    inventory::Listed,
    kind,
    object::{Fact, Key, KindId, State},
    target::{Over, Target, inventory_key},
    webhook::Webhook,
    workload::Workload,
};

/// Namespace of an object that names none though its kind has them.
const DEFAULT_NAMESPACE: &str = "default";

/// How everything under a gate stands.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Readiness {
    /// The components, those that are not ready first.
    pub components: Vec<Component>,
    /// How many objects are ready.
    pub ready: i32,
    /// How many objects count.
    pub total: i32,
    /// How many objects are passed over, because the spec says so.
    pub ignored: i32,
    /// How many Secrets are passed over, because the operator never reads any.
    pub secrets: i32,
}

impl Readiness {
    /// Whether everything is ready, and that is something.
    pub const fn is_ready(&self) -> bool {
        self.total > 0 && self.ready == self.total
    }

    /// How everything under `target` stands; `None` while it has not been read.
    pub fn of(target: &Target, facts: &Facts) -> Option<Self> {
        let settled = |source: &Source| *facts.reading(source) != Reading::Pending;
        if !target.sources(facts).iter().all(settled) {
            return None;
        }
        let mut count = Count::new(target, facts);
        match &target.over {
            Over::Inventory(name) => count.inventory(name),
            Over::Namespaces(names) => names.iter().for_each(|name| count.namespace(name)),
        }
        Some(count.finish())
    }
}

/// A judgement under way.
struct Count<'a> {
    target: &'a Target,
    facts: &'a Facts,
    /// Services with an endpoint that is ready.
    services: BTreeSet<&'a Key>,
    tallies: Tallies,
    ignored: i32,
    secrets: i32,
}

impl<'a> Count<'a> {
    fn new(target: &'a Target, facts: &'a Facts) -> Self {
        let services = facts.endpoints.rows().collect();
        Self { target, facts, services, tallies: Tallies::default(), ignored: 0, secrets: 0 }
    }

    fn finish(self) -> Readiness {
        let components = self.tallies.into_components();
        let (ready, total) = components
            .iter()
            .fold((0, 0), |(ready, total), component| (ready + component.ready, total + component.total));
        Readiness { components, ready, total, ignored: self.ignored, secrets: self.secrets }
    }

    /// Counts something that is wrong with what the gate names, as one object that is not ready.
    fn problem(&mut self, component: &str, object: &str, why: impl Into<String>) {
        let blocking = Blocking::new(Severity::Gate, why);
        self.tallies.count(component, || object.to_owned(), Some(blocking));
    }

    /// Counts the objects of an inventory.
    fn inventory(&mut self, name: &str) {
        let object = format!("inventory {name}");
        let facts = self.facts;
        let why = match (facts.inventories.reading(), facts.inventories.get(&inventory_key(name))) {
            (Reading::Unreadable(why), _) => format!("cannot be read: {why}"),
            (_, None) => format!(
                "there is no ConfigMap {SYSTEM_NAMESPACE}/{name} with one: write it with \
                 `kfe2e inventory FILE --name {name} | kubectl apply --server-side -f -`"
            ),
            (_, Some(Err(why))) => format!("ConfigMap {SYSTEM_NAMESPACE}/{name} holds {why}"),
            (_, Some(Ok(listed))) if listed.objects.is_empty() => "names no object".to_owned(),
            (_, Some(Ok(listed))) => {
                if let Some(why) = self.listed(listed) {
                    self.problem(name, &object, why);
                }
                return;
            }
        };
        self.problem(name, &object, why);
    }

    /// Counts objects that an inventory lists. Returns why they cannot be ready even if each of them is.
    fn listed(&mut self, listed: &Listed) -> Option<String> {
        let (mut counted, mut workloads, mut awake) = (false, false, false);
        for (kind, keys) in &listed.objects {
            if kind.is_secret() {
                self.secrets += i32::try_from(keys.len()).unwrap_or(i32::MAX);
                continue;
            }
            for key in keys {
                if self.target.ignores(kind, key) {
                    self.ignored += 1;
                    continue;
                }
                counted = true;
                let fact = self.fact(kind, key);
                if let Some(Fact { state: State::Workload(workload), .. }) = fact {
                    workloads = true;
                    awake |= !workload.idle;
                }
                let blocking = self.listed_object(kind, key, fact);
                self.count(kind, key, fact, blocking);
            }
        }
        if !counted {
            return Some(
                "each object that it names is ignored, or is a Secret, which the operator never reads"
                    .to_owned(),
            );
        }
        // One workload at zero beside others is a choice; all of them at zero are a Kubeflow that is switched off.
        (workloads && !awake).then(|| "none of its workloads asks for a pod".to_owned())
    }

    /// What blocks an object that an inventory lists.
    fn listed_object(&self, kind: &KindId, key: &Key, fact: Option<&Fact>) -> Option<Blocking> {
        match self.facts.reading_of(kind) {
            Reading::NotServed => Some(Blocking::new(
                Severity::Unserved,
                format!("no CRD serves its kind, {} of {}", kind.kind, kind.api_version()),
            )),
            Reading::Unreadable(why) => {
                Some(Blocking::new(Severity::Gate, format!("its kind cannot be read: {why}")))
            }
            Reading::Pending | Reading::Done => match fact {
                Some(fact) => self.blocking(key, fact),
                None => Some(Blocking::new(Severity::Missing, "does not exist")),
            },
        }
    }

    /// What is known of an object.
    fn fact(&self, kind: &KindId, key: &Key) -> Option<&'a Fact> {
        let table = self.facts.objects.get(kind)?;
        table.get(key).or_else(|| {
            // Kubectl takes an object that names no namespace to be in this one.
            key.namespace.is_none().then(|| table.get(&Key::namespaced(DEFAULT_NAMESPACE, &key.name)))?
        })
    }

    /// Counts one object.
    fn count(&mut self, kind: &KindId, key: &Key, fact: Option<&Fact>, blocking: Option<Blocking>) {
        let labelled = fact.and_then(|fact| fact.component.as_deref());
        let component = labelled.unwrap_or_else(|| by_place(kind, key));
        self.tallies.count(component, || called(kind, key), blocking);
    }

    /// Counts the workloads of a namespace.
    fn namespace(&mut self, name: &str) {
        let object = format!("Namespace {name}");
        let facts = self.facts;
        let namespaces = kind::namespaces();
        let kinds = kind::workloads();
        let unreadable =
            [&namespaces].into_iter().chain(&kinds).find_map(|kind| match facts.reading_of(kind) {
                Reading::Unreadable(why) => Some(why.clone()),
                // An API server that is starting serves nothing yet; none is without these kinds.
                Reading::NotServed => Some(format!("the API server does not serve {}", kind.kind)),
                Reading::Pending | Reading::Done => None,
            });
        if let Some(why) = unreadable {
            return self.problem(name, &object, format!("cannot be read: {why}"));
        }
        match self.fact(&namespaces, &Key::cluster(name)) {
            None => return self.problem(name, &object, "does not exist"),
            Some(Fact { state: State::Blocked(blocking), .. }) => {
                return self.problem(name, &object, blocking.sentence.clone());
            }
            Some(_) => {}
        }
        let (mut there, mut counted, mut awake) = (false, false, false);
        for kind in &kinds {
            let rows = facts.objects.get(kind).into_iter().flat_map(|table| table.of_namespace(name));
            for (key, fact) in rows {
                there = true;
                if self.target.ignores(kind, key) {
                    self.ignored += 1;
                    continue;
                }
                counted = true;
                awake |= !matches!(&fact.state, State::Workload(workload) if workload.idle);
                let blocking = self.blocking(key, fact);
                self.count(kind, key, Some(fact), blocking);
            }
        }
        if !there {
            self.problem(name, &object, "holds no Deployment, StatefulSet or DaemonSet");
        } else if !counted {
            self.problem(name, &object, "each of its workloads is ignored");
        } else if !awake {
            self.problem(name, &object, "none of its workloads asks for a pod");
        }
    }

    /// What blocks an object that is there.
    fn blocking(&self, key: &Key, fact: &Fact) -> Option<Blocking> {
        match &fact.state {
            State::Ready => None,
            State::Blocked(blocking) => Some(blocking.clone()),
            State::Workload(workload) => self.workload(key, workload),
            State::Webhooks(webhooks) => self.webhooks(webhooks),
            State::Profile => self.profile(&key.name),
        }
    }

    /// What blocks a workload: the most telling cause that one of its pods gives, else what its own status says.
    fn workload(&self, key: &Key, workload: &Workload) -> Option<Blocking> {
        let own = workload.blocked.as_ref()?;
        let namespace = key.namespace.as_deref().unwrap_or(DEFAULT_NAMESPACE);
        let pods = self.facts.pods.of_namespace(namespace).map(|(_, pod)| pod);
        let told = pods.filter(|pod| workload.selects(&pod.labels)).map(|pod| &pod.why);
        let told = told.max_by_key(|why| why.severity);
        Some(told.cloned().unwrap_or_else(|| Blocking::new(Severity::Starting, own)))
    }

    /// What keeps a webhook configuration from working.
    fn webhooks(&self, webhooks: &[Webhook]) -> Option<Blocking> {
        if let Reading::Unreadable(why) = self.facts.endpoints.reading() {
            return Some(Blocking::new(Severity::Gate, format!("its endpoints cannot be read: {why}")));
        }
        webhooks.iter().find_map(|webhook| webhook.blocked(&self.services))
    }

    /// What a Profile lacks.
    fn profile(&self, name: &str) -> Option<Blocking> {
        let needed = [
            (kind::namespaces(), Key::cluster(name)),
            (kind::service_accounts(), Key::namespaced(name, DEFAULT_EDITOR)),
        ];
        needed.into_iter().find_map(|(kind, key)| {
            let blocking = self.listed_object(&kind, &key, self.fact(&kind, &key))?;
            let why = format!("its {}: {}", called(&kind, &key), blocking.sentence);
            Some(Blocking::new(blocking.severity, why))
        })
    }
}

/// How an object is called.
fn called(kind: &KindId, key: &Key) -> String {
    match &key.namespace {
        Some(namespace) => format!("{} {namespace}/{}", kind.kind, key.name),
        None => format!("{} {}", kind.kind, key.name),
    }
}
