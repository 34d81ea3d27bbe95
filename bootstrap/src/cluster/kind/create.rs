//! Making a cluster: recorded first, made by `kind`, watched until it can be used, removed again when that fails.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, anyhow};

use super::{
    config,
    containers::{self, Container},
    engine::{Description, Engine},
    existing,
    facts::{self, Facts, SCHEMA_VERSION},
    kernel,
    load::Nodes,
    mark::Mark,
    network,
    program::Program,
    remove,
    request::Request,
    said::{self, Asked},
};
use crate::{
    cluster::{Created, Record, Say, usable},
    failure::Failure,
    tool::{Cancel, ToolError},
};
use crds::ExitCode;

/// How long `kind` may take; a node image of a gigabyte may have to be pulled.
const CREATE_LIMIT: Duration = Duration::from_mins(20);
/// How long a cluster that `kind` has made may take until it can be used.
pub(super) const USABLE_WITHIN: Duration = Duration::from_mins(10);
/// The kubeconfig's file beside the record.
pub(super) const KUBECONFIG: &str = "kubeconfig";
/// How often a thread is asked whether it has ended.
const TICK: Duration = Duration::from_millis(20);

/// Durations in seconds by name.
type Figures = BTreeMap<String, f64>;

/// A cluster to make.
pub(super) struct Maker<'a> {
    pub(super) request: &'a Request,
    pub(super) record: &'a Record,
    pub(super) program: Program,
    pub(super) engine: Engine,
    pub(super) description: Description,
    pub(super) cancel: &'a Cancel,
}

/// The kubeconfig of a cluster that is recorded, and its context.
pub(super) fn access(record: &Record, name: &str) -> (PathBuf, String) {
    (record.file(KUBECONFIG), format!("kind-{name}"))
}

