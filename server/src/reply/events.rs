//! A job as server-sent events: `queued`, `running`, `started`, `progress`, `progress_unknown`, `preview`, `retrying`, and last `result` or
//! `problem`.
//!
//! What is kept of a job has a number as its id, so that whoever comes back with `Last-Event-ID` misses none of it,
//! whatever happened to the server in between. What is not kept has none.

use std::{any::Any, collections::VecDeque, convert::Infallible, time::Duration};

use axum::response::{
    IntoResponse, Response,
    sse::{Event, KeepAlive, Sse},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use comfyport_store::{Job, State};
use futures_util::{Stream, stream};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    app::AppState,
    jobs::{Answer, View, Watcher, body},
    problem::{Code, Problem},
    run::Update,
};

const HEARTBEAT: Duration = Duration::from_secs(10);

/// Answers with the events of a job after one number. `guard` is dropped when the reader leaves or the job has ended.
pub fn stream(
    app: &AppState,
    watcher: Watcher,
    after: i64,
    previews: bool,
    inline: bool,
    guard: Box<dyn Any + Send + Sync>,
) -> Response {
    let reader = Reader {
        app: app.clone(),
        watcher,
        after,
        live: 0,
        position: None,
        percent: 0.0,
        previews,
        inline,
        waiting: VecDeque::new(),
        is_first: true,
        is_over: false,
        _guard: guard,
    };
    Sse::new(events(reader)).keep_alive(KeepAlive::new().interval(HEARTBEAT)).into_response()
}

struct Reader {
    app: AppState,
    watcher: Watcher,
    /// The number of the last kept event that was told.
    after: i64,
    /// The number of the last one that is not kept.
    live: u64,
    position: Option<i64>,
    /// How far the present try is, as told: what is kept may be older than what was just told.
    percent: f64,
    previews: bool,
    inline: bool,
    waiting: VecDeque<Event>,
    is_first: bool,
    is_over: bool,
    _guard: Box<dyn Any + Send + Sync>,
}

fn events(reader: Reader) -> impl Stream<Item = Result<Event, Infallible>> {
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
                    // Whoever comes back, here or elsewhere, goes on from where this ended.
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
            if let Some(error) = &view.broken {
                self.waiting.push_back(event("problem", None, &Problem::from(error.clone())));
                self.is_over = true;
            }
            return;
        };
        let after = self.after;
        for kept in view.events.iter().filter(|kept| kept.number > after) {
            self.after = kept.number;
            let mut data: Value = serde_json::from_str(&kept.data).unwrap_or_default();
            if let Some(data) = data.as_object_mut() {
                data.insert("id".to_owned(), job.id.to_string().into());
                data.insert("at".to_owned(), body::time(kept.at).into());
            }
            let name = match kept.kind.parse::<State>() {
                Ok(state) if state.is_final() => continue,
                Ok(State::Queued) => {
                    self.position = view.position;
                    data["position"] = json!(view.position);
                    "queued"
                }
                Ok(_) => {
                    self.percent = 0.0;
                    "running"
                }
                Err(()) if kept.kind == "progress" && self.goes_back(data["percent"].as_f64()) => continue,
                Err(()) => kept.kind.as_str(),
            };
            self.waiting.push_back(event(name, Some(kept.number), &data));
        }
        if job.state == State::Queued && view.position != self.position {
            self.position = view.position;
            let data = json!({"id": job.id.to_string(), "position": view.position});
            self.waiting.push_back(event("queued", None, &data));
        }
        let missed = view.live.front().is_some_and(|(first, _)| self.live > 0 && *first > self.live + 1);
        if missed {
            self.waiting.push_back(event("lagged", None, &json!({"id": job.id.to_string()})));
        }
        let after = self.live;
        for (number, update) in view.live.iter().filter(|(number, _)| *number > after) {
            self.live = *number;
            if let Update::Progress(step) = &**update
                && self.goes_back(Some(step.percent))
            {
                continue;
            }
            self.waiting.extend(self.live_event(job, update));
        }
        if job.state.is_final() {
            self.is_over = true;
            let last = self.last(job).await;
            self.waiting.push_back(last);
        }
    }

    /// Whether a step was passed already. Else it is the present one from now on.
    fn goes_back(&mut self, percent: Option<f64>) -> bool {
        let Some(percent) = percent else { return false };
        let goes_back = percent < self.percent;
        self.percent = self.percent.max(percent);
        goes_back
    }

    fn live_event(&self, job: &Job, update: &Update) -> Option<Event> {
        let id = job.id.to_string();
        Some(match update {
            Update::Queued { position } => {
                event("queued", None, &json!({"id": id, "engine": job.engine, "position": position}))
            }
            Update::Started => event("started", None, &json!({"id": id})),
            Update::Progress(step) => event("progress", None, step),
            Update::Unknown => event("progress_unknown", None, &json!({"id": id})),
            Update::Preview { node, content_type, data } if self.previews => {
                let data = STANDARD.encode(data);
                event("preview", None, &json!({"node": node, "content_type": content_type, "data": data}))
            }
            Update::Preview { .. } => return None,
        })
    }

    async fn last(&self, job: &Job) -> Event {
        let number = Some(job.events);
        let Some(answer) = Answer::of(job) else {
            let kept = body::problem(job).and_then(|kept| serde_json::from_str::<Value>(&kept).ok());
            let lost = || json!(Problem::new(Code::Internal, "why the job failed was not kept"));
            return event("problem", number, &kept.unwrap_or_else(lost));
        };
        if !self.inline {
            return event("result", number, &answer);
        }
        match answer.inline(&self.app.jobs).await {
            Ok(answer) => event("result", number, &answer),
            Err(error) => {
                tracing::error!(%error, "an output cannot be read");
                event("problem", number, &Problem::new(Code::OutputGone, "the output is no longer kept"))
            }
        }
    }
}

fn event(name: &str, number: Option<i64>, data: &impl Serialize) -> Event {
    // Written by hand: the data is one line, as JSON without line breaks always is.
    let data = serde_json::to_string(data).unwrap_or_else(|_| "{}".to_owned());
    let event = Event::default().event(name).data(data);
    match number {
        Some(number) => event.id(number.to_string()),
        None => event,
    }
}
