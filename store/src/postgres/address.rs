//! Where a database is, and how to get there.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::PathBuf,
    time::Duration,
};

use hickory_resolver::Resolver;
use percent_encoding::percent_decode_str;
use tokio_postgres::{
    Client, Config,
    config::{Host, SslMode},
    error::SqlState,
    tls::MakeTlsConnect,
};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{
    error::said,
    tls::{self, Trust},
};
use crate::StoreError;

/// The schema of our tables where none is named.
const SCHEMA: &str = "comfyport";

/// How long one server may take to let us in.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long what we sent may stay unacknowledged.
const UNACKNOWLEDGED: Duration = Duration::from_secs(10);

/// What an address may say after `?` besides what is ours: settings of the connection itself.
const OPTIONS: [&str; 14] = [
    "user",
    "password",
    "dbname",
    "options",
    "application_name",
    "sslnegotiation",
    "connect_timeout",
    "tcp_user_timeout",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_retries",
    "target_session_attrs",
    "channel_binding",
];

/// An address that was understood. What it shows is without its password.
pub(super) struct Address {
    /// All but the places.
    settings: Config,
    places: Vec<(Place, u16)>,
    schema: String,
    tls: MakeRustlsConnect,
}

#[derive(Clone, PartialEq, Eq)]
enum Place {
    /// A name or an address.
    Host(String),
    /// The folder of a socket.
    Folder(PathBuf),
}

/// A connection, to be polled for as long as it is used.
pub(super) type Wire = tokio_postgres::Connection<
    tokio_postgres::Socket,
    <MakeRustlsConnect as MakeTlsConnect<tokio_postgres::Socket>>::Stream,
>;

fn unusable(why: &str) -> StoreError {
    StoreError::Unusable(format!("the address of the database: {why}"))
}

impl Address {
    /// Reads `postgres://user:password@host:port/database?schema=name&sslmode=verify-full&sslrootcert=/a/file.pem`.
    pub(super) fn parse(url: &str) -> Result<Self, StoreError> {
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        let (scheme, rest) = base.split_once("://").unwrap_or(("", base));
        if !matches!(scheme, "postgres" | "postgresql") {
            return Err(unusable("it begins with postgres://"));
        }
        // Parts of a password that is not written as it has to be must not show up as anything else.
        if query.contains('@') || rest.matches('@').count() > 1 {
            return Err(unusable(
                "characters such as @, ?, / and & within the user's name or password are written as %40, %3F, %2F and %26",
            ));
        }
        let options = Options::read(query)?;
        let (user, place) = rest.split_once('@').unwrap_or(("", rest));
        let path = place.find('/').map_or("", |slash| place.get(slash..).unwrap_or_default());
        let parse = |text: String| text.parse::<Config>().map_err(|error| unusable(&said(&error)));
        let at = if user.is_empty() { String::new() } else { format!("{user}@") };
        let mut settings = parse(format!("postgres://{at}{path}?{}", options.settings))?;
        let named = parse(format!("postgres://{place}?{}", options.places))?;
        let places = places(&named)?;
        if settings.get_user().is_none() {
            return Err(unusable("it names no user: postgres://user@host/database"));
        }
        settings.ssl_mode(options.tls);
        if settings.get_application_name().is_none() {
            settings.application_name("comfyport");
        }
        if settings.get_tcp_user_timeout().is_none() {
            settings.tcp_user_timeout(UNACKNOWLEDGED);
            settings.keepalives_idle(Duration::from_secs(30));
            settings.keepalives_interval(Duration::from_secs(10));
            settings.keepalives_retries(3);
        }
        let tls = tls::connector(&options.trust).map_err(|why| unusable(&why))?;
        Ok(Self { settings, places, schema: options.schema, tls })
    }

    /// The schema of our tables.
    pub(super) fn schema(&self) -> &str {
        &self.schema
    }

    /// Connects to the first place that lets us in.
    pub(super) async fn connect(&self) -> Result<(Client, Wire), StoreError> {
        let mut first = None;
        for (place, port) in &self.places {
            let attempt = tokio::time::timeout(PATIENCE, self.connect_to(place, *port)).await;
            match attempt {
                Ok(Ok(connected)) => return Ok(connected),
                Ok(Err(StoreError::Unavailable(why))) => first.get_or_insert(why),
                // Somebody answered, and would answer the same again.
                Ok(Err(error)) => return Err(error),
                Err(_) => first.get_or_insert_with(|| {
                    format!("cannot connect to {self}: no answer within {} s", PATIENCE.as_secs())
                }),
            };
        }
        Err(StoreError::Unavailable(first.unwrap_or_default()))
    }

