//! The application: its state, its routes and its layers.

use std::sync::Arc;

use axum::{
    Router, middleware,
    routing::{get, post},
};
use tokio_util::sync::CancellationToken;

use crate::{
    config::Config,
    endpoints::Endpoints,
    jobs::Jobs,
    layers,
    metrics::Metrics,
    problem::{Code, Problem},
    routes,
    webhooks::Webhooks,
};

/// What every handler can see.
#[derive(Debug, Clone)]
pub struct AppState(Arc<Inner>);

/// The parts of the state.
#[derive(Debug)]
pub struct Inner {
    /// The settings.
    pub config: Config,
    /// The endpoints that are served.
    pub endpoints: Arc<Endpoints>,
    /// Everything about jobs.
    pub jobs: Arc<Jobs>,
    /// What is sent of them.
    pub webhooks: Arc<Webhooks>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Whether the engine makes its results up.
    pub simulated: bool,
    /// Cancelled when the server is about to stop: it takes no more work.
    pub stopping: CancellationToken,
    /// Cancelled when it stops: nobody is kept waiting any more.
    pub closing: CancellationToken,
}

impl std::ops::Deref for AppState {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl AppState {
    /// The state of a server that has not started to listen.
    pub fn new(
        config: Config,
        endpoints: Arc<Endpoints>,
        jobs: Arc<Jobs>,
        webhooks: Arc<Webhooks>,
        metrics: Arc<Metrics>,
        simulated: bool,
    ) -> Self {
        let (stopping, closing) = (CancellationToken::new(), CancellationToken::new());
        Self(Arc::new(Inner { config, endpoints, jobs, webhooks, metrics, simulated, stopping, closing }))
    }
}

/// Where workflows are, as the router has it.
pub const WORKFLOW_ROUTE: &str = "/{*path}";

/// All routes with their layers.
pub fn router(app: AppState) -> Router {
    Router::new()
        .route("/", get(routes::index::page))
        .route("/health", get(routes::health::health))
        .route("/ready", get(routes::health::ready))
        .route("/metrics", get(routes::health::metrics))
        .route("/openapi.json", get(routes::docs::openapi))
        .route("/docs", get(routes::docs::redirect))
        .route("/docs/", get(routes::docs::ui_root))
        .route("/docs/errors", get(routes::docs::errors))
        .route("/docs/{*path}", get(routes::docs::ui))
        .route("/workflows", get(routes::workflows::list))
        .route("/engines", get(routes::engines::list))
        .route("/engines/{name}", get(routes::engines::show).post(routes::engines::steer))
        .route("/prompt", post(routes::prompt::post))
        .route("/jobs", get(routes::jobs::list))
        .route("/jobs/{id}", get(routes::jobs::show).delete(routes::jobs::cancel).post(routes::jobs::post))
        .route("/jobs/{id}/events", get(routes::jobs::events))
        .route("/jobs/{id}/outputs/{output}/{index}", get(routes::jobs::output))
        .route("/jobs/{id}/webhooks", get(routes::webhooks::of_job))
        .route("/jobs/{id}/webhooks/{delivery}", post(routes::webhooks::redeliver))
        .route("/webhooks", get(routes::webhooks::list))
        .route("/batches/{id}", get(routes::batches::get).delete(routes::batches::cancel))
        .route("/batches/{id}/contact-sheet", get(routes::batches::sheet))
        .route(WORKFLOW_ROUTE, get(routes::workflow::describe).post(routes::workflow::post))
        .method_not_allowed_fallback(|| async {
            Problem::new(
                Code::MethodNotAllowed,
                "this address does not take that method; `Allow` lists those it takes",
            )
        })
        .fallback(|| async {
            Problem::not_found("there is nothing at this address; GET /workflows lists the workflows")
        })
        .layer(middleware::from_fn_with_state(app.clone(), layers::around))
        .with_state(app)
}
