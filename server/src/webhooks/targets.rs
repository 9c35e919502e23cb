//! Where webhooks may go.

use comfyport_fetch::{Approved, Guard, Refusal};
use url::Url;

/// Where webhooks may go: where the operator says, and to public addresses.
#[derive(Debug, Clone, Default)]
pub struct Targets {
    allow: Vec<String>,
    public: Option<Guard>,
    /// Without secrets nobody could tell who sends.
    signed: bool,
}

/// Why nothing is sent to an address, for whoever named it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Forbidden {
    /// Nothing is sent to anybody.
    #[error("this server sends no webhooks, because they could not be signed (`webhooks.secrets`)")]
    Off,
    /// It is not one that the operator names, and others are not sent to.
    #[error("this address is not one that the operator allows webhooks to (`webhooks.allow`)")]
    NotAllowed,
    /// It is not public.
    #[error("{0}; the operator can allow it (`webhooks.allow`)")]
    Refused(Refusal),
}

impl Targets {
    /// Addresses that begin as one of `allow`, and those that `public` approves of. Nothing at all unless it is signed.
    pub fn new(allow: Vec<String>, public: Option<Guard>, signed: bool) -> Self {
        Self { allow, public, signed }
    }

    /// Judges an address, as far as that can be done without asking anybody what its name stands for.
    pub fn judge(&self, url: Url) -> Result<Approved, Forbidden> {
        if !self.signed {
            return Err(Forbidden::Off);
        }
        let has_user = !url.username().is_empty() || url.password().is_some();
        if !has_user && self.allow.iter().any(|allowed| is_below(&url, allowed)) {
            return Ok(Approved::by_operator(url));
        }
        let guard = self.public.as_ref().ok_or(Forbidden::NotAllowed)?;
        guard.judge_url(url).map_err(Forbidden::Refused)
    }
}

/// Whether an address is one of those that begin like this: the same scheme, host and port, and a path below.
fn is_below(url: &Url, allowed: &str) -> bool {
    let Ok(allowed) = Url::parse(allowed) else { return false };
    let folder = allowed.path().trim_end_matches('/');
    let rest = url.path().strip_prefix(folder);
    url.origin() == allowed.origin() && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use comfyport_fetch::Policy;

    use super::*;

    #[test]
    fn webhooks_go_only_where_they_may() {
        let allow = vec!["http://127.0.0.1:9000/hooks".to_owned()];
        let named = Targets::new(allow.clone(), None, true);
        let judge = |targets: &Targets, url: &str| targets.judge(url.parse().unwrap()).err();
        for url in ["http://127.0.0.1:9000/hooks", "http://127.0.0.1:9000/hooks/a?b=c"] {
            assert_eq!(judge(&named, url), None, "{url}");
            assert_eq!(judge(&Targets::new(allow.clone(), None, false), url), Some(Forbidden::Off));
        }
        let inner = [
            "http://127.0.0.1:9000/hooksx",
            "http://127.0.0.1:9000/hooks/../x",
            "http://127.0.0.1:9001/hooks",
            "https://127.0.0.1:9000/hooks",
            "http://user@127.0.0.1:9000/hooks",
            "http://127.0.0.1:9000@evil.example/hooks",
            "https://169.254.169.254/",
            "https://10.0.0.1/",
            "https://localhost/",
            "https://[::ffff:127.0.0.1]/",
            "http://example.com/",
            "file:///hooks",
        ];
        let strict = Guard::new(Policy { http: false, ..Policy::default() });
        let public = Targets::new(allow, Some(strict), true);
        for url in inner {
            assert_eq!(judge(&named, url), Some(Forbidden::NotAllowed), "{url}");
            assert!(matches!(judge(&public, url), Some(Forbidden::Refused(_))), "{url}");
        }
        assert_eq!(judge(&public, "https://example.com/hooks?a=b"), None);
    }
}