impl Maker<'_> {
    /// Makes it, and returns what the record says of it. What there is of it when that fails is removed again.
    pub(super) fn make(&self, say: Say<'_>) -> anyhow::Result<(Created, Facts)> {
        let mark = Mark::fresh();
        let facts = self.write_down(&mark, say)?;
        let made = self.try_to_make(&mark, &facts, say).and_then(|created| {
            let facts = Facts { complete: true, ..facts.clone() };
            self.record.write(&facts)?;
            Ok((created, facts))
        });
        made.map_err(|reason| self.give_up(&facts, reason, say))
    }

    /// Writes down what will be made.
    fn write_down(&self, mark: &Mark, say: Say<'_>) -> anyhow::Result<Facts> {
        let _shared = facts::lock_shared(self.cancel)?;
        let others = facts::of_others(mark)?;
        others.complaints().for_each(&mut *say);
        let others = others.facts;
        let network = self.engine.network();
        let shares = |other: &&Facts| other.engine.shares_network_with(&self.engine);
        let facts = Facts {
            schema_version: SCHEMA_VERSION,
            engine: self.engine.clone(),
            mark: Some(mark.clone()),
            invocations: BTreeSet::new(),
            complete: false,
            nodes: self.request.node_count(),
            image: self.request.image.clone(),
            network_is_ours: others.iter().find(shares).map_or_else(
                || containers::has_network(&self.engine, network).map(|there| !there),
                |other| Ok(other.network_is_ours),
            )?,
        };
        self.record.write(&facts)?;
        Ok(facts)
    }

    fn try_to_make(&self, mark: &Mark, facts: &Facts, say: Say<'_>) -> anyhow::Result<Created> {
        if self.engine.is_local() {
            kernel::raise(mark)?.into_iter().for_each(&mut *say);
        }
        let begin = Instant::now();
        let mut figures = Figures::new();
        let mut note = |name: &str| figures.insert(name.to_owned(), begin.elapsed().as_secs_f64());
        let stderr = self.kind_create(mark, &mut |line| {
            if said::serves(line) {
                note("servingSeconds");
            }
            said::progress(line).into_iter().for_each(&mut *say);
        });
        stderr.map_err(|error| self.explain(error))?;
        let name = &self.request.name;
        let (kubeconfig, context) = access(self.record, name);
        let created = Created {
            kubeconfig,
            context: Some(context),
            lasting: false,
            local: true,
            figures: Figures::new(),
        };
        let split = facts.split(containers::of_cluster(&self.engine, name)?);
        if let Some(reason) = existing::unmarked(facts, &split, name) {
            return Err(Failure::infrastructure(reason).into());
        }
        let containers = split.ours;
        let nodes = containers.iter().filter(|container| container.is_node()).count();
        if network::lift_limits(&created, self.cancel)? {
            say("the limits of the nodes' network pods are lifted".to_owned());
        }
        let stop = Cancel::default();
        let into = Nodes { engine: &self.engine, mark: Some(mark), containers: &containers, cancel: &stop };
        let ((loaded, seconds), usable) = thread::scope(|scope| {
            let loading = scope.spawn(|| {
                let begin = Instant::now();
                (into.load(&self.request.images), begin.elapsed().as_secs_f64())
            });
            let usable = usable::wait(&created, nodes, begin, USABLE_WITHIN, self.cancel);
            if usable.is_err() {
                stop.cancel();
            }
            // The end of a thread cannot be awaited together with a signal.
            while !loading.is_finished() {
                if self.cancel.is_cancelled() {
                    stop.cancel();
                }
                thread::sleep(TICK);
            }
            let loaded = loading.join().map_err(|_| anyhow!("loading images broke off"))?;
            anyhow::Ok((loaded, usable?))
        })?;
        loaded.context("loading images")?.into_iter().for_each(&mut *say);
        figures.extend(usable);
        if !self.request.images.is_empty() {
            figures.insert("imageLoadSeconds".to_owned(), seconds);
        }
        Ok(Created { figures, ..created })
    }

    /// Runs `kind create cluster`. It is told to leave everything where it fails: it would miss containers that are still
    /// being started, and what is left says why it failed.
    fn kind_create(&self, mark: &Mark, line: &mut dyn FnMut(&str)) -> anyhow::Result<String> {
        let complete = self.request.complete_config(self.description.cgroup_v1);
        let config = self.record.file("kind.yaml");
        let text = serde_json::to_string_pretty(&config::with_mount(complete, &mark.place()))?;
        fs::write(&config, text).with_context(|| format!("writing {}", config.display()))?;
        let (kubeconfig, _) = access(self.record, &self.request.name);
        let image = self.request.image.iter().flat_map(|image| ["--image", image.as_str()]);
        let made = self
            .program
            .tool(&self.engine, &self.request.name, Some(mark), &["create", "cluster", "--retain"])
            .args(["--config".as_ref(), config.as_os_str(), "--kubeconfig".as_ref(), kubeconfig.as_os_str()])
            .args(image)
            .within(CREATE_LIMIT)
            .cancelled_by(self.cancel)
            .follow(line);
        Ok(made?)
    }

    /// An error of `kind` in our words.
    fn explain(&self, error: anyhow::Error) -> anyhow::Error {
        match error.downcast_ref::<ToolError>() {
            Some(ToolError::Failed { stderr, .. }) => {
                let config = self.request.config_file.as_ref().map(|path| path.display().to_string());
                let asked = Asked { config: config.as_deref(), image: self.request.image.as_deref() };
                said::explain(stderr, asked).into()
            }
            Some(error @ ToolError::Cancelled { .. }) => Failure::cancelled(error.to_string()).into(),
            _ => error,
        }
    }

    /// Keeps the logs of what could not be made, removes it, and says both.
    fn give_up(&self, facts: &Facts, reason: anyhow::Error, say: Say<'_>) -> anyhow::Error {
        let failure = Failure::from(reason);
        // Whatever failed because it was told to end.
        let code = if self.cancel.is_cancelled() { ExitCode::Cancelled } else { failure.code };
        let mut message = failure.message;
        if code == ExitCode::Infrastructure {
            message.push_str(&self.keep_logs(facts));
        }
        say(format!("removing what was made of cluster `{}`", self.request.name));
        if let Err(error) = remove::remove(self.record, &self.request.name, facts, say) {
            message.extend(["; and what was made of it could not be removed: ", &format!("{error:#}")]);
        }
        Failure { code, message }.into()
    }

    /// Copies the logs of nodes that are there, and says where they are.
    fn keep_logs(&self, facts: &Facts) -> String {
        let there = containers::of_cluster(&self.engine, &self.request.name)
            .is_ok_and(|nodes| facts.split(nodes).ours.iter().any(Container::is_node));
        let folder = &self.request.failure_logs;
        if !there || fs::create_dir_all(folder).is_err() {
            return String::new();
        }
        let (name, mark) = (&self.request.name, facts.mark.as_ref());
        let exported = self.program.export_logs(&self.engine, name, mark, folder);
        // A node that does not run gives fewer logs, and an error that would hide the first one.
        let some = fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some());
        match exported {
            Ok(()) => format!("; the logs of its nodes are in {}", folder.display()),
            Err(_) if some => format!("; what could be had of its nodes' logs is in {}", folder.display()),
            Err(_) => {
                let _empty = fs::remove_dir(folder);
                "; its nodes gave no logs".to_owned()
            }
        }
    }
}
