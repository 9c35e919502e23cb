//! Jobs that outlive the process.
//!
//! [`Store`] keeps jobs, their events, batches, webhook deliveries and output files' records in SQLite or PostgreSQL.
//! What changes together is one transaction, and an answer means that it is on disk. Every change of a running job is
//! guarded by its *fence*, a number that grows whenever somebody takes the job: whoever comes late changes nothing.
//!
//! The rules of jobs are written once, against [`database::Tx`]; the two databases differ in how they run a transaction.

pub mod artifacts;
pub mod batches;
pub mod claim;
pub mod database;
pub mod deliveries;
pub mod error;
pub mod events;
pub mod fleet;
pub mod job;
pub mod keys;
pub mod list;
mod notice;
mod postgres;
pub mod retention;
mod schema;
mod sqlite;
mod store;
pub mod submit;
pub mod transition;
pub mod uploads;
pub mod usage;
mod waiting;

pub use error::StoreError;
pub use job::{Job, State};
pub use notice::Notice;
pub use store::{Observer, Options, Render, Store};
