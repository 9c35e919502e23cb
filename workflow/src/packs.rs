//! Which node packs a workflow needs.
//!
//! A class that ComfyUI does not ship is looked up in a table of public packs. Where several packs claim a class, those
//! that are needed anyway come first, then those with more stars; the other candidates are named.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Read,
    sync::OnceLock,
};

use regex_lite::Regex;

use crate::{catalog::Catalog, diagnostic::Diagnostic, endpoint::NodePack, graph::Graph, ui::PackFact};

/// A compressed list of packs and their classes.
const TABLE: &[u8] = include_bytes!("../data/node_packs.zlib");

/// ComfyUI itself has an entry in the table: classes there and not in the catalog came with a later release.
const COMFYUI: &str = "https://github.com/comfyanonymous/ComfyUI";

#[derive(Debug)]
struct Pack {
    repository: String,
    stars: u64,
    pattern: Option<Regex>,
}

/// A pack that was chosen for a class.
#[derive(Debug)]
struct Chosen {
    index: usize,
    evidence: String,
    /// Repositories of others that it could be as well, likely ones first.
    others: Vec<String>,
}

#[derive(Debug, Default)]
struct Table {
    packs: Vec<Pack>,
    owners: BTreeMap<String, Vec<usize>>,
    /// Packs that own a class whatever others claim.
    preemptions: BTreeMap<String, usize>,
}

/// Packs for all classes that ComfyUI does not ship, in the order of their names; and the classes that none has.
pub(crate) fn find(
    graph: &Graph,
    catalog: &Catalog,
    facts: &[PackFact],
    diagnostics: &mut Vec<Diagnostic>,
) -> (Vec<NodePack>, Vec<String>) {
    let foreign: BTreeSet<&str> = graph
        .nodes
        .values()
        .map(|node| node.class_type.as_str())
        .filter(|class| Catalog::core().get(class).is_none())
        .collect();
    if foreign.is_empty() {
        return (Vec::new(), Vec::new());
    }
    let mut unknown = Vec::new();
    let table = table();
    let certain: BTreeSet<usize> = foreign.iter().filter_map(|class| table.only_owner(class)).collect();
    let mut packs: BTreeMap<String, NodePack> = BTreeMap::new();
    let own = facts.iter().rev().filter(|fact| !is_comfyui(fact));
    let own: BTreeMap<&str, &PackFact> = own.map(|fact| (fact.class_type.as_str(), fact)).collect();
    for class in foreign {
        if let Some(pack) = own.get(class) {
            let pack = named(pack, table);
            packs.entry(pack.id.clone()).or_insert(pack).classes.push(class.to_owned());
            continue;
        }
        let Some(Chosen { index, evidence, others }) = table.choose(class, &certain, diagnostics) else {
            unresolved(class, catalog, diagnostics);
            unknown.push(class.to_owned());
            continue;
        };
        let pack = &table.packs[index];
        if pack.repository == COMFYUI {
            diagnostics.push(Diagnostic::note(
                "newer-comfyui",
                format!("`{class}` came with a later ComfyUI than 0.3.64"),
            ));
            continue;
        }
        let id = pack.repository.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_owned();
        let entry = packs.entry(pack.repository.clone()).or_insert_with(|| NodePack {
            id,
            repository: Some(pack.repository.clone()),
            version: None,
            classes: Vec::new(),
            doubtful: Vec::new(),
            candidates: Vec::new(),
            evidence,
        });
        entry.classes.push(class.to_owned());
        if !others.is_empty() {
            entry.doubtful.push(class.to_owned());
        }
        for other in others {
            if !entry.candidates.contains(&other) {
                entry.candidates.push(other);
            }
        }
    }
    let mut packs: Vec<NodePack> = packs.into_values().collect();
    packs.sort_by_key(|pack| pack.id.to_lowercase());
    (packs, unknown)
}

/// Newer editors mark ComfyUI's own nodes as well.
fn is_comfyui(fact: &PackFact) -> bool {
    fact.registry_id.as_deref() == Some("comfy-core")
}

/// A pack that the workflow itself names. Where it does not say the repository, the class tells it.
fn named(fact: &PackFact, table: &Table) -> NodePack {
    let repository = fact.repository.as_ref().map(|path| format!("https://github.com/{path}"));
    let owner = || table.only_owner(&fact.class_type).map(|index| table.packs[index].repository.clone());
    let last = fact.repository.as_deref().and_then(|path| path.rsplit('/').next());
    let version = fact.version.as_ref().map(|version| format!(", version {version}")).unwrap_or_default();
    NodePack {
        id: fact.registry_id.as_deref().or(last).unwrap_or_default().to_owned(),
        repository: repository.or_else(owner),
        version: fact.version.clone(),
        classes: Vec::new(),
        doubtful: Vec::new(),
        candidates: Vec::new(),
        evidence: format!("the workflow names it{version}"),
    }
}

