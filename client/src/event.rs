//! What happens while a run goes on.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use comfyport_endpoint::Response;
use futures_util::{Stream, StreamExt, stream};
use serde::{Deserialize, de::DeserializeOwned};

use crate::{
    Error, Problem, Run,
    run::Untyped,
    sse::{Message, Messages},
};

/// Something that happened to a run. The last one is [`Event::Result`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event<T> {
    /// It waits: for an engine, or in its queue.
    Queued {
        /// The run's id.
        id: String,
        /// The engine, once it is given to one.
        engine: Option<String>,
        /// How many are before it, where the engine says so.
        position: Option<u64>,
    },
    /// The engine began with it.
    Started {
        /// The run's id.
        id: String,
    },
    /// It came further.
    Progress {
        /// Of the whole run, from 0 to 100. It never goes back.
        percent: f64,
        /// The node at work.
        node: String,
        /// Its title.
        title: Option<String>,
        /// How far this node is.
        value: Option<f64>,
        /// What `value` will be in the end.
        max: Option<f64>,
    },
    /// A picture of the present state.
    Preview {
        /// The node at work.
        node: String,
        /// The picture's media type.
        content_type: String,
        /// The picture.
        data: Bytes,
    },
    /// It succeeded.
    Result(Run<T>),
}

/// The events of a run, as a stream. An error ends it; dropping it cancels the run.
pub struct Events<T> {
    stream: Pin<Box<dyn Stream<Item = Result<Event<T>, Error>> + Send>>,
}

impl<T: Response + Send + 'static> Events<T> {
    pub(crate) fn of(response: reqwest::Response) -> Self {
        let state =
            State { bytes: Box::pin(response.bytes_stream()), messages: Messages::default(), ended: false };
        let stream = stream::unfold(state, |mut state| async move {
            let event = state.next().await?;
            state.ended = !matches!(&event, Ok(event) if !matches!(event, Event::Result(_)));
            Some((event, state))
        });
        Self { stream: Box::pin(stream) }
    }
}

impl<T> Events<T> {
    /// The next event; nothing after the last.
    pub async fn next(&mut self) -> Option<Result<Event<T>, Error>> {
        self.stream.next().await
    }

    /// Waits for the end of the run.
    pub async fn result(mut self) -> Result<Run<T>, Error> {
        while let Some(event) = self.next().await {
            if let Event::Result(run) = event? {
                return Ok(run);
            }
        }
        Err(Error::Ended)
    }
}

impl<T> Stream for Events<T> {
    type Item = Result<Event<T>, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.stream.as_mut().poll_next(context)
    }
}

impl<T> fmt::Debug for Events<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Events").finish_non_exhaustive()
    }
}

struct State {
    bytes: Pin<Box<dyn Stream<Item = reqwest::Result<Bytes>> + Send>>,
    messages: Messages,
    ended: bool,
}

impl State {
    async fn next<T: Response>(&mut self) -> Option<Result<Event<T>, Error>> {
        if self.ended {
            return None;
        }
        loop {
            while let Some(message) = self.messages.next() {
                // A later server may tell more than this client knows of.
                if let Some(event) = read(&message).transpose() {
                    return Some(event);
                }
            }
            match self.bytes.next().await {
                Some(Ok(bytes)) => self.messages.push(&bytes),
                Some(Err(error)) => return Some(Err(error.into())),
                None => return Some(Err(Error::Ended)),
            }
        }
    }
}

#[derive(Deserialize)]
struct Queued {
    id: String,
    engine: Option<String>,
    position: Option<u64>,
}

#[derive(Deserialize)]
struct Started {
    id: String,
}

#[derive(Deserialize)]
struct Progress {
    percent: f64,
    node: String,
    title: Option<String>,
    value: Option<f64>,
    max: Option<f64>,
}

#[derive(Deserialize)]
struct Preview {
    node: String,
    content_type: String,
    data: String,
}

fn read<T: Response>(message: &Message) -> Result<Option<Event<T>>, Error> {
    Ok(Some(match message.name.as_str() {
        "queued" => {
            let Queued { id, engine, position } = parse(message)?;
            Event::Queued { id, engine, position }
        }
        "started" => {
            let Started { id } = parse(message)?;
            Event::Started { id }
        }
        "progress" => {
            let Progress { percent, node, title, value, max } = parse(message)?;
            Event::Progress { percent, node, title, value, max }
        }
        "preview" => {
            let Preview { node, content_type, data } = parse(message)?;
            let data = STANDARD.decode(data).map_err(|error| odd(message, error))?;
            Event::Preview { node, content_type, data: data.into() }
        }
        "result" => Event::Result(parse::<Untyped>(message)?.typed()?),
        "problem" => return Err(Error::Problem(Box::new(parse::<Problem>(message)?))),
        _ => return Ok(None),
    }))
}

fn parse<T: DeserializeOwned>(message: &Message) -> Result<T, Error> {
    serde_json::from_str(&message.data).map_err(|error| odd(message, error))
}

fn odd(message: &Message, error: impl fmt::Display) -> Error {
    Error::Unexpected { status: 200, what: format!("event `{}`: {error}", message.name) }
}
