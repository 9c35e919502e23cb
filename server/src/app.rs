//! The application: its state, its routes and its layers.

use std::sync::Arc;

use axum::{
    Router, middleware,
    routing::{MethodRouter, delete, get, post},
};
use tokio_util::sync::CancellationToken;

use crate::{
    access::{Access, Guard, Scope, guard},
    compat::comfy_v2,
    config::Config,
    endpoints::Endpoints,
    jobs::Jobs,
    layers,
    metrics::Metrics,
    problem::{Code, Problem},
    routes,
    warm_up::WarmUp,
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
    /// Who may call.
    pub access: Arc<Access>,
    /// Everything about jobs.
    pub jobs: Arc<Jobs>,
    /// What is sent of them.
    pub webhooks: Arc<Webhooks>,
    /// What is run before anybody asks.
    pub warm_up: Arc<WarmUp>,
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
        access: Arc<Access>,
        jobs: Arc<Jobs>,
        webhooks: Arc<Webhooks>,
        metrics: Arc<Metrics>,
        simulated: bool,
    ) -> Self {
        let warm_up = WarmUp::new(config.warm_up.clone());
        let (stopping, closing) = (CancellationToken::new(), CancellationToken::new());
        Self(Arc::new(Inner {
            config,
            endpoints,
            access,
            jobs,
            webhooks,
            warm_up,
            metrics,
            simulated,
            stopping,
            closing,
        }))
    }
}

/// Where workflows are, as the router has it.
pub const WORKFLOW_ROUTE: &str = "/{*path}";

/// All routes with their layers.
pub fn router(app: AppState) -> Router {
    let needs = |scope, methods: MethodRouter<AppState>| {
        methods.route_layer(middleware::from_fn_with_state(Guard { app: app.clone(), scope }, guard))
    };
    let read = |methods| needs(Some(Scope::Read), methods);
    let run = |methods| needs(Some(Scope::Run), methods);
    let admin = |methods| needs(Some(Scope::Admin), methods);
    let known = |methods| needs(None, methods);
    let others = if app.config.compat.comfy_v2 { comfy_v2::router(read, run) } else { Router::new() };
    Router::new()
        .merge(others)
        .route("/health", get(routes::health::health))
        .route("/", read(get(routes::index::page)))
        .route("/ready", read(get(routes::health::ready)))
        .route("/openapi.json", read(get(routes::docs::openapi)))
        .route("/docs", read(get(routes::docs::redirect)))
        .route("/docs/", read(get(routes::docs::ui_root)))
        .route("/docs/errors", read(get(routes::docs::errors)))
        .route("/docs/{*path}", read(get(routes::docs::ui)))
        .route("/workflows", read(get(routes::workflows::list)))
        .route("/models", read(get(routes::models::list)))
        .route("/models/{*path}", known(get(routes::models::show)))
        .route("/nodes", read(get(routes::nodes::list)))
        .route("/usage", read(get(routes::usage::show)))
        .route("/metrics", admin(get(routes::health::metrics)))
        .route("/engines", admin(get(routes::engines::list)))
        .route("/engines/{name}", admin(get(routes::engines::show).post(routes::engines::steer)))
        .route("/admin/models:pull", admin(post(routes::admin::pull)))
        .route("/admin/nodes:install", admin(post(routes::admin::install)))
        .route("/webhooks", admin(get(routes::webhooks::list)))
        .route("/prompt", run(post(routes::prompt::post)))
        .route("/jobs", read(get(routes::jobs::list)))
        .route("/jobs/{id}", read(get(routes::jobs::show)))
        .route("/jobs/{id}", run(delete(routes::jobs::cancel).post(routes::jobs::post)))
        .route("/jobs/{id}/events", read(get(routes::jobs::events)))
        .route("/jobs/{id}/links", read(post(routes::links::make)))
        .route("/jobs/{id}/outputs", read(get(routes::jobs::outputs)))
        .route("/jobs/{id}/outputs", run(delete(routes::erase::outputs)))
        .route("/jobs/{id}/outputs/{output}/{index}", read(get(routes::jobs::output)))
        .route("/jobs/{id}/webhooks", read(get(routes::webhooks::of_job)))
        .route("/jobs/{id}/webhooks/{delivery}", run(post(routes::webhooks::redeliver)))
        .route(routes::uploads::ROUTE, run(post(routes::uploads::post)))
        .route("/uploads/{id}", read(get(routes::uploads::get)))
        .route("/uploads/{id}", run(delete(routes::uploads::delete)))
        .route("/batches/{id}", read(get(routes::batches::get)))
        .route("/batches/{id}", run(delete(routes::batches::cancel)))
        .route("/batches/{id}/contact-sheet", read(get(routes::batches::sheet)))
        .route(WORKFLOW_ROUTE, read(get(routes::workflow::describe)))
        .route(WORKFLOW_ROUTE, run(post(routes::workflow::post)))
        .method_not_allowed_fallback(|| async {
            Problem::new(
                Code::MethodNotAllowed,
                "this address does not take that method; `Allow` lists those it takes",
            )
        })
        .fallback(|| async {
            Problem::not_found("there is nothing at this address; GET /workflows lists the workflows")
        })
        .layer(layers::cors(&app.config.server.cors_origins))
        .layer(middleware::from_fn_with_state(app.clone(), layers::around))
        .with_state(app)
}
