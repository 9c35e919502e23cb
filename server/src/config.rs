//! Settings: defaults, then a file, then the environment, then flags.
//!
//! The commented default file is embedded: it is the defaults and their documentation.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use toml::Table;
use url::Url;

mod acme;
mod credentials;
mod engines;
mod fetch;
mod issuers;
mod layers;
mod models;
mod nodes;
mod secret;
mod supplies;
mod warm_up;
mod webhooks;

use crate::access::{address, token::Issuer};
use layers::{merge_environment, merge_file, unknown};

pub use credentials::FetchCredentials;
pub use engines::EngineTable;
pub use issuers::IssuerTable;
pub use secret::Secret;
pub use supplies::{InstallMissing, Supplies};
pub use warm_up::WarmUp;

/// The default configuration, commented.
pub const DEFAULT: &str = include_str!("config.default.toml");

/// All settings.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the default file documents every key")]
pub struct Config {
    pub server: Server,
    pub acme: Acme,
    pub access: AccessSettings,
    pub workflows: Workflows,
    pub comfyui: ComfyUi,
    pub engines: Engines,
    pub store: StoreSettings,
    pub jobs: Jobs,
    pub webhooks: Webhooks,
    pub fetch: Fetch,
    pub models: Models,
    pub nodes: Nodes,
    pub supplies: Supplies,
    pub warm_up: WarmUp,
    pub media: Media,
    pub uploads: Uploads,
    pub artifacts: Artifacts,
    pub readiness: Readiness,
    pub prompt_route: PromptRoute,
    pub compat: Compat,
    pub log: Log,
    /// Several engines; none means the one of `comfyui`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub engine: Vec<EngineTable>,
    /// Buckets that outputs may be copied to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bucket: Vec<BucketTable>,
}

macro_rules! sections {
    ($($name:ident { $($key:ident: $ty:ty),* $(,)? })*) => {$(
        /// A section; the default file documents its keys.
        #[derive(Debug, Clone, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        #[expect(missing_docs, reason = "the default file documents every key")]
        pub struct $name { $(pub $key: $ty,)* }
    )*};
}

