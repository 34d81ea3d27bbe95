//! The order in which a cluster comes to life. What does not wait for each other runs beside each other.

use std::{
    ffi::OsString,
    net::{SocketAddr, TcpStream},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    sync::mpsc::Sender,
    thread,
    time::{Duration, Instant},
};

use crate::{
    ClusterConfig, Error, Progress, Step,
    address::{API_PORT, Subnet},
    assets::Binaries,
    audit, cgroup,
    config::{Component, Layout},
    control_plane,
    daemon::{self, Daemon, DaemonSpec, write_config},
    dns, host, images, kubeconfig,
    kubectl::Kubectl,
    namespace, network,
    node::{self, RuntimeFacts},
    notify::Notification,
    pki::{Pki, write_private},
    preflight::{cni_plugins, may_lower_oom_score},
    process::Identity,
    resolver::Resolver,
    state::State,
    storage, system_images,
    up::{make_folders, promise},
    watch::{Session, Watch},
};

/// How long one attempt to reach the API server's port may take.
const CONNECT: Duration = Duration::from_millis(500);
/// The service account that every pod without another one uses.
const DEFAULT_ACCOUNT: &str = "/api/v1/namespaces/default/serviceaccounts/default";

/// What was measured.
#[derive(Clone, Debug, Default)]
pub(crate) struct Times {
    pub(crate) serving: Option<Duration>,
    pub(crate) ready: Option<Duration>,
    pub(crate) node: Option<Duration>,
    pub(crate) image_load: Option<Duration>,
    pub(crate) dns: Option<Duration>,
    pub(crate) images: Vec<String>,
}

/// A cluster in the making.
pub(crate) struct Maker<'a> {
    config: &'a ClusterConfig,
    layout: Layout,
    binaries: Binaries,
    began: Instant,
    cgroups: Vec<PathBuf>,
}

impl<'a> Maker<'a> {
    pub(crate) fn new(config: &'a ClusterConfig, layout: Layout, binaries: Binaries) -> Self {
        Self { config, layout, binaries, began: Instant::now(), cgroups: Vec::new() }
    }

    /// Makes it. On an error the caller removes whatever is there.
    pub(crate) fn make(
        mut self,
        mut session: Session<'_>,
        events: &Sender<Progress>,
    ) -> Result<(Subnet, Times), Error> {
        session.begin(Step::ControlPlane);
        let subnet = self.claim()?;
        self.cgroups = cgroup::create(&self.layout.name, &cgroup::hierarchies()?)?;
        let mtu = network::create(&self.layout, subnet)?;
        let etcd = self.start_etcd(&mut session)?;
        let pki = self.identities(subnet)?;
        etcd.await_ready(&mut || session.tick("etcd to serve"))?;
        self.start_api_server(&mut session, &pki, subnet)?;
        let times = if self.config.nodes == 0 {
            self.control_plane_only(&mut session, &pki, subnet)?
        } else {
            self.with_node(&mut session, events, &pki, subnet, mtu)?
        };
        let complete = State { complete: true, ..promise(self.config, subnet, &self.binaries) };
        complete.write(&self.layout)?;
        Ok((subnet, times))
    }

    /// Takes a subnet and records it, and the host as it is, before anything uses or changes them.
    fn claim(&self) -> Result<Subnet, Error> {
        make_folders(&self.layout)?;
        let _lock = host::lock(&self.config.roots)?;
        let subnet = network::allocate(&self.config.roots)?;
        promise(self.config, subnet, &self.binaries).write(&self.layout)?;
        if self.config.nodes > 0 {
            host::prepare(&self.config.roots)?;
            host::adapt(&self.config.roots)?;
        }
        Ok(subnet)
    }

    /// Makes certificates and the files with which each part, and the administrator, reach the API server.
    fn identities(&self, subnet: Subnet) -> Result<Pki, Error> {
        let pki = Pki::create(&self.layout.pki(), &self.layout.name, subnet)?;
        let write = |path: &Path, user: &str| {
            let client = pki.client(user)?;
            let text = kubeconfig::render(&self.layout.name, &subnet.endpoint(), &pki.ca, user, &client);
            write_private(path, &text)
        };
        for (component, user) in [
            (Component::ControllerManager, "controller-manager"),
            (Component::Scheduler, "scheduler"),
            (Component::Proxy, "proxy"),
            (Component::Kubelet, "kubelet"),
            (Component::Provisioner, "provisioner"),
        ] {
            write(Path::new(&control_plane::kubeconfig(&self.layout, component)), user)?;
        }
        write(&self.layout.kubeconfig(), "admin")?;
        Ok(pki)
    }

