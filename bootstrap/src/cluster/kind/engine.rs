//! A container runtime at its place: which answers, where, and what it says of itself.

use std::{collections::BTreeMap, env, ffi::OsStr, net::IpAddr, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::runtime::{Runtime, explain};
use crate::{
    failure::Failure,
    tool::{Tool, ToolError},
};

/// How long a container runtime may take to say that it is there.
const ANSWERS_WITHIN: Duration = Duration::from_secs(20);

/// A runtime at one place: what is made there is found there again, whatever another shell's variables say.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Engine {
    /// Which.
    pub(super) runtime: Runtime,
    /// Those of its variables that are set.
    variables: BTreeMap<String, String>,
    /// How Docker that answered there tells itself from others; Podman does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    identity: Option<String>,
}

/// What a runtime says of itself.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Description {
    /// Which one it is.
    identity: Option<String>,
    /// Where it keeps images and containers, on its own machine.
    pub(super) root: PathBuf,
    /// Whether its machine has cgroups of version 1.
    pub(super) cgroup_v1: bool,
    /// Architecture of its machine, as images name it.
    pub(super) architecture: String,
}

impl Engine {
    /// The runtime where this process' environment says it is.
    pub(super) fn here(runtime: Runtime) -> Self {
        let set =
            |name: &&str| Some(((*name).to_owned(), env::var(name).ok().filter(|value| !value.is_empty())?));
        let mut variables: BTreeMap<_, _> = runtime.variables().iter().filter_map(set).collect();
        let named = variables.contains_key("DOCKER_HOST") || variables.contains_key("DOCKER_CONTEXT");
        if runtime == Runtime::Docker && !named {
            // `docker context use` says where Docker is, too, and may say something else tomorrow. A client that is too
            // old to be asked has none.
            let current = Tool::new("docker").args(["context", "show"]).within(ANSWERS_WITHIN).run();
            let current = current.map(|name| name.trim().to_owned()).unwrap_or_default();
            if !["", "default"].contains(&current.as_str()) {
                variables.insert("DOCKER_CONTEXT".into(), current);
            }
        }
        Self { runtime, variables, identity: None }
    }

    /// The first runtime that answers, for a cluster that is to be made: whoever has none may make another kind.
    pub(super) fn find_for_new() -> Result<(Self, Description), Failure> {
        Self::find().map_err(|failure| or_another_kind(&failure))
    }

    /// The first runtime that answers, or why none does.
    pub(super) fn find() -> Result<(Self, Description), Failure> {
        let mut refused = None;
        for runtime in Runtime::ALL {
            let engine = Self::here(runtime);
            match engine.describe() {
                Ok(description) => {
                    return Ok((Self { identity: description.identity.clone(), ..engine }, description));
                }
                Err(ToolError::Missing { .. }) => {}
                Err(error) => refused = refused.or_else(|| Some(explain(runtime, &error))),
            }
        }
        Err(Failure::infrastructure(refused.unwrap_or_else(|| {
            "neither Docker nor Podman is installed, and --cluster kind needs one of them: install Docker"
                .to_owned()
        })))
    }

    /// What it says of itself, if it answers.
    pub(super) fn describe(&self) -> Result<Description, ToolError> {
        let info = self.tool(["info", "--format", "{{json .}}"]).within(ANSWERS_WITHIN);
        let line = info.line();
        parse_info(self.runtime, &info.run()?).map_err(|stderr| ToolError::Failed {
            line,
            status: String::new(),
            stderr,
        })
    }

    /// An error of [`Engine::describe`], for people.
    pub(super) fn refused(&self, error: &ToolError) -> Failure {
        Failure::infrastructure(explain(self.runtime, error))
    }

    /// Its program with these arguments.
    pub(super) fn tool<'a, S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Tool<'a> {
        self.reach(Tool::new(self.runtime.program())).args(args)
    }

