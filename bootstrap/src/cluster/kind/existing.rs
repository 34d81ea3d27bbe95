//! What there is of a cluster's name, from its record and its containers. Pure.

use super::{containers::Container, facts::Facts, request::Request};

/// What there is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Existing {
    /// Nothing.
    Nothing,
    /// What an attempt of ours left that was interrupted, or whose containers somebody removed.
    Leftovers,
    /// A whole cluster of ours.
    Ours,
    /// A cluster of somebody else's. A record of ours that stands beside it is stale: what it stood for is gone.
    Foreign,
}

/// Judges the containers of a name.
pub(super) fn judge(facts: Option<&Facts>, containers: &[Container]) -> Existing {
    let Some(facts) = facts.filter(|facts| !facts.found) else {
        return if containers.is_empty() { Existing::Nothing } else { Existing::Foreign };
    };
    let ours = containers.iter().filter(|container| facts.made(container)).count();
    match (facts.complete, ours) {
        (true, 1..) => Existing::Ours,
        // Somebody made theirs where ours was, or was to be.
        (_, ours) if ours < containers.len() => Existing::Foreign,
        _ => Existing::Leftovers,
    }
}

/// What is said of somebody else's cluster that has the name of one of ours.
pub(super) fn replaced(name: &str) -> String {
    format!(
        "what kfe2e made of cluster `{name}` is gone, and its record goes too; the kind cluster of that name now is \
         somebody else's and stays: `kind delete cluster --name {name}` removes it"
    )
}

/// Why a cluster that is there is not used, if it is not.
pub(super) fn refusal(existing: &Existing, request: &Request) -> Option<String> {
    let name = &request.name;
    match existing {
        Existing::Foreign if !request.reuse => Some(format!(
            "there is a kind cluster `{name}` that kfe2e did not make: use it with --reuse, take another --name, or remove \
             it with `kind delete cluster --name {name}`"
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

    use super::*;
    use crate::cluster::kind::{containers, engine::Engine, kernel::Raises, runtime::Runtime};

    fn facts(found: bool, complete: bool) -> Facts {
        Facts {
            schema_version: 1,
            engine: Engine::here(Runtime::Podman),
            found,
            invocations: BTreeSet::new(),
            begun: "2026-11-23T16:20:00Z".parse().unwrap(),
            complete,
            containers: ["1".to_owned()].into(),
            nodes: 1,
            image: Some("i:1".into()),
            network_is_ours: true,
            raised: Raises::new(),
        }
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
    fn a_cluster_without_a_record_is_somebody_elses() {
        let one =
            |id: &str, time: &str| format!("{id}\ta-{id}\trunning\tworker\t2026-11-23 {time} +0000 UTC\n");
        let parse = |list: String| containers::parse(&list);
        let nodes = parse(one("1", "16:20:07"));
        let remade = parse(one("7", "17:50:00"));
        let mixed = parse(one("1", "16:20:07") + &one("7", "17:50:00"));
        for (facts, containers, expected) in [
            (None, &[][..], Existing::Nothing),
            (None, &nodes[..], Existing::Foreign),
            (Some(facts(true, true)), &nodes[..], Existing::Foreign),
            (Some(facts(true, true)), &[][..], Existing::Nothing),
            (Some(facts(false, false)), &nodes[..], Existing::Leftovers),
            (Some(facts(false, true)), &[][..], Existing::Leftovers),
            (Some(facts(false, true)), &nodes[..], Existing::Ours),
            (Some(facts(false, true)), &remade[..], Existing::Foreign),
            (Some(facts(false, true)), &mixed[..], Existing::Ours),
            (Some(facts(false, false)), &[][..], Existing::Leftovers),
            (Some(facts(false, false)), &remade[..], Existing::Foreign),
            (Some(facts(false, false)), &mixed[..], Existing::Foreign),
        ] {
            assert_eq!(judge(facts.as_ref(), containers), expected, "{facts:?}");
        }
    }

    #[test]
    fn one_that_is_there_is_used_only_when_asked() {
        let new = Request { must_be_new: true, ..request() };
        let reuse = Request { must_be_new: true, reuse: true, ..request() };
        assert!(refusal(&Existing::Foreign, &request()).unwrap().contains("`kind delete cluster --name a`"));
        assert!(refusal(&Existing::Ours, &new).unwrap().contains("`kfe2e down --cluster kind --name a`"));
        assert_eq!(refusal(&Existing::Ours, &request()), None);
        assert_eq!(refusal(&Existing::Foreign, &reuse), None);
        assert_eq!(refusal(&Existing::Ours, &reuse), None);
    }

    #[test]
    fn one_that_is_used_must_be_whole_and_what_is_asked_for() {
        let (ours, running) = (facts(false, true), "1\ta-control-plane\trunning\tcontrol-plane\n");
        let judged = |list: &str, request: &Request| unfit(Some(&ours), &containers::parse(list), request);
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
        assert_eq!(unfit(None, &containers::parse(running), &Request { nodes: 3, ..request() }), None);
    }
}
