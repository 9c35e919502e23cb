//! Settings: defaults, then a file, then the environment, then flags.
//!
//! The commented default file is embedded: it is the defaults and their documentation.

use std::{
    collections::BTreeMap,
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use toml::{Table, Value};
use url::Url;

mod acme;
mod credentials;
mod engines;
mod fetch;
mod issuers;
mod models;
mod nodes;
mod supplies;
mod warm_up;
mod webhooks;

use crate::access::{address, token::Issuer};

pub use credentials::FetchCredentials;
pub use engines::EngineTable;
pub use issuers::IssuerTable;
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

/// Text that is never shown. Written as it is, or as `{ env = "NAME" }` or `{ file = "/path" }`, which is read along with
/// the configuration.
#[derive(Clone, Deserialize)]
#[serde(try_from = "SecretForm")]
pub struct Secret(String);

/// How a secret is written.
#[derive(Deserialize)]
#[serde(untagged, expecting = "a secret is text, { env = \"NAME\" } or { file = \"/path\" }")]
enum SecretForm {
    Text(String),
    Elsewhere(Elsewhere),
}

/// Where else a secret is.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Elsewhere {
    Env(String),
    File(PathBuf),
}

impl TryFrom<SecretForm> for Secret {
    type Error = String;

    fn try_from(form: SecretForm) -> Result<Self, String> {
        match form {
            SecretForm::Text(text) => Ok(Self(text)),
            SecretForm::Elsewhere(Elsewhere::Env(name)) => match std::env::var(&name) {
                Ok(text) => Ok(Self(text)),
                Err(_) => {
                    Err(format!("a secret is to be in the environment variable `{name}`, which is not set"))
                }
            },
            SecretForm::Elsewhere(Elsewhere::File(path)) => match std::fs::read_to_string(&path) {
                // Editors and `echo` end lines; no secret ends with one.
                Ok(text) => Ok(Self(text.trim_end_matches(['\r', '\n']).to_owned())),
                Err(error) => Err(format!("a secret is to be in {}: {error}", path.display())),
            },
        }
    }
}

impl Secret {
    /// The text itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("****")
    }
}

impl Serialize for Secret {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("****")
    }
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
            config.store.url = Secret(url.clone());
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
        self.supplies.check().map_err(ConfigError::Value)?;
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

/// Tables of their own have no defaults to be held against.
fn check_buckets(value: &Value) -> Result<(), String> {
    let tables = value.as_array().ok_or("`bucket` is a list of tables: write `[[bucket]]`")?;
    for (number, table) in (1..).zip(tables) {
        table
            .clone()
            .try_into::<BucketTable>()
            .map_err(|error| format!("[[bucket]] number {number}: {}", one_line(&error)))?;
    }
    Ok(())
}

fn merge_file(merged: &mut Table, path: &Path) -> Result<(), ConfigError> {
    let shown = path.display().to_string();
    let text =
        std::fs::read_to_string(path).map_err(|error| ConfigError::File { path: shown.clone(), error })?;
    let syntax = |message: String| ConfigError::Syntax { path: shown.clone(), message };
    let table: Table = text.parse().map_err(|error: toml::de::Error| syntax(error.to_string()))?;
    let has_url = table.get("comfyui").is_some_and(|comfyui| comfyui.get("url").is_some());
    for (section, keys) in table {
        if section == "engine" {
            engines::read_tables(&text, &keys).map_err(syntax)?;
            if has_url {
                let line = line_of(&text, "comfyui", Some("url"));
                let message =
                    format!("line {line}: `comfyui.url` has no effect beside [[engine]]: leave it out");
                return Err(syntax(message));
            }
            merged.insert(section, keys);
            continue;
        }
        if section == "bucket" {
            check_buckets(&keys).map_err(syntax)?;
            merged.insert(section, keys);
            continue;
        }
        let Some(Value::Table(known)) = merged.get_mut(&section) else {
            return Err(syntax(format!(
                "line {}: {}",
                line_of(&text, &section, None),
                unknown(&section, merged.keys())
            )));
        };
        let Value::Table(keys) = keys else {
            return Err(syntax(format!(
                "line {}: `{section}` is a section: write `[{section}]`",
                line_of(&text, &section, None)
            )));
        };
        for (key, value) in keys {
            let line = line_of(&text, &section, Some(&key));
            let Some(old) = known.get(&key) else {
                return Err(syntax(format!("line {line}: in [{section}], {}", unknown(&key, known.keys()))));
            };
            if std::mem::discriminant(old) != std::mem::discriminant(&value) {
                let message =
                    format!("line {line}: `{section}.{key}` must be a {}, such as {old}", old.type_str());
                return Err(syntax(message));
            }
            known.insert(key.clone(), value);
            // Each value is tried on its own, so that a fault is told with its line.
            let mut trial: Table = DEFAULT.parse().unwrap_or_default();
            if let Some(Value::Table(trial)) = trial.get_mut(&section) {
                trial.insert(key.clone(), known[&key].clone());
            }
            Value::Table(trial)
                .try_into::<Config>()
                .map_err(|error| syntax(format!("line {line}: `{section}.{key}`: {}", one_line(&error))))?;
        }
    }
    Ok(())
}

