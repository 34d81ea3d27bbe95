//! The kernel's process: starting it, and what it said when it ended.

use std::{
    io,
    os::{fd::OwnedFd, unix::process::CommandExt as _},
    path::PathBuf,
    process::{Command, Stdio},
};

use nix::{
    errno::Errno,
    sys::signal::Signal,
    unistd::{Pid, getpid, read},
};
use tokio::{io::AsyncReadExt as _, net::unix::pipe};

use crate::{
    children::{Children, Exit, signal_group},
    tail::{Tail, last_lines},
};

/// How much of what a kernel prints outside cells is kept for the case that it dies.
const KEPT_OUTPUT: usize = 16 * 1024;

/// Lines of it that are told.
const TOLD_LINES: usize = 6;

/// Variable by which a kernel notices that its parent is gone.
const PARENT_VARIABLE: &str = "JPY_PARENT_PID";

/// How to start a kernel.
#[derive(Clone, Debug)]
pub struct Start {
    /// Program and arguments.
    pub command: Vec<String>,
    /// Variables beside the container's own.
    pub variables: Vec<(String, String)>,
    /// Working directory.
    pub folder: PathBuf,
}

/// A kernel's end.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Death {
    /// How it ended.
    pub exit: Exit,
    /// The last lines it printed outside cells.
    pub last_words: String,
}

/// A running kernel.
#[derive(Debug)]
pub struct Process {
    pid: Pid,
    output: Option<pipe::Receiver>,
    tail: Tail,
}

impl Process {
    /// Starts a kernel in a process group of its own.
    pub fn start(start: &Start) -> io::Result<Self> {
        let (reader, writer) = io::pipe()?;
        let (program, arguments) =
            start.command.split_first().ok_or_else(|| io::Error::other("the command is empty"))?;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .envs(start.variables.iter().map(|(name, value)| (name, value)))
            .current_dir(&start.folder)
            .stdin(Stdio::null())
            .stdout(writer.try_clone()?)
            .stderr(writer)
            .process_group(0);
        // A kernel whose parent is process 1 from the start would take itself for an orphan.
        if getpid().as_raw() == 1 {
            command.env_remove(PARENT_VARIABLE);
        } else {
            command.env(PARENT_VARIABLE, getpid().to_string());
        }
        let child = command.spawn()?;
        let pid = Pid::from_raw(i32::try_from(child.id()).map_err(io::Error::other)?);
        let output = pipe::Receiver::from_owned_fd(OwnedFd::from(reader))?;
        Ok(Self { pid, output: Some(output), tail: Tail::new(KEPT_OUTPUT) })
    }

    /// The process, which is also its group.
    pub const fn pid(&self) -> Pid {
        self.pid
    }

    /// Waits for the kernel's end and takes in what it prints. Nothing is lost when this is cancelled.
    pub async fn died(&mut self, children: &mut Children) -> Death {
        let exit = loop {
            let Some(output) = self.output.as_mut() else { break children.exit_of(self.pid).await };
            let mut chunk = [0; 4096];
            tokio::select! {
                biased;
                read = output.read(&mut chunk) => self.take_in(&chunk, &read),
                exit = children.exit_of(self.pid) => break exit,
            }
        };
        self.take_in_rest();
        Death { exit, last_words: last_lines(&self.tail.text(), TOLD_LINES).join(" | ") }
    }

    /// Forgets what it printed so far: warnings at its start are no last words of a later cell.
    pub fn forget_output(&mut self) {
        self.take_in_rest();
        self.tail.clear();
    }

    /// Keeps what was read; the end of the stream closes it.
    fn take_in(&mut self, chunk: &[u8], read: &io::Result<usize>) {
        match read {
            Ok(count @ 1..) => {
                self.tail.push(chunk.get(..*count).unwrap_or_default());
            }
            _ => self.output = None,
        }
    }

    /// Keeps what lies ready in the pipe; what it started may hold the pipe open for ever.
    ///
    /// It asks the pipe itself: the runtime may not have heard yet of what a process wrote right before its end.
    fn take_in_rest(&mut self) {
        let Some(output) = &self.output else { return };
        let mut chunk = [0; 4096];
        loop {
            match read(output, &mut chunk) {
                Ok(count @ 1..) => {
                    self.tail.push(chunk.get(..count).unwrap_or_default());
                }
                Err(Errno::EINTR) => {}
                Ok(0) | Err(_) => return,
            }
        }
    }

    /// Interrupts what runs in it, as Ctrl-C would.
    pub fn interrupt(&self) {
        signal_group(self.pid, Signal::SIGINT);
    }
}

#[cfg(test)]
mod tests {
    use nix::sys::wait::{Id, WaitPidFlag, waitid};

    use super::*;

    #[tokio::test]
    async fn what_was_written_right_before_the_end_is_there() {
        let command = ["sh", "-c", "echo out; echo no such library >&2; exit 4"].map(str::to_owned).to_vec();
        let mut process =
            Process::start(&Start { command, variables: Vec::new(), folder: "/".into() }).unwrap();
        // Without a turn of the runtime in between: it has heard of nothing yet.
        waitid(Id::Pid(process.pid()), WaitPidFlag::WEXITED).unwrap();
        process.take_in_rest();
        assert_eq!(process.tail.text(), "out\nno such library\n");
    }
}
