//! Requests to an API server from calls that block.

use anyhow::Context as _;

/// Runs what a blocking caller waits for, on a runtime of its own.
pub(super) fn block_on<T>(work: impl Future<Output = T>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    Ok(runtime.context("starting the runtime that talks to the cluster")?.block_on(work))
}