    async fn connect_to(&self, place: &Place, port: u16) -> Result<(Client, Wire), StoreError> {
        let mut settings = self.settings.clone();
        settings.port(port);
        let host = match place {
            Place::Folder(folder) => {
                settings.host_path(folder).ssl_mode(SslMode::Disable);
                return settings.connect(self.tls.clone()).await.map_err(|error| self.refusal(&error));
            }
            Place::Host(host) => host,
        };
        let mut first = None;
        for address in resolve(host).await.map_err(|why| {
            StoreError::Unavailable(format!("cannot connect to {self}: the name {host} is not known: {why}"))
        })? {
            let mut settings = settings.clone();
            settings.host(host).hostaddr(address);
            match settings.connect(self.tls.clone()).await {
                Ok(connected) => return Ok(connected),
                Err(error) => match self.refusal(&error) {
                    StoreError::Unavailable(why) => first.get_or_insert(why),
                    error => return Err(error),
                },
            };
        }
        Err(StoreError::Unavailable(
            first.unwrap_or_else(|| format!("cannot connect to {self}: {host} has no address")),
        ))
    }

    fn refusal(&self, error: &tokio_postgres::Error) -> StoreError {
        let why = said(error);
        let Some(code) = error.code() else {
            return if why.contains("password missing") {
                StoreError::Unusable(format!("{self} asks for a password, and the address has none"))
            } else if why.contains("certificate") {
                StoreError::Unusable(format!(
                    "cannot connect to {self}: {why}; `sslrootcert=` names the file of certificates to trust"
                ))
            } else {
                StoreError::Unavailable(format!("cannot connect to {self}: {why}"))
            };
        };
        match *code {
            SqlState::INVALID_PASSWORD | SqlState::INVALID_AUTHORIZATION_SPECIFICATION => {
                StoreError::Unusable(format!(
                    "{self} does not let us in: {why}: check the user and the password"
                ))
            }
            SqlState::INVALID_CATALOG_NAME => StoreError::Unusable(format!(
                "{self}: there is no such database: create it, or name another one ({why})"
            )),
            SqlState::INSUFFICIENT_PRIVILEGE => {
                StoreError::Unusable(format!("{self}: the user may not use this database: {why}"))
            }
            _ => StoreError::Unavailable(format!("cannot connect to {self}: {why}")),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = self.settings.get_user().unwrap_or_default();
        write!(formatter, "PostgreSQL at ")?;
        for (index, (place, port)) in self.places.iter().enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            match place {
                Place::Host(host) => write!(formatter, "{comma}{host}:{port}")?,
                Place::Folder(folder) => write!(formatter, "{comma}{}:{port}", folder.display())?,
            }
        }
        write!(formatter, ", database {}, user {user}", self.settings.get_dbname().unwrap_or(user))
    }
}

/// What an address says after `?`.
struct Options {
    settings: String,
    places: String,
    schema: String,
    tls: SslMode,
    trust: Trust,
}

impl Options {
    fn read(query: &str) -> Result<Self, StoreError> {
        let (mut settings, mut places) = (Vec::new(), Vec::new());
        let (mut schema, mut mode, mut roots) = (SCHEMA.to_owned(), String::new(), None);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let text = || {
                let text = percent_decode_str(value).decode_utf8();
                text.map(String::from).map_err(|_| unusable(&format!("`{key}` is not UTF-8")))
            };
            match key {
                "schema" => schema = text()?,
                "sslmode" => mode = text()?,
                "sslrootcert" => roots = Some(PathBuf::from(text()?)),
                "host" | "port" => places.push(pair),
                _ if OPTIONS.contains(&key) => settings.push(pair),
                _ => {
                    let known = "schema, sslmode, sslrootcert, host, port";
                    let message = format!("`{key}` is not known; known are {known}, {}", OPTIONS.join(", "));
                    return Err(unusable(&message));
                }
            }
        }
        let plain = |character: char| {
            character.is_ascii_lowercase() || character.is_ascii_digit() || character == '_'
        };
        if schema.is_empty()
            || schema.len() > 63
            || !schema.chars().all(plain)
            || schema.starts_with(|first: char| first.is_ascii_digit())
            || schema.starts_with("pg_")
        {
            return Err(unusable("`schema` is a name of at most 63 lower case letters, digits and _"));
        }
        let (tls, trust) = match (mode.as_str(), roots) {
            ("disable", _) => (SslMode::Disable, Trust::Anybody),
            ("" | "prefer", _) => (SslMode::Prefer, Trust::Anybody),
            // As PostgreSQL's own clients have it.
            ("require", None) => (SslMode::Require, Trust::Anybody),
            ("require" | "verify-ca", roots) => (SslMode::Require, Trust::Issuer(roots)),
            ("verify-full", roots) => (SslMode::Require, Trust::Name(roots)),
            _ => return Err(unusable("`sslmode` is disable, prefer, require, verify-ca or verify-full")),
        };
        Ok(Self { settings: settings.join("&"), places: places.join("&"), schema, tls, trust })
    }
}

