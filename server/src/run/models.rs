//! Model files that callers choose: whether the engine has them, and what it calls them.

use std::{collections::BTreeSet, sync::Arc};

use comfyport_endpoint::{Allowed, Fault, FaultKind, Faults, Field, Kind, Lora, Text};

use super::{Prepared, RunError, failure, pointer};
use crate::{
    pool::Place,
    readiness::{LoraFile, find_lora, plain, similar},
};

/// Files of one name that are told apart in a message; the rest is told by their number.
const MOST_TOLD: usize = 10;

/// The files of a folder, if the engine lists it.
type Files = Arc<Option<BTreeSet<String>>>;

/// Whether the engine has the model files that a caller picked. Where it does not list their folder, it has the last
/// word. LoRAs that are told by their address get the name that the engine has for them.
pub(crate) async fn check(place: &Place, prepared: &mut Prepared) -> Result<(), RunError> {
    let mut faults = Vec::new();
    for (field, value) in prepared.decoded.models() {
        let Kind::Model { folder } = &field.kind else { continue };
        let has = |files: &BTreeSet<String>| files.contains(&plain(&value)).then_some(());
        if let Err(files) = look(place, folder, has).await? {
            faults.push(missing(field, folder, &value, &files));
        }
    }
    let mut named = Vec::new();
    for (position, field, loras) in prepared.decoded.loras() {
        let Kind::Loras { folder, .. } = &field.kind else { continue };
        for (item, lora) in loras.iter().enumerate() {
            match look(place, folder, |files| find_lora(lora.name.as_deref()?, lora.url.is_some(), files))
                .await?
            {
                Ok(Some(LoraFile::One(file))) => named.push((position, item, file)),
                Ok(Some(LoraFile::Several(files))) => faults.push(several(field, item, lora, files)),
                Ok(None) => {}
                Err(files) => faults.push(missing_lora(field, folder, item, lora, &files)),
            }
        }
    }
    if !faults.is_empty() {
        return Err(RunError::Request { faults: Faults(faults), url: None });
    }
    for (field, item, file) in named {
        prepared.decoded.name_lora(field, item, file);
    }
    Ok(())
}

/// What is found in a folder; nothing where the engine does not list it, and its newest list where nothing is found.
async fn look<T>(
    place: &Place,
    folder: &str,
    find: impl Fn(&BTreeSet<String>) -> Option<T>,
) -> Result<Result<Option<T>, Files>, RunError> {
    let engine = |error| failure::engine_error(place.engine.name(), error);
    let known = place.readiness.files(folder).await.map_err(engine)?;
    let Some(files) = known.as_ref() else { return Ok(Ok(None)) };
    if let Some(found) = find(files) {
        return Ok(Ok(Some(found)));
    }
    let newest = place.readiness.files_now(folder).await.map_err(engine)?;
    let Some(files) = newest.as_ref() else { return Ok(Ok(None)) };
    Ok(find(files).map(Some).ok_or(newest))
}

fn missing(field: &Field, folder: &str, value: &str, files: &Files) -> Fault {
    let message = format!("the engine has no such file in its models folder `{folder}`");
    Fault { did_you_mean: nearest(files, value), ..fault(field, message) }
}

fn missing_lora(field: &Field, folder: &str, item: usize, lora: &Lora, files: &Files) -> Fault {
    let name = lora.name.as_deref().unwrap_or_default();
    let Some(url) = &lora.url else {
        let fault = missing(field, folder, name, files);
        return Fault { message: format!("item {item}: {}", fault.message), ..fault };
    };
    let message = format!(
        "item {item}: the engine has no file `{name}` in its models folder `{folder}`, and it is not \
         fetched from {url}: put it there, or say in `name` which file to use"
    );
    Fault { did_you_mean: nearest(files, name), ..fault(field, message) }
}

fn several(field: &Field, item: usize, lora: &Lora, files: Vec<String>) -> Fault {
    let name = lora.name.as_deref().unwrap_or_default();
    let told: Vec<String> = files.iter().take(MOST_TOLD).map(|file| format!("`{file}`")).collect();
    let more = match files.len().saturating_sub(MOST_TOLD) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let message = format!(
        "item {item}: the engine has {} files `{name}`, {}{more}: say in `name` which one to use",
        files.len(),
        told.join(", ")
    );
    let options: Vec<Text> = files.into_iter().map(Text::from).collect();
    Fault { allowed: Some(Allowed::Options(options.into_iter().collect())), ..fault(field, message) }
}

fn nearest(files: &Files, value: &str) -> Option<String> {
    files.as_ref().as_ref().and_then(|files| similar(files, value))
}

fn fault(field: &Field, message: String) -> Fault {
    Fault {
        pointer: pointer(&field.name),
        param: Some(field.name.to_string()),
        message,
        allowed: None,
        did_you_mean: None,
        code: FaultKind::Invalid,
    }
}
