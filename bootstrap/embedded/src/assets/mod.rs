//! The binaries of Kubernetes: where they come from, in the order of what is quickest.
//!
//! 1. A folder that the user names (`KFE2E_ASSETS`).
//! 2. The cache.
//! 3. The upstream releases, verified by their checksums, where they can be reached.
//! 4. A build from their Go modules, by the module files that this crate carries.
//!
//! What 3 and 4 produce goes into the cache by its version, as a whole set or not at all.

mod build;
mod download;
mod present;
mod versions;

use std::{
    env, fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    Cancel, ClusterName, Error, Progress, Step, command::Tool, lock::Lock, progress::Teller, state::folders,
};

pub use download::Releases;
pub(crate) use versions::Set;
pub use versions::{KIND_VERSION, KubernetesVersion};

use present::{ask, lack, present};

/// How long making a set may take, here or in another process.
const LIMIT: Duration = Duration::from_hours(1);

/// Where binaries are looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssetSource {
    /// A folder that has them: all flat and so of one version, or in folders named by set and version.
    pub given: Option<PathBuf>,
    /// The folder in which sets are kept by name and version.
    pub cache: PathBuf,
    /// The upstream releases; `None` where nothing shall be downloaded.
    pub releases: Option<Releases>,
}

impl AssetSource {
    /// What the environment says: `KFE2E_ASSETS`, and the cache below `KFE2E_CACHE`, `XDG_CACHE_HOME` or the
    /// home folder.
    pub fn from_env() -> Self {
        let folder = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let cache = folder("KFE2E_CACHE")
            .or_else(|| folder("XDG_CACHE_HOME").map(|base| base.join("kfe2e")))
            .or_else(|| folder("HOME").map(|home| home.join(".cache/kfe2e")))
            .unwrap_or_else(|| PathBuf::from("/var/cache/kfe2e"));
        Self {
            given: folder("KFE2E_ASSETS"),
            cache: cache.join("assets"),
            releases: Some(Releases::default()),
        }
    }
}

/// The folders in which the binaries were found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Binaries {
    pub(crate) kubernetes: PathBuf,
    pub(crate) etcd: PathBuf,
    pub(crate) coredns: Option<PathBuf>,
}

impl Binaries {
    pub(crate) fn kubectl(&self) -> PathBuf {
        self.kubernetes.join("kubectl")
    }
}

/// On whose behalf binaries are made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Errand<'a> {
    pub(crate) cancel: &'a Cancel,
    /// The cluster that waits for them, whose removal ends what was left running for it.
    pub(crate) cluster: Option<&'a ClusterName>,
}

impl Errand<'_> {
    /// An error if nobody waits any more.
    fn check(&self, awaited: &str) -> Result<(), Error> {
        self.cancel.check(awaited)
    }

    /// A program that works for minutes: it ends with its starter, and is marked where a cluster waits.
    fn tool(&self, program: &str) -> Tool {
        let tool = Tool::bound(program);
        match self.cluster {
            Some(cluster) => tool.of(cluster),
            None => tool,
        }
    }
}

/// Finds, fetches or builds what a cluster of this version with (or without) a node needs.
pub(crate) fn provide(
    source: &AssetSource,
    version: KubernetesVersion,
    nodes: u8,
    errand: Errand<'_>,
    on: &mut dyn FnMut(Progress),
) -> Result<Binaries, Error> {
    let mut teller = Teller::start(Step::Binaries, on);
    let mut set = |set: Set| provide_set(source, set, errand, &mut teller);
    let binaries = Binaries {
        etcd: set(Set::Etcd)?,
        coredns: if nodes > 0 { Some(set(Set::CoreDns)?) } else { None },
        kubernetes: set(Set::Kubernetes(version))?,
    };
    teller.finish();
    Ok(binaries)
}

/// Fetches or builds everything that any cluster of this version needs, without making one. Returns the folders.
pub fn fetch(
    version: KubernetesVersion,
    source: &AssetSource,
    cancel: &Cancel,
    on: &mut dyn FnMut(Progress),
) -> Result<Vec<PathBuf>, Error> {
    let errand = Errand { cancel, cluster: None };
    let Binaries { kubernetes, etcd, coredns } = provide(source, version, 1, errand, on)?;
    Ok([Some(kubernetes), Some(etcd), coredns].into_iter().flatten().collect())
}

