//! Where a pack comes from: addresses, commits and names that are safe to hand to programs and to write as paths.

use std::fmt;

use serde::Serialize;
use url::Url;

/// The longest address of a repository.
const LONGEST: usize = 2048;

/// Ways to a repository besides `https`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Transports {
    /// `http://`: mirrors in a network of one's own.
    pub http: bool,
    /// `file://`: repositories on this machine.
    pub file: bool,
    /// `ssh://` and `user@host:path`.
    pub ssh: bool,
}

impl Transports {
    /// All of them: for addresses that are told, and not gone to.
    pub(crate) const ANY: Self = Self { http: true, file: true, ssh: true };

    /// What git is told to go by, submodules included.
    pub(crate) fn allowed(self) -> String {
        let mut allowed = vec!["https"];
        for (is, name) in [(self.http, "http"), (self.file, "file"), (self.ssh, "ssh")] {
            if is {
                allowed.push(name);
            }
        }
        allowed.join(":")
    }
}

/// The address of a repository that git may be given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Repository(String);

/// A commit in hexadecimal digits, perhaps shortened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Commit(String);

/// Why something is not handed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadSource {
    /// No address of a repository.
    #[error("its repository is no address such as https://github.com/owner/name")]
    Address,
    /// An address of a kind that was not allowed.
    #[error("its repository is reached by {0}, which has to be allowed by the operator")]
    Transport(&'static str),
    /// An address with a password.
    #[error(
        "the address of its repository holds a user or a password: leave those to git's credential helper"
    )]
    Secret,
    /// No commit.
    #[error("its commit is not 7 to 64 hexadecimal digits")]
    Commit,
    /// No id of the registry.
    #[error("its id is none that the Comfy Registry gives")]
    Id,
    /// No version of the registry.
    #[error("its version is none that the Comfy Registry gives")]
    Version,
}

impl Repository {
    /// Reads an address.
    pub fn parse(text: &str, transports: Transports) -> Result<Self, BadSource> {
        let text = text.trim();
        let plain = text.chars().all(|one| !one.is_control() && !one.is_whitespace() && one != '\\');
        if text.len() > LONGEST || !plain || text.starts_with('-') {
            return Err(BadSource::Address);
        }
        if !text.contains("://") {
            return Self::short(text, transports);
        }
        let url = Url::parse(text).map_err(|_| BadSource::Address)?;
        let host = url.host_str().unwrap_or_default();
        let allowed =
            |is: bool, name: &'static str| if is { Ok(()) } else { Err(BadSource::Transport(name)) };
        let named = match url.scheme() {
            "https" => !host.is_empty(),
            "http" => allowed(transports.http, "http://").map(|()| !host.is_empty())?,
            "ssh" => allowed(transports.ssh, "ssh")
                .map(|()| !host.is_empty() && !host.starts_with('-') && !url.username().starts_with('-'))?,
            "file" => allowed(transports.file, "file://").map(|()| host.is_empty())?,
            _ => return Err(BadSource::Address),
        };
        let has_user = !url.username().is_empty() && url.scheme() != "ssh";
        if has_user || url.password().is_some() {
            return Err(BadSource::Secret);
        }
        let whole = named && url.path().len() > 1 && url.query().is_none() && url.fragment().is_none();
        if whole { Ok(Self(url.to_string())) } else { Err(BadSource::Address) }
    }

    /// `user@host:path`, as ssh is often written.
    fn short(text: &str, transports: Transports) -> Result<Self, BadSource> {
        let (at, path) = text.split_once(':').ok_or(BadSource::Address)?;
        let (user, host) = at.split_once('@').ok_or(BadSource::Address)?;
        let is_name = |name: &str| {
            !name.is_empty()
                && !name.starts_with('-')
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
        };
        if !is_name(user) || !is_name(host) || path.is_empty() || path.starts_with('-') {
            return Err(BadSource::Address);
        }
        if transports.ssh { Ok(Self(text.to_owned())) } else { Err(BadSource::Transport("ssh")) }
    }

    /// The address.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What git would call a clone of it, if that can be the name of a folder.
    pub fn name(&self) -> Option<&str> {
        let last = self.0.trim_end_matches('/').rsplit(['/', ':']).next()?;
        let name = last.strip_suffix(".git").unwrap_or(last);
        is_folder_name(name).then_some(name)
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(&self.0)
    }
}

