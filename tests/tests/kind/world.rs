//! What the trials of kind share: a Docker with the node image, the commands, and what could be left behind.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
    time::Duration,
};

use e2e_tests::{
    cluster::kubectl,
    docker::{Docker, node_image_archive},
    program::{Ended, Running, kfe2e, start_command},
    runs::run_arguments,
};

/// How long a run may take on a busy machine.
pub(super) const LIMIT: Duration = Duration::from_secs(400);

/// How long a refusal, or a removal, may take.
pub(super) const SHORT: Duration = Duration::from_secs(120);

/// What the trials share: a Docker that answers, with the node image.
pub(super) struct World {
    pub(super) docker: Docker,
    pub(super) image: String,
}

#[derive(Default)]
pub(super) struct Shared(OnceLock<World>);

impl Shared {
    pub(super) fn get(&self) -> &World {
        self.0.get_or_init(|| {
            let docker = Docker::start();
            let image = docker.load(&node_image_archive());
            World { docker, image }
        })
    }
}

impl World {
    pub(super) fn command(&self, program: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(arguments).envs(self.docker.variables()).env("KFE2E_KIND_IMAGE", &self.image);
        command
    }

    pub(super) fn start(&self, arguments: &[&str]) -> Running {
        start_command(&mut self.command(&kfe2e(), arguments), format!("kfe2e {}", arguments.join(" ")))
    }

    pub(super) fn kfe2e(&self, arguments: &[&str], limit: Duration) -> Ended {
        self.start(arguments).wait(limit)
    }

    /// `kind` as the user calls it, for a cluster of their own.
    pub(super) fn kind_of_user(&self, name: &str, kubeconfig: &Path, arguments: &[&str]) -> Ended {
        let mut all = arguments.to_vec();
        all.extend(["--name", name, "--kubeconfig", kubeconfig.to_str().unwrap()]);
        start_command(&mut self.command(&kind(), &all), format!("kind {}", all.join(" "))).wait(LIMIT)
    }

    pub(super) fn run(&self, name: &str, kubeflow: &str, out: &Path, more: &[&str]) -> Ended {
        let all = run_arguments(name, kubeflow, out, more);
        self.kfe2e(&all.iter().map(String::as_str).collect::<Vec<_>>(), LIMIT)
    }

    pub(super) fn up(&self, name: &str, more: &[&str]) -> PathBuf {
        let mut all = vec!["up", "--cluster", "kind", "--name", name];
        all.extend(more);
        let said = self.kfe2e(&all, LIMIT).expect(0).stdout;
        said.trim()
            .strip_prefix("export KUBECONFIG=")
            .unwrap_or_else(|| panic!("no kubeconfig: {said}"))
            .into()
    }

    pub(super) fn down(&self, name: &str) -> Ended {
        self.kfe2e(&["down", "--name", name], SHORT)
    }

    pub(super) fn kubectl(&self, kubeconfig: &Path, arguments: &[&str]) -> Ended {
        let mut all = vec!["--kubeconfig", kubeconfig.to_str().unwrap()];
        all.extend(arguments);
        start_command(&mut self.command(&kubectl(), &all), format!("kubectl {}", all.join(" "))).wait(SHORT)
    }
}

/// The kind program that `kfe2e` brings, as the user's own; one of the PATH may be another.
pub(super) fn kind() -> PathBuf {
    let said = start_command(Command::new(kfe2e()).args(["assets", "--kind"]), "kfe2e assets --kind".into());
    Path::new(said.wait(LIMIT).expect(0).stdout.trim()).join("kind")
}

/// Everything that a kind cluster could leave: in Docker, and in files of the user.
pub(super) fn everything(world: &World) -> Vec<String> {
    let home = PathBuf::from(std::env::var("HOME").unwrap());
    let mut all = world.docker.everything();
    let kubeconfig = fs::read_to_string(home.join(".kube/config")).unwrap_or_default();
    all.push(format!("kubeconfig {kubeconfig}"));
    // Records, and the lock files beside them.
    let records = fs::read_dir(state().join("kind")).into_iter().flatten();
    let records = records.map(|entry| entry.unwrap().path()).chain([state().join("kind.lock")]);
    let mut records: Vec<_> = records.filter(|path| path.exists()).collect();
    records.sort();
    all.extend(records.into_iter().map(|path| format!("record {}", path.display())));
    for limit in ["max_user_instances", "max_user_watches"] {
        let value = fs::read_to_string(format!("/proc/sys/fs/inotify/{limit}")).unwrap();
        all.push(format!("fs.inotify.{limit} {}", value.trim()));
    }
    all
}

/// Where `kfe2e` writes down what it made.
pub(super) fn state() -> PathBuf {
    let folder = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let state = folder("XDG_STATE_HOME").or_else(|| folder("HOME").map(|home| home.join(".local/state")));
    state.unwrap().join("kfe2e")
}

/// The files of a results folder that do not carry a random name.
pub(super) fn files(out: &Path) -> BTreeSet<String> {
    let own = ["run.json", "junit.xml", "summary.md", "objects/pods.yaml", "objects/events.yaml"];
    let mut found: BTreeSet<String> =
        own.into_iter().filter(|file| out.join(file).is_file()).map(Into::into).collect();
    for test in fs::read_dir(out.join("tests")).unwrap() {
        let test = test.unwrap().path();
        found.extend(fs::read_dir(&test).unwrap().map(|file| {
            let file = file.unwrap().path();
            file.strip_prefix(out).unwrap().display().to_string()
        }));
    }
    found
}
