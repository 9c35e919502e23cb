//! `comfyport keys`: who may call.

use std::{process::ExitCode, sync::Arc};

use comfyport_store::{
    Store,
    keys::{Key, NewKey as Record},
};
use serde_json::{Value, json};

use super::table::{cell, table};
use crate::{
    access::{Grant, Scope, key::Fresh},
    assemble::store_options,
    cli::{Format, KeyAction, Keys, NewKey},
    config::{Config, Overrides},
    jobs::{Words, body::time},
    say,
};

/// Milliseconds in a day.
const DAY: i64 = 24 * 60 * 60 * 1000;

pub(crate) fn run(arguments: &Keys) -> ExitCode {
    let overrides = Overrides {
        store: arguments.store.clone(),
        data_dir: arguments.data_dir.clone(),
        ..Overrides::default()
    };
    let config = match Config::load(arguments.config.as_deref(), super::environment(), &overrides) {
        Ok(config) => config,
        Err(error) => return say::refuse(error),
    };
    let (_, options) = store_options(&config, arguments.simulate);
    let store = match Store::visit(&options, Arc::new(Words)) {
        Ok(store) => store,
        Err(error) => return say::refuse(error),
    };
    super::block_on(async {
        match act(&store, arguments).await {
            Ok(text) => say::data(&text),
            Err(error) => say::refuse(error),
        }
    })
}

async fn act(store: &Store, arguments: &Keys) -> Result<String, String> {
    match &arguments.action {
        KeyAction::Create(wanted) => create(store, wanted, arguments.format).await,
        KeyAction::List => {
            let keys = store.keys().await.map_err(|error| error.to_string())?;
            Ok(list(&keys, store.now(), arguments.format))
        }
        KeyAction::Revoke(names) => {
            let mut revoked = Vec::new();
            for id in &names.ids {
                let key = store.revoke_key(id.clone()).await.map_err(|error| error.to_string())?;
                let key = key.ok_or_else(|| {
                    format!("there is no key `{id}`; `comfyport keys list` prints those there are")
                })?;
                revoked.push(key);
            }
            Ok(list(&revoked, store.now(), arguments.format))
        }
    }
}

async fn create(store: &Store, wanted: &NewKey, format: Format) -> Result<String, String> {
    let named = |text: &str| !text.is_empty() && text.len() <= 128 && !text.chars().any(char::is_control);
    if !named(&wanted.name) || !wanted.owner.as_deref().is_none_or(named) {
        return Err("names and owners are 1 to 128 bytes without control characters".to_owned());
    }
    let mut scopes = wanted.scope.clone();
    scopes.sort_unstable();
    scopes.dedup();
    let grant = Grant {
        scopes,
        workflows: wanted.workflow.iter().map(|path| path.trim_start_matches('/').to_owned()).collect(),
        per_minute: wanted.per_minute,
        active_jobs: wanted.active_jobs,
    };
    let fresh = Fresh::make().map_err(|_| "this machine has no randomness to make a key of".to_owned())?;
    let key = Record {
        id: fresh.id.clone(),
        name: wanted.name.clone(),
        owner: wanted.owner.clone().unwrap_or_else(|| fresh.id.clone()),
        digest: fresh.digest,
        grant: serde_json::to_string(&grant).map_err(|error| error.to_string())?,
        expires_at: wanted.days.map(|days| store.now().saturating_add(i64::from(days) * DAY)),
    };
    if !store.create_key(key).await.map_err(|error| error.to_string())? {
        return Err("a key of that id exists already; try again".to_owned());
    }
    Ok(match format {
        Format::Json => format!("{:#}\n", json!({"id": fresh.id, "key": fresh.text})),
        Format::Text => {
            say::line(format_args!("key {}: this is shown once, and cannot be found out again", fresh.id));
            format!("{}\n", fresh.text)
        }
    })
}

fn list(keys: &[Key], now: i64, format: Format) -> String {
    let shown: Vec<Value> = keys.iter().map(|key| shown(key, now)).collect();
    match format {
        Format::Json => format!("{:#}\n", json!({"keys": shown})),
        Format::Text => {
            let row = |key: &Value| {
                [
                    "id",
                    "name",
                    "owner",
                    "status",
                    "scopes",
                    "workflows",
                    "per_minute",
                    "active_jobs",
                    "expires_at",
                ]
                .map(|member| cell(key, member))
            };
            let rows: Vec<_> = shown.iter().map(row).collect();
            let headings =
                ["KEY", "NAME", "OWNER", "STATUS", "SCOPES", "WORKFLOWS", "A MINUTE", "JOBS", "EXPIRES"];
            table(headings, &rows)
        }
    }
}

fn shown(key: &Key, now: i64) -> Value {
    let grant: Option<Grant> = serde_json::from_str(&key.key.grant).ok();
    let status = match (key.revoked_at, key.key.expires_at) {
        (Some(_), _) => "revoked",
        (None, Some(until)) if until <= now => "expired",
        (None, _) => "active",
    };
    let scopes = grant
        .as_ref()
        .map(|grant| grant.scopes.iter().copied().map(Scope::as_str).collect::<Vec<_>>().join(","));
    json!({
        "id": key.key.id,
        "name": key.key.name,
        "owner": key.key.owner,
        "status": status,
        "scopes": scopes,
        "workflows": grant.as_ref().filter(|grant| grant.is_bound()).map(|grant| grant.workflows.join(",")),
        "per_minute": grant.as_ref().and_then(|grant| grant.per_minute),
        "active_jobs": grant.as_ref().and_then(|grant| grant.active_jobs),
        "created_at": time(key.created_at),
        "expires_at": key.key.expires_at.map(time),
        "revoked_at": key.revoked_at.map(time),
    })
}
