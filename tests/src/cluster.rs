//! The cluster that the trials of one binary share: made at first use, removed at the end.

use std::{
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use bootstrap_embedded::{AssetSource, Cancel, ClusterConfig, Existing, KubernetesVersion, fetch_assets};
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::Value;
use tokio::sync::OnceCell;

use crate::{
    audit,
    docker::{Docker, node_image_archive},
    program::{self, Ended},
};

/// How long `up` may take with warm caches, on a busy machine.
const UP_WITHIN: Duration = Duration::from_secs(300);

/// How long `down` may take.
const DOWN_WITHIN: Duration = Duration::from_secs(120);

/// A running cluster.
#[derive(Clone)]
pub struct Cluster {
    /// Its name.
    pub name: String,
    /// Kubeconfig of an administrator.
    pub kubeconfig: String,
    /// A client of an administrator.
    pub client: Client,
    /// What `up --output json` reported, in seconds by name.
    pub figures: Value,
}

impl Cluster {
    /// Makes an embedded cluster with the images of everything that tests run.
    pub async fn up_with_images(name: &str) -> Self {
        let images = program::image_flags();
        Self::up(name, &images.iter().map(String::as_str).collect::<Vec<_>>()).await
    }

    /// Makes an embedded cluster, with these further arguments for `kfe2e up`.
    pub async fn up(name: &str, arguments: &[&str]) -> Self {
        let mut all = vec!["up", "--cluster", "embedded", "--name", name, "--output", "json"];
        all.extend(arguments);
        Self::made(name, &program::run(&all, UP_WITHIN).expect(0)).await
    }

    /// Makes a kind cluster in that Docker, of the newest version, with the images of everything that tests run.
    pub async fn up_on_kind(name: &str, docker: &Docker) -> Self {
        let image = docker.load(&node_image_archive());
        let mut all: Vec<String> =
            ["up", "--cluster", "kind", "--name", name, "--output", "json", "--kind-image", &image]
                .map(Into::into)
                .into();
        all.extend(program::image_flags());
        Self::made(name, &docker.kfe2e(&all, UP_WITHIN).expect(0)).await
    }

    /// The cluster that `up --output json` made.
    async fn made(name: &str, ended: &Ended) -> Self {
        let lines: Vec<Value> =
            ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let kubeconfig = lines.iter().find_map(|line| line["kubeconfig"].as_str()).unwrap().to_owned();
        let finished = lines.iter().find(|line| line["event"] == "stageFinished").unwrap();
        Self {
            name: name.into(),
            client: client(&kubeconfig).await,
            kubeconfig,
            figures: finished["figures"].clone(),
        }
    }

    /// Makes a control plane with a controller-manager and no node: Jobs get pods, and nobody runs them. What the operator
    /// asks for is written down.
    pub async fn control_plane(name: &str) -> Self {
        let config = ClusterConfig {
            controller_manager: true,
            existing: Existing::Refuse,
            audited: vec![audit::operator()],
            ..ClusterConfig::control_plane(name)
        };
        let made = tokio::task::spawn_blocking(move || bootstrap_embedded::up(&config, &mut |_| {}));
        let kubeconfig = made.await.unwrap().unwrap().kubeconfig.display().to_string();
        Self { name: name.into(), client: client(&kubeconfig).await, kubeconfig, figures: Value::Null }
    }

    /// Removes the cluster.
    pub fn down(&self) -> Ended {
        down(&self.name)
    }

    /// Applies an object, or a List of them, as `kubectl apply --server-side` does.
    pub fn apply(&self, object: &Value) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), object.to_string()).unwrap();
        self.kubectl(&["apply", "--server-side", "-f", file.path().to_str().unwrap()]).expect(0);
    }

    /// `kubectl` of the cluster's version, with these arguments.
    pub fn kubectl(&self, arguments: &[&str]) -> Ended {
        let what = format!("kubectl {}", arguments.join(" "));
        let mut command = Command::new(kubectl());
        command.arg("--kubeconfig").arg(&self.kubeconfig).args(arguments);
        program::start_command(&mut command, what).wait(Duration::from_secs(180))
    }
}

/// Removes the cluster of that name.
pub fn down(name: &str) -> Ended {
    program::run(&["down", "--name", name], DOWN_WITHIN)
}

/// The `kubectl` that the embedded cluster's assets hold.
pub fn kubectl() -> std::path::PathBuf {
    let source = AssetSource::from_env();
    let (version, cancel) = (KubernetesVersion::default(), Cancel::default());
    let folders = fetch_assets(version, &source, &cancel, &mut |_| {}).unwrap();
    folders.into_iter().map(|folder| folder.join("kubectl")).find(|path| path.is_file()).unwrap()
}

/// The current context of a kubeconfig.
pub fn context(kubeconfig: &str) -> String {
    Kubeconfig::read_from(kubeconfig).unwrap().current_context.unwrap()
}

/// A client of the kubeconfig's administrator.
pub async fn client(kubeconfig: &str) -> Client {
    let kubeconfig = Kubeconfig::read_from(kubeconfig).unwrap();
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    config.default_retry = false;
    Client::try_from(config).unwrap()
}

/// A cluster that is made when the first trial asks for it.
pub struct Shared {
    name: &'static str,
    cluster: OnceCell<Arc<Cluster>>,
    asked: OnceCell<()>,
}

impl Shared {
    /// A cluster of this name, not made yet.
    pub fn new(name: &'static str) -> Arc<Self> {
        Arc::new(Self { name, cluster: OnceCell::new(), asked: OnceCell::new() })
    }

    /// The cluster; `make` makes it for the first who asks.
    pub async fn get<F: Future<Output = Cluster>>(
        &self,
        make: impl FnOnce(&'static str) -> F,
    ) -> Arc<Cluster> {
        let first = self.asked.set(()).is_ok();
        // Trying again for every trial would hide the first failure behind many slow ones.
        assert!(
            first || self.cluster.initialized(),
            "the shared cluster could not be made: see the first failure"
        );
        let made = || async { Arc::new(make(self.name).await) };
        Arc::clone(self.cluster.get_or_init(made).await)
    }

    /// Removes the cluster if a trial asked for it, also when it was made only half.
    pub fn remove(&self) {
        if self.asked.initialized() {
            down(self.name).expect(0);
        }
    }
}

/// Asks `look` again and again until it says yes; fails the test after `limit` with what was awaited.
pub async fn eventually<F: Future<Output = Option<T>>, T>(
    what: &str,
    limit: Duration,
    mut look: impl FnMut() -> F,
) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(value) = look().await {
            return value;
        }
        assert!(Instant::now() < deadline, "waited {limit:?} for {what}");
        // The tests look at the cluster from outside, as people do; what they look at may have no watch.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