fn places(named: &Config) -> Result<Vec<(Place, u16)>, StoreError> {
    let (hosts, ports) = (named.get_hosts(), named.get_ports());
    if hosts.is_empty() {
        return Err(unusable(
            "it names no host: postgres://user@host/database, or for a socket \
             postgres://user@/database?host=/var/run/postgresql",
        ));
    }
    if ports.len() > 1 && ports.len() != hosts.len() {
        return Err(unusable("it has another number of ports than of hosts"));
    }
    let port = |index| ports.get(index).or(ports.first()).copied().unwrap_or(5432);
    let place = |(index, host): (usize, &Host)| match host {
        Host::Tcp(name) => (Place::Host(name.clone()), port(index)),
        Host::Unix(folder) => (Place::Folder(folder.clone()), port(index)),
    };
    Ok(hosts.iter().enumerate().map(place).collect())
}

/// A static binary has no working `getaddrinfo`, so names are resolved here.
async fn resolve(host: &str) -> Result<Vec<IpAddr>, String> {
    if let Ok(address) = host.parse() {
        return Ok(vec![address]);
    }
    if host == "localhost" {
        return Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
    }
    let resolver = Resolver::builder_tokio()
        .and_then(hickory_resolver::ResolverBuilder::build)
        .map_err(|error| error.to_string())?;
    let found = resolver.lookup_ip(host).await.map_err(|error| error.to_string())?;
    Ok(found.iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(url: &str) -> String {
        Address::parse(url).err().unwrap().to_string()
    }

    #[test]
    fn addresses_show_no_password() {
        let address = Address::parse("postgres://u:s3cret@db.example:5433,other/jobs?schema=a_1").unwrap();
        assert_eq!(address.to_string(), "PostgreSQL at db.example:5433, other:5432, database jobs, user u");
        assert_eq!(address.schema(), "a_1");
        let socket = Address::parse("postgresql://u@/jobs?host=/var/run/postgresql&port=6000").unwrap();
        assert_eq!(socket.to_string(), "PostgreSQL at /var/run/postgresql:6000, database jobs, user u");
        assert_eq!(socket.schema(), "comfyport");
        for url in [
            "postgres://u:s3cret?x@h/d",
            "postgres://u:s3cret&x=@h/d?a@b",
            "postgres://u:p@s3cret@h/d",
            "postgres://u:s3cret@h:port/d",
            "postgres://u:s3cret/h/d",
            "mysql://u:s3cret@h/d",
            "postgres://:s3cret@h/d?sslmode=maybe",
        ] {
            let said = refused(url);
            assert!(!said.contains("s3cret"), "{said}");
        }
    }

    #[test]
    fn mistakes_are_told() {
        assert!(refused("postgres://h/d").contains("names no user"));
        assert!(refused("postgres://u@/d").contains("names no host"));
        assert!(
            refused("postgres://u@h/d?sslmod=require").contains("`sslmod` is not known; known are schema")
        );
        assert!(refused("postgres://u@h/d?sslmode=on").contains("verify-full"));
        assert!(refused("postgres://u@h/d?schema=a%22b").contains("63 lower case letters"));
        assert!(refused("postgres://u@h/d?schema=pg_temp").contains("63 lower case letters"));
        assert!(refused("postgres://u@h/d?sslmode=verify-full&sslrootcert=/nowhere").contains("/nowhere"));
    }
}
