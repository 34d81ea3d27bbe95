//! `/healthz`, `/readyz` and `/metrics`, on one port.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::{net::TcpListener, sync::watch};

use crate::metrics::Metrics;

/// What the operator still waits for; empty when it is ready.
pub type Missing = Vec<&'static str>;

/// What the handlers read.
#[derive(Clone)]
struct Facts {
    missing: watch::Receiver<Missing>,
    metrics: Arc<Metrics>,
}

/// Serves until `stop` resolves.
///
/// # Errors
/// The address cannot be listened on.
pub async fn serve(
    address: SocketAddr,
    missing: watch::Receiver<Missing>,
    metrics: Arc<Metrics>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), std::io::Error> {
    let routes = Router::new()
        // That it answers shows that the event loop turns.
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics_text))
        .with_state(Facts { missing, metrics });
    let listener = TcpListener::bind(address).await?;
    axum::serve(listener, routes).with_graceful_shutdown(stop).await
}

/// 200 when ready, else 503 with what is missing, one thing a line.
async fn ready(State(facts): State<Facts>) -> Response {
    let missing = facts.missing.borrow().join("\n");
    if missing.is_empty() {
        "ok\n".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, format!("{missing}\n")).into_response()
    }
}

/// The metrics.
async fn metrics_text(State(facts): State<Facts>) -> Response {
    match facts.metrics.text() {
        Ok(text) => ([(CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text)
            .into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
