//! Faults of watches: line by line, as the API server frames events.

use std::{fmt, time::Duration};

use futures::{Stream, StreamExt as _, stream};
use hyper::body::Bytes;

use super::{Fault, Refused};

/// The events of a watch, with its fault if it has one. Each item is one line.
pub fn disturbed<S, E>(
    chunks: S,
    fault: Option<&Fault>,
) -> impl Stream<Item = Result<Bytes, Refused>> + Send + use<S, E>
where
    S: Stream<Item = Result<Bytes, E>> + Send + Unpin,
    E: fmt::Display + Send,
{
    let (limit, copies, wait) = match fault {
        Some(Fault::Cut(after)) => (*after, 1, Duration::ZERO),
        Some(Fault::Repeat) => (usize::MAX, 2, Duration::ZERO),
        Some(Fault::Late(wait)) => (usize::MAX, 1, *wait),
        _ => (usize::MAX, 1, Duration::ZERO),
    };
    let numbered = lines(chunks).enumerate();
    numbered.flat_map(move |(index, line)| {
        let line = line.and_then(|line| {
            if index < limit {
                Ok(Bytes::from(line.repeat(copies)))
            } else {
                Err(Refused::because("the watch was cut"))
            }
        });
        stream::once(async move {
            // The fault itself: news that come late.
            tokio::time::sleep(wait).await;
            line
        })
    })
}

/// Whole lines, however the bytes come.
fn lines<S, E>(chunks: S) -> impl Stream<Item = Result<Vec<u8>, Refused>> + Send + use<S, E>
where
    S: Stream<Item = Result<Bytes, E>> + Send + Unpin,
    E: fmt::Display + Send,
{
    stream::unfold((chunks, Vec::<u8>::new()), |(mut chunks, mut rest)| async move {
        loop {
            if let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = rest.drain(..=end).collect();
                return Some((Ok(line), (chunks, rest)));
            }
            match chunks.next().await? {
                Ok(chunk) => rest.extend_from_slice(&chunk),
                Err(error) => return Some((Err(Refused::because(error)), (chunks, rest))),
            }
        }
    })
}
