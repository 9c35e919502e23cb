//! One file for each group of routes.

pub mod admin;
pub mod batches;
mod caller;
mod check;
pub mod docs;
pub mod engines;
pub mod erase;
pub mod health;
pub mod index;
pub mod jobs;
pub mod links;
pub mod models;
pub mod nodes;
mod origin;
pub mod prompt;
mod standing;
pub mod uploads;
pub mod usage;
mod waiting;
pub mod webhooks;
pub mod workflow;
pub mod workflows;

pub(crate) use caller::asked;
