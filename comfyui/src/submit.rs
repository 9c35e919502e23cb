use std::sync::Arc;

use comfyport_workflow::json::Value;
use tokio::sync::{mpsc, oneshot};
use tracing::warn;
use uuid::Uuid;

use crate::{
    CancelOutcome, Client, ClientError, NodeId, Rejection, Run,
    http::{parse, quote, status},
    rejection::node_errors,
    waiter::Waiter,
    watch::Watch,
};

/// Why a prompt is not running.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// ComfyUI found fault with it. Submitting it again is no use.
    #[error("ComfyUI rejected the prompt: {}", .0.error.message)]
    Rejected(Box<Rejection>),
    /// No connection: nothing was sent.
    #[error("the prompt was not sent")]
    Unreachable(#[source] ClientError),
    /// ComfyUI does not have it, so it may be submitted again if the cause is retryable.
    #[error("the prompt was not accepted")]
    NotAccepted(#[source] ClientError),
    /// Whether ComfyUI has it could not be found out.
    #[error("it is not known whether the prompt was accepted")]
    Unknown(#[source] ClientError),
}

enum Answer {
    Accepted(Vec<crate::NodeError>),
    Rejected(Rejection),
    /// Certainly not taken.
    Refused(ClientError),
    Unclear(ClientError),
}

impl Client {
    /// Submits a prompt (the API-format graph as JSON text) under an id of the caller's, which must be new.
    ///
    /// `socket_nodes` are the ids of its `SaveImageWebsocket` nodes: their pictures arrive over the socket and are
    /// handed over with the outcome. An unclear answer is resolved by looking into queue and history. A prompt that
    /// was accepted only in part is cancelled and counts as rejected.
    pub async fn submit(
        &self,
        prompt_id: Uuid,
        prompt: &[u8],
        socket_nodes: &[NodeId],
    ) -> Result<Run, SubmitError> {
        let id = prompt_id.to_string();
        let (sender, events) = mpsc::channel(self.config().event_buffer.max(4));
        let waiter = Arc::new(Waiter::new(sender, socket_nodes, self.config().max_socket_images));
        let client_id = self.socket().client_id().await;
        let statuses = self.socket().statuses();
        // Registered before the request: events can come before its answer.
        let mut watch = Watch::register(self.clone(), id.clone(), waiter, client_id.clone());
        let sent_as = client_id.clone().unwrap_or_else(|| Uuid::new_v4().simple().to_string());
        self.accept(&id, body(prompt, &id, &sent_as), prompt_id).await?;
        if let Some(client_id) = client_id {
            self.socket().expect_status(client_id, statuses);
        }
        let (outcome, receiver) = oneshot::channel();
        watch.arm();
        tokio::spawn(watch.run(outcome));
        Ok(Run { prompt_id, events, outcome: receiver })
    }

    /// Watches a prompt that is there already: left by a process that ended, or by a submission whose answer was lost.
    ///
    /// `None` if it is neither in the queue nor in history, each looked at `lookups` times. The run is watched by
    /// looking at it; events arrive only if ComfyUI sends them here, so pictures that `socket_nodes` sent before are
    /// missing from its outcome.
    pub async fn adopt(&self, prompt_id: Uuid, socket_nodes: &[NodeId]) -> Result<Option<Run>, ClientError> {
        let id = prompt_id.to_string();
        let (sender, events) = mpsc::channel(self.config().event_buffer.max(4));
        let waiter = Arc::new(Waiter::new(sender, socket_nodes, self.config().max_socket_images));
        // Registered before the look: events that come in between are this run's.
        let mut watch = Watch::register(self.clone(), id.clone(), Arc::clone(&waiter), None);
        if !self.find(&id).await? {
            return Ok(None);
        }
        let (outcome, receiver) = oneshot::channel();
        watch.arm();
        // It may have ended long ago.
        waiter.look.notify_one();
        tokio::spawn(watch.run(outcome));
        Ok(Some(Run { prompt_id, events, outcome: receiver }))
    }

    async fn accept(&self, id: &str, body: Vec<u8>, prompt_id: Uuid) -> Result<(), SubmitError> {
        match self.post_prompt(body).await {
            Answer::Accepted(faults) if faults.is_empty() => Ok(()),
            Answer::Accepted(faults) => {
                match self.cancel(prompt_id).await {
                    Ok(CancelOutcome::StillRunning) => warn!(id, "a prompt accepted in part still runs"),
                    Ok(_) => {}
                    Err(error) => warn!(id, %error, "a prompt accepted in part could not be cancelled"),
                }
                Err(SubmitError::Rejected(Box::new(Rejection::partial(faults))))
            }
            Answer::Rejected(rejection) => Err(SubmitError::Rejected(Box::new(rejection))),
            Answer::Refused(error) if error.nothing_sent() => Err(SubmitError::Unreachable(error)),
            Answer::Refused(error) => Err(SubmitError::NotAccepted(error)),
            Answer::Unclear(error) => self.find_out(id, error).await,
        }
    }

    async fn post_prompt(&self, body: Vec<u8>) -> Answer {
        let response = match self.http().post("prompt", body).send().await.map_err(ClientError::from) {
            Ok(response) => response,
            Err(error) if error.nothing_sent() => return Answer::Refused(error),
            Err(error) => return Answer::Unclear(error),
        };
        let code = response.status();
        let failure = status(&response);
        let said = match self.http().body(response).await {
            Ok(body) => parse(&body),
            Err(error) => Err(error),
        };
        if code.is_success() {
            return match said {
                Ok(said) if said.get("prompt_id").and_then(Value::as_str).is_some() => {
                    Answer::Accepted(node_errors(&said))
                }
                Ok(_) => Answer::Unclear(ClientError::Shape("prompt")),
                Err(error) => Answer::Unclear(error),
            };
        }
        if code.as_u16() == 400
            && let Some(rejection) = said.ok().as_ref().and_then(Rejection::read)
        {
            return Answer::Rejected(rejection);
        }
        // A 5xx can come after the prompt was queued; any other refusal comes before.
        if code.is_server_error() { Answer::Unclear(failure) } else { Answer::Refused(failure) }
    }

    /// Looks for a prompt whose submission got no clear answer.
    async fn find_out(&self, id: &str, cause: ClientError) -> Result<(), SubmitError> {
        match self.find(id).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(SubmitError::NotAccepted(cause)),
            Err(_) => Err(SubmitError::Unknown(cause)),
        }
    }

    /// Looks for a prompt `lookups` times. Only a last look that was answered proves absence.
    async fn find(&self, id: &str) -> Result<bool, ClientError> {
        let mut last = Ok(false);
        for look in 0..self.config().lookups.max(1) {
            if look > 0 {
                tokio::time::sleep(self.config().poll_min).await;
            }
            last = self.knows(id).await;
            if let Ok(true) = last {
                break;
            }
        }
        last
    }

    /// Whether a prompt waits, runs or has run. Queue first: a prompt moves from there into history.
    async fn knows(&self, id: &str) -> Result<bool, ClientError> {
        Ok(self.queue().await?.contains(id) || self.entry(id).await?.is_some())
    }
}

fn body(prompt: &[u8], id: &str, client_id: &str) -> Vec<u8> {
    let tail = format!(r#","prompt_id":{},"client_id":{},"extra_data":{{}}}}"#, quote(id), quote(client_id));
    [br#"{"prompt":"#, prompt, tail.as_bytes()].concat()
}
