//! Versions, commits and requirements of node packs; and packs that may have classes of which nobody said it.

use comfyport_needs::{LockedPack, Needs, PackNeed, Pin, ProjectLock};
use comfyport_packs::{KnownPack, SourceError, Sources};
use futures_util::{StreamExt, stream};

use super::{Live, Resolved, Suggestion, quoted};
use crate::commands::remote::printable;

/// Packs that are asked about at the same time.
const AT_ONCE: usize = 4;

/// Whether something can be asked of it.
pub(super) fn is_open(pack: &LockedPack) -> bool {
    pack.pin().is_none() || pack.requirements.is_empty()
}

pub(super) async fn resolve(sources: &Sources, lock: &mut ProjectLock, resolved: &mut Resolved) {
    let open = lock.packs.iter().enumerate().filter(|(_, pack)| is_open(pack));
    let questions: Vec<(usize, LockedPack)> = open.map(|(index, pack)| (index, pack.clone())).collect();
    let asked = questions.iter().map(|(_, pack)| complete(sources, pack));
    let answers: Vec<_> = stream::iter(asked).buffered(AT_ONCE).collect().await;
    for ((index, before), (pack, failure)) in questions.iter().zip(answers) {
        if before.pin().is_none()
            && let Some(pin) = pack.pin()
        {
            let (at, who) = match pin {
                Pin::Version(version) => (format!("version {version}"), "the Comfy Registry, its newest"),
                Pin::Commit(commit) => (format!("commit {commit}"), "its repository, its newest"),
            };
            resolved.found.push(format!("node pack {}: {at} by {who}", pack.id));
        }
        if before.requirements != pack.requirements {
            let count = pack.requirements.len();
            resolved.found.push(format!("node pack {}: {count} requirements of Python", pack.id));
        }
        for (what, before, now) in
            [("Python", &before.python, &pack.python), ("ComfyUI", &before.comfyui, &pack.comfyui)]
        {
            if let Some(range) = now.as_ref().filter(|_| before != now) {
                resolved.found.push(format!("node pack {}: {what} {range}", pack.id));
            }
        }
        resolved.failures.extend(failure.map(|error| format!("node pack {}: {error}", before.id)));
        if let Some(locked) = lock.packs.get_mut(*index) {
            *locked = pack;
        }
    }
}

/// As exact as it can be made, and what stood in the way.
async fn complete(sources: &Sources, pack: &LockedPack) -> (LockedPack, Option<SourceError>) {
    let mut pack = pack.clone();
    if pack.pin().is_none() {
        pack = match sources.pin(&pack).await {
            Ok(pinned) => pinned,
            Err(error) => return (pack, Some(error)),
        };
    }
    match sources.asks(&pack).await {
        Ok(asks) => {
            pack.requirements = asks.requirements;
            pack.python = asks.python.map(|range| range.to_string());
            pack.comfyui = asks.comfyui.map(|range| range.to_string());
            (pack, None)
        }
        Err(error) => (pack, Some(error)),
    }
}

/// Packs for classes that nobody knows, or that several have: told, and not taken.
pub(super) async fn suggest(sources: &Sources, live: Option<&Live>, needs: &Needs, resolved: &mut Resolved) {
    let undecided = needs.packs.iter().filter(|pack| pack.is_ambiguous());
    let doubtful = undecided.flat_map(|pack: &PackNeed| {
        pack.doubtful.iter().map(|class| (class.clone(), pack.workflows.clone()))
    });
    let unknown = needs
        .unresolved
        .iter()
        .map(|(class, workflows)| (class.clone(), workflows.iter().cloned().collect::<Vec<_>>()));
    let mut told: Vec<(String, Vec<String>, Suggestion)> = Vec::new();
    for (class, workflows) in doubtful.chain(unknown) {
        let of_live = live.and_then(|live| live.owner(&class));
        let (who, pack) = match of_live {
            Some(pack) => ("the engine", Some(pack)),
            None => match sources.with_class(&class).await {
                Ok(known) => ("the Comfy Registry", known.map(of_registry)),
                Err(error) => {
                    resolved.failures.push(format!("class {class}: {error}"));
                    continue;
                }
            },
        };
        let Some(pack) = pack else { continue };
        // Several classes of one pack are one suggestion.
        if let Some((_, classes, suggestion)) =
            told.iter_mut().find(|(id, _, one)| *id == pack.id && one.what.contains(who))
        {
            classes.push(class);
            suggestion.what = says(classes, &workflows, who, &pack);
            suggestion.lines = lines(&pack, classes);
            continue;
        }
        let classes = vec![class];
        let what = says(&classes, &workflows, who, &pack);
        let file = format!("{}.toml", workflows.first().map_or("the sidecar", String::as_str));
        let suggestion = Suggestion { what, file, lines: lines(&pack, &classes) };
        told.push((pack.id, classes, suggestion));
    }
    resolved.suggestions.extend(told.into_iter().map(|(_, _, suggestion)| suggestion));
}

fn of_registry(known: KnownPack) -> LockedPack {
    LockedPack { id: known.id, repository: known.repository, version: known.newest, ..LockedPack::default() }
}

fn says(classes: &[String], workflows: &[String], who: &str, pack: &LockedPack) -> String {
    let (classes, workflows) = (classes.join(", "), workflows.join(", "));
    format!("{} of {workflows}: {who} says it is of {}", printable(&classes), printable(&pack.id))
}

/// What a sidecar says of it.
fn lines(pack: &LockedPack, classes: &[String]) -> String {
    let mut lines = format!("[node_packs.{}]\n", quoted(&pack.id));
    if let Some(repository) = &pack.repository {
        lines += &format!("repository = {}\n", quoted(repository));
    }
    if let Some(version) = pack.version.as_ref().or(pack.commit.as_ref()) {
        lines += &format!("version = {}\n", quoted(version));
    }
    let classes: Vec<String> = classes.iter().map(|class| quoted(class)).collect();
    lines + &format!("classes = [{}]\n", classes.join(", "))
}