fn unresolved(class: &str, catalog: &Catalog, diagnostics: &mut Vec<Diagnostic>) {
    if let Some(module) = catalog.get(class).and_then(|node| node.python_module.as_deref()) {
        diagnostics.push(Diagnostic::note(
            "unknown-pack",
            format!("`{class}` comes from `{module}`, no public pack is known"),
        ));
        return;
    }
    diagnostics.push(
        Diagnostic::warning("unknown-class", format!("no public node pack is known for `{class}`"))
            .help("name its pack in the sidecar file: [node_packs.<id>] with `repository`"),
    );
}

impl Table {
    fn only_owner(&self, class: &str) -> Option<usize> {
        let preempted = self.preemptions.get(class).copied();
        preempted.or_else(|| match self.owners.get(class)?.as_slice() {
            [only] => Some(*only),
            _ => None,
        })
    }

    fn choose(
        &self,
        class: &str,
        certain: &BTreeSet<usize>,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Option<Chosen> {
        let surely =
            |index, evidence: &str| Chosen { index, evidence: evidence.to_owned(), others: Vec::new() };
        if let Some(index) = self.only_owner(class) {
            return Some(surely(index, "the only pack with this class"));
        }
        if let Some(owners) = self.owners.get(class) {
            if let Some(core) = owners.iter().find(|index| self.packs[**index].repository == COMFYUI) {
                return Some(surely(*core, "ComfyUI itself"));
            }
            let rank = |index: &usize| {
                (certain.contains(index), self.packs[*index].stars, std::cmp::Reverse(*index))
            };
            let best = *owners.iter().max_by_key(|index| rank(index))?;
            let mut others: Vec<usize> = owners.iter().copied().filter(|index| *index != best).collect();
            others.sort_by_key(|index| std::cmp::Reverse(rank(index)));
            let others: Vec<String> =
                others.into_iter().take(4).map(|index| self.packs[index].repository.clone()).collect();
            diagnostics.push(
                Diagnostic::note(
                    "ambiguous-pack",
                    format!("`{class}` is in several node packs; `{}` is taken", self.packs[best].repository),
                )
                .help(format!("others: {}", others.join(", "))),
            );
            if certain.contains(&best) {
                return Some(surely(best, "its other classes are needed too"));
            }
            return Some(Chosen { index: best, evidence: "the pack with most stars".to_owned(), others });
        }
        let matching = |pack: &Pack| pack.pattern.as_ref().is_some_and(|pattern| pattern.is_match(class));
        let found = self
            .packs
            .iter()
            .enumerate()
            .filter(|(_, pack)| matching(pack))
            .max_by_key(|(_, pack)| pack.stars);
        found.map(|(index, _)| surely(index, "the pack's naming pattern"))
    }
}

fn table() -> &'static Table {
    static PACKS: OnceLock<Table> = OnceLock::new();
    PACKS.get_or_init(|| {
        let mut text = String::new();
        // Ours and tested; were it broken, packs would be unknown and said to be.
        let _ = flate2::read::ZlibDecoder::new(TABLE).read_to_string(&mut text);
        parse(&text)
    })
}

fn parse(text: &str) -> Table {
    let mut table = Table::default();
    for line in text.lines() {
        if let Some(head) = line.strip_prefix('>') {
            let mut fields = head.splitn(3, '\t');
            table.packs.push(Pack {
                repository: fields.next().unwrap_or_default().to_owned(),
                stars: fields.next().and_then(|stars| stars.parse().ok()).unwrap_or(0),
                pattern: fields
                    .next()
                    .filter(|pattern| !pattern.is_empty())
                    .and_then(|pattern| Regex::new(pattern).ok()),
            });
            continue;
        }
        let index = table.packs.len().saturating_sub(1);
        match line.strip_prefix('!') {
            Some(class) => drop(table.preemptions.insert(class.to_owned(), index)),
            None => table.owners.entry(line.to_owned()).or_default().push(index),
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn well_known_classes_have_their_packs() {
        for (class, repository) in [
            ("VHS_VideoCombine", "VideoHelperSuite"),
            ("CannyEdgePreprocessor", "comfyui_controlnet_aux"),
            ("Power Lora Loader (rgthree)", "rgthree"),
        ] {
            let chosen = table().choose(class, &BTreeSet::new(), &mut Vec::new()).unwrap();
            assert!(table().packs[chosen.index].repository.contains(repository), "{class}");
        }
    }
}
