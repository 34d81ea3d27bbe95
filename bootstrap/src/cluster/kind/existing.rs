//! What there is of a cluster's name, from its record and its containers. Pure.

use super::{
    containers::Container,
    facts::{Facts, Split},
    request::Request,
};

/// What there is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Existing {
    /// Nothing.
    Nothing,
    /// What an attempt of ours left that was interrupted, or whose containers somebody removed.
    Leftovers,
    /// A whole cluster of ours.
    Ours,
    /// A cluster of somebody else's. A record of an attempt of ours that stands beside it is stale.
    Foreign,
}

/// Judges the containers of a name, and tells ours from others.
pub(super) fn judge(facts: Option<&Facts>, containers: Vec<Container>) -> (Existing, Split) {
    let split = match facts {
        Some(facts) => facts.split(containers),
        None => Split { ours: Vec::new(), others: containers },
    };
    let attempt = facts.filter(|facts| facts.mark.is_some());
    let existing = match attempt {
        Some(facts) if facts.complete && !split.ours.is_empty() => Existing::Ours,
        _ if !split.others.is_empty() => Existing::Foreign,
        Some(_) => Existing::Leftovers,
        None => Existing::Nothing,
    };
    (existing, split)
}

/// What is said of containers of somebody else's that have the name of a cluster of ours.
pub(super) fn stay(name: &str, others: &[Container]) -> Option<String> {
    let names: Vec<&str> = others.iter().map(|container| container.name.as_str()).collect();
    let names = names.join(", ");
    if others.is_empty() {
        return None;
    }
    let whose = if others.iter().any(Container::is_node) {
        format!("kfe2e did not make {names} of kind cluster `{name}`: that is somebody else's and stays")
    } else {
        // It cannot be marked.
        format!(
            "whether kfe2e made {names} of kind cluster `{name}` cannot be told without its nodes: it stays"
        )
    };
    Some(format!("{whose}; `kind delete cluster --name {name}` removes it"))
}

/// Whether what `kind` has made lacks nodes that carry our mark, and what there is. Without it nobody would remove them.
pub(super) fn unmarked(facts: &Facts, split: &Split, name: &str) -> Option<String> {
    let marked = split.ours.iter().filter(|container| container.is_node()).count();
    (marked < facts.nodes).then(|| {
        let others: Vec<&str> = split.others.iter().map(|container| container.name.as_str()).collect();
        let others = if others.is_empty() {
            String::new()
        } else {
            format!("; {} without it stay: `kind delete cluster --name {name}` removes them", others.join(", "))
        };
        format!(
            "kind made {marked} nodes of cluster `{name}` with the mount that tells that they are kfe2e's, not {}{others}",
            facts.nodes
        )
    })
}

/// Why a cluster that is there is not used, if it is not.
pub(super) fn refusal(existing: Existing, request: &Request) -> Option<String> {
    let name = &request.name;
    match existing {
        Existing::Foreign if !request.reuse => Some(format!(
            "there is a kind cluster `{name}` that this user did not make with kfe2e: use it with --reuse, take another \
             --name, or remove it with `kind delete cluster --name {name}`"
        )),
        Existing::Ours if request.must_be_new && !request.reuse => Some(format!(
            "cluster `{name}` runs already: remove it with `kfe2e down --cluster kind --name {name}`, or take another --name"
        )),
        _ => None,
    }
}