    fn start_etcd(&self, session: &mut Session<'_>) -> Result<Notification, Error> {
        let notification = Notification::bind(&self.layout.run.join("etcd.notify"))?;
        let command = self.command(Component::Etcd, control_plane::etcd(&self.layout));
        let mut spec = DaemonSpec::new(Component::Etcd, namespace::in_network(&self.layout, command));
        spec.env.push(notification.variable());
        self.launch(session, &spec)?;
        Ok(notification)
    }

    fn start_api_server(&self, session: &mut Session<'_>, pki: &Pki, subnet: Subnet) -> Result<(), Error> {
        let audited = &self.config.audited;
        if !audited.is_empty() {
            write_config(&audit::policy_file(&self.layout), &audit::policy(audited).to_string())?;
        }
        let mut flags = control_plane::api_server(pki, subnet);
        flags.extend(audit::flags(&self.layout, audited));
        self.start(session, Component::ApiServer, flags)
    }

    fn control_plane_only(
        &self,
        session: &mut Session<'_>,
        pki: &Pki,
        subnet: Subnet,
    ) -> Result<Times, Error> {
        let serving = self.await_serving(session, subnet)?;
        let ready = self.await_ready(session)?;
        if self.config.controller_manager {
            let flags = control_plane::controller_manager(&self.layout, pki);
            self.start(session, Component::ControllerManager, flags)?;
            self.await_object(session, "the service account `default`", DEFAULT_ACCOUNT)?;
        }
        session.end();
        Ok(Times { serving: Some(serving), ready: Some(ready), ..Times::default() })
    }

    fn with_node(
        &self,
        session: &mut Session<'_>,
        events: &Sender<Progress>,
        pki: &Pki,
        subnet: Subnet,
        mtu: u32,
    ) -> Result<Times, Error> {
        let runtime = self.start_runtime(session, mtu)?;
        network::open(&self.layout, subnet)?;
        let watch = session.watch.clone();
        thread::scope(|scope| {
            let loading = scope.spawn(|| {
                let loaded = self.load_images(&watch, events);
                loaded.inspect_err(|_| watch.abandon())
            });
            let times = self.node_ready(session, runtime, pki, subnet);
            let times = times.and_then(|times| self.await_dns(session, times));
            if times.is_err() {
                watch.abandon();
            }
            let (times, (took, images)) = both(times, finished(loading))?;
            Ok(Times { image_load: Some(took), images, ..times })
        })
    }

    fn await_dns(&self, session: &mut Session<'_>, times: Times) -> Result<Times, Error> {
        session.begin(Step::Dns);
        let awaited = "the cluster's DNS to be available";
        let dns = "deployment/coredns";
        self.kubectl().wait("kube-system", dns, "Available", &mut || session.tick(awaited))?;
        session.end();
        Ok(Times { dns: Some(self.began.elapsed()), ..times })
    }

    /// Starts all that makes a node and waits until it is Ready and pods can be made.
    fn node_ready(
        &self,
        session: &mut Session<'_>,
        runtime: Identity,
        pki: &Pki,
        subnet: Subnet,
    ) -> Result<Times, Error> {
        let resolver = Resolver::of_host(&self.config.resolv_conf);
        write_config(&self.layout.config().join("resolv.conf"), &resolver.render())?;
        let serving = self.await_serving(session, subnet)?;
        // kubelet takes longest and needs the API server alone.
        self.start_kubelet(session, runtime, pki, subnet)?;
        let ready = self.await_ready(session)?;
        session.end();
        session.begin(Step::Node);
        self.start_controllers(session, pki)?;
        let (kubectl, watch) = (self.kubectl(), session.watch.clone());
        let node = thread::scope(|scope| {
            let objects = scope.spawn(|| {
                let awaited = "the objects of DNS and storage";
                kubectl.apply(&dns::manifests(&resolver), &mut || watch.check(awaited))
            });
            let node = format!("node/{}", self.layout.name);
            let awaited = format!("{node} to be Ready");
            kubectl.wait("default", &node, "Ready", &mut || session.tick(&awaited))?;
            let ready = self.began.elapsed();
            finished(objects).map(|()| ready)
        })?;
        self.await_object(session, "the service account `default`", DEFAULT_ACCOUNT)?;
        let provisioner = storage::provisioner(&self.layout, self.binaries.kubectl().into());
        let provisioner = namespace::in_network(&self.layout, provisioner);
        self.launch(session, &DaemonSpec::new(Component::Provisioner, provisioner))?;
        session.end();
        Ok(Times { serving: Some(serving), ready: Some(ready), node: Some(node), ..Times::default() })
    }

