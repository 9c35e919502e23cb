//! `GET /workflows`: every endpoint, and whether it could run now.

use axum::{Json, extract::State};
use comfyport_endpoint::{Endpoint, OutputKind, Text};
use futures_util::{StreamExt, stream};
use serde::Serialize;

use super::{origin::Origin, standing::Standing};
use crate::{
    app::AppState,
    endpoints::{Entry, Snapshot},
    readiness::Report,
};

/// The list.
#[derive(Debug, Serialize)]
pub struct Workflows {
    workflows: Vec<Listed>,
}

/// One workflow in the list.
#[derive(Debug, Serialize)]
pub struct Listed {
    /// The route without its leading slash.
    path: Text,
    title: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<Text>,
    #[serde(flatten)]
    standing: Option<Standing>,
    outputs: Vec<OutputInfo>,
    #[serde(flatten)]
    origin: Origin,
    /// Whether any engine could run it now.
    ready: bool,
    engines: Vec<Report>,
}

/// A named result.
#[derive(Debug, Serialize)]
pub struct OutputInfo {
    name: Text,
    kind: &'static str,
    many: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    preview: bool,
}

/// Answers with the list, in the order of the paths.
pub async fn list(State(app): State<AppState>) -> Json<Workflows> {
    let now = app.endpoints.now();
    let workflows = stream::iter(now.entries()).then(|entry| listed(&app, &now, entry)).collect().await;
    Json(Workflows { workflows })
}

async fn listed(app: &AppState, now: &Snapshot, entry: &Entry) -> Listed {
    let (path, origin) = (entry.path.clone(), Origin::of(entry));
    let Some(endpoint) = &entry.endpoint else {
        let title = path.clone();
        return Listed {
            path,
            title,
            description: None,
            standing: None,
            outputs: vec![],
            origin,
            ready: false,
            engines: vec![],
        };
    };
    let engines = app.jobs.pool.report(endpoint).await;
    Listed {
        path,
        title: endpoint.title.clone(),
        description: Some(endpoint.description.clone()).filter(|text| !text.is_empty()),
        standing: Some(Standing::of(endpoint, &now.versions)),
        outputs: outputs(endpoint),
        origin,
        ready: engines.iter().any(|engine| engine.ready),
        engines,
    }
}

/// The outputs of an endpoint, for descriptions.
pub fn outputs(endpoint: &Endpoint) -> Vec<OutputInfo> {
    let info = |output: &comfyport_endpoint::Output| OutputInfo {
        name: output.name.clone(),
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