sections! {
    Server {
        listen: SocketAddr,
        max_connections: usize,
        header_timeout_s: u64,
        body_timeout_s: u64,
        write_timeout_s: u64,
        max_head_bytes: usize,
        max_body_bytes: usize,
        max_form_parts: usize,
        shutdown_timeout_s: u64,
        tls_cert: PathBuf,
        tls_key: PathBuf,
        public_url: String,
        allowed_hosts: Vec<String>,
        cors_origins: Vec<String>,
        trusted_proxies: Vec<String>,
    }
    Acme { domains: Vec<String>, contact: Vec<String>, directory: String, ca: PathBuf, terms_agreed: bool }
    AccessSettings {
        insecure: bool,
        public: Vec<String>,
        max_link_s: u64,
        wrong_keys_per_minute: u32,
        audit_bytes: u64,
        issuers: Vec<IssuerTable>,
    }
    Workflows { dir: PathBuf, poll_ms: u64, max_files: usize, max_file_bytes: u64, max_diagnostics: usize }
    ComfyUi { url: Url, headers: BTreeMap<String, Secret>, connect_timeout_s: u64, request_timeout_s: u64, stall_timeout_s: u64 }
    Engines {
        poll_ms: u64,
        idle_poll_ms: u64,
        eject_s: u64,
        eject_max_s: u64,
        eject_after_failures: u32,
        flap_count: u32,
        flap_window_s: u64,
        interrupt_grace_s: u64,
        unreachable_s: u64,
    }
    StoreSettings { url: Secret, connections: usize, lease_s: u64 }
    Jobs {
        max_queued: usize,
        timeout_s: u64,
        max_wait_s: u64,
        max_attempts: u32,
        remember_s: u64,
        keep_s: u64,
        max_batch: usize,
        max_metadata_bytes: usize,
        affinity_wait_s: u64,
        cache: Vec<String>,
    }
    Webhooks {
        public: bool,
        allow: Vec<String>,
        secrets: Vec<Secret>,
        concurrency: usize,
        timeout_s: u64,
        schedule_s: Vec<f64>,
    }
    Fetch {
        enabled: bool,
        http: bool,
        ports: Vec<String>,
        allow: Vec<String>,
        deny: Vec<String>,
        only: Vec<String>,
        max_redirects: usize,
        connect_timeout_s: u64,
        timeout_s: u64,
        min_bytes_per_s: u64,
        concurrency: usize,
        credentials: Vec<FetchCredentials>,
    }
    Models {
        dir: PathBuf,
        cache: PathBuf,
        link: String,
        cache_bytes: u64,
        reserve_bytes: u64,
        parallel: usize,
        tries: u32,
        max_file_bytes: u64,
        pickles: bool,
        links_may_leave: bool,
        hugging_face: Url,
        hugging_face_token_file: PathBuf,
        civitai: Url,
        civitai_token_file: PathBuf,
    }
    Nodes {
        comfyui: PathBuf,
        python: PathBuf,
        restart_command: String,
        registry: Url,
        git_transports: Vec<String>,
        install_scripts: bool,
        git_timeout_s: u64,
        python_timeout_s: u64,
        start_timeout_s: u64,
        manager_timeout_s: u64,
        max_archive_bytes: u64,
        max_unpacked_bytes: u64,
        max_archive_files: usize,
    }
    Media {
        max_pixels: u64,
        max_side: u32,
        max_picture_bytes: u64,
        max_video_bytes: u64,
        max_audio_bytes: u64,
        max_other_bytes: u64,
        max_duration_s: u64,
        max_decoded_bytes: u64,
        max_avif_pixels: u64,
        orient: bool,
        workers: usize,
        memory_bytes: u64,
    }
    Uploads { keep_s: u64, max_files: u64, max_bytes: u64 }
    Artifacts { data_dir: PathBuf, keep_s: u64, keep_bytes: u64, max_file_bytes: u64, max_inline_bytes: u64, bucket: String, link_s: u64 }
    Readiness { fresh_s: u64 }
    PromptRoute { enabled: bool }
    Compat { runpod: bool, comfyui_api: bool, comfy_v2: bool, inline_bytes: u64 }
    Log { format: LogFormat, level: String }
}

/// A `[[bucket]]` table.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the default file documents every key")]
pub struct BucketTable {
    pub name: String,
    pub url: String,
    pub options: BTreeMap<String, Secret>,
    /// Whether callers may name files in it.
    #[serde(default)]
    pub read: bool,
    /// Below which folders.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub read_prefixes: Vec<String>,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One object a line.
    Json,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{path}: {error}")]
    File {
        /// The file.
        path: String,
        /// Why.
        error: std::io::Error,
    },
    /// The file is not what it should be.
    #[error("{path}: {message}")]
    Syntax {
        /// The file.
        path: String,
        /// What and where.
        message: String,
    },
    /// A value is not acceptable.
    #[error("{0}")]
    Value(String),
}

/// What flags set.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// `server.listen`
    pub listen: Option<SocketAddr>,
    /// `comfyui.url`, or several engines in place of it.
    pub comfyui_urls: Vec<Url>,
    /// `store.url`
    pub store: Option<String>,
    /// `artifacts.data_dir`
    pub data_dir: Option<PathBuf>,
    /// `workflows.dir`
    pub workflows_dir: Option<PathBuf>,
    /// `access.insecure`
    pub insecure: bool,
}

