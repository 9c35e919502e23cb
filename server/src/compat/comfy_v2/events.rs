//! A job as it goes: `status`, `progress`, `preview`, `output`, and `status` once more at the end.
//!
//! Nothing is replayed: whoever comes later hears of the present state first.

use axum::{
    extract::{Path, State},
    http::HeaderMap,
    response::{Response, sse::Event},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{
    Refusal, base,
    jobs::{Nodes, graph_job, word},
    outputs::Output,
};
use crate::{
    access::Caller,
    app::AppState,
    jobs::View,
    reply::watched::{self, Teller, Told},
    run::Update,
};

/// `GET /api/v2/jobs/{id}/events`
pub(super) async fn stream(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let job = graph_job(&app, &caller, &id).await?;
    let (watcher, base, nodes) = (app.jobs.watch(job.id), base(&app, &headers), Nodes::of(&job));
    let reader = Reader { app: app.clone(), base, nodes, status: Value::Null, live: 0 };
    Ok(watched::stream(&app, watcher, reader))
}

struct Reader {
    app: AppState,
    base: String,
    nodes: Nodes,
    /// The last status that was told.
    status: Value,
    /// The number of the last update that was told.
    live: u64,
}

impl Teller for Reader {
    async fn tell(&mut self, view: &View) -> Told {
        let mut told = Told::default();
        let Some(job) = &view.job else {
            told.is_last = view.broken.is_some();
            return told;
        };
        let status = json!({"status": word(job), "queue_position": view.position});
        let is_final = job.state.is_final();
        if !is_final && status != self.status {
            told.events.push_back(event("status", &status));
            self.status = status.clone();
        }
        let after = self.live;
        for (number, update) in view.live.iter().filter(|(number, _)| *number > after) {
            self.live = *number;
            told.events.extend(self.update(update));
        }
        if is_final {
            // They are in the job as well: whoever misses them here looks there.
            let outputs = Output::all(&self.app, job).await.unwrap_or_default();
            let shown = outputs.iter().map(|output| event("output", &output.shown(&self.app, &self.base)));
            told.events.extend(shown);
            told.events.push_back(event("status", &status));
            told.is_last = true;
        }
        told
    }
}

impl Reader {
    fn update(&self, update: &Update) -> Option<Event> {
        match update {
            Update::Progress(step) => {
                Some(event("progress", &self.nodes.progress(&serde_json::to_value(step).unwrap_or_default())))
            }
            Update::Preview { node, content_type, data } => {
                let data = STANDARD.encode(data);
                Some(event(
                    "preview",
                    &json!({"node_id": node, "content_type": content_type, "data_base64": data}),
                ))
            }
            Update::Queued { .. } | Update::Started | Update::Errand(_) | Update::Unknown => None,
        }
    }
}

fn event(name: &str, data: &Value) -> Event {
    Event::default().event(name).data(data.to_string())
}