fn line_of(text: &str, section: &str, key: Option<&str>) -> usize {
    let header = format!("[{section}]");
    let starts = |line: &str, word: &str| {
        line.strip_prefix(word).is_some_and(|rest| rest.trim_start().starts_with(['=', '.']))
    };
    let mut inside = false;
    for (number, line) in (1..).zip(text.lines().map(str::trim)) {
        if line.starts_with('[') {
            inside = line == header;
        }
        let found = match key {
            None => inside || starts(line, section),
            Some(key) => inside && starts(line, key) || starts(line, section),
        };
        if found {
            return number;
        }
    }
    1
}

fn unknown<'k>(name: &str, known: impl Iterator<Item = &'k String>) -> String {
    let best = known
        .max_by(|left, right| strsim::jaro_winkler(left, name).total_cmp(&strsim::jaro_winkler(right, name)));
    match best {
        Some(best) => format!("there is no setting `{name}`; did you mean `{best}`?"),
        None => format!("there is no setting `{name}`"),
    }
}

fn merge_environment(
    merged: &mut Table,
    defaults: &Table,
    environment: impl Iterator<Item = (String, String)>,
) -> Result<(), ConfigError> {
    for (variable, text) in environment {
        let Some((section, key)) = find_variable(defaults, &variable) else { continue };
        let value = match &defaults[&section][&key] {
            Value::String(_) => Value::String(text.clone()),
            _ => format!("value = {text}")
                .parse::<Table>()
                .ok()
                .and_then(|mut table| table.remove("value"))
                .ok_or_else(|| {
                    ConfigError::Value(format!(
                        "{variable}: `{section}.{key}` must be a {}",
                        defaults[&section][&key].type_str()
                    ))
                })?,
        };
        let mut trial = defaults.clone();
        let insert = |table: &mut Table| {
            if let Some(Value::Table(keys)) = table.get_mut(&section) {
                keys.insert(key.clone(), value.clone());
            }
        };
        insert(&mut trial);
        Value::Table(trial).try_into::<Config>().map_err(|error| {
            ConfigError::Value(format!("{variable}: `{section}.{key}`: {}", one_line(&error)))
        })?;
        insert(merged);
    }
    Ok(())
}