impl Commit {
    /// Reads a commit.
    pub fn parse(text: &str) -> Result<Self, BadSource> {
        let is = (7..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is { Ok(Self(text.to_ascii_lowercase())) } else { Err(BadSource::Commit) }
    }

    /// Its digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether none of its digits were left out.
    pub fn is_whole(&self) -> bool {
        matches!(self.0.len(), 40 | 64)
    }

    /// Whether this is it.
    pub fn is(&self, commit: &str) -> bool {
        commit.to_ascii_lowercase().starts_with(&self.0)
    }
}

impl fmt::Display for Commit {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(self.0.get(..12).unwrap_or(&self.0))
    }
}

/// A name that is that of one folder, on every system, and that neither ComfyUI nor git takes for something else.
pub(crate) fn is_folder_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-+ ".contains(&byte);
    !name.is_empty()
        && name.len() <= 128
        && name.bytes().all(plain)
        && !name.starts_with(['.', '-', ' '])
        && !name.ends_with(['.', ' '])
        && !name.ends_with(".disabled")
        && name != "__pycache__"
}

/// An id of the Comfy Registry.
pub(crate) fn registry_id(text: &str) -> Result<&str, BadSource> {
    let is = is_folder_name(text) && !text.contains([' ', '+']);
    if is { Ok(text) } else { Err(BadSource::Id) }
}

/// A version of the Comfy Registry.
pub(crate) fn registry_version(text: &str) -> Result<&str, BadSource> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-+_".contains(&byte);
    let begins = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    if begins && text.len() <= 64 && text.bytes().all(plain) { Ok(text) } else { Err(BadSource::Version) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Transports = Transports { http: true, file: true, ssh: true };

    #[test]
    fn nothing_but_addresses_reaches_git() {
        for good in [
            "https://github.com/a/b",
            "https://github.com/a/b.git",
            "http://mirror:8080/a/b",
            "ssh://git@host/a/b",
            "git@github.com:a/b.git",
            "file:///srv/b.git",
        ] {
            let repository = Repository::parse(good, ALL).unwrap();
            assert_eq!(repository.name(), Some("b"), "{good}");
        }
        for bad in [
            "",
            "a/b",
            "--upload-pack=touch /tmp/x",
            "-oProxyCommand=x@host:y",
            "a@-oProxyCommand=x:y",
            "ssh://-oProxyCommand=x/a",
            "ext::sh -c touch% /tmp/x",
            "ext::sh",
            "https://h/a b",
            "https://h/a\nb",
            "https://h/",
            "https://h/a?x",
            "https://h/a#x",
            "file://host/a",
            "fd::3",
            "git://h/a",
            "/srv/a",
            "c:\\a",
        ] {
            assert!(Repository::parse(bad, ALL).is_err(), "{bad}");
        }
        let strict = |text| Repository::parse(text, Transports::default());
        assert_eq!(strict("file:///srv/a"), Err(BadSource::Transport("file://")));
        assert_eq!(strict("git@h:a"), Err(BadSource::Transport("ssh")));
        assert_eq!(strict("http://h/a"), Err(BadSource::Transport("http://")));
        assert_eq!(strict("https://u:p@h/a"), Err(BadSource::Secret));
        assert_eq!(strict("https://token@h/a"), Err(BadSource::Secret));
        assert!(strict("https://h/a/..%2f").unwrap().name().is_none());
        assert!(strict("https://h/a/.git").unwrap().name().is_none());
    }

    #[test]
    fn names_stay_names() {
        for good in ["ComfyUI-Impact-Pack", "was_ns", "a.b"] {
            assert!(is_folder_name(good) && registry_id(good).is_ok(), "{good}");
        }
        for bad in
            ["", ".", "..", ".git", "a/b", "a\\b", "-a", "a.disabled", "a\0", "ä", "a:b", "__pycache__", "a."]
        {
            assert!(!is_folder_name(bad), "{bad}");
        }
        assert!(registry_version("1.2.3-rc.1+x").is_ok());
        for bad in ["", "../1", "1/2", "-1", "1?x=y", " 1"] {
            assert!(registry_version(bad).is_err(), "{bad}");
        }
        assert!(Commit::parse("abcdef1").unwrap().is("ABCDEF1234"));
        assert!(Commit::parse("--help").is_err() && Commit::parse("abcdef").is_err());
    }
}
