//! Hosts and networks as operators write them.

use std::{fmt, net::IpAddr, str::FromStr};

use ipnet::IpNet;
use url::Host;

/// A host, everything below a name, or a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rule {
    /// `files.example.com`, or `127.0.0.1:9000`: this host, at that port if one is given.
    Host {
        /// The host.
        host: Host<String>,
        /// The port.
        port: Option<u16>,
    },
    /// `*.example.com`: every name below, and not the name itself.
    Below {
        /// What the names end with, its dot included.
        suffix: String,
        /// The port.
        port: Option<u16>,
    },
    /// `10.0.0.0/8`, or an address alone: whatever lies there, by whichever name.
    Network(IpNet),
}

/// What was written is no rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is none of a host (`files.example.com`, `10.0.0.7:9000`), `*.example.com` and a network (`10.0.0.0/8`)"
)]
pub struct BadRule(String);

impl Rule {
    /// Whether it means this host, as it stands in an address.
    pub(crate) fn means(&self, host: &Host<&str>, port: u16) -> bool {
        let at = |wanted: &Option<u16>| wanted.is_none_or(|wanted| wanted == port);
        match (self, host) {
            (Self::Host { host: Host::Domain(wanted), port }, Host::Domain(name)) => {
                at(port) && bare(name) == wanted
            }
            (Self::Host { host: Host::Ipv4(wanted), port }, Host::Ipv4(address)) => {
                at(port) && wanted == address
            }
            (Self::Host { host: Host::Ipv6(wanted), port }, Host::Ipv6(address)) => {
                at(port) && wanted == address
            }
            (Self::Below { suffix, port }, Host::Domain(name)) => at(port) && bare(name).ends_with(suffix),
            (Self::Network(network), Host::Ipv4(address)) => network.contains(&IpAddr::V4(*address)),
            (Self::Network(network), Host::Ipv6(address)) => network.contains(&IpAddr::V6(*address)),
            _ => false,
        }
    }

    /// Whether it means this port by name, and not just any.
    pub(crate) fn names_port(&self) -> bool {
        matches!(self, Self::Host { port: Some(_), .. } | Self::Below { port: Some(_), .. })
    }

    /// Whether it is a network that an address lies in.
    pub(crate) fn holds(&self, address: IpAddr) -> bool {
        matches!(self, Self::Network(network) if network.contains(&address))
    }
}

/// A name without the dot that says that it is whole.
fn bare(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}

impl FromStr for Rule {
    type Err = BadRule;

    fn from_str(text: &str) -> Result<Self, BadRule> {
        let bad = || BadRule(text.to_owned());
        let written = text.trim();
        if let Ok(network) = written.parse::<IpNet>() {
            return Ok(Self::Network(network.trunc()));
        }
        if let Ok(address) = written.trim_matches(['[', ']']).parse::<IpAddr>() {
            return Ok(Self::Network(address.into()));
        }
        let (name, port) = match written.rsplit_once(':') {
            Some((name, port)) => (name, Some(port.parse().map_err(|_| bad())?)),
            None => (written, None),
        };
        let (below, name) = name.strip_prefix("*.").map_or((false, name), |name| (true, name));
        // What an address would make of it, with letters of other alphabets and all.
        match (Host::parse(name).map_err(|_| bad())?, below) {
            (Host::Domain(name), _) if bare(&name).is_empty() || name.contains('*') => Err(bad()),
            (Host::Domain(name), true) => Ok(Self::Below { suffix: format!(".{}", bare(&name)), port }),
            (Host::Domain(name), false) => {
                Ok(Self::Host { host: Host::Domain(bare(&name).to_owned()), port })
            }
            (_, true) => Err(bad()),
            (host, false) => Ok(Self::Host { host, port }),
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let port = match self {
            Self::Host { host, port } => {
                write!(formatter, "{host}")?;
                port
            }
            Self::Below { suffix, port } => {
                write!(formatter, "*{suffix}")?;
                port
            }
            Self::Network(network) => return write!(formatter, "{network}"),
        };
        port.map_or(Ok(()), |port| write!(formatter, ":{port}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn means(rule: &str, host: &str, port: u16) -> bool {
        let host = Host::parse(host).unwrap();
        let host = match &host {
            Host::Domain(name) => Host::Domain(name.as_str()),
            Host::Ipv4(address) => Host::Ipv4(*address),
            Host::Ipv6(address) => Host::Ipv6(*address),
        };
        rule.parse::<Rule>().unwrap().means(&host, port)
    }

    #[test]
    fn rules_mean_what_they_say() {
        for (rule, host, port) in [
            ("files.example.com", "files.example.com", 443),
            ("Files.Example.com", "FILES.example.com.", 80),
            ("files.example.com:8443", "files.example.com", 8443),
            ("*.example.com", "a.b.example.com", 1),
            ("*.bücher.example", "a.xn--bcher-kva.example", 1),
            ("10.0.0.0/8", "10.1.2.3", 1),
            ("10.0.0.7", "10.0.0.7", 1),
            ("10.0.0.7:90", "10.0.0.7", 90),
            ("::1", "[::1]", 1),
            ("[::1]:90", "[::1]", 90),
            ("fd00::/8", "[fd12::1]", 1),
        ] {
            assert!(means(rule, host, port), "{rule} {host}:{port}");
        }
        for (rule, host, port) in [
            ("files.example.com", "a.files.example.com", 443),
            ("files.example.com:8443", "files.example.com", 443),
            ("*.example.com", "example.com", 1),
            ("*.example.com", "badexample.com", 1),
            ("10.0.0.0/8", "11.0.0.0", 1),
            ("10.0.0.0/8", "a.example", 1),
            ("10.0.0.7:90", "10.0.0.7", 91),
            ("10.0.0.7", "[::ffff:10.0.0.7]", 1),
        ] {
            assert!(!means(rule, host, port), "{rule} {host}:{port}");
        }
        for bad in ["", "*", "*.", "a b", "http://a", "a/b", "a:x", "*.1.2.3.4", "a.*", "10.0.0.0/33"] {
            assert!(bad.parse::<Rule>().is_err(), "{bad}");
        }
        for rule in ["a.example:81", "*.a.example", "10.0.0.0/8", "10.0.0.7:90", "[::1]:90"] {
            assert_eq!(rule.parse::<Rule>().unwrap().to_string(), rule);
        }
    }
}
