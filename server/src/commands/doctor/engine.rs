//! What an engine says of itself.

use std::{sync::Arc, time::Duration};

use comfyport_comfyui::Client;
use comfyport_needs::VersionRange;
use comfyport_packs::{Generation, Manager, ManagerError};
use comfyport_workflow::json::Value;

use super::{
    Expected,
    finding::{Findings, word},
    reach::{self, Reach},
};
use crate::{
    commands::{models::show::bytes, remote::printable, target::Target},
    engine::comfyui::ComfyUi,
    readiness::{Ages, Missing, Readiness, Report},
};

/// The ComfyUI that all of this is tried with.
const TRIED: &str = "0.3.64";

/// Lists are read once.
const AGES: Ages = Ages { fresh: Duration::from_mins(10), error: Duration::from_mins(10) };

/// Looks at an engine.
pub(super) async fn examine(target: Target, expected: &Expected<'_>) -> Findings {
    let mut found = Findings::of(&target.name);
    let stats = match target.client.system_stats().await {
        Ok(stats) => stats,
        Err(error) => {
            let mend = format!(
                "start ComfyUI there (`python main.py --listen 127.0.0.1 --port {}`), or name another address: \
                 --comfyui-url URL",
                target.url.port_or_known_default().unwrap_or(8188)
            );
            found.fault(
                "answers",
                format!("nothing that is a ComfyUI answers at {}: {error}", target.url),
                mend,
            );
            return found;
        }
    };
    let arguments: Vec<String> = system(&stats, "argv")
        .and_then(Value::as_array)
        .map(|words| words.iter().filter_map(|word| word.as_str().map(str::to_owned)).collect())
        .unwrap_or_default();
    version(&stats, expected, &mut found);
    ranges(&stats, expected, &mut found);
    listens(&target, &arguments, &mut found).await;
    memory(&stats, expected, &mut found);
    uploads(&target.client, expected, &mut found).await;
    manager(&target.client, &arguments, expected, &mut found).await;
    workflows(&target, expected, &mut found).await;
    found
}

fn system<'s>(stats: &'s Value, key: &str) -> Option<&'s Value> {
    stats.get("system")?.get(key)
}

/// Numbers of a version such as `v0.3.64`.
fn numbers(version: &str) -> Option<Vec<u64>> {
    let bare = version.trim_start_matches('v').split(['-', '+']).next()?;
    bare.split('.').map(|part| part.parse().ok()).collect()
}

fn version(stats: &Value, expected: &Expected<'_>, found: &mut Findings) {
    let Some(version) = system(stats, "comfyui_version").and_then(Value::as_str) else {
        found.note("version", "it does not say which ComfyUI it is");
        return;
    };
    let version = printable(version);
    let python = system(stats, "python_version").and_then(Value::as_str).map(printable);
    let python = python.and_then(|python| Some(format!(", Python {}", python.split(' ').next()?)));
    let locked = expected.comfyui.as_deref().filter(|locked| numbers(locked).is_some());
    let floors = [(TRIED, "comfyport is tried with"), (locked.unwrap_or(TRIED), "the lock says")];
    let is_older = |floor: &str| numbers(&version).zip(numbers(floor)).is_some_and(|(is, floor)| is < floor);
    for (floor, who) in floors {
        if is_older(floor) {
            let git = match &expected.folder {
                Some(folder) => format!("git -C {}", word(folder)),
                None => "in its folder: git".to_owned(),
            };
            let mend = format!("{git} fetch --tags && {git} checkout v{floor}, and restart it");
            found.warn("version", format!("ComfyUI {version} is older than what {who}, {floor}"), mend);
            return;
        }
    }
    found.fine("version", format!("ComfyUI {version}{}", python.unwrap_or_default()));
}

