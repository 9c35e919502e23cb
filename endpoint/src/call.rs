//! What ties a request to its endpoint, for those who call it.

use std::{fmt, marker::PhantomData};

use crate::{Endpoint, Request, Response, Slot};

/// A request that knows where it belongs and what it yields. Generated code implements it.
pub trait Call: Request + Sized {
    /// The named outputs of a run.
    type Response: Response;

    /// The endpoint that takes this request.
    fn endpoint() -> &'static Endpoint;

    /// Sets a value under `advanced`: `request.with(Txt2imgRequest::SCHEDULER, Scheduler::Karras)`.
    #[must_use]
    fn with<T: Slot>(mut self, key: Key<Self, T>, value: impl Into<T>) -> Self {
        if let Some(advanced) = self.advanced_mut() {
            advanced.set(key.index, &value.into());
        }
        self
    }
}

/// The place of a `T` under `advanced` of the request `R`.
pub struct Key<R, T> {
    index: usize,
    of: PhantomData<fn() -> (R, T)>,
}

impl<R, T> Key<R, T> {
    /// The place at a position of the table of advanced fields.
    pub const fn at(index: usize) -> Self {
        Self { index, of: PhantomData }
    }
}

impl<R, T> Clone for Key<R, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R, T> Copy for Key<R, T> {}

impl<R, T> fmt::Debug for Key<R, T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Key").field(&self.index).finish()
    }
}
