//! Against hosts of the test's own that misbehave: nothing is dialled that was not judged, and no more is read than was
//! agreed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]

mod bodies;
mod children;
mod host;
mod names;
mod redirects;
mod sending;
mod spellings;
mod written;

use std::{io, net::IpAddr, sync::Arc, time::Duration};

use comfyport_fetch::{Client, Credentials, FetchError, Fetcher, Guard, Limits, Lookup, Policy};
use futures_util::{FutureExt, future::BoxFuture};

/// Says what the test says.
pub(crate) struct Says<F>(pub(crate) F);

impl<F> std::fmt::Debug for Says<F> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Says")
    }
}

impl<F: Fn(&str) -> Vec<IpAddr> + Send + Sync> Lookup for Says<F> {
    fn addresses(&self, name: String) -> BoxFuture<'_, io::Result<Vec<IpAddr>>> {
        async move { Ok((self.0)(&name)) }.boxed()
    }
}

/// Every name is this machine.
pub(crate) fn here() -> Arc<dyn Lookup> {
    Arc::new(Says(|_: &str| vec![IpAddr::from([127, 0, 0, 1])]))
}

pub(crate) fn tls(roots: rustls::RootCertStore) -> rustls::ClientConfig {
    let _ = rustls::crypto::ring::default_provider().install_default();
    rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth()
}

/// What may be asked by name or network, in the words of operators.
pub(crate) fn allowing(allow: &[&str]) -> Guard {
    Guard::new(Policy {
        allow: allow.iter().map(|rule| rule.parse().unwrap()).collect(),
        ..Policy::default()
    })
}

pub(crate) fn fetcher(guard: Guard, lookup: Arc<dyn Lookup>) -> Fetcher {
    with(guard, lookup, rustls::RootCertStore::empty(), Vec::new(), Limits::default())
}

pub(crate) fn with(
    guard: Guard,
    lookup: Arc<dyn Lookup>,
    roots: rustls::RootCertStore,
    credentials: Vec<Credentials>,
    limits: Limits,
) -> Fetcher {
    let client = Client::new(guard, lookup, tls(roots), Duration::from_secs(5)).unwrap();
    Fetcher::new(client, credentials, limits)
}

/// The whole file, and what came of it.
pub(crate) async fn fetch(fetcher: &Fetcher, address: &str, largest: u64) -> Result<Vec<u8>, FetchError> {
    let mut data = Vec::new();
    let answer = fetcher.open(&fetcher.judge(address)?, largest, &[]).await?;
    let saved = answer.save(&mut data).await?;
    assert_eq!(saved.size, data.len() as u64);
    Ok(data)
}
