//! One call to the API server, under its own timeout.

use std::time::Duration;

use crate::{error::CallError, reconcile::Called};

/// How long one call may take.
pub(crate) const LIMIT: Duration = Duration::from_secs(10);

/// Awaits a call for [`LIMIT`] at most; `verb` and `object` are for the error.
pub(crate) async fn call<T>(
    verb: &'static str,
    object: String,
    future: impl Future<Output = kube::Result<T>>,
) -> Called<T> {
    match tokio::time::timeout(LIMIT, future).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(source)) => Err(CallError::Api { verb, object, source }),
        Err(_) => Err(CallError::TimedOut { verb, object, limit: LIMIT }),
    }
}
