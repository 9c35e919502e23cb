//! Models for ComfyUI: fetched, checked, kept and linked.
//!
//! A [`Depot`] has a cache, in which content is called by its SHA-256, and a models folder, into which it is linked.
//! [`Depot::pull`] fetches what is [wanted](Wanted) from Hugging Face, CivitAI, the web, buckets and other servers: several
//! files at a time, on from where a former try stopped, and checked before anything appears under its name. What happens
//! on the way is told to a [`Listener`]. [`Shelf`] knows what is in a models folder: it lists, verifies, and makes
//! [plans](Plan) to tidy up, which are carried out by whoever has looked at them.
//!
//! Nothing here knows of workflows or of jobs. Addresses are asked by `comfyport-fetch`, which judges them.

mod cache;
mod digest;
mod error;
mod files;
mod inquiry;
mod link;
mod name;
mod progress;
mod pull;
mod retry;
mod safetensors;
mod settings;
mod shelf;
mod sink;
mod source;
#[cfg(feature = "testing")]
pub mod testing;
mod token;
mod trouble;
mod wanted;
mod ways;

pub use cache::{Kept, free_space};
pub use digest::{BadDigest, Sha256};
pub use error::PullError;
pub use inquiry::{Described, Inquiry};
pub use link::Linked;
pub use name::{BadName, ModelName, may_be_pickle};
pub use progress::{Event, Listener, Progress, Step};
pub use pull::{Depot, How, Pulled};
pub use retry::Retries;
pub use safetensors::{BadHeader, Header};
pub use settings::{LinkMode, Settings};
pub use shelf::{Duplicate, Model, Plan, Planned, Shelf, Task, Verdict, VerifyState};
pub use source::{Address, BadSource, CivitFile, HubFile, Source};
pub use token::{BadToken, Token};
pub use wanted::{Trust, Wanted};
pub use ways::{Found, Hub, Named, Ways};
