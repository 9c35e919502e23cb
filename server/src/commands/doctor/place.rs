//! What a ComfyUI on this machine is like, by its files.

use std::{
    fs,
    path::{Path, PathBuf},
};

use comfyport_depot::free_space;
use comfyport_packs::{Action, Installer, Place, Sources};

use super::{
    Expected,
    finding::{Findings, word},
};
use crate::{commands::models::show::bytes, supplies::Needed};

/// Where ComfyUI-Manager keeps its settings, the newest place first.
const MANAGERS: [&str; 2] = ["user/__manager/config.ini", "user/default/ComfyUI-Manager/config.ini"];

/// The largest file of settings that is read, in bytes.
const LARGEST: u64 = 1 << 20;

/// Folders of which ComfyUI renamed one into the other, and reads both.
const RENAMED: [(&str, &str); 4] = [
    ("unet/", "diffusion_models/"),
    ("diffusion_models/", "unet/"),
    ("clip/", "text_encoders/"),
    ("text_encoders/", "clip/"),
];

/// Looks at a folder of ComfyUI.
pub(super) async fn examine(
    folder: &Path,
    python: Option<&Path>,
    expected: &Expected<'_>,
) -> Result<Findings, String> {
    let mut found = Findings::of(folder.display().to_string());
    let usual = Some(&expected.config.nodes.python).filter(|python| !python.as_os_str().is_empty());
    let python = python.or(usual.map(PathBuf::as_path));
    let place = match Place::new(folder, python) {
        Ok(place) => place,
        Err(error) => {
            found.fault(
                "folder",
                error.to_string(),
                "name the folder that holds `custom_nodes`: --comfyui DIR",
            );
            return Ok(found);
        }
    };
    match place.python() {
        Some(python) => found.fine("python", python.display().to_string()),
        None => found.warn(
            "python",
            "the Python of ComfyUI is not known, and packs that ask for packages cannot be installed",
            "--python FILE, or `nodes.python`",
        ),
    }
    disk(&place, expected, &mut found);
    security(&place, &mut found);
    models(&place, expected, &mut found);
    packs(place, expected, &mut found).await?;
    Ok(found)
}

fn models_folder(place: &Place) -> PathBuf {
    place.folder().join("models")
}

/// What is missing has to find room.
fn disk(place: &Place, expected: &Expected<'_>, found: &mut Findings) {
    let missing = missing_models(place, expected);
    let sizes: u64 = missing.iter().filter_map(|(_, size)| *size).sum();
    let reserve = expected.config.models.reserve_bytes;
    let folder = models_folder(place);
    let folder = if folder.is_dir() { folder } else { place.folder().to_owned() };
    let free = match free_space(&folder) {
        Ok(free) => free,
        Err(error) => return found.note("disk", error.to_string()),
    };
    let room = format!("{} free", bytes(free));
    if free < sizes.saturating_add(reserve) {
        let what = format!(
            "{room}; {} of models are missing, and {} are to stay free (`models.reserve_bytes`)",
            bytes(sizes),
            bytes(reserve)
        );
        let mend = format!("comfyport models cleanup --to {}", word(&folder));
        found.fault("disk", what, mend);
    } else {
        found.fine("disk", room);
    }
}

/// Models that no file is there for, with their sizes as far as those are known.
fn missing_models(place: &Place, expected: &Expected<'_>) -> Vec<(String, Option<u64>)> {
    let folder = models_folder(place);
    let wanted = expected.models.iter().filter(|model| !model.by_node);
    let is_there = |path: &str| folder.join(path).is_file();
    let is_missing = |model: &&Needed| {
        // What leads elsewhere is no name of a model.
        let Some(name) = model.any_name().map(|name| name.to_string()) else { return false };
        let renamed = RENAMED.iter().find_map(|(one, other)| {
            let rest = name.strip_prefix(one)?;
            Some(format!("{other}{rest}"))
        });
        !is_there(&name) && !renamed.is_some_and(|name| is_there(&name))
    };
    wanted.filter(is_missing).map(|model| (model.name(), model.size)).collect()
}

fn models(place: &Place, expected: &Expected<'_>, found: &mut Findings) {
    let missing = missing_models(place, expected);
    let total = expected.models.len();
    if missing.is_empty() {
        return found.fine("models", format!("all {total} that are needed are there"));
    }
    let names: Vec<&str> = missing.iter().take(5).map(|(name, _)| name.as_str()).collect();
    let more = missing.len().saturating_sub(names.len());
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let what = format!("{} of {total} are missing: {}{more}", missing.len(), names.join(", "));
    let mend = format!("comfyport models pull --to {}", word(&models_folder(place)));
    found.fault("models", what, mend);
}

/// What its Manager lets others do.
fn security(place: &Place, found: &mut Findings) {
    let path = MANAGERS.iter().map(|path| place.folder().join(path)).find(|path| path.is_file());
    let Some(path) = path else { return found.note("security", "ComfyUI-Manager has no settings here") };
    let small = fs::metadata(&path).is_ok_and(|file| file.len() <= LARGEST);
    let Some(text) = small.then(|| fs::read_to_string(&path).ok()).flatten() else {
        return found.note("security", format!("{} cannot be read", path.display()));
    };
    let value = |key: &str| {
        let lines = text.lines().filter_map(|line| line.split_once('='));
        lines
            .filter(|(name, _)| name.trim() == key)
            .map(|(_, value)| value.trim().to_ascii_lowercase())
            .next_back()
    };
    let level = value("security_level").unwrap_or_else(|| "normal".to_owned());
    let said = format!("`security_level = {level}` in {}", path.display());
    match level.as_str() {
        "weak" => found.warn(
            "security",
            format!("{said}: whoever reaches ComfyUI can have it install anything"),
            format!("set `security_level = normal` in {}, and restart ComfyUI", path.display()),
        ),
        "strong" => found.note(
            "security",
            format!("{said}: nothing can be installed by ComfyUI-Manager; `comfyport nodes` by files can"),
        ),
        _ => found.fine("security", said),
    }
}

/// Whether packs are there as they are locked.
async fn packs(place: Place, expected: &Expected<'_>, found: &mut Findings) -> Result<(), String> {
    let nodes = &expected.config.nodes;
    let Sources { git, registry } = expected.config.pack_sources()?;
    let folder = word(place.folder());
    let installer =
        Installer { place, git, registry, python: None, engine: None, settings: nodes.settings() };
    let plan = match installer.plan_install(&expected.packs.packs).await {
        Ok(plan) => plan,
        Err(error) => {
            found.note("packs", error.to_string());
            return Ok(());
        }
    };
    let mut good = 0;
    for step in &plan.steps {
        let mend = match &step.action {
            Action::Keep { .. } => {
                good += 1;
                continue;
            }
            Action::Conflict(_) => format!("comfyport nodes list --comfyui {folder}"),
            _ => format!("comfyport nodes install --comfyui {folder}"),
        };
        let words = step.to_string();
        found.fault(
            "packs",
            format!("to do: {}", words.split_whitespace().collect::<Vec<_>>().join(" ")),
            mend,
        );
    }
    for loose in &expected.packs.loose {
        let what = format!("{} of {}: {}", loose.pack, loose.workflows.join(", "), loose.why);
        found.warn("packs", what, loose.help.clone());
    }
    if good > 0 || (plan.steps.is_empty() && expected.packs.loose.is_empty()) {
        found.fine("packs", format!("{good} of {} that are locked are there", plan.steps.len()));
    }
    Ok(())
}
