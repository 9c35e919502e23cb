//! A job that is watched, as server-sent events: each view of it is told, until the last, or until the server closes.

use std::{collections::VecDeque, convert::Infallible, future::Future, time::Duration};

use axum::response::{
    IntoResponse, Response,
    sse::{Event, KeepAlive, Sse},
};
use futures_util::{Stream, stream};
use tokio_util::sync::CancellationToken;

use crate::{
    app::AppState,
    jobs::{View, Watcher},
};

const HEARTBEAT: Duration = Duration::from_secs(10);

/// Puts what is seen of a job into words.
pub(crate) trait Teller: Send + 'static {
    /// What a view has to tell.
    fn tell(&mut self, view: &View) -> impl Future<Output = Told> + Send;
}

/// What a view had to tell.
#[derive(Default)]
pub(crate) struct Told {
    pub(crate) events: VecDeque<Event>,
    /// Nothing comes after it.
    pub(crate) is_last: bool,
}

/// Answers with what is told of a job.
pub(crate) fn stream(app: &AppState, watcher: Watcher, teller: impl Teller) -> Response {
    let reader =
        Reader { closing: app.closing.clone(), watcher, teller, told: Told::default(), is_first: true };
    Sse::new(events(reader)).keep_alive(KeepAlive::new().interval(HEARTBEAT)).into_response()
}

struct Reader<T> {
    closing: CancellationToken,
    watcher: Watcher,
    teller: T,
    /// What was told and is not sent yet.
    told: Told,
    is_first: bool,
}

fn events<T: Teller>(reader: Reader<T>) -> impl Stream<Item = Result<Event, Infallible>> {
    stream::unfold(reader, |mut reader| async move {
        loop {
            if let Some(event) = reader.told.events.pop_front() {
                return Some((Ok(event), reader));
            }
            if reader.told.is_last {
                return None;
            }
            let view = if std::mem::take(&mut reader.is_first) {
                reader.watcher.now()
            } else {
                tokio::select! {
                    view = reader.watcher.next() => view,
                    // Whoever comes back, here or elsewhere, goes on from where this ended.
                    () = reader.closing.cancelled() => return None,
                }
            };
            reader.told = reader.teller.tell(&view).await;
        }
    })
}
