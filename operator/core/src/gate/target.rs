//! What a gate looks at, and what it passes over.

use std::collections::BTreeSet;

use crds::v1alpha1::IgnoredObjects;

use super::{
    facts::{Facts, Source},
    kind,
    object::{Key, KindId},
};

/// What a gate looks at. Runs with equal targets share one judgement.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Target {
    /// Of what it consists.
    pub over: Over,
    /// Objects that it passes over.
    pub ignore: Vec<Pattern>,
}

/// Of what a gate consists.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Over {
    /// The objects of the inventory of this name.
    Inventory(String),
    /// The workloads of these namespaces.
    Namespaces(Vec<String>),
}

/// Objects that a gate passes over.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Pattern {
    kind: String,
    namespace: Option<String>,
    name: String,
}

impl From<&IgnoredObjects> for Pattern {
    fn from(ignored: &IgnoredObjects) -> Self {
        Self { kind: ignored.kind.clone(), namespace: ignored.namespace.clone(), name: ignored.name.clone() }
    }
}

impl Pattern {
    fn matches(&self, kind: &KindId, key: &Key) -> bool {
        self.kind == kind.kind
            && self.namespace.as_ref().is_none_or(|namespace| key.namespace.as_ref() == Some(namespace))
            && glob(&self.name, &key.name)
    }
}

impl Target {
    /// Whether an object is passed over.
    pub(super) fn ignores(&self, kind: &KindId, key: &Key) -> bool {
        self.ignore.iter().any(|pattern| pattern.matches(kind, key))
    }

    /// All that is read for a judgement, as far as it is known by now: an inventory has to be read first.
    pub fn sources(&self, facts: &Facts) -> BTreeSet<Source> {
        match &self.over {
            Over::Namespaces(_) => {
                let kinds = kind::workloads().into_iter().chain([kind::namespaces()]);
                kinds.map(Source::Objects).chain([Source::Pods]).collect()
            }
            Over::Inventory(name) => {
                let row = facts.inventories.get(&inventory_key(name));
                let mut sources =
                    row.and_then(|row| row.as_ref().ok()).map(|listed| listed.sources()).unwrap_or_default();
                sources.insert(Source::Inventories);
                sources
            }
        }
    }
}

/// Where an inventory is.
pub(super) fn inventory_key(name: &str) -> Key {
    Key::namespaced(crds::names::SYSTEM_NAMESPACE, name)
}

/// Whether a text matches a pattern in which `*` stands for any characters.
fn glob(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(head) else { return false };
    let Some((middle, tail)) = rest.rsplit_once('*') else { return text.ends_with(rest) };
    // The shortest match of each part leaves the most for those after it.
    for part in middle.split('*') {
        let Some(position) = text.find(part) else { return false };
        text = text.get(position + part.len()..).unwrap_or_default();
    }
    text.ends_with(tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_characters() {
        for (pattern, text, matches) in [
            ("spark", "spark", true),
            ("spark", "spark-operator", false),
            ("spark-*", "spark-operator", true),
            ("spark-*", "spark-", true),
            ("spark-*", "sparks", false),
            ("*", "", true),
            ("*-web-app", "jupyter-web-app", true),
            ("a*b*c", "abc", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "acb", false),
            ("ab*ba", "aba", false),
            ("**", "x", true),
        ] {
            assert_eq!(glob(pattern, text), matches, "{pattern} {text}");
        }
    }
}
