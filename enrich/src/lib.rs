//! Better words for an endpoint, proposed by a language model.
//!
//! [`Facts`] are what is told of an endpoint: names, types, ranges, classes of nodes; no texts that somebody wrote as
//! values, no files, no addresses. [`Chat`] asks a service that speaks OpenAI's chat completions, as OpenRouter and most
//! local servers do, for an answer of one schema. What comes back is a stranger's text: [`Proposal::judge`] takes what
//! is in order, says why the rest is not, and never touches what the author of the workflow decided. [`Edit`] writes
//! what was taken into the text of the sidecar file, and leaves everything else in it as it was.
//!
//! Nothing here reads or writes files, and no build calls it.

mod answer;
mod chat;
mod edit;
mod facts;
mod proposal;
#[cfg(feature = "testing")]
pub mod testing;

pub use chat::{Chat, ChatError, Reply, Settings, Usage};
pub use edit::{BadSidecar, Edit};
pub use facts::Facts;
pub use proposal::{Change, Judged, Proposal, Refused};

use comfyport_workflow::Endpoint;

/// What was proposed, and what it cost.
#[derive(Debug)]
pub struct Advice {
    /// What may be written.
    pub judged: Judged,
    /// As the service counts.
    pub usage: Usage,
}

/// Asks for a proposal; once more, with what was wrong, if the answer is not one.
///
/// `locked` is whether parameters keep their names and places, because a lock holds them.
pub async fn propose(chat: &Chat, endpoint: &Endpoint, locked: bool) -> Result<Advice, ChatError> {
    let facts = Facts::of(endpoint, locked);
    let mut reply = chat.ask(&facts, None).await?;
    let mut usage = reply.usage;
    let proposal = match answer::read(&reply.text) {
        Ok(proposal) => proposal,
        Err(fault) => {
            reply = chat.ask(&facts, Some((&reply.text, &fault.to_string()))).await?;
            usage = usage + reply.usage;
            answer::read(&reply.text).map_err(ChatError::Answer)?
        }
    };
    Ok(Advice { judged: proposal.judge(endpoint, locked), usage })
}
