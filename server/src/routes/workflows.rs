//! `GET /workflows`: every endpoint, and whether it could run now.

use axum::{Json, extract::State};
use comfyport_endpoint::{Endpoint, OutputKind};
use futures_util::{StreamExt, stream};
use serde::Serialize;

use crate::{app::AppState, readiness::Report};

/// The list.
#[derive(Debug, Serialize)]
pub struct Workflows {
    workflows: Vec<Listed>,
}

/// One endpoint in the list.
#[derive(Debug, Serialize)]
pub struct Listed {
    /// The route without its leading slash.
    path: &'static str,
    title: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    description: &'static str,
    outputs: Vec<OutputInfo>,
    /// Whether any engine could run it now.
    ready: bool,
    engines: Vec<Report>,
}

/// A named result.
#[derive(Debug, Serialize)]
pub struct OutputInfo {
    name: &'static str,
    kind: &'static str,
    many: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    preview: bool,
}

/// Answers with the list, in the order of the paths.
pub async fn list(State(app): State<AppState>) -> Json<Workflows> {
    let workflows =
        stream::iter(app.endpoints.iter().copied()).then(|endpoint| listed(&app, endpoint)).collect().await;
    Json(Workflows { workflows })
}

async fn listed(app: &AppState, endpoint: &'static Endpoint) -> Listed {
    let engines = app.runs.report(endpoint).await;
    Listed {
        path: endpoint.path,
        title: endpoint.title,
        description: endpoint.description,
        outputs: outputs(endpoint),
        ready: engines.iter().any(|engine| engine.ready),
        engines,
    }
}

/// The outputs of an endpoint, for descriptions.
pub fn outputs(endpoint: &Endpoint) -> Vec<OutputInfo> {
    let info = |output: &comfyport_endpoint::Output| OutputInfo {
        name: output.name,
        kind: kind(output.kind),
        many: output.many,
        preview: output.preview,
    };
    endpoint.outputs.iter().map(info).collect()
}

fn kind(kind: OutputKind) -> &'static str {
    match kind {
        OutputKind::Image => "image",
        OutputKind::Video => "video",
        OutputKind::Audio => "audio",
        OutputKind::Model3d => "mesh",
        OutputKind::Text => "text",
        OutputKind::Latent => "latent",
        OutputKind::File => "file",
    }
}
