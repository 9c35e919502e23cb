//! A client that can dial nothing that was not judged.

use std::{sync::Arc, time::Duration};

use reqwest::{Method, RequestBuilder, redirect};

use crate::{Approved, Guard, Lookup, lookup::Judged};

/// Asks addresses that were approved of. It follows no redirect, knows no proxy, keeps no cookies and unpacks nothing.
#[derive(Debug, Clone)]
pub struct Client {
    guard: Guard,
    anybody: reqwest::Client,
    named: reqwest::Client,
}

impl Client {
    /// Dials within `connect_timeout`, each of the network addresses of a name.
    pub fn new(
        guard: Guard,
        lookup: Arc<dyn Lookup>,
        tls: rustls::ClientConfig,
        connect_timeout: Duration,
    ) -> Result<Self, reqwest::Error> {
        let build = |by_name: bool| {
            let judged = Judged { guard: guard.clone(), lookup: Arc::clone(&lookup), by_name };
            reqwest::Client::builder()
                .tls_backend_preconfigured(tls.clone())
                .dns_resolver(judged)
                .connect_timeout(connect_timeout)
                // A proxy would look names up itself, and reach what we do not; the environment may name one.
                .no_proxy()
                .redirect(redirect::Policy::none())
                .referer(false)
                // Whatever features somebody else in the program turns on: a file is taken as it comes.
                .no_gzip()
                .no_brotli()
                .no_zstd()
                .no_deflate()
                .user_agent(concat!("comfyport/", env!("CARGO_PKG_VERSION")))
                .build()
        };
        // Names that the operator allows may stand for anything, others may not: they share no connection.
        let (anybody, named) = (build(false)?, build(true)?);
        Ok(Self { guard, anybody, named })
    }

    /// By what it judges.
    pub fn guard(&self) -> &Guard {
        &self.guard
    }

    /// A request to an address that was approved of.
    pub fn request(&self, method: Method, address: &Approved) -> RequestBuilder {
        let client = if address.by_name() { &self.named } else { &self.anybody };
        client.request(method, address.url().clone())
    }
}
