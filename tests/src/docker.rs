//! A Docker for the trials with real kind clusters: the machine's own, or a private one that leaves nothing behind.

use std::{collections::BTreeSet, env, process::Command, time::Duration};

use crate::program::{Ended, checkout, kfe2e, start_command};

/// How long Docker may take to start, or to end.
const LIMIT: Duration = Duration::from_secs(180);

/// How long the node image may take to be loaded.
const LOAD_WITHIN: Duration = Duration::from_secs(180);

/// How long a question may take.
const SHORT: Duration = Duration::from_secs(30);

/// How the names of images begin that the tests make.
const OWN_IMAGES: &str = "localhost/kfe2e-";

/// A Docker that answers, with the node image in it. When dropped, a private one is ended, and the machine's own loses the
/// images again that it did not have before.
pub struct Docker {
    /// `DOCKER_HOST` for everything that shall reach it; `None` for the machine's own.
    pub host: Option<String>,
    /// The images that it had before.
    before: BTreeSet<String>,
}

impl Docker {
    /// Makes sure that one answers.
    pub fn start() -> Self {
        let said = script(&["start"], LIMIT);
        let host = said.trim().strip_prefix("DOCKER_HOST=").map(Into::into);
        let mut docker = Self { host, before: BTreeSet::new() };
        docker.before = docker.images();
        docker
    }

    /// Loads an image archive; returns the image's name.
    pub fn load(&self, archive: &str) -> String {
        let said = self.docker(&["load", "--input", archive], LOAD_WITHIN);
        let name = said.lines().find_map(|line| line.strip_prefix("Loaded image: "));
        name.unwrap_or_else(|| panic!("docker load said no image's name: {said}")).trim().into()
    }

    /// Removes an image that [`Docker::load`] brought, unless it was there before.
    pub fn unload(&self, image: &str) {
        if !self.before.contains(image) {
            self.docker(&["image", "rm", image], SHORT);
        }
    }

    /// The names of all images.
    fn images(&self) -> BTreeSet<String> {
        let list = self.docker(&["image", "ls", "--format", "{{.Repository}}:{{.Tag}}"], SHORT);
        list.lines().map(Into::into).collect()
    }

    /// `docker` with these arguments; what it printed.
    pub fn docker(&self, arguments: &[&str], limit: Duration) -> String {
        let mut command = Command::new("docker");
        command.args(arguments).envs(self.variables());
        start_command(&mut command, format!("docker {}", arguments.join(" "))).wait(limit).expect(0).stdout
    }

    /// `kfe2e` with these arguments, in the reach of this Docker.
    pub fn kfe2e(&self, arguments: &[String], limit: Duration) -> Ended {
        let mut command = Command::new(kfe2e());
        command.args(arguments).envs(self.variables());
        start_command(&mut command, format!("kfe2e {}", arguments.join(" "))).wait(limit)
    }

    /// What a program needs in its environment to reach it.
    pub fn variables(&self) -> Vec<(String, String)> {
        self.host.iter().map(|host| ("DOCKER_HOST".into(), host.clone())).collect()
    }

    /// Everything that a kind cluster leaves: containers, volumes, networks and images, sorted.
    pub fn everything(&self) -> Vec<String> {
        let mut all: Vec<String> = [
            ("container", vec!["ps", "--all", "--format", "{{.Names}}"]),
            ("volume", vec!["volume", "ls", "--format", "{{.Name}}"]),
            ("network", vec!["network", "ls", "--format", "{{.Name}}"]),
            ("image", vec!["image", "ls", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}"]),
        ]
        .into_iter()
        .flat_map(|(what, arguments)| {
            let text = self.docker(&arguments, SHORT);
            text.lines().map(|line| format!("{what} {line}")).collect::<Vec<_>>()
        })
        .collect();
        all.sort();
        all
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        if self.host.is_some() {
            script(&["stop"], LIMIT);
            return;
        }
        // What others loaded meanwhile is theirs.
        for image in self.images().iter().filter(|image| image.starts_with(OWN_IMAGES)) {
            self.unload(image);
        }
    }
}

fn script(arguments: &[&str], limit: Duration) -> String {
    let mut command = Command::new(checkout().join("tests/kind/docker.sh"));
    command.args(arguments);
    start_command(&mut command, format!("docker.sh {}", arguments.join(" "))).wait(limit).expect(0).stdout
}

/// The archive of the node image of the newest Kubernetes: `KFE2E_TEST_KIND_IMAGE`, which the Makefile sets.
pub fn node_image_archive() -> String {
    env::var("KFE2E_TEST_KIND_IMAGE")
        .unwrap_or_else(|_| panic!("KFE2E_TEST_KIND_IMAGE is not set: run the tests with `make test`"))
}