impl Config {
    /// Reads all layers. `environment` are variables by name.
    pub fn load(
        file: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
        overrides: &Overrides,
    ) -> Result<Self, ConfigError> {
        let defaults: Table =
            DEFAULT.parse().map_err(|error| ConfigError::Value(format!("the defaults: {error}")))?;
        let mut merged = defaults.clone();
        if let Some(path) = file {
            merge_file(&mut merged, path)?;
        }
        let (urls, environment): (Vec<_>, Vec<_>) = environment.partition(|(name, _)| name == URLS);
        merge_environment(&mut merged, &defaults, environment.into_iter())?;
        let mut config: Self = merged.try_into().map_err(|error| ConfigError::Value(one_line(&error)))?;
        if let Some(listen) = overrides.listen {
            config.server.listen = listen;
        }
        let mut urls_of_flags = overrides.comfyui_urls.clone();
        if let (true, Some((name, text))) = (urls_of_flags.is_empty(), urls.first()) {
            urls_of_flags = engines::read_urls(name, text).map_err(ConfigError::Value)?;
        }
        config.use_urls(urls_of_flags);
        if let Some(url) = &overrides.store {
            config.store.url = Secret::new(url.clone());
        }
        if let Some(folder) = &overrides.data_dir {
            config.artifacts.data_dir.clone_from(folder);
        }
        if let Some(folder) = &overrides.workflows_dir {
            config.workflows.dir.clone_from(folder);
        }
        config.access.insecure |= overrides.insecure;
        config.check()?;
        Ok(config)
    }

    /// Takes engines from the command line in place of any others. All of them get the headers of `[comfyui]`.
    fn use_urls(&mut self, urls: Vec<Url>) {
        let Some(first) = urls.first() else { return };
        self.comfyui.url = first.clone();
        self.engine.clear();
        if urls.len() > 1 {
            let headers = &self.comfyui.headers;
            self.engine = urls.into_iter().map(|url| EngineTable::at(url, headers.clone())).collect();
        }
    }

    /// All engines, at least one, with everything told of them. A lone one is called `comfyui` unless it has a name.
    pub fn engines(&self) -> Vec<EngineTable> {
        if self.engine.is_empty() {
            let common = &self.comfyui;
            let only = EngineTable::at(common.url.clone(), common.headers.clone()).or(common);
            return vec![EngineTable { name: Some("comfyui".to_owned()), ..only }];
        }
        self.engine.iter().map(|engine| engine.clone().or(&self.comfyui)).collect()
    }

    /// Those whose tokens are accepted.
    pub fn issuers(&self) -> Result<Vec<Issuer>, String> {
        issuers::read(&self.access.issuers)
    }

    /// Origins are compared as browsers write them.
    fn check_origins(&self) -> Result<(), ConfigError> {
        let is_origin = |text: &&String| {
            *text == "*" || Url::parse(text).is_ok_and(|url| url.origin().ascii_serialization() == **text)
        };
        match self.server.cors_origins.iter().find(|text| !is_origin(text)) {
            None => Ok(()),
            Some(text) => Err(ConfigError::Value(format!(
                "`server.cors_origins` has {text:?}: origins such as https://app.example.com are expected, without a \
                 path"
            ))),
        }
    }

