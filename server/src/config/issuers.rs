//! Rules of `[[access.issuers]]`.

use std::collections::BTreeMap;

use jsonwebtoken::{Algorithm, AlgorithmFamily};
use serde::{Deserialize, Serialize};
use url::Url;

use super::seconds;
use crate::access::{
    Scope,
    token::{Claims, Issuer, Source},
};

/// Longest name of an issuer, in bytes. Names of those whom it knows come behind it.
const LONGEST_NAME: usize = 32;

/// Clocks that are further apart are wrong.
const MOST_LEEWAY_S: u64 = 600;

/// An `[[access.issuers]]` table.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the default file documents every key")]
pub struct IssuerTable {
    pub name: String,
    pub issuer: String,
    pub audiences: Vec<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub jwks_url: String,
    #[serde(default)]
    pub http: bool,
    #[serde(default = "algorithms")]
    pub algorithms: Vec<String>,
    #[serde(default = "leeway")]
    pub leeway_s: u64,
    #[serde(default = "refresh")]
    pub refresh_s: u64,
    #[serde(default = "rest")]
    pub rest_s: u64,
    #[serde(default = "owner_claim")]
    pub owner_claim: String,
    #[serde(default = "scope_claims")]
    pub scope_claims: Vec<String>,
    #[serde(default = "scopes")]
    pub scopes: BTreeMap<String, Scope>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub default_scopes: Vec<Scope>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub workflows: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflows_claim: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_minute: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_minute_claim: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_jobs: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_jobs_claim: Option<String>,
}

fn algorithms() -> Vec<String> {
    ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"]
        .map(str::to_owned)
        .into()
}

fn leeway() -> u64 {
    30
}

fn refresh() -> u64 {
    600
}

fn rest() -> u64 {
    30
}

fn owner_claim() -> String {
    "sub".to_owned()
}

fn scope_claims() -> Vec<String> {
    ["scope", "scp", "roles"].map(str::to_owned).into()
}

fn scopes() -> BTreeMap<String, Scope> {
    [Scope::Read, Scope::Run, Scope::Models, Scope::Admin]
        .into_iter()
        .map(|scope| (format!("comfyport:{}", scope.as_str()), scope))
        .collect()
}

impl IssuerTable {
    /// What is made of it.
    fn read(&self) -> Result<Issuer, String> {
        let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
        if self.name.is_empty() || self.name.len() > LONGEST_NAME || !self.name.bytes().all(is_fit) {
            return Err(format!("`name` must have 1 to {LONGEST_NAME} letters, digits, `_` or `-`"));
        }
        if self.audiences.iter().all(String::is_empty) {
            return Err(
                "`audiences` must name this server as the issuer knows it: tokens for others are not \
                        for us"
                    .to_owned(),
            );
        }
        let jwks = match self.jwks_url.as_str() {
            "" => None,
            text => Some(address("jwks_url", text)?),
        };
        let source = Source {
            issuer: self.issuer.clone(),
            jwks,
            http: self.http,
            refresh: seconds(self.refresh_s.max(self.rest_s)),
            rest: seconds(self.rest_s),
        };
        // Where the keys are is said, or is found below the issuer's own address.
        let asked = source.jwks.clone().map_or_else(|| address("issuer", &self.issuer), Ok)?;
        if !source.may_ask(&asked) {
            return Err(
                "keys that come over http can be changed on their way: give an https address, or say \
                        `http = true` if the network in between is your own"
                    .to_owned(),
            );
        }
        if self.issuer.is_empty() || self.owner_claim.is_empty() {
            return Err("`issuer` and `owner_claim` must not be empty".to_owned());
        }
        if self.leeway_s > MOST_LEEWAY_S {
            return Err(format!("`leeway_s` must be at most {MOST_LEEWAY_S}"));
        }
        if self.rest_s == 0 {
            return Err("`rest_s` must be at least 1".to_owned());
        }
        if self.per_minute == Some(0) || self.active_jobs == Some(0) {
            return Err("`per_minute` and `active_jobs` must be at least 1, or left out".to_owned());
        }
        Ok(Issuer {
            name: self.name.clone(),
            issuer: self.issuer.clone(),
            audiences: self.audiences.iter().filter(|audience| !audience.is_empty()).cloned().collect(),
            algorithms: self.read_algorithms()?,
            leeway: seconds(self.leeway_s),
            source,
            claims: self.claims(),
        })
    }

