//! What all clusters of a host share: kernel settings that are put back, and folders that are removed, when
//! the last cluster ends.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::{Error, config::Roots, limits, lock::Lock};

/// Settings that forwarding for pods and kubelet change, as paths below `/proc/sys`, with the value that they leave (kubelet:
/// `setupKernelTunables`).
const SETTINGS: [(&str, &str); 7] = [
    ("kernel/keys/root_maxbytes", "25000000"),
    ("kernel/keys/root_maxkeys", "1000000"),
    ("kernel/panic", "10"),
    ("kernel/panic_on_oops", "1"),
    ("net/ipv4/ip_forward", "1"),
    ("vm/overcommit_memory", "1"),
    ("vm/panic_on_oom", "0"),
];
/// Paths that kubelet, containerd and their libraries use whatever they are told.
/// Each cluster has its own behind them, in its mount namespace; the host needs empty folders to mount on.
pub(crate) const FIXED_FOLDERS: [&str; 4] =
    ["/var/lib/kubelet", "/var/lib/cni", "/run/containerd", "/var/log/containers"];

/// Watchers of files, and watched files. All containers of root's share them with the host's own services, and the
/// usual 128 watchers do not last for a few dozen pods.
const LEAST: [u64; 2] = [1024, 524_288];
/// Who holds the limits of watched files for all embedded clusters.
const HOLDER: &str = "embedded";

/// How long another cluster's short work on these may take.
const LIMIT: Duration = Duration::from_secs(30);

/// How the host was before the first cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct HostRecord {
    /// Settings do not outlive the boot that they were made in.
    boot: String,
    settings: BTreeMap<String, String>,
    /// Folders that were made, parents first.
    folders: Vec<PathBuf>,
}

fn record_path(roots: &Roots) -> PathBuf {
    roots.run.join("host.json")
}

/// Takes the lock under which clusters of this host are numbered and its settings change.
pub(crate) fn lock(roots: &Roots) -> Result<Lock, Error> {
    Lock::take(&roots.run.join("host.lock"), LIMIT, || {}, &mut || Ok(()))
}

/// Records the host as it is unless an earlier cluster did, then makes the folders. The caller holds the lock.
pub(crate) fn prepare(roots: &Roots) -> Result<(), Error> {
    let boot = boot()?;
    let mut record = match read(roots)? {
        // One that an earlier version of this program wrote may know of fewer settings.
        Some(mut record) if record.boot == boot => {
            for (setting, value) in current() {
                record.settings.entry(setting).or_insert(value);
            }
            record
        }
        Some(stale) => HostRecord { boot, settings: current(), folders: stale.folders },
        None => HostRecord { boot, settings: current(), folders: Vec::new() },
    };
    let missing: Vec<PathBuf> =
        FIXED_FOLDERS.iter().flat_map(|folder| missing_parents(Path::new(folder))).collect();
    record.folders.extend(missing.iter().cloned());
    write(roots, &record)?;
    for folder in &missing {
        match fs::create_dir(folder) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(Error::io("create", folder)(e)),
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

/// Lets the host's kernel forward packets, and gives a node's many watchers of files what they need. The caller
/// has prepared the record.
pub(crate) fn adapt(roots: &Roots) -> Result<(), Error> {
    put("net/ipv4/ip_forward", "1")?;
    let needs = limits::WATCHES.map(str::to_owned).into_iter().zip(LEAST).collect();
    all_set("raise", &limits::hold(&roots.run, HOLDER, &needs)?)
}

/// That no limit refused to be changed.
fn all_set(what: &str, failed: &BTreeMap<String, String>) -> Result<(), Error> {
    failed.iter().next().map_or(Ok(()), |(limit, reason)| {
        Err(Error::Host(format!("{what} the limit {}: {reason}", limit.replace('/', "."))))
    })
}

/// Puts the host back as it was. The caller holds the lock and knows that no cluster is left.
pub(crate) fn restore(roots: &Roots) -> Result<bool, Error> {
    remove_if_there(&unfinished(&record_path(roots)))?;
    all_set("lower", &limits::release(&roots.run, HOLDER)?)?;
    let Some(record) = read(roots)? else { return Ok(false) };
    if record.boot == boot()? {
        for (setting, value) in &record.settings {
            if is_to_be_put_back(setting, value_of(setting).as_deref(), value) {
                put(setting, value)?;
            }
        }
    }
    for folder in record.folders.iter().rev() {
        match fs::remove_dir(folder) {
            // What others have put something into is theirs now.
            Err(e)
                if !matches!(
                    e.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::ResourceBusy
                ) =>
            {
                return Err(Error::io("remove", folder)(e));
            }
            Ok(()) | Err(_) => {}
        }
    }
    let path = record_path(roots);
    fs::remove_file(&path).map_err(Error::io("remove", path))?;
    Ok(true)
}

fn remove_if_there(file: &Path) -> Result<(), Error> {
    match fs::remove_file(file) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Error::io("remove", file)(e)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Whether a setting is still as a cluster left it, and was otherwise before. What has another value by now is somebody
/// else's doing, such as a Docker's that has ended, and theirs to undo.
fn is_to_be_put_back(setting: &str, now: Option<&str>, before: &str) -> bool {
    let (Some(now), before) = (now.map(str::trim), before.trim()) else { return false };
    now != before && SETTINGS.contains(&(setting, now))
}

/// What is still changed on the host although no cluster is left.
pub(crate) fn leftovers(roots: &Roots) -> Result<Vec<String>, Error> {
    let mut left = Vec::new();
    if limits::is_held_by(&roots.run, HOLDER)? {
        left.push("the limits of watched files are raised for embedded clusters".to_owned());
    }
    let Some(record) = read(roots)? else { return Ok(left) };
    let changed = record
        .settings
        .iter()
        .filter(|(setting, value)| is_to_be_put_back(setting, value_of(setting).as_deref(), value));
    left.extend(changed.map(|(setting, value)| {
        format!("kernel setting {} is no longer {value}", setting.replace('/', "."))
    }));
    left.push(format!("record {}", record_path(roots).display()));
    Ok(left)
}

fn read(roots: &Roots) -> Result<Option<HostRecord>, Error> {
    let path = record_path(roots);
    match fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|e| {
            Error::Host(format!(
                "{} cannot be read ({e}): put the settings in it back by hand and remove it",
                path.display()
            ))
        }),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::io("read", path)(e)),
    }
}

