//! What workflows need to run: models, node packs, and where each of them comes from.
//!
//! [`Needs::of`] gathers what inference found in each workflow. Sources of further knowledge are laid over it: the
//! project's own list ([`ModelList::parse`]), lists of ComfyUI-Manager ([`manager`]), the modules of a live engine
//! ([`Needs::learn_modules`]). Every answer carries its evidence, and what is only a guess says so: nothing ambiguous is
//! settled here.
//!
//! [`ProjectLock`] pins all of it in one file; [`ProjectLock::compare`] says what has changed since. [`snapshot`] reads
//! and writes the same in the formats of others.
//!
//! Bytes in, values out: nothing here reads files or asks anyone.

pub mod hidden;
mod list;
mod lock;
pub mod manager;
mod model;
mod needs;
mod pack;
mod range;
pub mod snapshot;

pub use list::{BadList, ListedModel, ModelList};
pub use lock::{BadLock, Difference, LockedModel, LockedPack, Pin, ProjectLock};
pub use model::{Evidence, Licence, ModelNeed, ModelSource, Use};
pub use needs::Needs;
pub use pack::{PackNeed, same_repository};
pub use range::VersionRange;
