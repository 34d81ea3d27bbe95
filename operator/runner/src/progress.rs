//! Progress on its way from the test's container to the sidecar's log: one datagram for each cell, on a socket in the volume
//! that both share. Nobody waits for the other, and what is lost is told again with the next cell.

use std::{
    io,
    os::unix::net::UnixDatagram as Sender,
    path::{Path, PathBuf},
    time::Duration,
};

use crds::{
    names::pod,
    progress::{MAX_LINE, Progress},
};
use tokio::{
    net::UnixDatagram,
    time::{Instant, sleep_until},
};

use crate::console::Console;

/// How much time there is between two lines at least: cells can take no time at all, and a log is rotated.
const BETWEEN: Duration = Duration::from_millis(250);

/// Where the sidecar listens, given the folder of the results.
fn socket(results: &Path) -> PathBuf {
    results.with_file_name(pod::PROGRESS_SOCKET)
}

/// Tells the sidecar.
#[derive(Debug)]
pub struct Teller {
    to: Option<(Sender, PathBuf)>,
}

impl Teller {
    /// A teller to the sidecar whose results are in that folder. Where there is no socket to be had, it stays silent.
    pub fn beside(results: &Path) -> Self {
        let sender = Sender::unbound().and_then(|sender| sender.set_nonblocking(true).map(|()| sender));
        Self { to: sender.ok().map(|sender| (sender, socket(results))) }
    }

    /// Tells where the notebook is.
    pub fn tell(&self, progress: &Progress) {
        if let (Some((sender, path)), Ok(line)) = (&self.to, progress.to_line()) {
            // Nobody may listen yet, or ever: the verdict does not depend on it.
            let _ = sender.send_to(line.as_bytes(), path);
        }
    }
}

/// Writes what is told as lines, until it cannot be listened any more; returns why.
///
/// The test's own code can reach the socket, so that only progress that could be is passed on, and not often.
pub async fn relay(results: &Path, log: &mut Console) -> io::Error {
    match listen(results, log).await {
        Ok(never) => match never {},
        Err(error) => error,
    }
}

/// See [`relay`].
async fn listen(results: &Path, log: &mut Console) -> io::Result<std::convert::Infallible> {
    let path = socket(results);
    // A sidecar that was started again finds the socket of the one before it.
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let socket = UnixDatagram::bind(&path)?;
    let mut datagram = [0; MAX_LINE + 1];
    let mut untold = None;
    let mut next = Instant::now();
    loop {
        tokio::select! {
            received = socket.recv(&mut datagram) => {
                let told = datagram.get(..received?).and_then(Progress::from_line);
                untold = told.or(untold);
            }
            () = sleep_until(next), if untold.is_some() => {
                if let Some(progress) = untold.take() {
                    log.line(&progress.to_line()?)?;
                }
                next = Instant::now() + BETWEEN;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, io::Write, rc::Rc};

    use super::*;

    /// A log that can be read.
    #[derive(Clone, Default)]
    struct Log(Rc<RefCell<Vec<u8>>>);

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.borrow_mut().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_told_is_passed_on_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let results = folder.path().join("results");
        // The socket of a sidecar that ended.
        drop(UnixDatagram::bind(socket(&results)).unwrap());
        let log = Log::default();
        let mut console = Console::to(Box::new(log.clone()));
        let told = async {
            tokio::task::yield_now().await;
            let teller = Teller::beside(&results);
            for passed in 0..3 {
                teller.tell(&Progress::of(passed, 5, Some(passed + 1)));
            }
            let (sender, path) = teller.to.as_ref().unwrap();
            sender.send_to(b"{\"kfe2eFrame\":1}", path).unwrap();
            sender.send_to(&[b' '; 2 * MAX_LINE], path).unwrap();
            let last = Progress::of(2, 5, Some(3)).to_line().unwrap() + "\n";
            while !log.0.borrow().ends_with(last.as_bytes()) {
                tokio::time::sleep(BETWEEN).await;
            }
        };
        tokio::select! {
            error = relay(&results, &mut console) => panic!("{error}"),
            () = told => {}
        }
        let text = String::from_utf8(log.0.borrow().clone()).unwrap();
        assert!(text.lines().all(|line| Progress::from_line(line.as_bytes()).is_some()), "{text}");
        assert!(text.lines().count() <= 3, "{text}");
    }

    #[test]
    fn nobody_needs_to_listen() {
        let folder = tempfile::tempdir().unwrap();
        Teller::beside(&folder.path().join("results")).tell(&Progress::of(0, 1, Some(1)));
    }
}
