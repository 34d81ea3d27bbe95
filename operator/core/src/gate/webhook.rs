//! Webhooks: one that cannot be called makes the API server refuse what it would judge.

use std::collections::BTreeSet;

use serde::{Deserialize, de::IgnoredAny};

use super::{
    blocking::{Blocking, Severity},
    object::{Fact, Key, KindId, Meta, State, Watched},
};

/// The label by which an EndpointSlice names its service.
const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// A mutating or validating webhook configuration.
#[derive(Clone, Debug, Deserialize)]
pub struct WebhookConfiguration {
    #[serde(default)]
    metadata: Meta,
    webhooks: Option<Vec<Entry>>,
}

/// One webhook of a configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    name: String,
    client_config: ClientConfig,
}

/// How a webhook is called.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClientConfig {
    ca_bundle: Option<String>,
    service: Option<Service>,
}

/// The service behind a webhook.
#[derive(Clone, Debug, Deserialize)]
struct Service {
    namespace: String,
    name: String,
}

/// What is kept of one webhook.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Webhook {
    name: String,
    /// The service behind it; one that is called by its URL has none, and its certificate may be known to all.
    service: Option<Key>,
    has_authority: bool,
}

impl Watched for WebhookConfiguration {
    type Meta = Meta;
    type Row = Fact;

    fn meta(&self) -> &Meta {
        &self.metadata
    }

    fn row(&self, kind: &KindId) -> Option<Fact> {
        let webhook = |entry: &Entry| Webhook {
            name: entry.name.clone(),
            service: entry
                .client_config
                .service
                .as_ref()
                .map(|service| Key::namespaced(&service.namespace, &service.name)),
            has_authority: entry.client_config.ca_bundle.as_ref().is_some_and(|bundle| !bundle.is_empty()),
        };
        let webhooks = || self.webhooks.iter().flatten().map(webhook).collect();
        Some(Fact::new(kind, &self.metadata, || State::Webhooks(webhooks())))
    }
}

impl Webhook {
    /// What keeps it from being called, where these services have an endpoint that is ready.
    pub(super) fn blocked(&self, ready: &BTreeSet<&Key>) -> Option<Blocking> {
        let service = self.service.as_ref()?;
        let Key { namespace, name } = service;
        let place = format!("{}/{name}", namespace.as_deref().unwrap_or_default());
        let why = if !self.has_authority {
            format!(
                "webhook {} has no CA bundle: nobody has given it the certificate of Service {place}",
                self.name
            )
        } else if !ready.contains(service) {
            format!("webhook {}: Service {place} has no ready endpoint", self.name)
        } else {
            return None;
        };
        Some(Blocking::new(Severity::Webhook, why))
    }
}

/// An EndpointSlice.
#[derive(Clone, Debug, Deserialize)]
pub struct EndpointSlice {
    #[serde(default)]
    metadata: Meta,
    endpoints: Option<Vec<Endpoint>>,
}

/// One endpoint of a slice.
#[derive(Clone, Debug, Deserialize)]
struct Endpoint {
    #[serde(default)]
    addresses: Vec<IgnoredAny>,
    conditions: Option<EndpointConditions>,
}

/// Whether an endpoint takes requests; not said means yes.
#[derive(Clone, Debug, Deserialize)]
struct EndpointConditions {
    ready: Option<bool>,
}

/// Slices are kept as their service, and only while an endpoint of theirs is ready.
impl Watched for EndpointSlice {
    type Meta = Meta;
    type Row = Key;

    fn meta(&self) -> &Meta {
        &self.metadata
    }

    fn row(&self, _: &KindId) -> Option<Key> {
        let is_ready = |endpoint: &Endpoint| {
            !endpoint.addresses.is_empty()
                && endpoint.conditions.as_ref().is_none_or(|conditions| conditions.ready != Some(false))
        };
        let service = self.metadata.labels.as_ref()?.get(SERVICE_NAME)?;
        let ready = !self.metadata.is_being_deleted() && self.endpoints.iter().flatten().any(is_ready);
        ready.then(|| Key { namespace: self.metadata.namespace.clone(), name: service.clone() })
    }
}
