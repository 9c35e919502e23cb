//! Rules of `[nodes]`.

use std::sync::Arc;

use comfyport_fetch::{Client, Fetcher, Guard, SystemLookup};
use comfyport_packs::{ArchiveLimits, Git, Registry, Settings, Sources, Transports};

use super::{Config, Nodes, seconds};

impl Nodes {
    /// What is done with packs that are installed, and what is not.
    pub fn settings(&self) -> Settings {
        let archive = ArchiveLimits {
            packed: self.max_archive_bytes,
            unpacked: self.max_unpacked_bytes,
            entries: self.max_archive_files,
        };
        Settings { archive, run_install_scripts: self.install_scripts }
    }

    /// What clones are made with.
    pub fn git(&self) -> Result<Git, String> {
        Ok(Git { transports: self.transports()?, limit: seconds(self.git_timeout_s), ..Git::default() })
    }

    fn transports(&self) -> Result<Transports, String> {
        let mut transports = Transports::default();
        for one in &self.git_transports {
            match one.as_str() {
                "http" => transports.http = true,
                "file" => transports.file = true,
                "ssh" => transports.ssh = true,
                other => {
                    return Err(format!(
                        "`nodes.git_transports` has {other:?}: \"http\", \"file\" and \"ssh\" are expected"
                    ));
                }
            }
        }
        Ok(transports)
    }

    pub(super) fn check(&self) -> Result<(), String> {
        self.transports()?;
        let url = &self.registry;
        let plain = url.username().is_empty() && url.password().is_none() && url.query().is_none();
        if !(matches!(url.scheme(), "http" | "https") && plain) {
            return Err("`nodes.registry` must be an address such as https://api.comfy.org".to_owned());
        }
        let positive = [
            ("git_timeout_s", self.git_timeout_s),
            ("python_timeout_s", self.python_timeout_s),
            ("start_timeout_s", self.start_timeout_s),
            ("manager_timeout_s", self.manager_timeout_s),
            ("max_archive_bytes", self.max_archive_bytes),
            ("max_unpacked_bytes", self.max_unpacked_bytes),
            ("max_archive_files", self.max_archive_files as u64),
        ];
        match positive.iter().find(|(_, value)| *value == 0) {
            Some((key, _)) => Err(format!("`nodes.{key}` must be at least 1")),
            None => Ok(()),
        }
    }
}

impl Config {
    /// Where node packs come from. Archives of the registry are fetched as `[fetch]` allows it.
    pub fn pack_sources(&self) -> Result<Sources, String> {
        let guard = Guard::new(self.fetch.policy()?);
        let timeout = seconds(self.fetch.connect_timeout_s);
        let lookup = Arc::new(SystemLookup::default());
        let client = Client::new(guard, lookup, comfyport_comfyui::tls(), timeout)
            .map_err(|error| format!("the client of `[fetch]`: {error}"))?;
        let fetcher = Fetcher::new(client, self.fetch.credentials()?, self.fetch.limits());
        let registry = Registry::new(self.nodes.registry.clone(), fetcher, self.nodes.max_archive_bytes);
        Ok(Sources { git: self.nodes.git()?, registry: Some(registry) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(toml: &str) -> Result<(), String> {
        let defaults: toml::Table = super::super::DEFAULT.parse().unwrap();
        let mut section = defaults["nodes"].as_table().unwrap().clone();
        section.extend(toml.parse::<toml::Table>().unwrap());
        section.try_into::<Nodes>().unwrap().check()
    }

    #[test]
    fn faults_say_what_is_expected() {
        assert_eq!(check(""), Ok(()));
        assert_eq!(check("git_transports = [\"file\", \"ssh\"]\nregistry = \"http://127.0.0.1:9\""), Ok(()));
        for (bad, expected) in [
            ("git_transports = [\"ext\"]", "`nodes.git_transports` has \"ext\""),
            ("registry = \"https://u:sesame@a/\"", "`nodes.registry` must be"),
            ("start_timeout_s = 0", "`nodes.start_timeout_s` must be at least 1"),
        ] {
            let error = check(bad).unwrap_err();
            assert!(error.contains(expected) && !error.contains("sesame"), "{error}");
        }
    }
}