/// `COMFYPORT_JOBS_TIMEOUT_S` is `jobs.timeout_s`.
fn find_variable(defaults: &Table, variable: &str) -> Option<(String, String)> {
    let name = variable.strip_prefix("COMFYPORT_")?.to_lowercase();
    defaults.iter().find_map(|(section, keys)| {
        let key = name.strip_prefix(section.as_str())?.strip_prefix('_')?;
        keys.get(key).map(|_| (section.clone(), key.to_owned()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(file: Option<&str>, environment: &[(&str, &str)]) -> Result<Config, String> {
        let path = file.map(|text| {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), text).unwrap();
            file
        });
        let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Config::load(path.as_ref().map(tempfile::NamedTempFile::path), environment, &Overrides::default())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn the_defaults_are_a_configuration() {
        let config = load(None, &[]).unwrap();
        assert_eq!(config.server.listen.to_string(), "127.0.0.1:3000");
        assert!(load(Some(DEFAULT), &[]).is_ok());
    }

    #[test]
    fn layers_override_each_other() {
        let config =
            load(Some("[jobs]\ntimeout_s = 5\nmax_queued = 2"), &[("COMFYPORT_JOBS_TIMEOUT_S", "9")])
                .unwrap();
        assert_eq!((config.jobs.timeout_s, config.jobs.max_queued), (9, 2));
    }

    #[test]
    fn faults_name_the_key_and_the_line() {
        for (file, expected) in [
            (
                "[jobs]\ntimeout = 5",
                "line 2: in [jobs], there is no setting `timeout`; did you mean `timeout_s`?",
            ),
            ("[job]\n", "line 1: there is no setting `job`; did you mean `jobs`?"),
            ("[jobs]\n\ntimeout_s = \"5\"", "line 3: `jobs.timeout_s` must be a integer"),
            ("[server]\nlisten = \"nowhere\"", "line 2: `server.listen`"),
            ("[jobs]\ntimeout_s = 0", "`jobs.timeout_s` must be at least 1"),
            ("[comfyui]\nurl = \"ftp://x\"", "must start with http"),
            ("jobs = 1", "line 1: `jobs` is a section"),
        ] {
            let error = load(Some(file), &[]).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        let error = load(None, &[("COMFYPORT_MEDIA_MAX_SIDE", "many")]).unwrap_err();
        assert!(error.contains("COMFYPORT_MEDIA_MAX_SIDE"), "{error}");
    }

    #[test]
    fn engines_are_tables_or_addresses() {
        let only = &load(None, &[]).unwrap().engines()[0];
        assert_eq!((only.name().as_str(), only.stall_timeout_s), ("comfyui", Some(600)));
        let file = "[comfyui]\nstall_timeout_s = 60\nheaders = { a = \"b\" }\n[[engine]]\nname = \"big\"\n\
                    url = \"http://a:1\"\nweight = 2.5\ntags = [\"h100\"]\nconcurrency = 3\n\
                    [[engine]]\nurl = \"https://b\"\nstall_timeout_s = 9\n";
        let engines = load(Some(file), &[]).unwrap().engines();
        assert_eq!(engines.iter().map(EngineTable::name).collect::<Vec<_>>(), ["big", "b:443"]);
        assert_eq!(
            engines.iter().map(|engine| engine.stall_timeout_s).collect::<Vec<_>>(),
            [Some(60), Some(9)]
        );
        assert!(engines.iter().all(|engine| engine.headers.is_empty()), "headers are for one box alone");
        // What was typed last wins.
        let urls = [("COMFYPORT_COMFYUI_URL", "http://c:1, http://d:2")];
        let engines = load(Some(file), &urls).unwrap().engines();
        assert_eq!(engines.iter().map(EngineTable::name).collect::<Vec<_>>(), ["c:1", "d:2"]);
        assert!(engines.iter().all(|engine| engine.headers.len() == 1));
        let shown = load(Some(file), &[]).unwrap().shown();
        assert!(
            shown.contains("[[engine]]")
                && load(Some(&shown.replace("url = \"http://127.0.0.1:8188/\"\n", "")), &[]).is_ok(),
            "{shown}"
        );
    }

    #[test]
    fn faults_of_engines_name_the_line() {
        for (file, expected) in [
            (
                "[[engine]]\nurl = \"http://a\"\nwheight = 1",
                "line 3: in [[engine]], there is no setting `wheight`; did you mean `weight`?",
            ),
            (
                "[[engine]]\nurl = \"http://a\"\n[[engine]]\nurl = \"http://b\"\nweight = \"x\"",
                "line 5: `engine.weight`",
            ),
            ("[[engine]]\nname = \"a\"", "line 1: this [[engine]] has no `url`"),
            (
                "[[engine]]\nurl = \"http://a\"\n\n[[engine]]\nurl = \"http://a\"\nname = \"b\"",
                "line 4: there is an engine at http://a/ already",
            ),
            (
                "[[engine]]\nurl = \"http://a\"\n\n[[engine]]\nurl = \"http://b\"\nname = \"a:80\"",
                "line 4: there is an engine `a:80` already",
            ),
            ("[[engine]]\nurl = \"http://a\"\nname = \"a/b\"", "line 1: `name` must have"),
            ("[[engine]]\nurl = \"http://a\"\nconcurrency = 0", "line 1: `concurrency` must be at least 1"),
            ("[[engine]]\nurl = \"http://a\"\nweight = nan", "`weight` must be a number above 0"),
            ("[[engine]]\nurl = \"http://u:p@a\"", "use `headers`"),
            ("[engine]\nurl = \"http://a\"", "line 1: `engine` is a list of tables: write `[[engine]]`"),
            (
                "[comfyui]\nurl = \"http://a\"\n[[engine]]\nurl = \"http://b\"",
                "line 2: `comfyui.url` has no effect beside [[engine]]",
            ),
        ] {
            let error = load(Some(file), &[]).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        let error = load(None, &[("COMFYPORT_COMFYUI_URL", "http://a,nowhere")]).unwrap_err();
        assert!(error.contains("COMFYPORT_COMFYUI_URL: `nowhere`"), "{error}");
    }

    #[test]
    fn secrets_are_masked() {
        let engine = "[[engine]]\nurl = \"http://a\"\nheaders = { authorization = \"Bearer sesame\" }";
        let config = load(Some(engine), &[]).unwrap();
        assert_eq!(config.engines()[0].headers["authorization"].expose(), "Bearer sesame");
        assert!(!config.shown().contains("sesame") && !format!("{config:?}").contains("sesame"));
        let config = load(Some("[comfyui]\nheaders = { authorization = \"Bearer sesame\" }"), &[]).unwrap();
        assert!(!config.shown().contains("sesame") && !format!("{config:?}").contains("sesame"));
    }
}
