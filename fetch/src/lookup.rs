//! What names stand for.

use std::{
    fmt, io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use futures_util::{FutureExt, future::BoxFuture};
use hickory_resolver::{Resolver, ResolverBuilder, TokioResolver};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::sync::OnceCell;

use crate::Guard;

/// Whoever knows what names stand for.
pub trait Lookup: Send + Sync + fmt::Debug {
    /// The network addresses of a name.
    fn addresses(&self, name: String) -> BoxFuture<'_, io::Result<Vec<IpAddr>>>;
}

/// The name servers and the hosts file of this machine.
#[derive(Debug, Default)]
pub struct SystemLookup(OnceCell<TokioResolver>);

impl Lookup for SystemLookup {
    fn addresses(&self, name: String) -> BoxFuture<'_, io::Result<Vec<IpAddr>>> {
        async move {
            // A static binary has no working `getaddrinfo`.
            let resolver = self.0.get_or_try_init(|| async {
                Resolver::builder_tokio().and_then(ResolverBuilder::build).map_err(io::Error::other)
            });
            let found = resolver.await?.lookup_ip(name).await.map_err(io::Error::other)?;
            Ok(found.iter().collect())
        }
        .boxed()
    }
}

/// Hands the client network addresses that were judged, at the moment it dials them.
#[derive(Debug, Clone)]
pub(crate) struct Judged {
    pub(crate) guard: Guard,
    pub(crate) lookup: Arc<dyn Lookup>,
    /// Whether it is for hosts that the operator allows by name.
    pub(crate) by_name: bool,
}

/// Nothing is known of a name.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the name is not known")]
pub(crate) struct UnknownName;

impl Resolve for Judged {
    fn resolve(&self, name: Name) -> Resolving {
        let judged = self.clone();
        Box::pin(async move {
            let found = judged.lookup.addresses(name.as_str().to_owned()).await;
            let found = found.ok().filter(|found| !found.is_empty()).ok_or(UnknownName)?;
            judged.guard.judge_addresses(&found, judged.by_name)?;
            // The client puts the port of the address in the place of 0.
            Ok(Box::new(found.into_iter().map(|address| SocketAddr::new(address, 0))) as Addrs)
        })
    }
}
