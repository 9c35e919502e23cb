//! Which addresses may be asked.

use std::{
    net::{IpAddr, Ipv4Addr},
    ops::RangeInclusive,
    sync::Arc,
};

use url::{Host, Url};

use crate::{Rule, networks::is_public};

/// What an operator lets callers name.
#[derive(Debug, Clone)]
pub struct Policy {
    /// Whether `http` will do, and not `https` alone.
    pub http: bool,
    /// Whether an address may hold a user and a password.
    pub userinfo: bool,
    /// Ports that may be asked.
    pub ports: Vec<RangeInclusive<u16>>,
    /// What may be asked although it is not public. With a port, that port too.
    pub allow: Vec<Rule>,
    /// What may not be asked, whatever else is said.
    pub deny: Vec<Rule>,
    /// If there is any, nothing else may be asked.
    pub only: Vec<Rule>,
}

impl Default for Policy {
    /// The public internet, at the ports of the web and those that need no privileges.
    fn default() -> Self {
        Self {
            http: true,
            userinfo: false,
            ports: vec![80..=80, 443..=443, 1024..=u16::MAX],
            allow: Vec::new(),
            deny: Vec::new(),
            only: Vec::new(),
        }
    }
}

/// Why an address is not asked. The words are for whoever named it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is no address.
    #[error("this is not an address: it must look like https://example.com/file.png")]
    Malformed,
    /// It is longer than any address of a file.
    #[error("the address is longer than {0} characters")]
    TooLong(usize),
    /// It is one of something else.
    #[error("only http and https addresses are asked")]
    Scheme,
    /// It would be asked in the clear.
    #[error("only https addresses are asked")]
    PlainHttp,
    /// It holds a user or a password.
    #[error("the address must not hold a user or a password")]
    UserInfo,
    /// No such port is asked.
    #[error("port {0} is not asked")]
    Port(u16),
    /// The operator does not want it.
    #[error("the operator of this server does not let it be asked")]
    Denied,
    /// The operator wants others only.
    #[error("the operator of this server lets other hosts be asked only")]
    NotListed,
    /// It leads, or its name leads, somewhere that is not public.
    #[error("it does not lead to a public address of the internet")]
    NotPublic,
}

/// Browsers ask nothing longer, and nobody signs anything that long.
const LONGEST: usize = 8192;

/// Judges addresses.
#[derive(Debug, Clone, Default)]
pub struct Guard(Arc<Policy>);

/// An address that was judged. Only such addresses can be asked.
#[derive(Debug, Clone)]
pub struct Approved {
    url: Url,
    by_name: bool,
}

impl Approved {
    /// The address.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Whether the operator allows the host by its name, so that it may stand for any network address.
    pub(crate) fn by_name(&self) -> bool {
        self.by_name
    }

    /// The same place, asked with another query.
    pub(crate) fn at(&self, url: Url) -> Self {
        Self { url, by_name: self.by_name }
    }

    /// An address that an operator allows as it is. Only networks that are denied are not dialled for it.
    pub fn by_operator(url: Url) -> Self {
        Self { url, by_name: true }
    }
}

impl Guard {
    /// Judges by a policy.
    pub fn new(policy: Policy) -> Self {
        Self(Arc::new(policy))
    }

    /// Reads and judges an address, as far as that can be done without asking anybody what its name stands for.
    pub fn judge(&self, address: &str) -> Result<Approved, Refusal> {
        if address.len() > LONGEST {
            return Err(Refusal::TooLong(LONGEST));
        }
        self.judge_url(Url::parse(address).map_err(|_| Refusal::Malformed)?)
    }

    /// Judges an address that was read. Numbers in whichever notation are network addresses by now.
    pub fn judge_url(&self, mut url: Url) -> Result<Approved, Refusal> {
        let policy = &*self.0;
        match url.scheme() {
            "https" => {}
            "http" if policy.http => {}
            "http" => return Err(Refusal::PlainHttp),
            _ => return Err(Refusal::Scheme),
        }
        let holds_user = !url.username().is_empty() || url.password().is_some();
        if holds_user && !policy.userinfo {
            return Err(Refusal::UserInfo);
        }
        // Both schemes have a host and a port, or the address would not have been read.
        let (Some(host), Some(port)) = (url.host(), url.port_or_known_default()) else {
            return Err(Refusal::Malformed);
        };
        let meant_by = |rules: &[Rule]| rules.iter().any(|rule| rule.means(&host, port));
        if meant_by(&policy.deny) {
            return Err(Refusal::Denied);
        }
        if !policy.only.is_empty() && !meant_by(&policy.only) {
            return Err(Refusal::NotListed);
        }
        let port_by_name = policy.allow.iter().any(|rule| rule.names_port() && rule.means(&host, port));
        if !port_by_name && !policy.ports.iter().any(|ports| ports.contains(&port)) {
            return Err(Refusal::Port(port));
        }
        let by_name = meant_by(&policy.allow);
        match host {
            Host::Ipv4(address) => self.judge_addresses(&[address.into()], by_name)?,
            Host::Ipv6(address) => self.judge_addresses(&[address.into()], by_name)?,
            Host::Domain(name) if !is_plain(name) => return Err(Refusal::Malformed),
            // What it stands for is agreed.
            Host::Domain(name) if is_localhost(name) => self.judge_addresses(&LOCALHOST, by_name)?,
            Host::Domain(_) => {}
        }
        // Servers are not told of it, and one address is one however it goes on.
        url.set_fragment(None);
        Ok(Approved { url, by_name })
    }

