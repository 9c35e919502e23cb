//! Places that can run a prompt.
//!
//! Everything above this trait speaks of runs and outputs; everything below knows one kind of engine. The words for
//! events and outcomes are those of the ComfyUI client, because every engine runs ComfyUI in the end.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, io,
    sync::Arc,
};

use bytes::Bytes;
pub use comfyport_comfyui::QueueSnapshot as Queue;
use comfyport_comfyui::{Event, FileRef, Outcome, SubmitError};
use comfyport_endpoint::MediaKind;
use futures_util::{future::BoxFuture, stream::BoxStream};
use uuid::Uuid;

pub mod comfyui;

/// A place that can run a prompt.
///
/// Dropping a future that one of these methods returned abandons it; it does not undo what the engine already did.
pub trait Engine: Send + Sync + fmt::Debug {
    /// The name in results, logs and metrics.
    fn name(&self) -> &str;

    /// Whether its results are made up.
    fn is_simulated(&self) -> bool;

    /// The node classes it has. Expensive: callers remember the answer for a while.
    fn capabilities(&self) -> BoxFuture<'_, Result<Capabilities, EngineError>>;

    /// The files in one models folder, with `/` between folders; `None` if it does not know the folder.
    fn models<'a>(&'a self, folder: &'a str) -> BoxFuture<'a, Result<Option<BTreeSet<String>>, EngineError>>;

    /// The models folders that it has.
    fn folders(&self) -> BoxFuture<'_, Result<BTreeSet<String>, EngineError>>;

    /// Whether it answers, and what it says about itself. An answer does not prove that it makes progress.
    fn health(&self) -> BoxFuture<'_, Result<Health, EngineError>>;

    /// Makes an input file available; the value that a loader node's input takes for it.
    fn upload<'a>(&'a self, file: InputFile<'a>) -> BoxFuture<'a, Result<String, EngineError>>;

    /// Queues a prompt. Of the errors, only [`SubmitError::Unknown`] leaves open whether it is queued.
    fn submit<'a>(&'a self, prompt: Prompt<'a>) -> BoxFuture<'a, Result<Box<dyn Watch>, SubmitError>>;

    /// Watches a prompt that is there already: left by a process that ended, or by a submission whose answer was lost.
    /// `None` if the engine knows nothing of it. Pictures that came over the socket before are not got back.
    fn adopt<'a>(
        &'a self,
        prompt_id: Uuid,
        socket_nodes: &'a [String],
    ) -> BoxFuture<'a, Result<Option<Box<dyn Watch>>, EngineError>>;

    /// What runs and waits there, everybody's.
    fn queue(&self) -> BoxFuture<'_, Result<Queue, EngineError>>;

    /// Asks it to unload its models once the running prompt is done.
    fn free(&self) -> BoxFuture<'_, Result<(), EngineError>>;

    /// Removes a prompt from the queue, or stops it if it runs. Other prompts are left alone.
    fn cancel(&self, prompt_id: Uuid) -> BoxFuture<'_, Result<(), EngineError>>;

    /// Forgets that a prompt ever ran. Its files may stay.
    fn forget(&self, prompt_id: Uuid) -> BoxFuture<'_, Result<(), EngineError>>;

    /// The bytes of an output file.
    fn fetch<'a>(&'a self, file: &'a FileRef) -> BoxFuture<'a, Result<Download, EngineError>>;
}

/// A queued prompt, as seen from here.
pub trait Watch: Send {
    /// The next event; `None` once there will be no more. Events are hints: the outcome is the truth.
    fn next_event(&mut self) -> BoxFuture<'_, Option<Event>>;

    /// How it ended.
    fn outcome(self: Box<Self>) -> BoxFuture<'static, Outcome>;
}

/// What an engine can do.
#[derive(Debug, Clone)]
pub struct Capabilities {
    /// Of them, the output nodes.
    pub output_classes: Arc<BTreeSet<String>>,
    /// The node classes it has.
    pub classes: Arc<BTreeSet<String>>,
    /// Of each class, the inputs that a prompt has to give, with their types. Those that are made of parts, of which
    /// there may be none, are left out.
    pub required: Arc<BTreeMap<String, BTreeMap<String, String>>>,
    /// The modules that classes are from, ComfyUI's own left out: `custom_nodes.pack`.
    pub modules: Arc<BTreeMap<String, String>>,
    /// Of each class, the inputs that take the name of a file that was uploaded, and what it must hold. Classes without
    /// are left out.
    pub uploads: Arc<BTreeMap<String, BTreeMap<String, MediaKind>>>,
}

/// What an engine says about itself.
#[derive(Debug, Clone, Default)]
pub struct Health {
    /// The version of ComfyUI.
    pub version: Option<String>,
    /// Memory of its devices, in bytes.
    pub vram_total: Option<u64>,
    /// Of it, free.
    pub vram_free: Option<u64>,
    /// Memory of the machine, in bytes.
    pub ram_total: Option<u64>,
    /// Of it, free.
    pub ram_free: Option<u64>,
}

/// A prompt to queue.
#[derive(Debug, Clone, Copy)]
pub struct Prompt<'a> {
    /// Its id, chosen by us and never used before.
    pub id: Uuid,
    /// The graph, as JSON text.
    pub graph: &'a [u8],
    /// Nodes whose results come over the socket and are stored nowhere.
    pub socket_nodes: &'a [String],
}

/// A file to make available to an engine.
pub struct InputFile<'a> {
    /// The name to give it: made from its content, never from what a caller said.
    pub name: &'a str,
    /// Its media type.
    pub content_type: &'static str,
    /// How many bytes it has.
    pub size: u64,
    /// Its bytes.
    pub data: BoxStream<'static, io::Result<Bytes>>,
}

impl fmt::Debug for InputFile<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("InputFile");
        shown.field("name", &self.name).field("size", &self.size).finish_non_exhaustive()
    }
}

/// An output file on its way.
pub struct Download {
    /// Its media type, as the engine declares it.
    pub content_type: Option<String>,
    /// How many bytes the engine says there are.
    pub length: Option<u64>,
    /// The bytes.
    pub data: BoxStream<'static, Result<Bytes, EngineError>>,
}

impl fmt::Debug for Download {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("Download");
        shown.field("content_type", &self.content_type).field("length", &self.length).finish_non_exhaustive()
    }
}

/// Why an engine did not do what it was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum EngineError {
    /// It cannot be reached.
    #[error("the engine cannot be reached: {0}")]
    Unreachable(String),
    /// It answered something that makes no sense.
    #[error("the engine answered nonsense: {0}")]
    Protocol(String),
    /// It takes no files of that size.
    #[error("the engine takes no files of that size")]
    TooLarge,
    /// It does not have what was asked for.
    #[error("the engine does not have it")]
    NotFound,
}
