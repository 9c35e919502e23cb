//! Model files that callers choose: whether the engine has them, and what it calls them.

use std::{collections::BTreeSet, sync::Arc};

use comfyport_depot::may_be_pickle;
use comfyport_endpoint::{Allowed, Decoded, Fault, FaultKind, Faults, Field, Kind, Place as Spot, Text};

use super::{Prepared, RunError, failure, pointer};
use crate::{
    pool::Place,
    readiness::{FoundFile, find_file, similar},
};

/// Files of one name that are told apart in a message; the rest is told by their number.
const MOST_TOLD: usize = 10;

/// The files of a folder, if the engine lists it.
type Files = Arc<Option<BTreeSet<String>>>;

/// A model file that a caller chose.
struct Chosen<'d> {
    field: &'d Field,
    folder: &'d str,
    place: At,
    /// Its name; of one that was told by its address, the file name in that.
    name: String,
    url: Option<String>,
    from_url: bool,
}

/// Where a choice stands in a request.
#[derive(Clone, Copy)]
enum At {
    Model(Spot),
    /// A field, and an item of its list.
    Lora(usize, usize),
}

/// Whether the engine has the model files that a caller picked. Where it does not list their folder, it has the last
/// word. Files that are told by their address get the name that the engine has for them.
pub(crate) async fn check(place: &Place, prepared: &mut Prepared) -> Result<(), RunError> {
    let (mut faults, mut named) = (Vec::new(), Vec::new());
    for chosen in choices(&prepared.decoded) {
        let by_address = chosen.url.is_some();
        match look(place, chosen.folder, |files| find_file(&chosen.name, by_address, files)).await? {
            Ok(Some(FoundFile::One(file))) => named.push((chosen.place, file)),
            Ok(Some(FoundFile::Several(files))) => faults.push(chosen.several(files)),
            Ok(None) => {}
            Err(files) => faults.push(chosen.missing(&files)),
        }
    }
    if !faults.is_empty() {
        return Err(RunError::Request { faults: Faults(faults), url: None });
    }
    for (at, file) in named {
        match at {
            At::Model(spot) => prepared.decoded.name_model(spot, file),
            At::Lora(field, item) => prepared.decoded.name_lora(field, item, file),
        }
    }
    Ok(())
}

fn choices(decoded: &Decoded) -> Vec<Chosen<'_>> {
    let models = decoded.models().into_iter().filter_map(|model| {
        let Kind::Model { folder, from_url } = &model.field.kind else { return None };
        let (field, place) = (model.field, At::Model(model.place));
        Some(Chosen { field, folder, place, name: model.name, url: model.url, from_url: *from_url })
    });
    let mut all: Vec<Chosen<'_>> = models.collect();
    for (position, field, loras) in decoded.loras() {
        let Kind::Loras { folder, from_url, .. } = &field.kind else { continue };
        for (item, lora) in loras.iter().enumerate() {
            let place = At::Lora(position, item);
            let name = lora.name.clone().unwrap_or_default();
            all.push(Chosen { field, folder, place, name, url: lora.url.clone(), from_url: *from_url });
        }
    }
    all
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

impl Chosen<'_> {
    fn missing(&self, files: &Files) -> Fault {
        let Self { name, folder, .. } = self;
        let message = match &self.url {
            None => format!("the engine has no such file in its models folder `{folder}`"),
            Some(url) => format!(
                "the engine has no file `{name}` in its models folder `{folder}`, and it is not fetched from {url}{}: \
                 put it there, or say {} which file to use",
                if self.from_url && may_be_pickle(name) { ", because pickles can run code" } else { "" },
                self.instead()
            ),
        };
        let did_you_mean = files.as_ref().as_ref().and_then(|files| similar(files, name));
        Fault { did_you_mean, ..self.fault(&message) }
    }

    fn several(&self, files: Vec<String>) -> Fault {
        let told: Vec<String> = files.iter().take(MOST_TOLD).map(|file| format!("`{file}`")).collect();
        let more = match files.len().saturating_sub(MOST_TOLD) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let message = format!(
            "the engine has {} files `{}`, {}{more}: say {} which one to use",
            files.len(),
            self.name,
            told.join(", "),
            self.instead()
        );
        let options: Vec<Text> = files.into_iter().map(Text::from).collect();
        Fault { allowed: Some(Allowed::Options(options.into_iter().collect())), ..self.fault(&message) }
    }

    /// Where else than in an address a file is told.
    fn instead(&self) -> &'static str {
        match self.place {
            At::Model(_) => "by its name",
            At::Lora(..) => "in `name`",
        }
    }

    fn fault(&self, message: &str) -> Fault {
        let message = match self.place {
            At::Model(_) => message.to_owned(),
            At::Lora(_, item) => format!("item {item}: {message}"),
        };
        let pointer = match self.place {
            At::Model(Spot::Advanced(_)) => format!("/advanced{}", pointer(&self.field.name)),
            _ => pointer(&self.field.name),
        };
        Fault {
            pointer,
            param: Some(self.field.name.to_string()),
            message,
            allowed: None,
            did_you_mean: None,
            code: FaultKind::Invalid,
        }
    }
}