    /// Judges what a name stands for. One network address that is not public is one too many: which of them would be
    /// dialled is for somebody else to say.
    pub(crate) fn judge_addresses(&self, addresses: &[IpAddr], by_name: bool) -> Result<(), Refusal> {
        let within = |rules: &[Rule], address| rules.iter().any(|rule| rule.holds(address));
        let denied =
            |address: &IpAddr| within(&self.0.deny, *address) || within(&self.0.deny, address.to_canonical());
        if addresses.iter().any(denied) {
            return Err(Refusal::Denied);
        }
        let fine = |address: &IpAddr| by_name || is_public(*address) || within(&self.0.allow, *address);
        if addresses.iter().all(fine) { Ok(()) } else { Err(Refusal::NotPublic) }
    }
}

/// What `localhost` and all below it stand for.
const LOCALHOST: [IpAddr; 1] = [IpAddr::V4(Ipv4Addr::LOCALHOST)];

fn is_localhost(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    name.strip_suffix("localhost").is_some_and(|before| before.is_empty() || before.ends_with('.'))
}

/// Names of hosts are letters, digits and little else, whatever an address may hold.
fn is_plain(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(texts: &[&str]) -> Vec<Rule> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn what_is_written_is_judged() {
        let guard = Guard::default();
        for good in ["https://example.com/a.png", "http://8.8.8.8/", "https://example.com:8443/?a=b#c"] {
            assert!(guard.judge(good).is_ok(), "{good}");
        }
        assert_eq!(guard.judge("https://a.example/x#part").unwrap().url().as_str(), "https://a.example/x");
        for (bad, why) in [
            ("", Refusal::Malformed),
            ("a.png", Refusal::Malformed),
            ("http://", Refusal::Malformed),
            ("https://exa mple.com/", Refusal::Malformed),
            ("https://exa`mple.com/", Refusal::Malformed),
            ("file:///etc/passwd", Refusal::Scheme),
            ("ftp://example.com/", Refusal::Scheme),
            ("gopher://example.com:70/_x", Refusal::Scheme),
            ("data:text/plain,x", Refusal::Scheme),
            ("javascript:alert(1)", Refusal::Scheme),
            ("unix:///run/docker.sock", Refusal::Scheme),
            ("https://user@example.com/", Refusal::UserInfo),
            ("https://:sesame@example.com/", Refusal::UserInfo),
            ("http://example.com:22/", Refusal::Port(22)),
            ("http://example.com:25/", Refusal::Port(25)),
            ("http://10.0.0.1/", Refusal::NotPublic),
            ("http://localhost/", Refusal::NotPublic),
            ("http://a.localhost./", Refusal::NotPublic),
        ] {
            assert_eq!(guard.judge(bad).unwrap_err(), why, "{bad}");
        }
        let long = format!("https://example.com/{}", "a".repeat(LONGEST));
        assert_eq!(guard.judge(&long).unwrap_err(), Refusal::TooLong(LONGEST));
        let strict = Guard::new(Policy { http: false, ..Policy::default() });
        assert_eq!(strict.judge("http://example.com/").unwrap_err(), Refusal::PlainHttp);
    }

    #[test]
    fn operators_allow_and_deny() {
        let policy = Policy {
            allow: rules(&["10.0.0.0/8", "files.local", "127.0.0.1:99"]),
            deny: rules(&["10.6.6.0/24", "*.evil.example", "8.8.8.8"]),
            ..Policy::default()
        };
        let guard = Guard::new(policy.clone());
        for good in ["http://10.1.2.3/", "http://files.local/", "http://127.0.0.1:99/", "http://1.1.1.1/"] {
            assert!(guard.judge(good).is_ok(), "{good}");
        }
        for (bad, why) in [
            ("http://10.6.6.6/", Refusal::Denied),
            ("http://a.evil.example./", Refusal::Denied),
            ("http://8.8.8.8/", Refusal::Denied),
            ("http://127.0.0.1/", Refusal::NotPublic),
            ("http://127.0.0.1:98/", Refusal::Port(98)),
            ("http://[::ffff:10.1.2.3]/", Refusal::NotPublic),
            ("http://[::ffff:10.6.6.6]/", Refusal::Denied),
        ] {
            assert_eq!(guard.judge(bad).unwrap_err(), why, "{bad}");
        }
        let addresses =
            |texts: &[&str]| -> Vec<IpAddr> { texts.iter().map(|text| text.parse().unwrap()).collect() };
        assert_eq!(guard.judge_addresses(&addresses(&["1.1.1.1", "10.1.1.1"]), false), Ok(()));
        assert_eq!(
            guard.judge_addresses(&addresses(&["1.1.1.1", "127.0.0.1"]), false),
            Err(Refusal::NotPublic)
        );
        assert_eq!(guard.judge_addresses(&addresses(&["127.0.0.1"]), true), Ok(()));
        assert_eq!(guard.judge_addresses(&addresses(&["10.6.6.1"]), true), Err(Refusal::Denied));
        let only = Guard::new(Policy { only: rules(&["*.example.com"]), ..policy });
        assert!(only.judge("https://a.example.com/").is_ok());
        assert_eq!(only.judge("https://example.com/").unwrap_err(), Refusal::NotListed);
        assert_eq!(only.judge("https://1.1.1.1/").unwrap_err(), Refusal::NotListed);
    }
}
