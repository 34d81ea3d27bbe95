//! The processes of a test: how they end, and that all of them do.
//!
//! In a container the runner is process 1, so every orphan becomes its child: all are reaped here, in one place, and
//! nothing else in this program may wait for a process.

use std::{fmt, fs, io, time::Duration};

use nix::{
    errno::Errno,
    sys::{
        prctl,
        signal::{Signal, kill, killpg},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::{Pid, getpid},
};
use tokio::{
    signal::unix::{self, SignalKind},
    time::{Instant, sleep},
};

/// How long a process that was killed may take to be gone.
const KILL_TAKES: Duration = Duration::from_secs(5);

/// How a process ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Exit {
    /// By itself, with this code.
    Code(i32),
    /// By this signal.
    Signal(Signal),
    /// In a way that the system does not tell, such as a real-time signal.
    Unknown,
}

impl fmt::Display for Exit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(formatter, "exit code {code}"),
            Self::Signal(signal) => write!(formatter, "signal {} ({signal})", *signal as i32),
            Self::Unknown => formatter.write_str("an end that the system does not tell"),
        }
    }
}

/// All child processes, among them the one that matters.
#[derive(Debug)]
pub struct Children {
    changes: unix::Signal,
    ended: Option<(Pid, Exit)>,
}

impl Children {
    /// Becomes the one that orphans are handed to, also where this is not process 1.
    pub fn new() -> io::Result<Self> {
        let changes = unix::signal(SignalKind::child())?;
        prctl::set_child_subreaper(true)?;
        Ok(Self { changes, ended: None })
    }

    /// Waits for the child `pid` and reaps every other meanwhile. Nothing is lost when this is cancelled.
    pub async fn exit_of(&mut self, pid: Pid) -> Exit {
        loop {
            while self.reap(pid) {}
            match self.ended {
                Some((ended, exit)) if ended == pid => return exit,
                _ => self.changes.recv().await,
            };
        }
    }

    /// Reaps one child that has ended and remembers how `watched` did; whether there was one.
    fn reap(&mut self, watched: Pid) -> bool {
        let (pid, exit) = match waitpid(Pid::from_raw(-1), Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, code)) => (pid, Exit::Code(code)),
            Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, Exit::Signal(signal)),
            Ok(WaitStatus::StillAlive) => return false,
            // One was reaped whose signal has no name here; it was the watched one if that is gone.
            Err(Errno::EINVAL) if kill(watched, None).is_err() => (watched, Exit::Unknown),
            Ok(_) | Err(Errno::EINTR | Errno::EINVAL) => return true,
            // No child at all.
            Err(_) => {
                if self.ended.is_none_or(|(ended, _)| ended != watched) {
                    self.ended = Some((watched, Exit::Unknown));
                }
                return false;
            }
        };
        if pid == watched {
            self.ended = Some((pid, exit));
        }
        true
    }

    /// Ends what is left of the test: the process group of `pid`, then whatever left the group and became ours.
    pub async fn end_all(&mut self, pid: Pid) {
        signal_group(pid, Signal::SIGKILL);
        let deadline = Instant::now() + KILL_TAKES;
        loop {
            while self.reap(pid) {}
            let left = own_children();
            // A killed process that stays is stuck in the kernel: the container's end will take it.
            if left.is_empty() || Instant::now() > deadline {
                return;
            }
            for orphan in left {
                // It may have ended meanwhile.
                let _ = kill(orphan, Signal::SIGKILL);
            }
            sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Sends a signal to a process group. One that is gone already needs none.
pub fn signal_group(leader: Pid, signal: Signal) {
    let _ = killpg(leader, signal);
}

/// The children of this process, from /proc.
fn own_children() -> Vec<Pid> {
    let own = getpid().as_raw();
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| {
            fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| parent_in(&stat) == Some(own))
        })
        .map(Pid::from_raw)
        .collect()
}

/// The parent's id in the text of /proc/PID/stat; the program's name before it may hold anything.
fn parent_in(stat: &str) -> Option<i32> {
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_named() {
        assert_eq!(Exit::Code(3).to_string(), "exit code 3");
        assert_eq!(Exit::Signal(Signal::SIGKILL).to_string(), "signal 9 (SIGKILL)");
    }

    #[test]
    fn a_parent_is_found_behind_any_name() {
        assert_eq!(parent_in("17 (a) S 2) S 4 17 17 0"), Some(4));
        assert_eq!(parent_in(""), None);
    }
}
