//! Rules of `[models]`.

use std::path::Path;

use comfyport_depot::{LinkMode, Settings, Token};

use super::Models;

/// Nobody gains by more, and hosts mind.
const MOST_PARALLEL: usize = 16;

/// The cache of a models folder, unless another is named: on the same disk, and nowhere that ComfyUI looks.
const CACHE: &str = ".comfyport";

impl Models {
    /// How models are fetched into a folder and kept.
    pub fn settings(&self, dir: &Path) -> Result<Settings, String> {
        let cache = if self.cache.as_os_str().is_empty() { dir.join(CACHE) } else { self.cache.clone() };
        let mut settings = Settings::new(cache, dir);
        settings.link = self.link_mode()?;
        settings.cache_limit = Some(self.cache_bytes).filter(|limit| *limit > 0);
        settings.reserve = self.reserve_bytes;
        settings.parallel = self.parallel;
        settings.largest = self.max_file_bytes;
        settings.pickles = self.pickles;
        settings.links_may_leave = self.links_may_leave;
        settings.retries.failures = self.tries;
        Ok(settings)
    }

    /// The token of Hugging Face: `HF_TOKEN`, or what the file holds.
    pub fn hugging_face_token(&self) -> Result<Option<Token>, String> {
        token("HF_TOKEN", &self.hugging_face_token_file)
    }

    /// The token of CivitAI: `CIVITAI_TOKEN`, or what the file holds.
    pub fn civitai_token(&self) -> Result<Option<Token>, String> {
        token("CIVITAI_TOKEN", &self.civitai_token_file)
    }

    fn link_mode(&self) -> Result<LinkMode, String> {
        match self.link.as_str() {
            "auto" => Ok(LinkMode::Auto),
            "copy" => Ok(LinkMode::Copy),
            "symlink" => Ok(LinkMode::Symlink),
            other => {
                Err(format!("`models.link` is {other:?}: \"auto\", \"copy\" or \"symlink\" is expected"))
            }
        }
    }

    pub(super) fn check(&self) -> Result<(), String> {
        self.link_mode()?;
        if !(1..=MOST_PARALLEL).contains(&self.parallel) {
            return Err(format!("`models.parallel` must be from 1 to {MOST_PARALLEL}"));
        }
        for (key, url) in [("hugging_face", &self.hugging_face), ("civitai", &self.civitai)] {
            let plain = url.username().is_empty() && url.password().is_none() && url.query().is_none();
            if !(matches!(url.scheme(), "http" | "https") && plain) {
                return Err(format!("`models.{key}` must be an address such as https://example.com"));
            }
        }
        Ok(())
    }
}

fn token(variable: &str, file: &Path) -> Result<Option<Token>, String> {
    let found = match std::env::var(variable) {
        Ok(text) => Token::new(&text).map_err(|error| format!("`{variable}`: {error}"))?,
        Err(std::env::VarError::NotPresent) => None,
        Err(std::env::VarError::NotUnicode(_)) => return Err(format!("`{variable}` is not text")),
    };
    if found.is_some() || file.as_os_str().is_empty() {
        return Ok(found);
    }
    Token::read(file).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(toml: &str) -> Result<(), String> {
        let defaults: toml::Table = super::super::DEFAULT.parse().unwrap();
        let mut section = defaults["models"].as_table().unwrap().clone();
        section.extend(toml.parse::<toml::Table>().unwrap());
        section.try_into::<Models>().unwrap().check()
    }

    #[test]
    fn faults_say_what_is_expected() {
        assert_eq!(check(""), Ok(()));
        assert_eq!(check("link = \"copy\"\nhugging_face = \"http://127.0.0.1:9\""), Ok(()));
        for (bad, expected) in [
            ("link = \"hard\"", "`models.link` is \"hard\""),
            ("parallel = 0", "`models.parallel` must be"),
            ("parallel = 99", "`models.parallel` must be"),
            ("civitai = \"ftp://a/\"", "`models.civitai` must be"),
            ("hugging_face = \"https://u:sesame@a/\"", "`models.hugging_face` must be"),
        ] {
            let error = check(bad).unwrap_err();
            assert!(error.contains(expected) && !error.contains("sesame"), "{error}");
        }
    }
}
