//! A job as it goes: `status`, `progress`, `preview`, `output`, and `status` once more at the end.
//!
//! Nothing is replayed: whoever comes later hears of the present state first.

use std::{collections::VecDeque, convert::Infallible, time::Duration};

use axum::{
    extract::{Path, State},
    http::HeaderMap,
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use comfyport_store::Job;
use futures_util::stream;
use serde_json::{Value, json};

use super::{
    Refusal, base,
    jobs::{Nodes, graph_job, word},
    outputs::Output,
};
use crate::{
    access::Caller,
    app::AppState,
    jobs::{View, Watcher},
    run::Update,
};

const HEARTBEAT: Duration = Duration::from_secs(10);

/// `GET /api/v2/jobs/{id}/events`
pub(super) async fn stream(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let job = graph_job(&app, &caller, &id).await?;
    let (watcher, base, nodes) = (app.jobs.watch(job.id), base(&app, &headers), Nodes::of(&job));
    let reader = Reader {
        app,
        watcher,
        base,
        nodes,
        told: Value::Null,
        live: 0,
        waiting: VecDeque::new(),
        is_first: true,
        is_over: false,
    };
    Ok(Sse::new(events(reader)).keep_alive(KeepAlive::new().interval(HEARTBEAT)).into_response())
}

struct Reader {
    app: AppState,
    watcher: Watcher,
    base: String,
    nodes: Nodes,
    /// The last status that was told.
    told: Value,
    /// The number of the last update that was told.
    live: u64,
    waiting: VecDeque<Event>,
    is_first: bool,
    is_over: bool,
}

fn events(reader: Reader) -> impl futures_util::Stream<Item = Result<Event, Infallible>> {
    stream::unfold(reader, |mut reader| async move {
        loop {
            if let Some(event) = reader.waiting.pop_front() {
                return Some((Ok(event), reader));
            }
            if reader.is_over {
                return None;
            }
            let view = if std::mem::take(&mut reader.is_first) {
                reader.watcher.now()
            } else {
                tokio::select! {
                    view = reader.watcher.next() => view,
                    () = reader.app.closing.cancelled() => return None,
                }
            };
            reader.tell(&view).await;
        }
    })
}

impl Reader {
    async fn tell(&mut self, view: &View) {
        let Some(job) = &view.job else {
            self.is_over = view.broken.is_some();
            return;
        };
        let status = json!({"status": word(job), "queue_position": view.position});
        let is_final = job.state.is_final();
        if !is_final && status != self.told {
            self.waiting.push_back(event("status", &status));
            self.told = status.clone();
        }
        let after = self.live;
        for (number, update) in view.live.iter().filter(|(number, _)| *number > after) {
            self.live = *number;
            self.waiting.extend(self.update(update));
        }
        if is_final {
            self.outputs(job).await;
            self.waiting.push_back(event("status", &status));
            self.is_over = true;
        }
    }

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
            Update::Queued { .. } | Update::Started | Update::Unknown => None,
        }
    }

    async fn outputs(&mut self, job: &Job) {
        // They are in the job as well: whoever misses them here looks there.
        for output in Output::all(&self.app, job).await.unwrap_or_default() {
            self.waiting.push_back(event("output", &output.shown(&self.app, &self.base)));
        }
    }
}

fn event(name: &str, data: &Value) -> Event {
    Event::default().event(name).data(data.to_string())
}
