//! The layers of a configuration: a file and the environment over the defaults, with faults told by their line.

use std::path::Path;

use toml::{Table, Value};

use super::{BucketTable, Config, ConfigError, DEFAULT, engines, one_line};

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

pub(super) fn merge_file(merged: &mut Table, path: &Path) -> Result<(), ConfigError> {
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

pub(super) fn unknown<'k>(name: &str, known: impl Iterator<Item = &'k String>) -> String {
    let best = known
        .max_by(|left, right| strsim::jaro_winkler(left, name).total_cmp(&strsim::jaro_winkler(right, name)));
    match best {
        Some(best) => format!("there is no setting `{name}`; did you mean `{best}`?"),
        None => format!("there is no setting `{name}`"),
    }
}

pub(super) fn merge_environment(
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
