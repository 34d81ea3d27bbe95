//! What goes into a program and comes out of it, awaited no longer than the caller wants.

use std::{
    io::Read,
    process::{Child, ExitStatus},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::Duration,
};

use crate::{
    Error,
    command::{Input, Tick, wait},
};

/// How often a wait asks whether it shall go on.
const TICK: Duration = Duration::from_millis(10);

/// What a program is connected by, each pipe with a thread of its own.
pub(crate) struct Pipes {
    stdin: Receiver<Result<(), Error>>,
    stdout: Option<Receiver<Vec<u8>>>,
    stderr: Option<Receiver<Vec<u8>>>,
}

/// All that came of a program. Its input is `None` if producing it broke off.
pub(crate) struct Ended {
    pub(crate) out: String,
    pub(crate) err: String,
    pub(crate) fed: Option<Result<(), Error>>,
    pub(crate) status: ExitStatus,
}

impl Pipes {
    pub(crate) fn of(child: &mut Child, input: Input) -> Self {
        let stdin = child.stdin.take();
        Self {
            stdin: beside(move || stdin.map_or(Ok(()), |pipe| input.feed(pipe))),
            stdout: child.stdout.take().map(|pipe| beside(move || read(pipe))),
            stderr: child.stderr.take().map(|pipe| beside(move || read(pipe))),
        }
    }

    /// Waits for the end of the pipes, which another program may hold open, and then of the child: until that
    /// is asked for, its number stays that of its process group.
    pub(crate) fn follow(self, child: &mut Child, line: &str, tick: Tick<'_>) -> Result<Ended, Error> {
        let out = collect(self.stdout, tick)?;
        let err = collect(self.stderr, tick)?;
        let fed = arrival(&self.stdin, tick)?;
        Ok(Ended { out, err, fed, status: wait(child, line, tick)? })
    }
}

/// Does blocking work on a thread of its own. What it returns arrives in the channel, unless nobody waits for
/// it any more.
fn beside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Receiver<T> {
    let (send, receive) = mpsc::channel();
    thread::spawn(move || drop(send.send(work())));
    receive
}

/// What another thread sends next; `None` if it ended. The limit is the caller's tick.
pub(crate) fn arrival<T>(from: &Receiver<T>, tick: Tick<'_>) -> Result<Option<T>, Error> {
    loop {
        match from.recv_timeout(TICK) {
            Ok(value) => return Ok(Some(value)),
            Err(RecvTimeoutError::Disconnected) => return Ok(None),
            Err(RecvTimeoutError::Timeout) => tick()?,
        }
    }
}

fn read(mut pipe: impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    // A broken pipe ends the output like its end does.
    let _ended = pipe.read_to_end(&mut bytes);
    bytes
}

fn collect(reader: Option<Receiver<Vec<u8>>>, tick: Tick<'_>) -> Result<String, Error> {
    let bytes = reader.map_or(Ok(None), |reader| arrival(&reader, tick))?.unwrap_or_default();
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
