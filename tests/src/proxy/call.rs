//! What a request to the API server asks for.

use std::fmt;

use hyper::{Method, Uri};

/// One call: verb, resource and object, as RBAC would name them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Call {
    /// `get`, `list`, `watch`, `create`, `patch`, `update` or `delete`.
    pub verb: &'static str,
    /// Plural, with the subresource: `jobs`, `e2etests/status`.
    pub resource: String,
    /// The namespace; none for cluster-scoped objects and for calls over all namespaces.
    pub namespace: Option<String>,
    /// The object's name; none for collections.
    pub name: Option<String>,
}

impl Call {
    /// The call behind a request line.
    pub fn of(method: &Method, uri: &Uri) -> Self {
        let mut parts = uri.path().split('/').filter(|part| !part.is_empty());
        let skipped = if parts.next() == Some("apis") { 2 } else { 1 };
        let mut parts: Vec<&str> = parts.skip(skipped).collect();
        let namespaced = parts.len() > 2 && parts.first() == Some(&"namespaces");
        let namespace = namespaced.then(|| parts.drain(..2).nth(1).unwrap_or_default().to_owned());
        let name = parts.get(1).map(ToString::to_string);
        let resource = match (parts.first(), parts.get(2)) {
            (Some(plural), Some(sub)) => format!("{plural}/{sub}"),
            (Some(plural), None) => (*plural).to_owned(),
            (None, _) => uri.path().to_owned(),
        };
        let watched = uri.query().is_some_and(|query| query.split('&').any(|pair| pair == "watch=true"));
        let verb = match (method.as_str(), &name) {
            ("GET", _) if watched => "watch",
            ("GET", Some(_)) => "get",
            ("GET", None) => "list",
            ("POST", _) => "create",
            ("PATCH", _) => "patch",
            ("DELETE", _) => "delete",
            _ => "update",
        };
        Self { verb, resource, namespace, name }
    }

    /// Whether it changes something.
    pub fn is_write(&self) -> bool {
        !matches!(self.verb, "get" | "list" | "watch")
    }

    /// Whether it looks at a whole kind, in all namespaces.
    pub fn is_wide(&self) -> bool {
        self.namespace.is_none() && self.name.is_none()
    }

    /// Where in the operator it comes from: by this a script chooses calls.
    pub fn site(&self) -> String {
        let wide = if self.is_wide() { " everywhere" } else { "" };
        format!("{} {}{wide}", self.verb, self.resource)
    }
}

impl fmt::Display for Call {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = [&self.namespace, &self.name].into_iter().flatten().cloned().collect::<Vec<_>>();
        write!(formatter, "{} {}", self.site(), place.join("/"))
    }
}
