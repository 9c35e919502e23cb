//! Where a client is, behind proxies that are trusted to say so.

use std::net::{IpAddr, SocketAddr};

use axum::http::HeaderMap;
use ipnet::IpNet;

/// The other end of a connection.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);

/// Reads networks such as `10.0.0.0/8` and addresses such as `10.0.0.1`.
pub fn networks(texts: &[String]) -> Result<Vec<IpNet>, String> {
    let network = |text: &String| {
        let lone = || text.parse::<IpAddr>().map(IpNet::from);
        text.parse::<IpNet>().or_else(|_| lone()).map_err(|_| {
            format!("`server.trusted_proxies` has {text:?}: networks such as 10.0.0.0/8, or addresses, are expected")
        })
    };
    texts.iter().map(network).collect()
}

/// Who is at the end of the chain of proxies. Each proxy adds whom it heard; the chain is believed from behind, for as
/// long as those who say it are trusted.
pub fn client(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |address: &IpAddr| trusted.iter().any(|network| network.contains(address));
    let peer = peer.to_canonical();
    if !is_trusted(&peer) {
        return peer;
    }
    let chain = headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok());
    let chain: Vec<&str> = chain.flat_map(|value| value.split(',')).collect();
    let mut known = peer;
    for said in chain.into_iter().rev() {
        let Some(address) = read(said.trim()) else { break };
        known = address;
        if !is_trusted(&address) {
            break;
        }
    }
    known
}

/// An address, maybe with a port or in brackets.
fn read(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.split(']').next()).unwrap_or(text);
    let address = bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|full| full.ip()));
    address.map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_are_believed_as_far_as_they_are_trusted() {
        let trusted = networks(&["10.0.0.0/8".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        let from = |peer: &str, chain: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in chain {
                headers.append("x-forwarded-for", value.parse().unwrap());
            }
            client(peer.parse().unwrap(), &headers, &trusted).to_string()
        };
        assert_eq!(from("198.51.100.7", &["203.0.113.9"]), "198.51.100.7");
        assert_eq!(from("10.1.1.1", &["203.0.113.9"]), "203.0.113.9");
        assert_eq!(from("10.1.1.1", &["1.1.1.1, 203.0.113.9", "10.2.2.2"]), "203.0.113.9");
        assert_eq!(from("10.1.1.1", &["1.1.1.1, nonsense, 10.2.2.2"]), "10.2.2.2");
        assert_eq!(from("::ffff:10.1.1.1", &["[2001:db8::1]:443"]), "2001:db8::1");
        assert_eq!(from("127.0.0.1", &["203.0.113.9:8080"]), "203.0.113.9");
        assert_eq!(from("127.0.0.1", &[]), "127.0.0.1");
        assert!(networks(&["10.0.0.0/99".to_owned()]).is_err());
    }
}
