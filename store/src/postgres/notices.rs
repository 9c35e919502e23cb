//! Hearing what servers tell each other.

use std::{pin::pin, sync::mpsc, time::Duration};

use tokio::sync::oneshot;
use tokio_postgres::AsyncMessage;

use super::{address::Address, error::refusal};
use crate::{Notice, StoreError, database::Listener};

/// How long to wait before the next attempt to connect.
const PAUSE: Duration = Duration::from_secs(1);

/// Hands notices to a listener until `closed`, and says on `ready` how it began.
pub(super) fn listen(
    address: &Address,
    channel: &str,
    listener: &Listener,
    ready: mpsc::Sender<Result<(), StoreError>>,
    closed: oneshot::Receiver<()>,
) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            ready.send(Err(StoreError::Unavailable(error.to_string()))).ok();
            return;
        }
    };
    runtime.block_on(async {
        tokio::select! {
            _ = closed => {}
            () = hear_forever(address, channel, listener, ready) => {}
        }
    });
}

async fn hear_forever(
    address: &Address,
    channel: &str,
    listener: &Listener,
    ready: mpsc::Sender<Result<(), StoreError>>,
) {
    let mut ready = Some(ready);
    loop {
        let mut began = || match ready.take() {
            Some(ready) => drop(ready.send(Ok(()))),
            // Whatever was told meanwhile was missed.
            None => [Notice::Queue, Notice::Webhook, Notice::Fleet]
                .into_iter()
                .for_each(|notice| listener(notice)),
        };
        let ended = hear(address, channel, listener, &mut began).await;
        if let Some(ready) = ready.take() {
            ready.send(ended).ok();
            return;
        }
        if let Err(error) = ended {
            tracing::warn!("cannot hear of what other servers do: {error}");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Hears until the connection ends.
async fn hear(
    address: &Address,
    channel: &str,
    listener: &Listener,
    began: &mut impl FnMut(),
) -> Result<(), StoreError> {
    let (client, mut connection) = address.connect().await?;
    let sql = format!("LISTEN \"{channel}\"");
    let mut listening = pin!(client.batch_execute(&sql));
    let mut asked = true;
    loop {
        tokio::select! {
            biased;
            answer = &mut listening, if asked => {
                answer.map_err(|error| refusal(&error))?;
                asked = false;
                began();
            }
            message = std::future::poll_fn(|context| connection.poll_message(context)) => match message {
                Some(Ok(AsyncMessage::Notification(notification))) => {
                    if let Some(notice) = Notice::parse(notification.payload()) {
                        listener(notice);
                    }
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(refusal(&error)),
                None => return Ok(()),
            },
        }
    }
}