    /// Rules that no single key can state.
    fn check(&self) -> Result<(), ConfigError> {
        let positive = [
            ("server.max_connections", self.server.max_connections as u64),
            ("server.header_timeout_s", self.server.header_timeout_s),
            ("server.body_timeout_s", self.server.body_timeout_s),
            ("server.write_timeout_s", self.server.write_timeout_s),
            ("server.max_body_bytes", self.server.max_body_bytes as u64),
            ("server.max_form_parts", self.server.max_form_parts as u64),
            ("access.max_link_s", self.access.max_link_s),
            ("access.wrong_keys_per_minute", u64::from(self.access.wrong_keys_per_minute)),
            ("workflows.max_files", self.workflows.max_files as u64),
            ("workflows.max_file_bytes", self.workflows.max_file_bytes),
            ("workflows.max_diagnostics", self.workflows.max_diagnostics as u64),
            ("comfyui.connect_timeout_s", self.comfyui.connect_timeout_s),
            ("comfyui.request_timeout_s", self.comfyui.request_timeout_s),
            ("engines.poll_ms", self.engines.poll_ms),
            ("engines.idle_poll_ms", self.engines.idle_poll_ms),
            ("engines.eject_s", self.engines.eject_s),
            ("engines.unreachable_s", self.engines.unreachable_s),
            ("engines.eject_after_failures", u64::from(self.engines.eject_after_failures)),
            ("store.connections", self.store.connections as u64),
            ("store.lease_s", self.store.lease_s),
            ("jobs.max_queued", self.jobs.max_queued as u64),
            ("jobs.timeout_s", self.jobs.timeout_s),
            ("jobs.max_wait_s", self.jobs.max_wait_s),
            ("jobs.max_attempts", u64::from(self.jobs.max_attempts)),
            ("jobs.keep_s", self.jobs.keep_s),
            ("jobs.max_batch", self.jobs.max_batch as u64),
            ("webhooks.concurrency", self.webhooks.concurrency as u64),
            ("webhooks.timeout_s", self.webhooks.timeout_s),
            ("fetch.connect_timeout_s", self.fetch.connect_timeout_s),
            ("fetch.timeout_s", self.fetch.timeout_s),
            ("fetch.concurrency", self.fetch.concurrency as u64),
            ("models.tries", u64::from(self.models.tries)),
            ("models.max_file_bytes", self.models.max_file_bytes),
            ("media.max_pixels", self.media.max_pixels),
            ("media.max_picture_bytes", self.media.max_picture_bytes),
            ("media.max_video_bytes", self.media.max_video_bytes),
            ("media.max_audio_bytes", self.media.max_audio_bytes),
            ("media.max_other_bytes", self.media.max_other_bytes),
            ("uploads.keep_s", self.uploads.keep_s),
            ("artifacts.keep_s", self.artifacts.keep_s),
        ];
        if let Some((key, _)) = positive.iter().find(|(_, value)| *value == 0) {
            return Err(ConfigError::Value(format!("`{key}` must be at least 1")));
        }
        if self.server.max_head_bytes < 8192 {
            return Err(ConfigError::Value("`server.max_head_bytes` must be at least 8192".to_owned()));
        }
        address::networks(&self.server.trusted_proxies).map_err(ConfigError::Value)?;
        self.check_origins()?;
        self.issuers().map_err(ConfigError::Value)?;
        if self.server.tls_cert.as_os_str().is_empty() != self.server.tls_key.as_os_str().is_empty() {
            return Err(ConfigError::Value("`server.tls_cert` and `server.tls_key` go together".to_owned()));
        }
        self.acme.check(!self.server.tls_cert.as_os_str().is_empty()).map_err(ConfigError::Value)?;
        engines::check_url(&self.comfyui.url, "comfyui.url", "comfyui.headers")
            .map_err(ConfigError::Value)?;
        engines::check(&self.engine)
            .map_err(|(index, message)| ConfigError::Value(format!("engine {}: {message}", index + 1)))?;
        self.fetch.check().map_err(ConfigError::Value)?;
        self.models.check().map_err(ConfigError::Value)?;
        self.nodes.check().map_err(ConfigError::Value)?;
        self.supplies.check(!self.store.url.expose().is_empty()).map_err(ConfigError::Value)?;
        self.warm_up.check().map_err(ConfigError::Value)?;
        self.webhooks.check().map_err(ConfigError::Value)?;
        if self.log.level.parse::<tracing_subscriber::EnvFilter>().is_err() {
            return Err(ConfigError::Value(
                "`log.level` must be error, warn, info, debug or trace, or a filter".to_owned(),
            ));
        }
        Ok(())
    }

    /// The settings as TOML, secrets masked.
    pub fn shown(&self) -> String {
        toml::to_string_pretty(self).unwrap_or_default()
    }
}

/// The variable of `--comfyui-url`, which takes several addresses.
const URLS: &str = "COMFYPORT_COMFYUI_URL";

/// Seconds as a duration.
pub fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn one_line(error: &toml::de::Error) -> String {
    error.message().replace('\n', " ")
}

#[cfg(test)]
mod tests;
