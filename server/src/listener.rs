//! The accept loop.
//!
//! `axum::serve` sets no timer, so that a client could hold a connection open by sending a head slowly, or nothing.
//! Here a head must arrive in time, an answer must be read, connections are bounded, and an end is waited for only so
//! long.

use std::{io, sync::Arc, time::Duration};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use tokio::{net::TcpListener, sync::Semaphore};
use tokio_rustls::TlsAcceptor;
use tokio_util::{either::Either, sync::CancellationToken};
use tower_http::add_extension::AddExtension;

pub mod acme;
mod guarded;
mod heads;
mod refusal;
pub mod tls;

use crate::access::address::Peer;
use guarded::Guarded;
use refusal::Refusal;
use tls::Tls;

/// How connections are treated.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// At the same time.
    pub connections: usize,
    /// For the head of a request, and between requests.
    pub header_timeout: Duration,
    /// For a peer that does not read its answer.
    pub write_timeout: Duration,
    /// Of a head, in bytes.
    pub head_bytes: usize,
    /// Whether answers say that the engine is a simulation.
    pub simulated: bool,
}

/// Serves until `stop`, then lets connections finish what they are doing. The caller bounds how long.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    router: Router,
    limits: Limits,
    stop: CancellationToken,
) {
    let places = Arc::new(Semaphore::new(limits.connections));
    let graceful = GracefulShutdown::new();
    loop {
        let next = async {
            // Taken before accepting: beyond the cap connections wait in the kernel's backlog.
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            () = stop.cancelled() => break,
            next = next => next,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                pause(&error).await;
                continue;
            }
        };
        // Answers are small and latency is what callers see.
        stream.set_nodelay(true).ok();
        // Around the router: a layer of it would make each of its routes anew, for every connection.
        let service = AddExtension::new(router.clone(), Peer(peer));
        let (tls, watcher) = (tls.clone(), graceful.watcher());
        tokio::spawn(async move {
            let stream = match tls {
                None => Either::Left(stream),
                Some(tls) => {
                    let shake = TlsAcceptor::from(tls.current()).accept(stream);
                    match tokio::time::timeout(limits.header_timeout, shake).await {
                        // It has seen what it came for.
                        Ok(Ok(stream)) if stream.get_ref().1.alpn_protocol() == Some(acme::ASKS) => return,
                        Ok(Ok(stream)) => Either::Right(stream),
                        Ok(Err(error)) => return tracing::debug!(%peer, %error, "no TLS came about"),
                        Err(_) => return tracing::debug!(%peer, "no TLS came about in time"),
                    }
                }
            };
            let refusal = Refusal { simulated: limits.simulated };
            let stream = Guarded::new(stream, limits.write_timeout, refusal);
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(limits.header_timeout)
                .max_buf_size(limits.head_bytes)
                .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
            if let Err(error) = watcher.watch(connection).await {
                tracing::debug!(%error, "a connection ended badly");
            }
            drop(place);
        });
    }
    drop(listener);
    graceful.shutdown().await;
}

/// Running out of file descriptors passes; accepting again at once would only burn time.
async fn pause(error: &io::Error) {
    let of_the_client = matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    );
    if !of_the_client {
        tracing::error!(%error, "cannot accept connections");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