/// What packs say of the Pythons and ComfyUIs that they run on.
fn ranges(stats: &Value, expected: &Expected<'_>, found: &mut Findings) {
    let said = |key: &str| {
        let said = system(stats, key).and_then(Value::as_str)?;
        Some(printable(said.split_whitespace().next()?))
    };
    let engines = [("Python", said("python_version")), ("ComfyUI", said("comfyui_version"))];
    let (mut judged, mut outside) = (0, Vec::new());
    if let (Some(locked), Some(python)) = (&expected.python, &engines[0].1) {
        let minor =
            |version: &str| numbers(version).map(|numbers| numbers.into_iter().take(2).collect::<Vec<_>>());
        judged += 1;
        if minor(python).zip(minor(locked)).is_some_and(|(is, was)| is < was) {
            outside
                .push(format!("the lock was made with Python {}, and this is {python}", printable(locked)));
        }
    }
    for pack in &expected.packs.packs {
        for ((what, version), range) in engines.iter().zip([&pack.python, &pack.comfyui]) {
            let range = range.as_deref().and_then(VersionRange::read);
            let Some((version, range)) = version.as_ref().zip(range) else { continue };
            let Some(fits) = range.has(version) else { continue };
            judged += 1;
            if !fits {
                let id = printable(&pack.id);
                outside.push(format!("{id} asks for {what} {range}, and this is {version}"));
            }
        }
    }
    if !outside.is_empty() {
        let mend =
            "another version of the pack (`comfyport nodes update`), or a ComfyUI with a Python that fits";
        found.warn("ranges", outside.join("; "), mend);
    } else if judged > 0 {
        found.fine("ranges", "these are versions of ComfyUI and Python that node packs and the lock name");
    }
}

async fn listens(target: &Target, arguments: &[String], found: &mut Findings) {
    let listen = printable(&reach::listen(arguments));
    let elsewhere = !arguments.is_empty() && reach::is_elsewhere(&listen);
    let mend = "start ComfyUI with `--listen 127.0.0.1` and reach it by a tunnel (`ssh -N -L 8188:127.0.0.1:8188 \
                HOST`), or put a proxy before it that asks for a key, and give that in `headers` of the engine";
    match reach::look(&target.url, elsewhere).await {
        Reach::Guarded => found.fine("reach", "it does not answer whoever sends no headers of ours"),
        Reach::Here if elsewhere => {
            let what = format!("it listens on {listen}: whoever is let through to it can run code there");
            found.warn("reach", what, mend);
        }
        Reach::Here => found.fine("reach", "it listens on this machine alone, as far as it says"),
        Reach::Open { at, public } => {
            let network = if public { "the internet" } else { "its network" };
            let what = format!(
                "it answers at {at} to anybody in {network}, without asking who that is: they can run code there"
            );
            found.fault("reach", what, mend);
        }
    }
}

fn memory(stats: &Value, expected: &Expected<'_>, found: &mut Findings) {
    let devices = stats.get("devices").and_then(Value::as_array).unwrap_or_default();
    let largest = expected.models.iter().filter_map(|model| Some((model.size?, model.name()))).max();
    for device in devices {
        let text = |key: &str| device.get(key).and_then(Value::as_str).map(printable).unwrap_or_default();
        let number = |key: &str| device.get(key).and_then(Value::as_u64);
        let (Some(total), Some(free)) = (number("vram_total"), number("vram_free")) else { continue };
        let said = format!("{}: {} of {} free", text("name"), bytes(free), bytes(total));
        if text("type") == "cpu" {
            found.note("memory", format!("{said}; it has no GPU, or was started with `--cpu`"));
            continue;
        }
        match &largest {
            Some((size, name)) if *size > total => found.warn(
                "memory",
                format!("{said}; {name} is larger, {}", bytes(*size)),
                "a smaller version of the model (fp8, GGUF), or `--lowvram`, which is slow",
            ),
            _ => found.fine("memory", said),
        }
    }
    if devices.is_empty() {
        found.note("memory", "it names no device");
    }
}

/// Every body counts against the limit, not only files.
async fn uploads(client: &Client, expected: &Expected<'_>, found: &mut Findings) {
    let media = &expected.config.media;
    let limits =
        [media.max_picture_bytes, media.max_video_bytes, media.max_audio_bytes, media.max_other_bytes];
    let ours = limits.into_iter().max().unwrap_or_default();
    let features = client.features().await;
    let theirs = features.ok().flatten().and_then(|features| features.get("max_upload_size")?.as_u64());
    match theirs {
        None => {
            found.note("uploads", "it does not say how large an upload may be (it is 100 MiB unless told)");
        }
        Some(theirs) if theirs < ours => found.warn(
            "uploads",
            format!("it takes {} at most, and files of requests may have {}", bytes(theirs), bytes(ours)),
            format!("start ComfyUI with `--max-upload-size {}`, or lower `[media]`", ours.div_ceil(1 << 20)),
        ),
        Some(theirs) => found.fine("uploads", format!("it takes {} at most", bytes(theirs))),
    }
}

