//! The engines of a configuration: `[[engine]]` tables, addresses on the command line, or the one of `[comfyui]`.

use std::{collections::BTreeMap, path::PathBuf};

use comfyport_comfyui::ClientConfig;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};
use url::Url;

use super::{ComfyUi, Secret, one_line, seconds, unknown};

/// The keys of an `[[engine]]` table, in the order of the documentation.
const KEYS: [&str; 13] = [
    "name",
    "url",
    "weight",
    "tags",
    "concurrency",
    "headers",
    "connect_timeout_s",
    "request_timeout_s",
    "stall_timeout_s",
    "comfyui",
    "models_dir",
    "python",
    "restart_command",
];

/// Longest name of an engine, in bytes.
const LONGEST_NAME: usize = 128;

/// An `[[engine]]` table.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the default file documents every key")]
pub struct EngineTable {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    pub url: Url,
    #[serde(default = "one")]
    pub weight: f64,
    #[serde(default)]
    pub tags: Vec<String>,
    #[serde(default = "two")]
    pub concurrency: usize,
    #[serde(default)]
    pub headers: BTreeMap<String, Secret>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect_timeout_s: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_timeout_s: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stall_timeout_s: Option<u64>,
    #[serde(default, skip_serializing_if = "is_empty")]
    pub comfyui: PathBuf,
    #[serde(default, skip_serializing_if = "is_empty")]
    pub models_dir: PathBuf,
    #[serde(default, skip_serializing_if = "is_empty")]
    pub python: PathBuf,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub restart_command: String,
}

#[expect(clippy::ptr_arg, reason = "the signature that serde wants")]
fn is_empty(path: &PathBuf) -> bool {
    path.as_os_str().is_empty()
}

fn one() -> f64 {
    1.0
}

fn two() -> usize {
    2
}

impl EngineTable {
    /// An engine of which only the address is known.
    pub fn at(url: Url, headers: BTreeMap<String, Secret>) -> Self {
        Self {
            name: None,
            url,
            weight: one(),
            tags: Vec::new(),
            concurrency: two(),
            headers,
            connect_timeout_s: None,
            request_timeout_s: None,
            stall_timeout_s: None,
            comfyui: PathBuf::new(),
            models_dir: PathBuf::new(),
            python: PathBuf::new(),
            restart_command: String::new(),
        }
    }

    /// Its name: `host:port` if it was given none.
    pub fn name(&self) -> String {
        self.name.clone().unwrap_or_else(|| {
            let host = self.url.host_str().unwrap_or_default();
            match self.url.port_or_known_default() {
                Some(port) => format!("{host}:{port}"),
                None => host.to_owned(),
            }
        })
    }

    /// What is not told of it is as in `[comfyui]`, but for headers: those are for one box alone.
    #[must_use]
    pub fn or(mut self, common: &ComfyUi) -> Self {
        self.connect_timeout_s.get_or_insert(common.connect_timeout_s);
        self.request_timeout_s.get_or_insert(common.request_timeout_s);
        self.stall_timeout_s.get_or_insert(common.stall_timeout_s);
        self
    }

    /// How it is asked.
    pub fn client(&self, name: &str) -> Result<ClientConfig, String> {
        let mut client = ClientConfig::new(self.url.clone());
        client.connect_timeout = self.connect_timeout_s.map_or(client.connect_timeout, seconds);
        client.request_timeout = self.request_timeout_s.map_or(client.request_timeout, seconds);
        for (header, value) in &self.headers {
            if !client.headers.insert(header, value.expose()) {
                return Err(format!("the headers of engine {name}: `{header}` is not one that can be set"));
            }
        }
        Ok(client)
    }

    fn check(&self) -> Result<(), String> {
        check_url(&self.url, "url", "headers")?;
        if !(self.weight.is_finite() && self.weight > 0.0) {
            return Err("`weight` must be a number above 0".to_owned());
        }
        let positive = [
            ("concurrency", Some(self.concurrency as u64)),
            ("connect_timeout_s", self.connect_timeout_s),
            ("request_timeout_s", self.request_timeout_s),
        ];
        if let Some((key, _)) = positive.iter().find(|(_, value)| *value == Some(0)) {
            return Err(format!("`{key}` must be at least 1"));
        }
        // It is part of addresses and of lines of text.
        let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || b"._-:[]".contains(&byte);
        let name = self.name();
        if name.is_empty() || name.len() > LONGEST_NAME || !name.bytes().all(is_fit) {
            return Err(format!(
                "`name` must have 1 to {LONGEST_NAME} letters, digits or any of `.`, `_`, `-` and `:`"
            ));
        }
        Ok(())
    }
}

