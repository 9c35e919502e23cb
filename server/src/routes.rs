//! One file for each group of routes.

mod check;
pub mod docs;
pub mod engines;
pub mod health;
pub mod index;
mod origin;
pub mod outputs;
pub mod prompt;
mod standing;
pub mod workflow;
pub mod workflows;
