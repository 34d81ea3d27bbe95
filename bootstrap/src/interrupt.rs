//! SIGINT, SIGTERM and SIGHUP as a value that can be awaited any number of times.

use std::fs;

use futures::future::select_all;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};

/// Set once by the first signal; later ones change nothing: by then the run is cleaning up, and that must end.
#[derive(Clone, Debug)]
pub struct Interrupt(watch::Receiver<Option<&'static str>>);

impl Interrupt {
    /// Starts to listen. From here on these signals no longer end the process.
    pub fn listen() -> std::io::Result<Self> {
        let mut kinds = vec![(SignalKind::interrupt(), "SIGINT"), (SignalKind::terminate(), "SIGTERM")];
        // Where there is no such file, nobody asked for anything out of the ordinary.
        if !ignores_hangup(&fs::read_to_string("/proc/self/status").unwrap_or_default()) {
            kinds.push((SignalKind::hangup(), "SIGHUP"));
        }
        let signals = kinds.into_iter().map(|(kind, name)| signal(kind).map(|signal| (signal, name)));
        let signals = signals.collect::<std::io::Result<Vec<_>>>()?;
        let (sender, receiver) = watch::channel(None);
        tokio::spawn(async move {
            let waits = signals.into_iter().map(|(mut signal, name)| {
                Box::pin(async move {
                    signal.recv().await;
                    name
                })
            });
            let (name, ..) = select_all(waits).await;
            // Without receivers the command is already over.
            let _ = sender.send(Some(name));
            // Keeps the channel open, so that a waiter never mistakes the end of this task for a signal.
            std::future::pending::<()>().await;
        });
        Ok(Self(receiver))
    }

    /// Waits for the first signal and names it.
    pub async fn signalled(&self) -> &'static str {
        let mut receiver = self.0.clone();
        match receiver.wait_for(Option::is_some).await {
            Ok(name) => name.unwrap_or("a signal"),
            // The listening task holds the sender as long as the runtime lives.
            Err(_) => std::future::pending().await,
        }
    }
}

/// Whether the process was started so that SIGHUP does nothing to it, as by `nohup`: then it is to outlive its terminal.
/// `status` is what the kernel says of it.
fn ignores_hangup(status: &str) -> bool {
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    // Bit n - 1 is signal n, and SIGHUP is 1.
    ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_starts_it_decides_whether_a_closed_terminal_ends_it() {
        let status = |ignored: &str| format!("Name:\tkfe2e\nSigBlk:\tffffffffffffffff\nSigIgn:\t{ignored}\n");
        assert!(ignores_hangup(&status("0000000000001001")));
        assert!(!ignores_hangup(&status("0000000000001006")));
        assert!(!ignores_hangup(""));
    }
}
