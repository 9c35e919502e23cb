//! Who reaches a ComfyUI. It asks nobody for a password, and whoever reaches it can run code there.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

use comfyport_comfyui::{Client, ClientConfig};
use comfyport_fetch::is_public;
use url::{Host, Url};

/// Where a connection to the outside would go to; nothing is sent there.
const OUTSIDE: (Ipv4Addr, u16) = (Ipv4Addr::new(192, 0, 2, 1), 9);

/// Who reaches it.
pub(super) enum Reach {
    /// This machine alone, as far as can be told.
    Here,
    /// It answers at this address, to whoever asks.
    Open {
        /// The address.
        at: String,
        /// Whether that is one of the internet.
        public: bool,
    },
    /// It wants to know who asks.
    Guarded,
}

/// Looks who reaches it, by asking without any headers.
pub(super) async fn look(url: &Url, listens_elsewhere: bool) -> Reach {
    if !is_loopback(url) {
        if answers(url).await {
            return Reach::Open { at: shown(url), public: is_public_host(url).await };
        }
        return Reach::Guarded;
    }
    // From here it is reached anyway: it matters whether it is by the address that others would use.
    let outward = own_address().filter(|_| listens_elsewhere);
    let Some(address) = outward else { return Reach::Here };
    let mut url = url.clone();
    if url.set_ip_host(address).is_ok() && answers(&url).await {
        return Reach::Open { at: shown(&url), public: is_public(address) };
    }
    Reach::Here
}

/// Whether an address listens for others than this machine.
pub(super) fn is_elsewhere(listen: &str) -> bool {
    listen.split(',').map(str::trim).any(|one| match one.parse::<IpAddr>() {
        Ok(address) => !address.is_loopback(),
        Err(_) => one != "localhost",
    })
}

/// What ComfyUI was told to listen on, by its arguments.
pub(super) fn listen(arguments: &[String]) -> String {
    let mut words = arguments.iter();
    let mut listen = "127.0.0.1".to_owned();
    while let Some(word) = words.next() {
        if let Some(value) = word.strip_prefix("--listen=") {
            value.clone_into(&mut listen);
        } else if word == "--listen" {
            // Without a value it is everywhere.
            let value = words.clone().next().filter(|next| !next.starts_with("--"));
            listen = value.cloned().unwrap_or_else(|| "0.0.0.0,::".to_owned());
        }
    }
    listen
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address == Ipv6Addr::LOCALHOST,
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

async fn answers(url: &Url) -> bool {
    let Ok(client) = Client::new(ClientConfig::new(url.clone())) else { return false };
    client.system_stats().await.is_ok()
}

async fn is_public_host(url: &Url) -> bool {
    let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else { return false };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    match tokio::net::lookup_host((host, port)).await {
        Ok(mut addresses) => addresses.any(|address| is_public(address.ip())),
        Err(_) => false,
    }
}

/// The address that this machine has in its network.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect(OUTSIDE).ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback() && !address.is_unspecified()).then_some(address)
}

fn shown(url: &Url) -> String {
    url.as_str().trim_end_matches('/').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_tell_where_it_listens() {
        let of = |words: &[&str]| listen(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
        assert_eq!(of(&["main.py"]), "127.0.0.1");
        assert_eq!(of(&["main.py", "--listen"]), "0.0.0.0,::");
        assert_eq!(of(&["main.py", "--listen", "--cpu"]), "0.0.0.0,::");
        assert_eq!(of(&["main.py", "--listen", "10.0.0.7", "--cpu"]), "10.0.0.7");
        assert_eq!(of(&["main.py", "--listen=::1"]), "::1");
        for (listen, elsewhere) in [
            ("127.0.0.1", false),
            ("localhost", false),
            ("::1", false),
            ("0.0.0.0,::", true),
            ("127.0.0.1,10.0.0.7", true),
            ("gpu.example", true),
        ] {
            assert_eq!(is_elsewhere(listen), elsewhere, "{listen}");
        }
    }
}
