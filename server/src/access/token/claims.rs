//! What tokens say of whoever sends them, in the words of their issuer, and what that means here.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::Grant;
use crate::access::Scope;

/// The longest name of somebody, in bytes. OpenID Connect has none that is longer.
const LONGEST_NAME: usize = 255;

/// How claims are read. Their names may lead inside: `realm_access.roles`.
#[derive(Debug, Clone)]
pub struct Claims {
    /// Whose name it is that things belong to.
    pub owner: String,
    /// Where scopes are: text with spaces, or lists.
    pub scopes: Vec<String>,
    /// What they are called there.
    pub granted: BTreeMap<String, Scope>,
    /// What every token allows.
    pub always: Vec<Scope>,
    /// The only workflows that may be run; all if there are none.
    pub workflows: Vec<String>,
    /// Where a token has others.
    pub workflows_claim: Option<String>,
    /// Requests in a minute.
    pub per_minute: Option<u32>,
    /// Where a token has another number.
    pub per_minute_claim: Option<String>,
    /// Jobs that wait or run at the same time.
    pub active_jobs: Option<u32>,
    /// Where a token has another number.
    pub active_jobs_claim: Option<String>,
}

impl Claims {
    /// Who he is for his issuer.
    pub(super) fn owner<'t>(&self, token: &'t Map<String, Value>) -> Option<&'t str> {
        let name = at(token, &self.owner)?.as_str()?;
        let is_name = !name.is_empty() && name.len() <= LONGEST_NAME && !name.chars().any(char::is_control);
        is_name.then_some(name)
    }

    /// What he may do.
    pub(super) fn grant(&self, token: &Map<String, Value>) -> Grant {
        let said = self.scopes.iter().filter_map(|claim| at(token, claim)).flat_map(words);
        let mut scopes: Vec<Scope> = said.filter_map(|word| self.granted.get(word).copied()).collect();
        scopes.extend(&self.always);
        scopes.sort_unstable();
        scopes.dedup();
        let workflows = match claimed(token, self.workflows_claim.as_deref()) {
            None => self.workflows.clone(),
            Some(named) => {
                let named: Vec<String> =
                    words(named).map(|path| path.trim_start_matches('/').to_owned()).collect();
                // No workflows are all workflows: whoever was given none may do nothing.
                if named.is_empty() {
                    scopes.clear();
                }
                named
            }
        };
        Grant {
            scopes,
            workflows,
            per_minute: number(token, self.per_minute_claim.as_deref()).or(self.per_minute),
            active_jobs: number(token, self.active_jobs_claim.as_deref()).or(self.active_jobs),
        }
    }
}

/// A claim of this name, or at the end of this way.
fn at<'t>(token: &'t Map<String, Value>, name: &str) -> Option<&'t Value> {
    token.get(name).or_else(|| {
        let (first, rest) = name.split_once('.')?;
        at(token.get(first)?.as_object()?, rest)
    })
}

fn claimed<'t>(token: &'t Map<String, Value>, name: Option<&str>) -> Option<&'t Value> {
    at(token, name?)
}

/// The words of a text, or of the texts of a list.
fn words(value: &Value) -> impl Iterator<Item = &str> {
    let list = value.as_array().into_iter().flatten().filter_map(Value::as_str);
    value.as_str().into_iter().flat_map(str::split_whitespace).chain(list)
}

/// A number above 0. What is said to be less is the least.
fn number(token: &Map<String, Value>, name: Option<&str>) -> Option<u32> {
    let number = claimed(token, name)?;
    let number = number.as_u64().or_else(|| number.as_str()?.parse().ok())?;
    Some(u32::try_from(number).unwrap_or(u32::MAX).max(1))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claims() -> Claims {
        Claims {
            owner: "sub".to_owned(),
            scopes: ["scope", "scp", "realm_access.roles"].map(str::to_owned).into(),
            granted: BTreeMap::from([
                ("images:read".to_owned(), Scope::Read),
                ("images:run".to_owned(), Scope::Run),
                ("boss".to_owned(), Scope::Admin),
            ]),
            always: Vec::new(),
            workflows: vec!["image/*".to_owned()],
            workflows_claim: Some("https://example.com/workflows".to_owned()),
            per_minute: Some(60),
            per_minute_claim: Some("limits.per_minute".to_owned()),
            active_jobs: None,
            active_jobs_claim: None,
        }
    }

    fn grant(token: Value) -> Grant {
        claims().grant(token.as_object().unwrap())
    }

    #[test]
    fn scopes_are_what_the_operator_says_they_are() {
        for (token, expected) in [
            (json!({}), vec![]),
            (json!({"scope": "openid images:read  images:run images:run"}), vec![Scope::Read, Scope::Run]),
            (json!({"scp": ["images:run"], "scope": "x"}), vec![Scope::Run]),
            (json!({"realm_access": {"roles": ["boss", 7, null]}}), vec![Scope::Admin]),
            (json!({"roles": ["boss"], "scope": ["boss "], "scp": {"boss": true}}), vec![]),
            (json!({"scope": "read run admin"}), vec![]),
        ] {
            assert_eq!(grant(token.clone()).scopes, expected, "{token}");
        }
        let always = Claims { always: vec![Scope::Read], ..claims() };
        assert_eq!(always.grant(&Map::new()).scopes, [Scope::Read]);
    }

    #[test]
    fn workflows_and_numbers_are_the_tokens_or_the_issuers() {
        let plain = grant(json!({"scope": "images:run"}));
        assert_eq!((plain.workflows, plain.per_minute), (vec!["image/*".to_owned()], Some(60)));
        let own = grant(json!({
            "scope": "images:run", "https://example.com/workflows": ["/sd15/*"], "limits": {"per_minute": 0},
        }));
        assert_eq!((own.workflows, own.per_minute), (vec!["sd15/*".to_owned()], Some(1)));
        for none in [json!([]), json!(""), json!(7), json!({})] {
            let none = grant(json!({"scope": "boss", "https://example.com/workflows": none}));
            assert_eq!(none.scopes, []);
        }
        assert_eq!(grant(json!({"limits": {"per_minute": -4}})).per_minute, Some(60));
    }

    #[test]
    fn owners_have_names() {
        let claims = claims();
        let owner = |token: &Value| claims.owner(token.as_object().unwrap()).map(str::to_owned);
        assert_eq!(owner(&json!({"sub": "auth0|7"})).as_deref(), Some("auth0|7"));
        for none in [
            json!({}),
            json!({"sub": ""}),
            json!({"sub": 7}),
            json!({"sub": "a\nb"}),
            json!({"sub": "x".repeat(256)}),
        ] {
            assert_eq!(owner(&none), None, "{none}");
        }
    }
}