    fn read_algorithms(&self) -> Result<Vec<Algorithm>, String> {
        let read = |text: &String| {
            let known = text.parse::<Algorithm>().ok();
            known
                .filter(|algorithm| algorithm.family() != AlgorithmFamily::Hmac)
                .ok_or_else(|| format!("`algorithms` has `{text}`: there are {}", algorithms().join(", ")))
        };
        match self.algorithms.iter().map(read).collect::<Result<Vec<_>, _>>()? {
            none if none.is_empty() => Err("`algorithms` must name at least one".to_owned()),
            some => Ok(some),
        }
    }

    fn claims(&self) -> Claims {
        let path = |text: &String| text.trim_start_matches('/').to_owned();
        Claims {
            owner: self.owner_claim.clone(),
            scopes: self.scope_claims.clone(),
            granted: self.scopes.clone(),
            always: self.default_scopes.clone(),
            workflows: self.workflows.iter().map(path).collect(),
            workflows_claim: self.workflows_claim.clone(),
            per_minute: self.per_minute,
            per_minute_claim: self.per_minute_claim.clone(),
            active_jobs: self.active_jobs,
            active_jobs_claim: self.active_jobs_claim.clone(),
        }
    }
}

fn address(key: &str, text: &str) -> Result<Url, String> {
    let read = text.parse::<Url>().ok().filter(|url| {
        let is_plain = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
        matches!(url.scheme(), "http" | "https") && url.host().is_some() && is_plain
    });
    read.ok_or_else(|| match key {
        "issuer" => "`issuer` is not an address, so `jwks_url` must say where its keys are".to_owned(),
        _ => format!("`{key}` must be an address such as https://login.example.com/keys"),
    })
}

/// Reads all of them.
pub(super) fn read(tables: &[IssuerTable]) -> Result<Vec<Issuer>, String> {
    let mut issuers: Vec<Issuer> = Vec::new();
    for (number, table) in (1..).zip(tables) {
        let issuer = table.read().map_err(|error| format!("`access.issuers`: number {number}: {error}"))?;
        let same = |known: &&Issuer| known.name == issuer.name || known.issuer == issuer.issuer;
        if let Some(known) = issuers.iter().find(same) {
            let what = if known.name == issuer.name { "name" } else { "issuer" };
            return Err(format!("`access.issuers`: number {number}: there is one of that `{what}` already"));
        }
        issuers.push(issuer);
    }
    Ok(issuers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(toml: &str) -> Result<Vec<Issuer>, String> {
        let tables: toml::Table = toml.parse().unwrap();
        let tables: Vec<IssuerTable> = tables["issuers"].clone().try_into().unwrap();
        read(&tables)
    }

    fn with(more: &str) -> String {
        format!("[[issuers]]\nname = \"corp\"\naudiences = [\"comfyport\"]\n{more}\n")
    }

    #[test]
    fn faults_say_what_to_do() {
        let https = "issuer = \"https://login.example.com/\"";
        let one = check(&with(https)).unwrap().remove(0);
        assert_eq!((one.algorithms.len(), one.claims.owner.as_str()), (9, "sub"));
        assert!(check(&with("issuer = \"urn:corp\"\njwks_url = \"https://login.example.com/keys\"")).is_ok());
        assert!(check(&with("issuer = \"http://127.0.0.1:9\"\nhttp = true")).is_ok());
        for (bad, expected) in [
            (with("issuer = \"urn:corp\""), "`jwks_url` must say"),
            (with("issuer = \"http://127.0.0.1:9\""), "`http = true`"),
            (with("issuer = \"https://a\"\njwks_url = \"http://a/keys\""), "`http = true`"),
            (with("issuer = \"https://a\"\njwks_url = \"keys\""), "`jwks_url` must be an address"),
            (with(&format!("{https}\nalgorithms = [\"HS256\"]")), "`HS256`: there are RS256"),
            (with(&format!("{https}\nalgorithms = [\"none\"]")), "`none`: there are RS256"),
            (with(&format!("{https}\nalgorithms = []")), "at least one"),
            (with(&format!("{https}\nleeway_s = 9999")), "at most 600"),
            (with(&format!("{https}\nrest_s = 0")), "at least 1"),
            (with(&format!("{https}\nper_minute = 0")), "at least 1"),
            (with(https).replace("corp", "a:b"), "`name` must have"),
            (with(https).replace("\"comfyport\"", ""), "`audiences` must name"),
            (with(https) + &with("issuer = \"https://b\""), "number 2: there is one of that `name`"),
            (with(https) + &with(https).replace("corp", "b"), "number 2: there is one of that `issuer`"),
        ] {
            let error = check(&bad).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