/// Fetches or builds the program `kind`, of the version [`KIND_VERSION`]. Returns its path.
pub fn fetch_kind(
    source: &AssetSource,
    cancel: &Cancel,
    on: &mut dyn FnMut(Progress),
) -> Result<PathBuf, Error> {
    let mut teller = Teller::start(Step::Kind, on);
    let folder = provide_set(source, Set::Kind, Errand { cancel, cluster: None }, &mut teller)?;
    teller.finish();
    Ok(folder.join("kind"))
}

fn provide_set(
    source: &AssetSource,
    set: Set,
    errand: Errand<'_>,
    teller: &mut Teller<'_>,
) -> Result<PathBuf, Error> {
    if let Some(folder) = present(source, set, ask) {
        return Ok(folder);
    }
    if let Some(given) = &source.given {
        teller.say(format!("{}: looking elsewhere", lack(given, set)));
    }
    let lock = source.cache.join(format!("{}.lock", set.folder()));
    let busy = || teller.say(format!("another process makes {}; waiting for it", set.folder()));
    let _held = Lock::take(&lock, LIMIT, busy, &mut || errand.check(&set.folder()))?;
    // Whoever held the lock may have made it.
    if let Some(folder) = present(source, set, ask) {
        return Ok(folder);
    }
    make(source, set, errand, teller)
}

/// Makes a set in a folder beside its place and moves it there. The folder's name is new each time: what a
/// killed attempt left running may still write into its own.
fn make(
    source: &AssetSource,
    set: Set,
    errand: Errand<'_>,
    teller: &mut Teller<'_>,
) -> Result<PathBuf, Error> {
    let place = source.cache.join(set.folder());
    let prefix = format!("{}.partial-", set.folder());
    remove_stale(source, &prefix, &place)?;
    let partial = tempfile::Builder::new()
        .prefix(&prefix)
        .tempdir_in(&source.cache)
        .map_err(Error::io("create a folder in", &source.cache))?;
    download_or_build(source, set, partial.path(), errand, teller)?;
    let missing = set.missing_in(partial.path());
    if !missing.is_empty() {
        return Err(Error::Assets(format!("{} was made without {}", set.folder(), missing.join(", "))));
    }
    let open = fs::Permissions::from_mode(0o755);
    fs::set_permissions(partial.path(), open).map_err(Error::io("open up", partial.path()))?;
    fs::rename(partial.path(), &place).map_err(Error::io("create", &place))?;
    Ok(place)
}

/// Removes what earlier attempts left. The caller holds the set's lock, so it is nobody's.
fn remove_stale(source: &AssetSource, prefix: &str, place: &Path) -> Result<(), Error> {
    let partial = folders(&source.cache)?.into_iter().filter(|name| name.starts_with(prefix));
    let stale = partial.map(|name| source.cache.join(name)).chain([place.to_owned()]);
    for folder in stale.filter(|folder| folder.exists()) {
        fs::remove_dir_all(&folder).map_err(Error::io("remove", folder))?;
    }
    Ok(())
}

fn download_or_build(
    source: &AssetSource,
    set: Set,
    into: &Path,
    errand: Errand<'_>,
    teller: &mut Teller<'_>,
) -> Result<(), Error> {
    let why = match &source.releases {
        None => "downloads are switched off".to_owned(),
        Some(releases) => match download::download(releases, set, into, errand, teller) {
            Ok(()) => return Ok(()),
            // These are about this machine or its user: a build would meet them too.
            Err(e @ (Error::Cancelled(_) | Error::Io { .. })) => return Err(e),
            Err(Error::Program { reason, .. }) => reason,
            Err(e) => e.to_string(),
        },
    };
    teller.say(format!("{} cannot be downloaded ({why}): building it from its Go module", set.folder()));
    build::build(set, into, errand, teller, &why)
}
