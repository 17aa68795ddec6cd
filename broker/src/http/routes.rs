//! What each path answers.

use super::{Health, Readiness};
use crate::metrics::Metrics;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse};
use axum::routing::get;
use std::sync::Arc;

/// State of all handlers.
#[derive(Clone, Debug)]
struct Broker {
    metrics: Arc<Metrics>,
    health: Health,
}

pub(super) fn router(metrics: Arc<Metrics>, health: Health) -> Router {
    Router::new()
        .route("/", get(index))
        .route("/metrics", get(metrics_text))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .fallback(async || (StatusCode::NOT_FOUND, "not found; / lists what is here\n"))
        .with_state(Broker { metrics, health })
}

async fn index() -> Html<&'static str> {
    Html(concat!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Synod</title>\n",
        "<h1>Synod ",
        env!("CARGO_PKG_VERSION"),
        "</h1>\n<ul>\n",
        "<li><a href=\"/metrics\">/metrics</a>: counters for Prometheus\n",
        "<li><a href=\"/healthz\">/healthz</a>: 200 while the process runs\n",
        "<li><a href=\"/readyz\">/readyz</a>: 200 while clients are served, else 503 and why\n",
        "</ul>\n",
    ))
}

async fn metrics_text(State(broker): State<Broker>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, Metrics::CONTENT_TYPE)], broker.metrics.exposition())
}

async fn healthz() -> &'static str {
    "ok\n"
}

async fn readyz(State(broker): State<Broker>) -> (StatusCode, String) {
    let reason = match broker.health.readiness() {
        Readiness::Ready => return (StatusCode::OK, "ready\n".into()),
        Readiness::Starting(what) => format!("starting: {what}\n"),
        Readiness::Impaired(why) => format!("impaired: {why}\n"),
        Readiness::Stopping => "stopping\n".into(),
    };
    (StatusCode::SERVICE_UNAVAILABLE, reason)
}
