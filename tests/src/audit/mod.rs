//! What the API server wrote down of the operator's requests, against what the operator is granted.

mod granted;
mod log;
pub mod planted;

use std::fmt;

use crds::names::{OPERATOR, SYSTEM_NAMESPACE};

pub use granted::granted;
pub use log::{Used, used};

/// The operator's account, as the API server calls it.
pub fn operator() -> String {
    format!("system:serviceaccount:{SYSTEM_NAMESPACE}:{OPERATOR}")
}

/// Where a right holds.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Scope {
    /// In the whole cluster.
    Everywhere,
    /// In each namespace that let the operator in.
    Target,
    /// In one namespace.
    Namespace(String),
}

/// One verb on one resource.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Right {
    scope: Scope,
    verb: String,
    resource: String,
}

impl fmt::Display for Right {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = match &self.scope {
            Scope::Everywhere => "everywhere".to_owned(),
            Scope::Target => "in target namespaces".to_owned(),
            Scope::Namespace(name) => format!("in namespace {name}"),
        };
        write!(formatter, "{} {} {place}", self.verb, self.resource)
    }
}

/// A resource with its group.
fn named(group: &str, resource: &str) -> String {
    if group.is_empty() { resource.to_owned() } else { format!("{group}/{resource}") }
}