    /// Starts containerd, which founds the mount namespace that others join.
    fn start_runtime(&self, session: &mut Session<'_>, mtu: u32) -> Result<Identity, Error> {
        let plugins = cni_plugins().ok_or_else(|| Error::Host("the CNI plugins are gone".to_owned()))?;
        let facts = RuntimeFacts { cni_plugins: &plugins, may_lower_oom_score: may_lower_oom_score() };
        let file = self.layout.config().join("containerd.toml");
        write_config(&file, &node::containerd(&self.layout, &facts))?;
        write_config(
            &self.layout.cni().join("10-kfe2e.conflist"),
            &node::cni(&self.layout, mtu).to_string(),
        )?;
        let command = vec!["containerd".into(), "--config".into(), file.into_os_string()];
        let mut spec = DaemonSpec::new(Component::Containerd, namespace::found(&self.layout, command));
        spec.announces = true;
        spec.env = proxy_settings();
        self.launch(session, &spec).map(|daemon| daemon.identity)
    }

    fn start_kubelet(
        &self,
        session: &mut Session<'_>,
        runtime: Identity,
        pki: &Pki,
        subnet: Subnet,
    ) -> Result<(), Error> {
        let v1 = cgroup::is_v1(&cgroup::hierarchies()?);
        let config = node::kubelet(self.config.kubernetes, &self.layout, pki, v1).to_string();
        write_config(&self.layout.config().join("kubelet.json"), &config)?;
        let kubelet = self.command(Component::Kubelet, node::kubelet_flags(&self.layout, subnet));
        let kubelet = namespace::join(&self.layout, runtime, kubelet);
        self.launch(session, &DaemonSpec::new(Component::Kubelet, kubelet)).map(drop)
    }

    fn start_controllers(&self, session: &mut Session<'_>, pki: &Pki) -> Result<(), Error> {
        self.start(
            session,
            Component::ControllerManager,
            control_plane::controller_manager(&self.layout, pki),
        )?;
        self.start(session, Component::Scheduler, control_plane::scheduler(&self.layout))?;
        self.start(session, Component::Proxy, control_plane::proxy(&self.layout))
    }

    fn load_images(
        &self,
        watch: &Watch,
        events: &Sender<Progress>,
    ) -> Result<(Duration, Vec<String>), Error> {
        // The main thread outlives this one; a send could only fail after it.
        let tell = |event| drop(events.send(event));
        let awaited = "containerd to serve";
        let socket = self.layout.socket();
        watch.poll(awaited, &mut || watch.check(awaited), || {
            UnixStream::connect(&socket).map(drop).map_err(|e| e.to_string())
        })?;
        tell(Progress::Started(Step::Images));
        let began = Instant::now();
        let coredns = self.binaries.coredns.as_deref();
        let coredns = coredns.ok_or_else(|| Error::Assets("there is no CoreDNS".to_owned()))?;
        let own = system_images::write(&self.layout, coredns)?;
        let mut loaded = Vec::new();
        for folder in std::iter::once(&own).chain(&self.config.images) {
            let awaited = format!("the images of {}", folder.display());
            tell(Progress::Working { step: Step::Images, detail: awaited.clone(), elapsed: began.elapsed() });
            loaded.extend(images::load(&self.layout, folder, &mut || watch.check(&awaited))?);
        }
        let took = began.elapsed();
        tell(Progress::Finished { step: Step::Images, took });
        Ok((took, loaded))
    }

