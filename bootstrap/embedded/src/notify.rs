//! Hearing from a daemon that it serves, by the message that it would send to systemd.
//!
//! etcd listens only on the loopback of the cluster's network namespace, where it cannot be asked from here;
//! and an API server that starts before it is a second later than one that starts after it.

use std::{
    io,
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{Error, command::Tick};

/// How long one look takes.
const TICK: Duration = Duration::from_millis(15);

/// The socket that a daemon is given as `NOTIFY_SOCKET`.
#[derive(Debug)]
pub(crate) struct Notification {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Notification {
    pub(crate) fn bind(path: &Path) -> Result<Self, Error> {
        let socket = UnixDatagram::bind(path).map_err(Error::io("make the socket", path))?;
        socket.set_read_timeout(Some(TICK)).map_err(Error::io("set up the socket", path))?;
        Ok(Self { socket, path: path.to_owned() })
    }

    /// The environment variable that tells the daemon.
    pub(crate) fn variable(&self) -> (String, String) {
        ("NOTIFY_SOCKET".to_owned(), self.path.to_string_lossy().into_owned())
    }

    /// Waits until the daemon says that it serves.
    pub(crate) fn await_ready(&self, tick: Tick<'_>) -> Result<(), Error> {
        let mut buffer = [0; 1024];
        loop {
            match self.socket.recv(&mut buffer) {
                Ok(length) if is_ready(buffer.split_at(length).0) => return Ok(()),
                Ok(_) => {}
                Err(e)
                    if matches!(
                        e.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
                    ) => {}
                Err(e) => return Err(Error::io("read the socket", &self.path)(e)),
            }
            tick()?;
        }
    }
}

/// A message is lines of `KEY=value`.
fn is_ready(message: &[u8]) -> bool {
    message.split(|byte| *byte == b'\n').any(|line| line == b"READY=1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readiness_is_heard_among_other_messages() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let notification = Notification::bind(&path).unwrap();
        let sender = UnixDatagram::unbound().unwrap();
        for message in [&b"STATUS=starting"[..], b"STATUS=up\nREADY=1\n"] {
            sender.send_to(message, &path).unwrap();
        }
        notification.await_ready(&mut || Ok(())).unwrap();
        let silent = notification.await_ready(&mut || Err(Error::Cancelled("a test".into())));
        assert!(matches!(silent, Err(Error::Cancelled(_))));
    }
}
