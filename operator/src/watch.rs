//! The watches that have runs looked at. Each waits by itself when it breaks, so that none holds up the others.

use futures::{Stream, StreamExt as _, stream, stream::BoxStream};
use kube::runtime::watcher::{self, Event};
use tokio::time::sleep;

use crate::backoff::Backoff;

/// One watch.
struct Watch<K, Open> {
    kind: String,
    open: Open,
    events: BoxStream<'static, watcher::Result<Event<K>>>,
    backoff: Backoff,
}

/// What a watch of this kind tells, for ever and without errors. `open` starts it from the beginning.
///
/// A watch that breaks off goes on where it was. One that cannot be opened again lists everything anew: an API server that
/// was away may come back with an older state, in which the place where the watch was does not exist yet.
pub(crate) fn follow<K, S>(
    kind: String,
    open: impl Fn() -> S + Send + 'static,
) -> impl Stream<Item = watcher::Result<Event<K>>> + Send
where
    K: Send + 'static,
    S: Stream<Item = watcher::Result<Event<K>>> + Send + 'static,
{
    let watch = Watch { kind, events: open().boxed(), open, backoff: Backoff::new() };
    stream::unfold(watch, |mut watch| async move {
        loop {
            let trouble = match watch.events.next().await {
                Some(Ok(event)) => return Some((Ok(event), watch)),
                Some(Err(error)) => Some(error),
                None => None,
            };
            if let Some(error) = &trouble {
                tracing::warn!(kind = watch.kind, %error, "Watch was interrupted");
            }
            sleep(watch.backoff.wait()).await;
            if matches!(trouble, None | Some(watcher::Error::WatchStartFailed(_))) {
                watch.events = (watch.open)().boxed();
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use futures::stream::iter;
    use kube::core::Status;

    use super::*;

    fn gone(wrap: fn(kube::Error) -> watcher::Error) -> watcher::Result<Event<u8>> {
        Err(wrap(kube::Error::Api(Status::failure("away", "ServiceUnavailable").boxed())))
    }

    /// What is told by a watch that meets this trouble, and how often it began from the beginning.
    async fn after(trouble: fn() -> watcher::Result<Event<u8>>) -> (Vec<u8>, usize) {
        let opened = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&opened);
        let open = move || {
            let first = u8::try_from(counted.fetch_add(1, Ordering::SeqCst)).unwrap() * 10;
            iter([Ok(Event::Apply(first)), trouble(), Ok(Event::Apply(first + 1))]).chain(stream::pending())
        };
        let told = follow("any".to_owned(), open).take(2).map(|event| match event {
            Ok(Event::Apply(number)) => number,
            other => panic!("{other:?}"),
        });
        (told.collect().await, opened.load(Ordering::SeqCst))
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_that_breaks_off_goes_on_where_it_was() {
        assert_eq!(after(|| gone(watcher::Error::WatchFailed)).await, (vec![0, 1], 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_that_cannot_be_opened_begins_anew() {
        assert_eq!(after(|| gone(watcher::Error::WatchStartFailed)).await, (vec![0, 10], 2));
    }
}
