//! Servers on ports of this machine that answer as Hugging Face, CivitAI and other hosts do, misbehave on request, and
//! remember what they saw. For tests; they panic where a test is wrong.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::missing_panics_doc)]

mod civitai;
mod host;
mod hub;

use std::{io, net::IpAddr, sync::Arc, time::Duration};

use comfyport_fetch::{Client, Guard, Lookup, Policy};
use futures_util::{FutureExt, future::BoxFuture};

pub use self::{
    civitai::{FakeCivitAi, version},
    host::{Fault, FileHost, Host, Reply, Seen},
    hub::{FakeHub, Gate},
};

/// A safetensors file with one tensor of so many bytes, which look random and are always the same for a `seed`.
pub fn safetensors(seed: u64, bytes: usize) -> Vec<u8> {
    tensors(seed, &["some.weight"], bytes)
}

/// A safetensors file with tensors of these names, of so many bytes each.
pub fn tensors(seed: u64, names: &[&str], bytes: usize) -> Vec<u8> {
    let entries = names.iter().enumerate().map(|(index, name)| {
        let (start, end) = (index * bytes, (index + 1) * bytes);
        format!("{name:?}:{{\"dtype\":\"U8\",\"shape\":[{bytes}],\"data_offsets\":[{start},{end}]}}")
    });
    let header = format!("{{{}}}", entries.collect::<Vec<_>>().join(","));
    let mut random = fastrand::Rng::with_seed(seed);
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.as_bytes());
    file.extend((0..names.len() * bytes).map(|_| random.u8(..)));
    file
}

#[derive(Debug)]
struct Here;

impl Lookup for Here {
    fn addresses(&self, _: String) -> BoxFuture<'_, io::Result<Vec<IpAddr>>> {
        async { Ok(vec![IpAddr::from([127, 0, 0, 1])]) }.boxed()
    }
}

/// A client for which every name is this machine, which may be asked.
pub fn client(tls: rustls::ClientConfig) -> Client {
    let allow = vec!["127.0.0.0/8".parse().unwrap()];
    let guard = Guard::new(Policy { allow, ..Policy::default() });
    Client::new(guard, Arc::new(Here), tls, Duration::from_secs(5)).unwrap()
}
