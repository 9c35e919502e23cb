use std::{io, net::SocketAddr, sync::Arc};

use hickory_resolver::Resolver;
use tokio::net::TcpStream;
use tokio_tungstenite::{
    Connector, MaybeTlsStream, WebSocketStream, client_async_tls_with_config,
    tungstenite::{self, client::IntoClientRequest, protocol::WebSocketConfig},
};
use url::{Host, Url};

use crate::ClientConfig;

pub(crate) type Connection = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Opens ComfyUI's socket under a client id.
pub(crate) async fn dial(
    config: &ClientConfig,
    tls: Arc<rustls::ClientConfig>,
    client_id: &str,
) -> Result<Connection, tungstenite::Error> {
    let mut request = address(&config.url, client_id).as_str().into_client_request()?;
    for (name, value) in &config.headers.0 {
        request.headers_mut().insert(name, value.clone());
    }
    let stream = connect(&config.url).await?;
    stream.set_nodelay(true)?;
    let limits = WebSocketConfig::default()
        .max_message_size(Some(config.max_frame))
        .max_frame_size(Some(config.max_frame));
    let connector = Some(Connector::Rustls(tls));
    let (socket, _) = client_async_tls_with_config(request, stream, Some(limits), connector).await?;
    Ok(socket)
}

fn address(base: &Url, client_id: &str) -> Url {
    let mut url = base.clone();
    // Both pairs are special schemes, so the change cannot fail.
    let _ = url.set_scheme(if base.scheme() == "https" { "wss" } else { "ws" });
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().push("ws");
    }
    url.query_pairs_mut().append_pair("clientId", client_id);
    url
}

/// A static binary has no working `getaddrinfo`, so names are resolved here.
async fn connect(url: &Url) -> io::Result<TcpStream> {
    let port = url.port_or_known_default().unwrap_or(80);
    let addresses: Vec<SocketAddr> = match url.host() {
        Some(Host::Ipv4(ip)) => vec![(ip, port).into()],
        Some(Host::Ipv6(ip)) => vec![(ip, port).into()],
        Some(Host::Domain("localhost")) => {
            vec![([127, 0, 0, 1], port).into(), (std::net::Ipv6Addr::LOCALHOST, port).into()]
        }
        Some(Host::Domain(name)) => {
            let resolver = Resolver::builder_tokio()
                .and_then(hickory_resolver::ResolverBuilder::build)
                .map_err(io::Error::other)?;
            let found = resolver.lookup_ip(name).await.map_err(io::Error::other)?;
            found.iter().map(|ip| (ip, port).into()).collect()
        }
        None => Vec::new(),
    };
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use super::address;

    #[test]
    fn addresses() {
        let ws = address(&"https://h:8/comfy/".parse().unwrap(), "a b");
        assert_eq!(ws.as_str(), "wss://h:8/comfy/ws?clientId=a+b");
    }
}
