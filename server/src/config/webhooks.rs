//! Rules of `[webhooks]`.

use url::Url;

use super::{Secret, Webhooks};
use crate::webhooks::{BadSecret, Keys};

/// Tries are given up before somebody else may take over: see [`comfyport_store::deliveries::IN_HAND`].
const LONGEST_TIMEOUT_S: u64 = 45;

/// Pauses between tries at most, and the longest of them in seconds.
const PAUSES: (usize, f64) = (20, 604_800.0);

impl Webhooks {
    /// The secrets, as keys.
    pub fn keys(&self) -> Result<Keys, BadSecret> {
        Keys::read(self.secrets.iter().map(Secret::expose))
    }

    pub(super) fn check(&self) -> Result<(), String> {
        let keys = self.keys().map_err(|error| format!("`webhooks.secrets`: {error}"))?;
        if !self.allow.is_empty() && keys.is_empty() {
            return Err("`webhooks.allow` is set and `webhooks.secrets` is empty: receivers could not tell who sends; \
                        `comfyport webhooks secret` prints a secret"
                .to_owned());
        }
        if let Some(bad) = self.allow.iter().position(|allowed| !is_beginning(allowed)) {
            return Err(format!(
                "`webhooks.allow`: number {} is not the beginning of an address such as https://example.com/hooks, without \
                 user, password, `?` and `#`",
                bad + 1
            ));
        }
        if self.timeout_s > LONGEST_TIMEOUT_S {
            return Err(format!("`webhooks.timeout_s` must be at most {LONGEST_TIMEOUT_S}"));
        }
        let (most, longest) = PAUSES;
        let fits = |pause: &f64| (0.0..=longest).contains(pause);
        if self.schedule_s.len() > most || !self.schedule_s.iter().all(fits) {
            return Err(format!(
                "`webhooks.schedule_s` must be at most {most} numbers of seconds from 0 to {longest}"
            ));
        }
        Ok(())
    }
}

fn is_beginning(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.host().is_some()
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn webhooks(toml: &str) -> Result<(), String> {
        let defaults: toml::Table = super::super::DEFAULT.parse().unwrap();
        let mut section = defaults["webhooks"].as_table().unwrap().clone();
        section.extend(toml.parse::<toml::Table>().unwrap());
        section.try_into::<Webhooks>().unwrap().check()
    }

    #[test]
    fn faults_say_what_to_do_and_keep_secrets() {
        let secret = crate::webhooks::fresh_secret().unwrap();
        let good = format!("secrets = [\"{secret}\"]\n");
        assert_eq!(webhooks(""), Ok(()));
        assert_eq!(
            webhooks(&format!("{good}allow = [\"https://a.example/hooks\"]\nschedule_s = [0.5, 1]")),
            Ok(())
        );
        for (toml, expected) in [
            ("allow = [\"http://a\"]".to_owned(), "`comfyport webhooks secret` prints a secret"),
            ("secrets = [\"whsec_sesame\"]".to_owned(), "number 1 is not `whsec_`"),
            (format!("{good}allow = [\"a.example\"]"), "number 1 is not the beginning"),
            (format!("{good}allow = [\"http://u:p@a\"]"), "without user"),
            (format!("{good}allow = [\"http://a/?x\"]"), "is not the beginning"),
            ("timeout_s = 60".to_owned(), "at most 45"),
            ("schedule_s = [-1]".to_owned(), "from 0 to 604800"),
            ("schedule_s = [nan]".to_owned(), "from 0 to 604800"),
        ] {
            let error = webhooks(&toml).unwrap_err();
            assert!(error.contains(expected) && !error.contains("sesame"), "{error}");
        }
    }
}