async fn manager(client: &Client, arguments: &[String], expected: &Expected<'_>, found: &mut Findings) {
    let manager = match Manager::detect(client.clone()).await {
        Ok(manager) => manager,
        Err(ManagerError::None) => {
            let how = match &expected.folder {
                Some(_) => "`comfyport nodes` needs none, since the folder is known",
                None => "`comfyport nodes` needs one, or the folder: --comfyui DIR",
            };
            found.note("manager", format!("it has no ComfyUI-Manager; {how}"));
            return;
        }
        Err(error) => {
            found.note("manager", error.to_string());
            return;
        }
    };
    let version = printable(manager.version().trim_start_matches('V'));
    let generation = match manager.generation() {
        Generation::Gets => "of before 3.40",
        Generation::Posts => "of 3.40 and later",
        Generation::Tasks => "of version 4",
        Generation::Legacy => "of version 4 with its former interface",
    };
    let said = format!("ComfyUI-Manager {version}, spoken to as one {generation}");
    let four = matches!(manager.generation(), Generation::Tasks | Generation::Legacy);
    let elsewhere = reach::is_elsewhere(&reach::listen(arguments));
    if four && elsewhere && expected.folder.is_none() {
        let what = format!(
            "{said}; it installs nothing while ComfyUI listens elsewhere, unless its `network_mode` is `personal_cloud`"
        );
        found.warn("manager", what, manager.generation().how_to_install());
    } else {
        found.fine("manager", said);
    }
}

async fn workflows(target: &Target, expected: &Expected<'_>, found: &mut Findings) {
    let engine = ComfyUi::new(target.name.clone(), target.client.clone(), false);
    let readiness = Readiness::new(Arc::new(engine), AGES);
    let (mut ready, total) = (0, expected.endpoints.len());
    for endpoint in &expected.endpoints {
        let report = readiness.report_workflow(endpoint).await;
        if report.ready {
            ready += 1;
            continue;
        }
        let Report { reason, missing, .. } = report;
        let what = format!("{}: {}", endpoint.path, printable(&reason.unwrap_or_default()));
        found.fault("workflow", what, mend(&endpoint.path, &missing, target, expected));
    }
    if ready > 0 || total == 0 {
        found.fine("workflow", format!("{ready} of {total} workflows have all they need"));
    }
}

/// The commands that bring what is missing.
fn mend(workflow: &str, missing: &Missing, target: &Target, expected: &Expected<'_>) -> String {
    let mut commands = Vec::new();
    let (of_packs, others): (Vec<_>, Vec<_>) =
        missing.classes.iter().partition(|class| class.node_pack.is_some());
    if !of_packs.is_empty() {
        let place = match &expected.folder {
            Some(folder) => format!("--comfyui {}", word(folder)),
            None => format!("--comfyui-url {}", target.url),
        };
        let is_pinned =
            |class: &str| expected.packs.packs.iter().any(|pack| pack.classes.iter().any(|one| one == class));
        if !of_packs.iter().all(|class| is_pinned(&class.class_type)) {
            commands.push("comfyport lock --resolve".to_owned());
        }
        commands.push(format!("comfyport nodes install {place} --workflow {workflow}"));
    }
    if !others.is_empty() {
        commands.push("update ComfyUI, or name the pack of what is not its own in a sidecar file".to_owned());
    }
    if !missing.models.is_empty() {
        commands.push(match &expected.folder {
            Some(folder) => {
                let models = word(&folder.join("models"));
                format!("comfyport models pull --to {models} --workflow {workflow}")
            }
            None => {
                format!("on its machine: comfyport models pull --to ComfyUI/models --workflow {workflow}")
            }
        });
    }
    if !missing.inputs.is_empty() {
        commands.push(
            "export the workflow again: its nodes changed, and want inputs that it does not give".to_owned(),
        );
    }
    if commands.is_empty() {
        commands.push("look into the log of ComfyUI".to_owned());
    }
    commands.join(" && ")
}
