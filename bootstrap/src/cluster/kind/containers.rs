//! The nodes of a cluster as the container runtime has them: found by their label, whatever `kind` itself knows.

use std::time::Duration;

use jiff::{Timestamp, fmt::strtime};

use super::engine::Engine;
use crate::tool::ToolError;

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
    /// When it was made, by its runtime's clock, to the second; `None` where the runtime says it in a way of its own.
    pub(super) created: Option<Timestamp>,
    role: String,
}

impl Container {
    /// Whether it is a node of Kubernetes.
    pub(super) fn is_node(&self) -> bool {
        self.role != BALANCER
    }
}

/// The containers of a cluster, running or not, by name.
pub(super) fn of_cluster(engine: &Engine, cluster: &str) -> Result<Vec<Container>, ToolError> {
    let format =
        format!("{{{{.ID}}}}\t{{{{.Names}}}}\t{{{{.State}}}}\t{{{{.Label \"{ROLE}\"}}}}\t{{{{.CreatedAt}}}}");
    let label = format!("label={CLUSTER}={cluster}");
    engine
        .tool(["ps", "--all", "--no-trunc", "--filter", &label, "--format", &format])
        .run()
        .map(|list| parse(&list))
}

/// What a listing of containers says.
pub(super) fn parse(list: &str) -> Vec<Container> {
    let one = |line: &str| {
        let mut fields = line.split('\t').map(str::to_owned);
        Some(Container {
            id: fields.next().filter(|id| !id.is_empty())?,
            name: fields.next()?,
            state: fields.next()?.to_lowercase(),
            role: fields.next().unwrap_or_default(),
            created: fields.next().and_then(|time| timestamp(&time)),
        })
    };
    let mut containers: Vec<_> = list.lines().filter_map(one).collect();
    containers.sort_by(|one, other| one.name.cmp(&other.name));
    containers
}

/// A time as both runtimes list it: `2026-11-23 16:20:01 +0000 UTC`, in the client's time zone, whose name says nothing
/// beside its distance.
fn timestamp(text: &str) -> Option<Timestamp> {
    let parts: Vec<&str> = text.split(' ').take(3).collect();
    strtime::parse("%Y-%m-%d %H:%M:%S%.f %z", parts.join(" ")).ok()?.to_timestamp().ok()
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
    fn a_listing_becomes_containers() {
        let list = "b2\ta-worker\texited\tworker\t2026-11-23 17:20:01 +0100 CET\n\
                    a1\ta-control-plane\trunning\tcontrol-plane\t2026-11-23 16:20:00.5 +0000 UTC\n\
                    c3\ta-external-load-balancer\tRunning\texternal-load-balancer\n\n";
        let containers = parse(list);
        let names: Vec<_> = containers.iter().map(|container| container.name.as_str()).collect();
        assert_eq!(names, ["a-control-plane", "a-external-load-balancer", "a-worker"]);
        let states: Vec<_> =
            containers.iter().map(|container| (container.state.as_str(), container.is_node())).collect();
        assert_eq!(states, [("running", true), ("running", false), ("exited", true)]);
        let created: Vec<_> = containers.iter().map(|container| container.created).collect();
        let time = |text: &str| Some(text.parse().unwrap());
        assert_eq!(created, [time("2026-11-23T16:20:00.5Z"), None, time("2026-11-23T16:20:01Z")]);
        assert_eq!(parse(""), []);
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
