//! What to run, and one try to run it: from a request to what it yields.
//!
//! Nothing here knows of queues or of other tries: that is the business of [`crate::jobs`].

mod attached;
mod attempt;
mod collect;
mod failure;
mod finish;
mod graph;
mod kept;
mod models;
mod options;
mod plan;
mod progress;
mod request;
mod result;
mod stage;

pub use attached::{Attached, Attachment, attach};
pub use attempt::{Attempt, Limit, Start, Stop, Witness};
pub(crate) use failure::engine_error;
pub use failure::{Complaint, RunError, UrlTrouble};
pub use finish::Finish;
pub use graph::GraphPlan;
pub use kept::KeptRequest;
pub(crate) use models::check as check_models;
pub use options::{EVENTS, Envelope, OptionLimits, Options, PRIORITY};
pub use progress::{Step, Update};
pub use request::{Body, Draft, Prepared, RequestLimits};
pub use result::{FileItem, Item, Kept, Named, THUMBNAIL, Timing, Yield};

/// What to run.
#[derive(Debug)]
pub enum Plan {
    /// A request to an endpoint.
    Endpoint(Box<Prepared>),
    /// A graph that a caller sent.
    Graph(Box<GraphPlan>),
}

/// A JSON pointer of one step.
pub fn pointer(step: &str) -> String {
    format!("/{}", step.replace('~', "~0").replace('/', "~1"))
}
