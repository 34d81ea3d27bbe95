//! The nodes of a cluster as the container runtime has them: found by their label, whatever `kind` itself knows.

use std::time::Duration;

use serde_json::Value;

use super::{engine::Engine, mark::Mark};
use crate::tool::{Ended, ToolError};

/// The label that `kind` gives every container of a cluster.
const CLUSTER: &str = "io.x-k8s.kind.cluster";
/// The label with a node's role.
const ROLE: &str = "io.x-k8s.kind.role";
/// The role of what stands before several control planes: a container of the cluster, but no node of Kubernetes.
const BALANCER: &str = "external-load-balancer";

/// A container of a cluster.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Container {
    /// Its identity.
    pub(super) id: String,
    /// Its name, which is also the node's.
    pub(super) name: String,
    /// Such as `running`.
    pub(super) state: String,
    role: String,
    /// Where something is mounted in it.
    mounts: Vec<String>,
}

impl Container {
    /// Whether it is a node of Kubernetes.
    pub(super) fn is_node(&self) -> bool {
        self.role != BALANCER
    }

    /// Whether it was made by the attempt with this mark.
    pub(super) fn carries(&self, mark: &Mark) -> bool {
        self.mounts.contains(&mark.place())
    }
}

/// The containers of a cluster's name, running or not, whoever made them, by name.
pub(super) fn of_cluster(engine: &Engine, cluster: &str) -> Result<Vec<Container>, ToolError> {
    let label = format!("label={CLUSTER}={cluster}");
    let list = engine.tool(["ps", "--all", "--quiet", "--no-trunc", "--filter", &label]).run()?;
    if list.trim().is_empty() {
        return Ok(Vec::new());
    }
    let inspected =
        engine.tool(["container", "inspect"].into_iter().chain(list.split_whitespace())).ended()?;
    // Those that somebody removed since they were listed are left out.
    let text = match &inspected {
        Ended { failed: Some(_), stdout, stderr, .. } if all_gone(stderr) => stdout.clone(),
        _ => inspected.clone().expect_success()?,
    };
    parse(&text).map_err(|reason| ToolError::Failed {
        line: inspected.line,
        status: String::new(),
        stderr: reason,
    })
}

/// What both runtimes' `container inspect` says. What it does not say of a container makes that nobody's of ours.
pub(super) fn parse(inspected: &str) -> Result<Vec<Container>, String> {
    let all: Vec<Value> =
        serde_json::from_str(inspected).map_err(|error| format!("its answer cannot be read: {error}"))?;
    let mut containers: Vec<_> = all.iter().filter_map(container).collect();
    containers.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(containers)
}

fn container(inspected: &Value) -> Option<Container> {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
    let at = |pointer: &str| text(inspected.pointer(pointer));
    let mounts = inspected.get("Mounts").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    Some(Container {
        id: Some(at("/Id")).filter(|id| !id.is_empty())?,
        // Docker's begin with a slash, Podman's do not.
        name: at("/Name").trim_start_matches('/').to_owned(),
        state: at("/State/Status").to_lowercase(),
        role: text(inspected.pointer("/Config/Labels").and_then(|labels| labels.get(ROLE))),
        mounts: mounts.iter().map(|mount| text(mount.get("Destination"))).collect(),
    })
}

/// Removes containers with the volumes that were made for them alone. One that is gone already is what is wanted.
pub(super) fn remove(engine: &Engine, containers: &[Container], limit: Duration) -> Result<(), ToolError> {
    let ids = containers.iter().map(|container| container.id.as_str());
    match engine.tool(["rm", "--force", "--volumes"].into_iter().chain(ids)).within(limit).run() {
        Err(ToolError::Failed { stderr, .. }) if all_gone(&stderr) => Ok(()),
        outcome => outcome.map(drop),
    }
}

/// Whether all that a removal complains about is that somebody else removes, or has removed, the same.
fn all_gone(stderr: &str) -> bool {
    let mut lines = stderr.lines().filter(|line| !line.trim().is_empty()).peekable();
    let gone = |line: &str| {
        let line = line.to_lowercase();
        line.contains("no such container") || line.contains("already in progress")
    };
    lines.peek().is_some() && lines.all(gone)
}

