//! A job as server-sent events: `queued`, `waiting`, `running`, `started`, `progress`, `progress_unknown`, `preview`, `retrying`, and last `result` or
//! `problem`.
//!
//! What is kept of a job has a number as its id, so that whoever comes back with `Last-Event-ID` misses none of it,
//! whatever happened to the server in between. What is not kept has none.

use std::any::Any;

use axum::response::{Response, sse::Event};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use comfyport_store::{Job, State};
use serde::Serialize;
use serde_json::{Value, json};

use super::watched::{self, Teller, Told};
use crate::{
    app::AppState,
    jobs::{Answer, View, Watcher, body},
    problem::{Code, Problem},
    run::Update,
};

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
        after,
        live: 0,
        position: None,
        percent: 0.0,
        previews,
        inline,
        _guard: guard,
    };
    watched::stream(app, watcher, reader)
}

struct Reader {
    app: AppState,
    /// The number of the last kept event that was told.
    after: i64,
    /// The number of the last one that is not kept.
    live: u64,
    position: Option<i64>,
    /// How far the present try is, as told: what is kept may be older than what was just told.
    percent: f64,
    previews: bool,
    inline: bool,
    _guard: Box<dyn Any + Send + Sync>,
}

impl Teller for Reader {
    async fn tell(&mut self, view: &View) -> Told {
        let mut told = Told::default();
        let Some(job) = &view.job else {
            if let Some(error) = &view.broken {
                told.events.push_back(event("problem", None, &Problem::from(error.clone())));
                told.is_last = true;
            }
            return told;
        };
        self.tell_kept(job, view, &mut told);
        self.tell_live(job, view, &mut told);
        if job.state.is_final() {
            told.is_last = true;
            told.events.push_back(self.last(job).await);
        }
        told
    }
}

impl Reader {
    fn tell_kept(&mut self, job: &Job, view: &View, told: &mut Told) {
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
            told.events.push_back(event(name, Some(kept.number), &data));
        }
        if job.state == State::Queued && view.position != self.position {
            self.position = view.position;
            let data = json!({"id": job.id.to_string(), "position": view.position});
            told.events.push_back(event("queued", None, &data));
        }
    }

    fn tell_live(&mut self, job: &Job, view: &View, told: &mut Told) {
        let missed = view.live.front().is_some_and(|(first, _)| self.live > 0 && *first > self.live + 1);
        if missed {
            told.events.push_back(event("lagged", None, &json!({"id": job.id.to_string()})));
        }
        let after = self.live;
        for (number, update) in view.live.iter().filter(|(number, _)| *number > after) {
            self.live = *number;
            if let Update::Progress(step) = &**update
                && self.goes_back(Some(step.percent))
            {
                continue;
            }
            told.events.extend(self.live_event(job, update));
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
            // Whoever waits for it is not the one that is fetched.
            Update::Errand(progress) if job.state == State::Queued => {
                event("waiting", None, &json!({"id": id, "progress": &**progress}))
            }
            Update::Errand(progress) => event("progress", None, &**progress),
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
