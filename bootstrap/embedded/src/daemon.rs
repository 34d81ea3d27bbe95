//! Starting the long-running parts so that they outlive this process and can always be found again.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{BufRead, BufReader, Read},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
};

use crate::{
    ClusterName, Error,
    command::{MARKER, Tick, end_group, wait},
    config::Component,
    error::tail,
    pipes::arrival,
    preflight::search_path,
    process::{COMPONENT, Identity},
};

/// Joins the cgroups before anything of the daemon runs, says its process number, and becomes the daemon. Open
/// files are allowed as a service manager would: containers inherit it. File descriptor 3 leads back to the
/// starter, and stays open for a daemon that announces itself; all other output goes to the log.
const JOIN: &str = r#"log=$1 groups=$2 announces=$3; shift 3
exec 3>&1 >>"$log" 2>&1 </dev/null || exit 1
for group in $groups; do echo $$ >"$group/cgroup.procs" || exit 1; done
umask 022
ulimit -S -n 1048576 2>/dev/null || ulimit -S -n "$(ulimit -H -n)"
echo $$ >&3
"$announces" || exec 3>&-
exec "$@""#;

/// What to start, and how.
#[derive(Clone, Debug)]
pub(crate) struct DaemonSpec {
    pub(crate) component: Component,
    /// The command line, with the programs that enter namespaces before it.
    pub(crate) command: Vec<OsString>,
    /// Further environment variables.
    pub(crate) env: Vec<(String, String)>,
    /// Whether it prints a line `ready` on file descriptor 3 that has to be waited for.
    pub(crate) announces: bool,
}

impl DaemonSpec {
    pub(crate) fn new(component: Component, command: Vec<OsString>) -> Self {
        Self { component, command, env: Vec::new(), announces: false }
    }
}

/// A started part of the cluster.
#[derive(Clone, Debug)]
pub(crate) struct Daemon {
    pub(crate) component: Component,
    pub(crate) identity: Identity,
    pub(crate) log: PathBuf,
}

impl Daemon {
    /// An error with the log's end if it lives no more.
    pub(crate) fn check(&self, cluster: &ClusterName, awaited: &str) -> Result<(), Error> {
        if self.identity.alive() {
            return Ok(());
        }
        Err(Error::Died {
            cluster: cluster.to_string(),
            component: self.component.name().to_owned(),
            awaited: awaited.to_owned(),
            log: self.log.clone(),
            tail: tail(&self.log, 12),
        })
    }
}

/// Starts a daemon in a session of its own, below `init`, in the cluster's cgroups.
///
/// Whatever kills the caller at whatever moment, the process is marked from its first instruction on: the
/// environment before the fork, the cgroup before the program. So when `tick` fails, whatever became of the
/// daemon by then is found by the removal that follows.
pub(crate) fn start(
    cluster: &ClusterName,
    spec: &DaemonSpec,
    log: &Path,
    cgroups: &[PathBuf],
    tick: Tick<'_>,
) -> Result<Daemon, Error> {
    let component = spec.component;
    let refuse = |reason: String| Error::program(format!("start {}", component.name()), reason);
    // Made here, so that a full disk or a missing folder is an error with a path.
    File::options().create(true).append(true).open(log).map_err(Error::io("create the log", log))?;
    let groups = cgroups.iter().map(|group| group.to_string_lossy()).collect::<Vec<_>>().join(" ");
    let mut starter = Command::new("setsid")
        .args(["--fork", "sh", "-c", JOIN, "kfe2e"])
        .arg(log)
        .args([groups.as_str(), if spec.announces { "true" } else { "false" }])
        .args(&spec.command)
        .env_clear()
        .env("PATH", search_path())
        .env("HOME", "/root")
        .env(MARKER, cluster.as_str())
        .env(COMPONENT, component.name())
        .envs(spec.env.iter().map(|(key, value)| (key, value)))
        .current_dir("/")
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|e| refuse(e.to_string()))?;
    let stdout = starter.stdout.take().ok_or_else(|| refuse("it has no output".to_owned()))?;
    let lines = first_lines(stdout, if spec.announces { 2 } else { 1 });
    let mut hear = || -> Result<_, Error> {
        let first = arrival(&lines, tick)?;
        let announced = !spec.announces || arrival(&lines, tick)?.as_deref() == Some("ready");
        wait(&mut starter, "setsid", tick)?;
        Ok((first, announced))
    };
    let heard = hear();
    let (first, announced) = heard.inspect_err(|_| end_group(&mut starter))?;
    let identity = first.and_then(|pid| pid.parse().ok()).and_then(Identity::of);
    match identity {
        Some(identity) if announced => Ok(Daemon { component, identity, log: log.to_owned() }),
        _ => {
            Err(refuse(format!("it ended at once; its log {} ends with:\n{}", log.display(), tail(log, 12))))
        }
    }
}

/// The first lines of a pipe, each as soon as it is there.
fn first_lines(pipe: impl Read + Send + 'static, count: usize) -> Receiver<String> {
    let (send, receive) = mpsc::channel();
    thread::spawn(move || {
        let lines = BufReader::new(pipe).lines().map_while(Result::ok).take(count);
        // It ends early where nobody listens any more.
        lines.map(|line| send.send(line)).take_while(Result::is_ok).for_each(drop);
    });
    receive
}

/// Writes a configuration file of a component.
pub(crate) fn write_config(path: &Path, text: &str) -> Result<(), Error> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
    }
    fs::write(path, text).map_err(Error::io("write", path))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn lines_are_heard_while_the_pipe_is_open_and_silence_is_not_awaited() {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let lines = first_lines(reader, 2);
        writer.write_all(b"12\n").unwrap();
        assert_eq!(arrival(&lines, &mut || Ok(())).unwrap().as_deref(), Some("12"));
        let silent = arrival(&lines, &mut || Err(Error::Cancelled("a test".into())));
        assert!(matches!(silent, Err(Error::Cancelled(_))));
        drop(writer);
        assert_eq!(arrival(&lines, &mut || Ok(())).unwrap(), None);
    }
}