/// Whether there is a network of this name.
pub(super) fn has_network(engine: &Engine, network: &str) -> Result<bool, ToolError> {
    let filter = format!("name=^{network}$");
    let found = engine.tool(["network", "ls", "--filter", &filter, "--format", "{{.Name}}"]).run()?;
    Ok(found.lines().any(|line| line.trim() == network))
}

/// Removes a network unless a container is in it, running or not.
pub(super) fn remove_unused_network(engine: &Engine, network: &str) -> Result<bool, ToolError> {
    let users = engine.tool(["ps", "--all", "--quiet", "--filter", &format!("network={network}")]).run()?;
    if !users.trim().is_empty() || !has_network(engine, network)? {
        return Ok(false);
    }
    match engine.tool(["network", "rm", network]).run() {
        // Somebody else was quicker, to remove it or to use it.
        Err(ToolError::Failed { stderr, .. }) if left_alone(&stderr) => Ok(false),
        outcome => outcome.map(|_| true),
    }
}

fn left_alone(stderr: &str) -> bool {
    let said = stderr.to_lowercase();
    ["not found", "no such network", "has active endpoints", "is being used"]
        .iter()
        .any(|sign| said.contains(sign))
}

/// Architecture of an image, where the runtime has it already.
pub(super) fn architecture_of(engine: &Engine, image: &str) -> Option<String> {
    let inspect = ["image", "inspect", "--format", "{{.Architecture}}", image];
    engine.tool(inspect).run().ok().map(|said| said.trim().to_owned()).filter(|said| !said.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_runtimes_tell_whose_a_container_is() {
        let docker = r#"[
            {"Id": "b2", "Name": "/a-worker", "State": {"Status": "exited"},
             "Config": {"Labels": {"io.x-k8s.kind.cluster": "a", "io.x-k8s.kind.role": "worker"}},
             "Mounts": [{"Type": "volume", "Name": "x", "Destination": "/var"},
                        {"Type": "bind", "Source": "/dev/null", "Destination": "/kfe2e/m", "RW": false}]},
            {"Id": "c3", "Name": "/a-external-load-balancer", "State": {"Status": "running"},
             "Config": {"Labels": {"io.x-k8s.kind.role": "external-load-balancer"}}, "Mounts": []}]"#;
        let podman = r#"[
            {"Id": "a1", "Name": "a-control-plane", "State": {"Status": "Running"},
             "Config": {"Labels": {"io.x-k8s.kind.role": "control-plane"}},
             "Mounts": [{"Type": "bind", "Source": "/dev/null", "Destination": "/kfe2e/mm", "Options": ["rbind"]}]},
            {"Name": "without an identity"}, {"Id": "d4", "Mounts": null}]"#;
        let seen = |text: &str| -> Vec<_> {
            let all = parse(text).unwrap().into_iter();
            all.map(|one| (one.carries(&"m".into()), one.is_node(), one.name, one.state)).collect()
        };
        let told =
            |carries, node, name: &str, state: &str| (carries, node, name.to_owned(), state.to_owned());
        assert_eq!(
            seen(docker),
            [
                told(false, false, "a-external-load-balancer", "running"),
                told(true, true, "a-worker", "exited")
            ]
        );
        assert_eq!(
            seen(podman),
            [told(false, true, "", ""), told(false, true, "a-control-plane", "running")]
        );
        assert!(parse("no such thing").unwrap_err().starts_with("its answer cannot be read: "));
    }

    #[test]
    fn what_somebody_else_removed_is_no_failure() {
        assert!(all_gone("Error response from daemon: No such container: a1\n"));
        assert!(all_gone(
            "Error: removal of container a1 is already in progress\nError: No such container: b\n"
        ));
        assert!(!all_gone("Error: No such container: a1\nError: device busy\n"));
        assert!(!all_gone(""));
        assert!(left_alone("Error response from daemon: network kind not found"));
        assert!(left_alone("network kind id 5 has active endpoints"));
        assert!(!left_alone("permission denied"));
    }
}
