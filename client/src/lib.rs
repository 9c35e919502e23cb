//! A typed client for a comfyport server.
//!
//! It works on the structs that describe endpoints: those in [`workflows`], which are made of the folder of workflows and
//! can be left out (`default-features = false`), or any that derive `Request` and `Response` and implement [`Call`]. A request goes out as JSON, or as a
//! form if there are files in it; the run is watched as a stream of events, and its outputs come back typed.
//!
#![cfg_attr(feature = "workflows", doc = "```no_run")]
#![cfg_attr(not(feature = "workflows"), doc = "```ignore")]
//! # use comfyport_client::Error;
//! use comfyport_client::{Client, workflows::sd15::txt2img::Txt2imgRequest};
//!
//! # async fn paint() -> Result<(), Error> {
//! let client = Client::new("http://127.0.0.1:3000")?;
//! let request = Txt2imgRequest { prompt: "a fox".to_owned(), steps: Some(12), ..Default::default() };
//! let run = client.run(&request).await?;
//! for artifact in &run.outputs.image {
//!     let bytes = client.fetch(artifact).await?;
//!     println!("{}: {} bytes, seed {:?}", artifact.filename, bytes.len(), run.seed());
//! }
//! # Ok(())
//! # }
//! ```

mod body;
mod client;
mod error;
mod event;
mod file;
mod run;
mod sse;

pub use client::Client;
pub use comfyport_endpoint::{
    Advanced, Artifact, Audio, Call, FileInput, Image, Key, Lora, Loras, Mask, Media, MediaSource, Model3d,
    Seed, Video,
};
/// Requests and responses of the workflows in `workflow_templates/`, one module for each.
#[cfg(feature = "workflows")]
pub use comfyport_generated as workflows;
pub use error::{Error, Problem, ProblemFault, Source};
pub use event::{Event, Events};
pub use file::{Upload, media_from_path};
pub use run::{Run, RunOptions, Timing, Verdict, Webhook};
