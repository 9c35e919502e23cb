//! Rules of `[fetch]`.

use std::{ops::RangeInclusive, time::Duration};

use comfyport_fetch::{BadRule, Credentials, Limits, Policy, Rule};

use super::{Fetch, seconds};

/// Files on their way are taken for strays after an hour.
const LONGEST_TIMEOUT_S: u64 = 1800;

/// For how long a file may arrive too slowly.
const PACE_OVER: Duration = Duration::from_secs(10);

/// Nobody needs more.
const MOST_REDIRECTS: usize = 10;

impl Fetch {
    /// What may be asked.
    pub fn policy(&self) -> Result<Policy, String> {
        let ports: Option<_> = self.ports.iter().map(|text| ports(text)).collect();
        Ok(Policy {
            http: self.http,
            userinfo: false,
            ports: ports.ok_or(
                "`fetch.ports` must be ports and ranges of them, such as \"443\" and \"1024-65535\"",
            )?,
            allow: rules("fetch.allow", &self.allow)?,
            deny: rules("fetch.deny", &self.deny)?,
            only: rules("fetch.only", &self.only)?,
        })
    }

    /// What is sent along.
    pub fn credentials(&self) -> Result<Vec<Credentials>, String> {
        let read = |(index, one): (usize, &super::FetchCredentials)| {
            one.read().map_err(|error| format!("`fetch.credentials`: number {}: {error}", index + 1))
        };
        self.credentials.iter().enumerate().map(read).collect()
    }

    /// How long and how far a file is followed.
    pub fn limits(&self) -> Limits {
        Limits {
            redirects: self.max_redirects,
            total: seconds(self.timeout_s),
            pace: self.min_bytes_per_s,
            pace_over: PACE_OVER,
        }
    }

    pub(super) fn check(&self) -> Result<(), String> {
        self.policy()?;
        self.credentials()?;
        if self.timeout_s > LONGEST_TIMEOUT_S {
            return Err(format!("`fetch.timeout_s` must be at most {LONGEST_TIMEOUT_S}"));
        }
        if self.max_redirects > MOST_REDIRECTS {
            return Err(format!("`fetch.max_redirects` must be at most {MOST_REDIRECTS}"));
        }
        Ok(())
    }
}

fn rules(key: &str, texts: &[String]) -> Result<Vec<Rule>, String> {
    let read = texts.iter().map(|text| text.parse());
    read.collect::<Result<_, BadRule>>().map_err(|error| format!("`{key}`: {error}"))
}

fn ports(text: &str) -> Option<RangeInclusive<u16>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    (first <= last).then_some(first..=last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(toml: &str) -> Result<(), String> {
        let defaults: toml::Table = super::super::DEFAULT.parse().unwrap();
        let mut section = defaults["fetch"].as_table().unwrap().clone();
        section.extend(toml.parse::<toml::Table>().unwrap());
        section.try_into::<Fetch>().unwrap().check()
    }

    #[test]
    fn faults_say_what_to_do_and_keep_secrets() {
        let credentials = |url: &str, header: &str| {
            format!("credentials = [{{ url = \"{url}\", headers = {{ \"{header}\" = \"sesame\" }} }}]")
        };
        for good in [
            String::new(),
            "ports = [\"443\", \"8000-8100\"]\nallow = [\"10.0.0.0/8\", \"*.local\"]".to_owned(),
            credentials("https://a.example/*", "x-key"),
            "credentials = [{ url = \"https://a.example/*\", bearer = \"sesame\", query = { key = \"x\" } }]"
                .to_owned(),
            "credentials = [{ url = \"https://a.example/*\", basic = { user = \"u\", password = \"p\" } }]"
                .to_owned(),
        ] {
            assert_eq!(check(&good), Ok(()));
        }
        for (bad, expected) in [
            ("ports = [\"all\"]".to_owned(), "`fetch.ports` must be"),
            ("ports = [\"9-1\"]".to_owned(), "`fetch.ports` must be"),
            ("allow = [\"http://a\"]".to_owned(), "`fetch.allow`: `http://a` is none of a host"),
            ("deny = [\"10.0.0.0/99\"]".to_owned(), "`fetch.deny`: `10.0.0.0/99`"),
            ("timeout_s = 3600".to_owned(), "at most 1800"),
            ("max_redirects = 99".to_owned(), "at most 10"),
            (credentials("a.example", "x-key"), "`fetch.credentials`: number 1: `a.example` is not"),
            (credentials("https://a.example/*", "host"), "the header `host` cannot be set"),
            (credentials("https://a.example/*", "x").replace("{ \"x\" = \"sesame\" }", "{}"), "it has none of"),
            (
                "credentials = [{ url = \"https://a.example/*\", bearer = \"sesame\", headers = { Authorization = \"x\" } }]"
                    .to_owned(),
                "only one of",
            ),
        ] {
            let error = check(&bad).unwrap_err();
            assert!(error.contains(expected) && !error.contains("sesame"), "{error}");
        }
    }
}
