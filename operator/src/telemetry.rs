//! Logs: one JSON object a line, filtered by `RUST_LOG`.

use tracing_subscriber::{EnvFilter, layer::SubscriberExt as _, util::SubscriberInitExt as _};

/// What is logged unless `RUST_LOG` says otherwise.
const DEFAULT_FILTER: &str = "info,kube=warn";

/// Starts logging. A second call changes nothing.
pub fn init() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT_FILTER));
    let format = tracing_subscriber::fmt::layer().json().flatten_event(true).with_current_span(true);
    // It fails only where logging has been set up already, which a test may have done.
    let _ = tracing_subscriber::registry().with(filter).with(format).try_init();
}
