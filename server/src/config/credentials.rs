//! `[[fetch.credentials]]` tables: what is sent along to addresses that want to know who asks.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use comfyport_fetch::Credentials;
use serde::{Deserialize, Serialize};

use super::Secret;

/// A `[[fetch.credentials]]` table.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the default file documents every key")]
pub struct FetchCredentials {
    pub url: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, Secret>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bearer: Option<Secret>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub basic: Option<Basic>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub query: BTreeMap<String, Secret>,
}

/// A user and his password.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Basic {
    pub user: String,
    pub password: Secret,
}

impl FetchCredentials {
    /// What is made of it.
    pub(super) fn read(&self) -> Result<Credentials, String> {
        let mut headers: BTreeMap<&str, String> =
            self.headers.iter().map(|(name, value)| (name.as_str(), value.expose().to_owned())).collect();
        let bearer = self.bearer.as_ref().map(|token| format!("Bearer {}", token.expose()));
        let basic = self.basic.as_ref().map(|basic| {
            let pair = format!("{}:{}", basic.user, basic.password.expose());
            format!("Basic {}", STANDARD.encode(pair))
        });
        let own = self.headers.keys().any(|name| name.eq_ignore_ascii_case("authorization"));
        match (bearer, basic) {
            (None, None) => {}
            (Some(one), None) | (None, Some(one)) if !own => drop(headers.insert("authorization", one)),
            _ => {
                return Err(
                    "only one of `bearer`, `basic` and a header `authorization` can be sent".to_owned()
                );
            }
        }
        if headers.is_empty() && self.query.is_empty() {
            return Err("it has none of `bearer`, `basic`, `headers` and `query`".to_owned());
        }
        let headers = headers.iter().map(|(name, value)| (*name, value.as_str()));
        let credentials = Credentials::new(&self.url, headers).map_err(|error| error.to_string())?;
        let query = self.query.iter().map(|(name, value)| (name.clone(), value.expose().to_owned()));
        Ok(credentials.with_query(query))
    }
}