/// Rules for the address of an engine.
pub(super) fn check_url(url: &Url, key: &str, headers: &str) -> Result<(), String> {
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(format!("`{key}` must start with http:// or https://, such as http://127.0.0.1:8188"));
    }
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
        return Err(format!("`{key}` must not carry a user, a password or a query; use `{headers}`"));
    }
    Ok(())
}

/// Rules for each engine and for all together: the position of the faulty one, and what is wrong.
pub(super) fn check(engines: &[EngineTable]) -> Result<(), (usize, String)> {
    for (index, engine) in engines.iter().enumerate() {
        engine.check().map_err(|message| (index, message))?;
        let mut before = engines.iter().take(index);
        if before.any(|other| other.name() == engine.name()) {
            let message = format!("there is an engine `{}` already; give it another `name`", engine.name());
            return Err((index, message));
        }
        let mut before = engines.iter().take(index);
        if before.any(|other| other.url == engine.url) {
            return Err((index, format!("there is an engine at {} already", engine.url)));
        }
    }
    Ok(())
}

/// Addresses in one variable: `http://a:8188,http://b:8188`.
pub(super) fn read_urls(variable: &str, text: &str) -> Result<Vec<Url>, String> {
    let read = |url: &str| {
        url.trim().parse::<Url>().map_err(|error| format!("{variable}: `{}`: {error}", url.trim()))
    };
    text.split(',').map(read).collect()
}

/// Checks what a file says of engines. Faults are told with their line.
pub(super) fn read_tables(text: &str, value: &Value) -> Result<(), String> {
    let tables =
        value.as_array().and_then(|items| items.iter().map(Value::as_table).collect::<Option<Vec<_>>>());
    let Some(tables) = tables else {
        let line = line_of(text, 0, None);
        return Err(format!("line {line}: `engine` is a list of tables: write `[[engine]]`"));
    };
    let mut engines = Vec::new();
    for (index, table) in tables.iter().enumerate() {
        engines.push(read_table(text, index, table)?);
    }
    check(&engines).map_err(|(index, message)| format!("line {}: {message}", line_of(text, index, None)))
}

fn read_table(text: &str, index: usize, table: &Table) -> Result<EngineTable, String> {
    let known: Vec<String> = KEYS.map(str::to_owned).into();
    if let Some(key) = table.keys().find(|key| !known.contains(key)) {
        let line = line_of(text, index, Some(key));
        return Err(format!("line {line}: in [[engine]], {}", unknown(key, known.iter())));
    }
    if !table.contains_key("url") {
        let line = line_of(text, index, None);
        return Err(format!("line {line}: this [[engine]] has no `url`, such as \"http://127.0.0.1:8188\""));
    }
    // Each value is tried on its own, so that a fault is told with its line.
    for (key, value) in table {
        let mut trial: Table =
            [("url".to_owned(), Value::String("http://localhost".to_owned()))].into_iter().collect();
        trial.insert(key.clone(), value.clone());
        let line = line_of(text, index, Some(key));
        Value::Table(trial)
            .try_into::<EngineTable>()
            .map_err(|error| format!("line {line}: `engine.{key}`: {}", one_line(&error)))?;
    }
    Value::Table(table.clone())
        .try_into()
        .map_err(|error| format!("line {}: {}", line_of(text, index, None), one_line(&error)))
}

/// The line of a table, or of a key in it.
fn line_of(text: &str, index: usize, key: Option<&str>) -> usize {
    let mut headers = 0;
    let mut found = 1;
    for (number, line) in (1..).zip(text.lines().map(str::trim)) {
        if line.starts_with("[[engine]]") {
            headers += 1;
            if headers == index + 1 {
                found = number;
            }
        } else if line.starts_with("[[") && headers > index {
            break;
        } else if headers == 0 && (line.starts_with("[engine]") || line.starts_with("engine")) && index == 0 {
            found = number;
        }
        let starts =
            |key: &str| line.strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with(['=', '.']));
        if headers == index + 1 && key.is_some_and(starts) {
            return number;
        }
    }
    found
}
