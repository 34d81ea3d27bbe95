//! The calls of `snap` and `microk8s`, as data.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use crate::tool::{Tool, on_the_path};

/// Where snaps' programs are when the PATH does not say so, as under `sudo` on some distributions.
const SNAP_PROGRAMS: [&str; 2] = ["/snap/bin", "/var/lib/snapd/snap/bin"];

/// How long a question may take.
const ASK_WITHIN: Duration = Duration::from_mins(1);
/// How long snapd may take to ask the store and begin.
pub(super) const BEGIN_WITHIN: Duration = Duration::from_mins(3);
/// How long a download of some hundred megabytes and the first start of the services may take.
const INSTALL_WITHIN: Duration = Duration::from_mins(20);
/// How long a removal may take: pods are ended and data is deleted.
const REMOVE_WITHIN: Duration = Duration::from_mins(10);
/// How long MicroK8s itself waits to be ready.
const READY_WITHIN: Duration = Duration::from_mins(10);
/// How long one addon may take: some wait for their pods, whose images are pulled.
const ENABLE_WITHIN: Duration = Duration::from_mins(15);
/// How long the report may take: less than the two minutes that a run gives each kind of evidence.
const INSPECT_WITHIN: Duration = Duration::from_secs(100);
/// How long importing the images of one layout may take.
const IMPORT_WITHIN: Duration = Duration::from_mins(15);

/// Which of the two programs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Program {
    /// snapd's.
    Snap,
    /// That of the snap.
    Microk8s,
}

/// One call of a program.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Call {
    /// The program.
    pub(super) program: Program,
    /// Its arguments.
    pub(super) args: Vec<String>,
    /// How long it may take.
    pub(super) limit: Duration,
    /// Whether only what it leaves counts, not how it ends.
    pub(super) may_fail: bool,
    /// Whether what it prints is for nobody's eyes.
    pub(super) secret: bool,
}

impl Call {
    fn new(program: Program, args: &[&str], limit: Duration) -> Self {
        let args = args.iter().map(|arg| (*arg).to_owned()).collect();
        Self { program, args, limit, may_fail: false, secret: false }
    }

    /// Whether the snap is installed, disabled revisions included.
    pub(super) fn list() -> Self {
        Self::new(Program::Snap, &["list", "--all", "microk8s"], ASK_WITHIN)
    }

    /// What snapd did and does with the snap.
    pub(super) fn changes() -> Self {
        Self::new(Program::Snap, &["changes", "microk8s"], ASK_WITHIN)
    }

    /// Makes snapd install the snap, and prints the number of its change.
    pub(super) fn install(channel: &str) -> Self {
        let channel = format!("--channel={channel}");
        let args = ["install", "microk8s", "--classic", &channel, "--no-wait"];
        Self::new(Program::Snap, &args, BEGIN_WITHIN)
    }

    /// Keeps snapd from refreshing the snap by itself, which would restart the cluster in the midst of tests.
    pub(super) fn hold() -> Self {
        // snapd has it since 2.58.
        Self { may_fail: true, ..Self::new(Program::Snap, &["refresh", "--hold", "microk8s"], ASK_WITHIN) }
    }

    /// Makes a change of snapd's end.
    pub(super) fn abort(change: &str) -> Self {
        // It may have ended by itself since it was seen.
        Self { may_fail: true, ..Self::new(Program::Snap, &["abort", change], ASK_WITHIN) }
    }

    /// Waits for the end of a change of snapd's; an aborted one counts as failed.
    pub(super) fn watch(change: &str) -> Self {
        Self { may_fail: true, ..Self::new(Program::Snap, &["watch", change], INSTALL_WITHIN) }
    }

    /// Removes the snap without a snapshot of its data.
    pub(super) fn remove() -> Self {
        Self::new(Program::Snap, &["remove", "--purge", "microk8s"], REMOVE_WITHIN)
    }

    /// Waits until MicroK8s says that it is ready.
    pub(super) fn status() -> Self {
        let seconds = READY_WITHIN.as_secs().to_string();
        let args = ["status", "--wait-ready", "--timeout", &seconds];
        Self::new(Program::Microk8s, &args, READY_WITHIN + ASK_WITHIN)
    }

    /// Enables one addon: enabling several in one call is deprecated.
    pub(super) fn enable(addon: &str) -> Self {
        Self::new(Program::Microk8s, &["enable", addon], ENABLE_WITHIN)
    }

    /// Prints an administrator's kubeconfig. The loopback address stays right when the machine's own changes.
    pub(super) fn config() -> Self {
        let args = ["config", "--use-loopback"];
        Self { secret: true, ..Self::new(Program::Microk8s, &args, ASK_WITHIN) }
    }

    /// Makes a report of services, logs and objects.
    pub(super) fn inspect() -> Self {
        Self::new(Program::Microk8s, &["inspect"], INSPECT_WITHIN)
    }

    /// Lists the images that the node has.
    pub(super) fn images() -> Self {
        Self::new(Program::Microk8s, &["ctr", "images", "list"], ASK_WITHIN)
    }

    /// Imports images from standard input. `microk8s images import` would do as well, but reads everything into memory
    /// first, to send it to other nodes, of which there are none.
    pub(super) fn import() -> Self {
        Self::new(Program::Microk8s, &["ctr", "images", "import", "-"], IMPORT_WITHIN)
    }

    /// The call, ready to run.
    pub(super) fn tool(&self) -> Tool<'static> {
        let tool = match self.program {
            Program::Snap => Tool::new("snap"),
            // Its programs are Python's, which wants a locale with UTF-8.
            Program::Microk8s => Tool::new(microk8s()).env("LC_ALL", "C.UTF-8"),
        };
        let tool = tool.args(&self.args).within(self.limit);
        if self.secret { tool.secret() } else { tool }
    }
}

/// Where the snap's program is, or will be.
fn microk8s() -> PathBuf {
    let elsewhere = SNAP_PROGRAMS.iter().map(|folder| Path::new(folder).join("microk8s"));
    on_the_path("microk8s")
        .or_else(|| elsewhere.into_iter().find(|place| place.exists()))
        .unwrap_or_else(|| "microk8s".into())
}
