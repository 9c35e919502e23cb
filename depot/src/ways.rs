//! The ways out: whom files are asked from, and with what.

mod bucket;
mod civitai;
mod hub;
mod search;
mod web;

use std::sync::Arc;

use bytes::Bytes;
use comfyport_buckets::Bucket;
use comfyport_fetch::{Approved, Client, Credentials, FetchError};
use futures_util::stream::BoxStream;
use http::{HeaderMap, HeaderValue, header};
use url::Url;

pub(crate) use self::web::Conditions;
pub use self::{civitai::Found, search::Named};
use crate::{PullError, Sha256, Source, Token, Trust, Wanted, trouble::Trouble};

/// How many redirects are followed.
const REDIRECTS: usize = 5;

/// Where Hugging Face's token is set.
const HUB_VARIABLE: &str = "HF_TOKEN";

/// Where CivitAI's token is set.
const CIVIT_VARIABLE: &str = "CIVITAI_TOKEN";

/// Whom files are asked from, and with what.
#[derive(Debug, Clone)]
pub struct Ways {
    /// Asks addresses of the web.
    pub client: Client,
    /// What is sent along to addresses of the web: the first that are for an address.
    pub credentials: Vec<Credentials>,
    /// Buckets that may be read.
    pub buckets: Vec<Bucket>,
    /// Hugging Face, or a mirror of it.
    pub hugging_face: Hub,
    /// CivitAI, or a mirror of it.
    pub civitai: Hub,
}

/// A place that knows accounts.
#[derive(Debug, Clone)]
pub struct Hub {
    /// Its address.
    pub endpoint: Url,
    /// The token of an account. It is sent to no other host, and is not sent on.
    pub token: Option<Token>,
}

impl Ways {
    /// To the usual addresses, without any tokens, credentials and buckets.
    pub fn new(client: Client) -> Result<Self, url::ParseError> {
        let hub = |address: &str| address.parse().map(|endpoint| Hub { endpoint, token: None });
        Ok(Self {
            client,
            credentials: Vec::new(),
            buckets: Vec::new(),
            hugging_face: hub("https://huggingface.co")?,
            civitai: hub("https://civitai.com")?,
        })
    }

    /// Asks where a file is, and what the source says of it.
    pub(crate) async fn locate(&self, wanted: &Wanted, source: &Source) -> Result<Located, Trouble> {
        match source {
            Source::HuggingFace(file) => self.locate_at_hub(source, file).await,
            Source::CivitAi(file) => self.locate_at_civitai(wanted, source, file).await,
            Source::Web(address) => {
                let place = source.to_string();
                let start = self.approve(&place, address.url().clone(), wanted.trust)?;
                Ok(Located::web(place, start, Host::Web))
            }
            Source::Server(address) => {
                let place = source.to_string();
                let mut url = address.url().clone();
                // Such an address always has a path.
                if let Ok(mut path) = url.path_segments_mut() {
                    path.pop_if_empty().push("models").extend(wanted.name.parts());
                }
                let start = self.approve(&place, url, wanted.trust)?;
                Ok(Located::web(place, start, Host::Web))
            }
            Source::Bucket(address) => self.locate_in_bucket(address).await,
        }
    }

    /// Begins to read a file.
    pub(crate) async fn open(&self, located: &Located, conditions: &Conditions) -> Result<Opened, Trouble> {
        match &located.way {
            Way::Web { .. } => self.open_web(located, conditions).await,
            Way::Bucket { bucket, name } => bucket::open(bucket, name, located, conditions).await,
        }
    }

    fn approve(&self, place: &str, url: Url, trust: Trust) -> Result<Approved, PullError> {
        if trust == Trust::Operator {
            return Ok(Approved::by_operator(url));
        }
        let judged = self.client.guard().judge_url(url);
        judged.map_err(|refusal| PullError::Address {
            place: place.to_owned(),
            error: FetchError::Refused(refusal),
        })
    }

    /// What is sent along to an address of one of ours, or of the web, and the address with what is added to it.
    fn sent_along(&self, host: &Host, address: &Approved) -> (HeaderMap, Approved) {
        let url = address.url();
        let token = |hub: &Hub| {
            let token = hub.token.as_ref().filter(|_| hub.endpoint.origin() == url.origin());
            token.map(Token::header)
        };
        let value: Option<HeaderValue> = match host {
            Host::HuggingFace { .. } => token(&self.hugging_face),
            Host::CivitAi => token(&self.civitai),
            Host::Web => None,
        };
        if let Some(value) = value {
            return (HeaderMap::from_iter([(header::AUTHORIZATION, value)]), address.clone());
        }
        match self.credentials.iter().find(|credentials| credentials.are_for(url)) {
            Some(credentials) => (credentials.headers().clone(), credentials.sign(address)),
            None => (HeaderMap::new(), address.clone()),
        }
    }
}

/// Whose way of answering is expected.
#[derive(Debug, Clone)]
pub(crate) enum Host {
    HuggingFace { page: String },
    CivitAi,
    Web,
}

impl Host {
    /// Where its token is set.
    fn variable(&self) -> Option<&'static str> {
        match self {
            Self::HuggingFace { .. } => Some(HUB_VARIABLE),
            Self::CivitAi => Some(CIVIT_VARIABLE),
            Self::Web => None,
        }
    }
}

/// A file that a source says it has.
#[derive(Debug, Clone)]
pub(crate) struct Located {
    /// The source, without secrets.
    pub(crate) place: String,
    /// What it hashes to, as the source says.
    pub(crate) sha256: Option<Sha256>,
    /// In bytes, as the source says.
    pub(crate) size: Option<u64>,
    /// The commit that has it.
    pub(crate) commit: Option<String>,
    way: Way,
}

#[derive(Debug, Clone)]
enum Way {
    Web {
        start: Approved,
        host: Host,
        /// Whether the address is one that the host signed for a while.
        signed: bool,
    },
    Bucket {
        bucket: Arc<Bucket>,
        name: String,
    },
}

impl Located {
    fn web(place: String, start: Approved, host: Host) -> Self {
        Self { place, sha256: None, size: None, commit: None, way: Way::Web { start, host, signed: false } }
    }

    /// Whether it has to be located anew for each try.
    pub(crate) fn is_signed(&self) -> bool {
        matches!(self.way, Way::Web { signed: true, .. })
    }

    /// What tells this address from others, its secrets included: not to be shown.
    pub(crate) fn address(&self) -> String {
        match &self.way {
            Way::Web { start, .. } => start.url().to_string(),
            Way::Bucket { .. } => self.place.clone(),
        }
    }

    /// The host that is asked.
    pub(crate) fn host(&self) -> String {
        match &self.way {
            Way::Web { start, .. } => start.url().host_str().unwrap_or_default().to_owned(),
            Way::Bucket { .. } => self.place.clone(),
        }
    }

    pub(crate) fn variable(&self) -> Option<&'static str> {
        match &self.way {
            Way::Web { host, .. } => host.variable(),
            Way::Bucket { .. } => None,
        }
    }
}

/// A file that begins to arrive.
pub(crate) struct Opened {
    pub(crate) start: Start,
    /// By which the host can tell whether it still has the same. Strong.
    pub(crate) etag: Option<String>,
    pub(crate) body: BoxStream<'static, Result<Bytes, Trouble>>,
}

/// Where what arrives begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    /// After so many bytes; all of it has `total`, if that is known.
    At { offset: u64, total: Option<u64> },
    /// It is what it was: nothing arrives.
    Same,
    /// There is nothing after what was asked for, since all of it has `total` bytes.
    Beyond { total: Option<u64> },
}
