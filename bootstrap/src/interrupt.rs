//! SIGINT and SIGTERM as a value that can be awaited any number of times.

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};

/// Set once by the first signal; later ones change nothing: by then the run is cleaning up, and that must end.
#[derive(Clone, Debug)]
pub struct Interrupt(watch::Receiver<Option<&'static str>>);

impl Interrupt {
    /// Starts to listen. From here on the two signals no longer end the process.
    pub fn listen() -> std::io::Result<Self> {
        let (mut interrupt, mut terminate) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let (sender, receiver) = watch::channel(None);
        tokio::spawn(async move {
            let name = tokio::select! {
                _ = interrupt.recv() => "SIGINT",
                _ = terminate.recv() => "SIGTERM",
            };
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