/// What of a cluster that is used is not in order, or not what is asked for.
pub(super) fn unfit(facts: Option<&Facts>, containers: &[Container], request: &Request) -> Option<String> {
    let name = &request.name;
    let remedy = facts.map_or_else(String::new, |_| {
        format!(": remove it with `kfe2e down --cluster kind --name {name}`, or take another --name")
    });
    if let Some(stopped) = containers.iter().find(|container| container.state != "running") {
        return Some(format!(
            "node {} of cluster `{name}` is {}, not running{remedy}",
            stopped.name, stopped.state
        ));
    }
    let facts = facts?;
    let nodes = containers.iter().filter(|container| container.is_node()).count();
    if nodes != facts.nodes {
        return Some(format!("cluster `{name}` has only {nodes} of its {} nodes{remedy}", facts.nodes));
    }
    if nodes != request.node_count() {
        let asked = request.node_count();
        return Some(format!(
            "cluster `{name}` has not {asked} nodes, which are asked for, but {nodes}{remedy}"
        ));
    }
    let asked = request.image.as_ref().filter(|_| facts.image != request.image)?;
    let made = facts.image.as_deref().unwrap_or("kind's own");
    Some(format!("cluster `{name}` was made with the node image {made}, and {asked} is asked for{remedy}"))
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, path::PathBuf};

    use std::slice::from_ref;

    use serde_json::json;

    use super::*;
    use crate::cluster::kind::{containers, engine::Engine, mark::Mark, runtime::Runtime};

    fn facts(mark: Option<&str>, complete: bool) -> Facts {
        Facts {
            schema_version: 2,
            engine: Engine::here(Runtime::Podman),
            mark: mark.map(Mark::from),
            invocations: BTreeSet::new(),
            complete,
            nodes: 1,
            image: Some("i:1".into()),
            network_is_ours: true,
        }
    }

    /// What is inspected of one node.
    fn node(state: &str, mark: &str) -> String {
        json!({"Id": mark, "Name": "a-control-plane", "State": {"Status": state},
            "Mounts": [{"Destination": format!("/kfe2e/{mark}")}]})
        .to_string()
    }

    fn parse(nodes: &[String]) -> Vec<Container> {
        containers::parse(&format!("[{}]", nodes.join(","))).unwrap()
    }

    fn request() -> Request {
        Request {
            name: "a".into(),
            nodes: 1,
            image: Some("i:1".into()),
            config: None,
            config_file: None,
            images: Vec::new(),
            must_be_new: false,
            reuse: false,
            failure_logs: PathBuf::new(),
        }
    }

    #[test]
    fn a_cluster_without_our_mark_is_somebody_elses() {
        let (ours, others) = (node("running", "m"), node("running", "other"));
        let (none, ours, others, mixed) = (
            parse(&[]),
            parse(from_ref(&ours)),
            parse(from_ref(&others)),
            parse(&[ours.clone(), others.clone()]),
        );
        let made = |complete| Some(facts(Some("m"), complete));
        let found = || Some(facts(None, true));
        for (facts, containers, expected) in [
            (None, &none, Existing::Nothing),
            (None, &others, Existing::Foreign),
            // That it has a mark says nothing without the record of it.
            (None, &ours, Existing::Foreign),
            (found(), &ours, Existing::Foreign),
            (found(), &none, Existing::Nothing),
            (made(true), &none, Existing::Leftovers),
            (made(true), &ours, Existing::Ours),
            (made(true), &others, Existing::Foreign),
            (made(true), &mixed, Existing::Ours),
            (made(false), &none, Existing::Leftovers),
            (made(false), &ours, Existing::Leftovers),
            (made(false), &others, Existing::Foreign),
            (made(false), &mixed, Existing::Foreign),
        ] {
            let (existing, split) = judge(facts.as_ref(), containers.clone());
            assert_eq!(existing, expected, "{facts:?}");
            assert_eq!(split.ours.len() + split.others.len(), containers.len());
        }
        assert_eq!(stay("a", &[]), None);
        let said = stay("a", &others).unwrap();
        assert!(said.starts_with("kfe2e did not make a-control-plane of kind cluster `a`: "), "{said}");
        assert!(said.contains("`kind delete cluster --name a`"), "{said}");
    }

    #[test]
    fn a_cluster_that_was_made_without_the_mark_is_no_success() {
        let split = |ours: &[(&str, &str)]| {
            let listed: Vec<_> = ours.iter().map(|(state, mark)| node(state, mark)).collect();
            let facts = facts(Some("m"), false);
            (facts.split(containers::parse(&format!("[{}]", listed.join(","))).unwrap()), facts)
        };
        let (whole, facts) = split(&[("running", "m")]);
        assert_eq!(unmarked(&facts, &whole, "a"), None);
        let (bare, facts) = split(&[("running", "n")]);
        let said = unmarked(&facts, &bare, "a").unwrap();
        assert!(said.starts_with("kind made 0 nodes of cluster `a` with the mount"), "{said}");
        assert!(
            said.contains("not 1; a-control-plane without it stay: `kind delete cluster --name a`"),
            "{said}"
        );
        let (nothing, facts) = split(&[]);
        assert!(unmarked(&facts, &nothing, "a").unwrap().ends_with("not 1"));
    }

    #[test]
    fn one_that_is_there_is_used_only_when_asked() {
        let new = Request { must_be_new: true, ..request() };
        let reuse = Request { must_be_new: true, reuse: true, ..request() };
        assert!(refusal(Existing::Foreign, &request()).unwrap().contains("`kind delete cluster --name a`"));
        assert!(refusal(Existing::Ours, &new).unwrap().contains("`kfe2e down --cluster kind --name a`"));
        assert_eq!(refusal(Existing::Ours, &request()), None);
        assert_eq!(refusal(Existing::Foreign, &reuse), None);
        assert_eq!(refusal(Existing::Ours, &reuse), None);
    }

    #[test]
    fn one_that_is_used_must_be_whole_and_what_is_asked_for() {
        let (ours, running) = (facts(Some("m"), true), node("running", "m"));
        let running = running.as_str();
        let judged = |node: &str, request: &Request| unfit(Some(&ours), &parse(&[node.to_owned()]), request);
        assert_eq!(judged(running, &request()), None);
        assert_eq!(judged(running, &Request { image: None, ..request() }), None);
        let stopped = judged(&running.replace("running", "exited"), &request()).unwrap();
        assert!(stopped.starts_with("node a-control-plane of cluster `a` is exited, not running: remove it"));
        let more = judged(running, &Request { nodes: 3, ..request() }).unwrap();
        assert!(
            more.starts_with("cluster `a` has not 3 nodes, which are asked for, but 1: remove it"),
            "{more}"
        );
        let other = judged(running, &Request { image: Some("i:2".into()), ..request() }).unwrap();
        assert!(
            other.starts_with("cluster `a` was made with the node image i:1, and i:2 is asked for"),
            "{other}"
        );
        assert_eq!(unfit(None, &parse(&[running.to_owned()]), &Request { nodes: 3, ..request() }), None);
    }
}