    /// Waits until the API server serves the namespace `default`, which it makes itself. The administrator can
    /// work from then on.
    fn await_serving(&self, session: &mut Session<'_>, subnet: Subnet) -> Result<Duration, Error> {
        let address = SocketAddr::from((subnet.node(), API_PORT));
        session.poll("the API server's port", || {
            TcpStream::connect_timeout(&address, CONNECT).map(drop).map_err(|e| e.to_string())
        })?;
        self.await_object(session, "namespace `default`", "/api/v1/namespaces/default")?;
        Ok(self.began.elapsed())
    }

    /// Waits until the API server calls itself ready. It makes the roles of everybody else a fixed second
    /// after it began to serve.
    fn await_ready(&self, session: &mut Session<'_>) -> Result<Duration, Error> {
        self.await_object(session, "the API server to be ready", "/readyz")?;
        Ok(self.began.elapsed())
    }

    /// Waits until the API serves a path.
    fn await_object(&self, session: &mut Session<'_>, awaited: &str, path: &str) -> Result<(), Error> {
        let (kubectl, watch) = (self.kubectl(), session.watch.clone());
        session.poll(awaited, || {
            kubectl.raw(path, &mut || watch.check(awaited)).map(drop).map_err(|e| e.to_string())
        })
    }

    /// Starts a part that needs only the cluster's network.
    fn start(
        &self,
        session: &mut Session<'_>,
        component: Component,
        flags: Vec<String>,
    ) -> Result<(), Error> {
        let command = namespace::in_network(&self.layout, self.command(component, flags));
        self.launch(session, &DaemonSpec::new(component, command)).map(drop)
    }

    fn launch(&self, session: &mut Session<'_>, spec: &DaemonSpec) -> Result<Daemon, Error> {
        let awaited = format!("the start of {}", spec.component.name());
        session.tick(&awaited)?;
        let log = self.layout.log(spec.component);
        let daemon =
            daemon::start(&self.layout.name, spec, &log, &self.cgroups, &mut || session.tick(&awaited))?;
        session.watch.daemons.push(daemon.clone());
        Ok(daemon)
    }

    fn command(&self, component: Component, flags: Vec<String>) -> Vec<OsString> {
        let folder =
            if component == Component::Etcd { &self.binaries.etcd } else { &self.binaries.kubernetes };
        std::iter::once(folder.join(component.name()).into())
            .chain(flags.into_iter().map(OsString::from))
            .collect()
    }

    fn kubectl(&self) -> Kubectl {
        Kubectl::new(self.binaries.kubectl(), &self.layout)
    }
}

/// The result of a thread that was started here; it does not panic.
fn finished<T>(thread: thread::ScopedJoinHandle<'_, Result<T, Error>>) -> Result<T, Error> {
    thread
        .join()
        .unwrap_or_else(|_| Err(Error::Host("a thread of this program ended unexpectedly".to_owned())))
}

/// Both results of work done beside each other. Whichever failed first ended the other: the one that was not
/// cancelled is the one to tell.
fn both<A, B>(one: Result<A, Error>, other: Result<B, Error>) -> Result<(A, B), Error> {
    match (one, other) {
        (Ok(one), Ok(other)) => Ok((one, other)),
        (Ok(_) | Err(Error::Cancelled(_)), Err(cause)) | (Err(cause), _) => Err(cause),
    }
}

/// Where the host reaches registries through a proxy, its containerd does too.
fn proxy_settings() -> Vec<(String, String)> {
    ["HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"]
        .into_iter()
        .filter_map(|name| Some((name.to_owned(), std::env::var(name).ok()?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_failure_is_told_and_not_what_it_ended() {
        let cancelled = || Err::<(), _>(Error::Cancelled("x".into()));
        let failed = || Err::<(), _>(Error::NotRoot);
        assert!(matches!(both(cancelled(), failed()), Err(Error::NotRoot)));
        assert!(matches!(both(failed(), cancelled()), Err(Error::NotRoot)));
        assert!(matches!(both(Ok(()), failed()), Err(Error::NotRoot)));
        assert!(matches!(both(cancelled(), cancelled()), Err(Error::Cancelled(_))));
        assert!(both(Ok(1), Ok(2)).is_ok_and(|sum| sum == (1, 2)));
    }
}