    /// A program that uses this runtime.
    pub(super) fn reach<'a>(&self, tool: Tool<'a>) -> Tool<'a> {
        let tool = self.runtime.variables().iter().fold(tool, |tool, name| tool.without_env(name));
        self.variables.iter().fold(tool, |tool, (name, value)| tool.env(name, value))
    }

    /// Whether `kind` puts the nodes of both into one network. Many variables lead to one Docker; where it does not say
    /// which it is, only the same are known to.
    pub(super) fn shares_network_with(&self, other: &Self) -> bool {
        let is_same = match (&self.identity, &other.identity) {
            (Some(one), Some(other)) => one == other,
            _ => self.variables == other.variables,
        };
        is_same && (self.runtime, self.network()) == (other.runtime, other.network())
    }

    /// The network that `kind` puts its nodes into.
    pub(super) fn network(&self) -> &str {
        let own = ["KIND_EXPERIMENTAL_DOCKER_NETWORK", "KIND_EXPERIMENTAL_PODMAN_NETWORK"];
        own.iter().find_map(|name| self.variables.get(*name)).map_or("kind", String::as_str)
    }

    /// Where its variables say that it is, if that is another machine. Of a context, they do not say it.
    pub(super) fn far_away(&self) -> Option<&str> {
        self.host().filter(|host| is_elsewhere(host))
    }

    /// Whether its containers run on this machine: then its disk, ports and kernel are this machine's.
    pub(super) fn is_local(&self) -> bool {
        let elsewhere = ["DOCKER_CONTEXT", "CONTAINER_CONNECTION"];
        self.host().map_or_else(
            || elsewhere.iter().all(|name| !self.variables.contains_key(*name)),
            |host| host.starts_with("unix://"),
        )
    }

    fn host(&self) -> Option<&str> {
        ["DOCKER_HOST", "CONTAINER_HOST"]
            .iter()
            .find_map(|name| self.variables.get(*name))
            .map(String::as_str)
    }
}

/// Whether a host such as `ssh://me@build:22/run/docker.sock` is another machine.
fn is_elsewhere(host: &str) -> bool {
    let Some(("tcp" | "ssh", place)) = host.split_once("://") else { return false };
    let place = place.split('/').next().unwrap_or_default();
    let machine = place.rsplit_once('@').map_or(place, |(_, machine)| machine);
    let name = match machine.strip_prefix('[') {
        Some(address) => address.split(']').next(),
        None => machine.split(':').next(),
    };
    let is_this = |name: &str| {
        ["", "localhost"].contains(&name) || name.parse().is_ok_and(|address: IpAddr| address.is_loopback())
    };
    !name.is_none_or(is_this)
}

/// What a cluster that is to be made can be instead.
fn or_another_kind(failure: &Failure) -> Failure {
    Failure { code: failure.code, message: format!("{failure}; or use --cluster embedded") }
}