fn write(roots: &Roots, record: &HostRecord) -> Result<(), Error> {
    write_durably(&record_path(roots), record)
}

/// Writes a value as JSON so that a reader, or a crash, sees the file before or after but never between. The
/// caller holds the lock that covers the file.
pub(crate) fn write_durably(path: &Path, value: &impl Serialize) -> Result<(), Error> {
    let text = serde_json::to_vec_pretty(value).map_err(|e| Error::io("write", path)(io::Error::other(e)))?;
    let new = unfinished(path);
    let mut file = File::create(&new).map_err(Error::io("create", &new))?;
    file.write_all(&text).and_then(|()| file.sync_all()).map_err(Error::io("write", &new))?;
    fs::rename(&new, path).map_err(Error::io("write", path))
}

/// Where a file is written before it takes its place.
fn unfinished(path: &Path) -> PathBuf {
    path.with_extension("new")
}

/// The boot of the host that this is.
pub(crate) fn boot() -> Result<String, Error> {
    let path = "/proc/sys/kernel/random/boot_id";
    fs::read_to_string(path).map(|id| id.trim().to_owned()).map_err(Error::io("read", path))
}

/// The settings as they are; one that this kernel lacks cannot change either.
fn current() -> BTreeMap<String, String> {
    SETTINGS.iter().filter_map(|(setting, _)| Some(((*setting).to_owned(), value_of(setting)?))).collect()
}

fn value_of(setting: &str) -> Option<String> {
    fs::read_to_string(Path::new("/proc/sys").join(setting)).ok().map(|value| value.trim().to_owned())
}

fn put(setting: &str, value: &str) -> Result<(), Error> {
    let path = Path::new("/proc/sys").join(setting);
    fs::write(&path, value).map_err(Error::io("write", path))
}

/// The folder and those above it that do not exist, parents first.
fn missing_parents(folder: &Path) -> Vec<PathBuf> {
    let mut missing: Vec<PathBuf> =
        folder.ancestors().take_while(|ancestor| !ancestor.exists()).map(Path::to_owned).collect();
    missing.reverse();
    missing
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_parents_come_first() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("a/b");
        assert_eq!(missing_parents(&deep), [dir.path().join("a"), deep.clone()]);
        fs::create_dir_all(&deep).unwrap();
        assert!(missing_parents(&deep).is_empty());
    }

    #[test]
    fn only_what_is_still_as_a_cluster_left_it_is_put_back() {
        for (setting, now, before, back) in [
            ("vm/overcommit_memory", Some("1\n"), "2\n", true),
            ("kernel/panic", Some("10"), "-1", true),
            ("kernel/panic", Some("60"), "0", false),
            ("net/ipv4/ip_forward", Some("0"), "1", false),
            ("net/ipv4/ip_forward", Some("1"), "1", false),
            ("vm/panic_on_oom", None, "1", false),
        ] {
            assert_eq!(is_to_be_put_back(setting, now, before), back, "{setting} {now:?} {before}");
        }
    }

    #[test]
    fn a_record_survives_its_writing() {
        let dir = tempfile::tempdir().unwrap();
        let roots = Roots { state: dir.path().into(), run: dir.path().into() };
        assert_eq!(read(&roots).unwrap(), None);
        let record = HostRecord { boot: "b".into(), settings: current(), folders: vec!["/x".into()] };
        write(&roots, &record).unwrap();
        assert_eq!(read(&roots).unwrap(), Some(record));
        fs::write(record_path(&roots), "{").unwrap();
        assert!(read(&roots).unwrap_err().to_string().contains("by hand"));
    }
}
