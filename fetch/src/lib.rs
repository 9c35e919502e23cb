//! Asking addresses that callers named: the one place where it happens.
//!
//! A server that fetches what it is told to can be told to fetch from the network it stands in: from its own ports, from
//! machines beside it, from the metadata service of its cloud. Here an address is judged before anything is sent
//! ([`Guard`]): how it is written, what it is called, and every network address that its name stands for at the moment
//! of dialling, since a name can stand for something else a moment later. [`Client`] can dial nothing that was not
//! judged. [`Fetcher`] reads files: over few redirects, each of them judged anew, within a size, a time and a pace.
//!
//! What is said of a failure goes to callers, so it names no network address that they did not name themselves.

mod answer;
mod client;
mod credentials;
mod error;
mod fetcher;
mod guard;
mod lookup;
mod networks;
mod rule;

pub use answer::{Answer, Saved};
pub use client::Client;
pub use credentials::{BadCredentials, Credentials};
pub use error::{Blame, FetchError};
pub use fetcher::{Fetcher, Limits};
pub use guard::{Approved, Guard, Policy, Refusal};
pub use lookup::{Lookup, SystemLookup};
pub use networks::is_public;
pub use rule::{BadRule, Rule};