/// What `docker info` or `podman info` printed as JSON; a reason where it is no answer of a running server.
fn parse_info(runtime: Runtime, text: &str) -> Result<Description, String> {
    let info: Value =
        serde_json::from_str(text).map_err(|error| format!("its answer cannot be read: {error}"))?;
    let text = |pointer: &str| info.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    // Old clients succeed without a server, and say here what they could not do.
    if let Some(error) = info.pointer("/ServerErrors/0").and_then(Value::as_str) {
        return Err(error.to_owned());
    }
    let (root, cgroup, architecture) = match runtime {
        Runtime::Docker => (text("/DockerRootDir"), text("/CgroupVersion"), text("/Architecture")),
        Runtime::Podman => (text("/store/graphRoot"), text("/host/cgroupVersion"), text("/host/arch")),
    };
    // Podman goes by the name docker, too, and answers in its own words.
    if runtime == Runtime::Docker && root.is_empty() {
        return Err("what answers is not Docker: if it is Podman, install that under its own name".to_owned());
    }
    Ok(Description {
        identity: Some(text("/ID").to_owned()).filter(|identity| !identity.is_empty()),
        root: root.into(),
        cgroup_v1: matches!(cgroup, "1" | "v1"),
        architecture: match architecture {
            "x86_64" => "amd64".to_owned(),
            "aarch64" => "arm64".to_owned(),
            other => other.to_owned(),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_runtimes_say_what_they_are() {
        let docker = r#"{"ID": "d", "DockerRootDir": "/var/lib/docker", "CgroupVersion": "1", "Architecture": "x86_64"}"#;
        let podman = r#"{"host": {"arch": "arm64", "cgroupVersion": "v2"}, "store": {"graphRoot": "/g"}}"#;
        let description = |identity: Option<&str>, root: &str, cgroup_v1, architecture: &str| Description {
            identity: identity.map(Into::into),
            root: root.into(),
            cgroup_v1,
            architecture: architecture.into(),
        };
        assert_eq!(
            parse_info(Runtime::Docker, docker),
            Ok(description(Some("d"), "/var/lib/docker", true, "amd64"))
        );
        assert_eq!(parse_info(Runtime::Podman, podman), Ok(description(None, "/g", false, "arm64")));
        let silent = r#"{"ServerErrors": ["Cannot connect to the Docker daemon"]}"#;
        assert!(parse_info(Runtime::Docker, silent).unwrap_err().contains("Cannot connect"));
        // What podman-docker brings.
        assert!(parse_info(Runtime::Docker, podman).unwrap_err().starts_with("what answers is not Docker: "));
    }

    #[test]
    fn only_who_makes_a_cluster_can_make_another_kind() {
        let stopped = Failure::infrastructure("Docker does not answer: start it");
        let wanted = "Docker does not answer: start it; or use --cluster embedded";
        assert_eq!(or_another_kind(&stopped), Failure::infrastructure(wanted));
    }

    fn engine(name: &str, value: &str) -> Engine {
        let variables = BTreeMap::from([(name.to_owned(), value.to_owned())]);
        Engine { runtime: Runtime::Docker, variables, identity: None }
    }

    #[test]
    fn one_docker_has_one_network_whatever_leads_to_it() {
        let of =
            |engine: &Engine, identity: &str| Engine { identity: Some(identity.into()), ..engine.clone() };
        let named = engine("DOCKER_HOST", "unix:///var/run/docker.sock");
        let unnamed = Engine { variables: BTreeMap::new(), ..named.clone() };
        assert!(of(&named, "1").shares_network_with(&of(&unnamed, "1")));
        assert!(!of(&named, "1").shares_network_with(&of(&named, "2")));
        // A record of before, and Podman.
        assert!(named.shares_network_with(&of(&named, "1")));
        assert!(!named.shares_network_with(&of(&unnamed, "1")));
        let own = of(&engine("KIND_EXPERIMENTAL_DOCKER_NETWORK", "mine"), "1");
        assert!(!own.shares_network_with(&of(&unnamed, "1")));
        let read: Engine = serde_json::from_str(r#"{"runtime": "docker", "variables": {}}"#).unwrap();
        assert_eq!(read, unnamed);
    }

    #[test]
    fn a_place_far_away_is_not_this_machine() {
        assert!(engine("DOCKER_HOST", "unix:///run/docker.sock").is_local());
        assert!(!engine("DOCKER_HOST", "tcp://10.0.0.1:2376").is_local());
        assert!(!engine("DOCKER_CONTEXT", "desktop").is_local());
        for host in [
            "tcp://10.0.0.1:2376",
            "ssh://me@build",
            "ssh://build:22/run/docker.sock",
            "tcp://[fd00::1]:2375",
        ] {
            assert_eq!(engine("DOCKER_HOST", host).far_away(), Some(host));
        }
        for host in
            ["unix:///run/docker.sock", "tcp://localhost:2375", "tcp://127.0.0.1:2375", "tcp://[::1]:2375"]
        {
            assert_eq!(engine("DOCKER_HOST", host).far_away(), None);
        }
        // That of Docker Desktop is this machine, to whoever uses it.
        assert_eq!(engine("DOCKER_CONTEXT", "desktop-linux").far_away(), None);
        assert!(engine("DOCKER_CONFIG", "/x").is_local());
        assert_eq!(engine("DOCKER_CONFIG", "/x").network(), "kind");
        assert_eq!(engine("KIND_EXPERIMENTAL_DOCKER_NETWORK", "mine").network(), "mine");
    }
}
