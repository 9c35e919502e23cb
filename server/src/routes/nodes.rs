//! `GET /nodes`: the node classes that workflows need, the packs that have them, and which engine has which.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use axum::{Json, extract::State};
use comfyport_endpoint::Endpoint;
use comfyport_needs::{LockedPack, ProjectLock};
use serde::Serialize;

use super::models::Lister;
use crate::{app::AppState, engine::Capabilities, pool::Stock};

/// The list.
#[derive(Debug, Serialize)]
pub struct Listing {
    engines: Vec<Lister>,
    nodes: Vec<Node>,
    packs: Vec<Pack>,
}

/// A class that workflows need.
#[derive(Debug, Serialize)]
struct Node {
    class_type: String,
    needed_by: BTreeSet<String>,
    /// The packs that have it, as far as somebody said so. None for ComfyUI's own, and for those that nobody knows.
    packs: BTreeSet<String>,
    engines: BTreeMap<String, Standing>,
}

/// Whether an engine has a class, and from where.
#[derive(Debug, Serialize)]
struct Standing {
    /// `present`, `missing`, or `unknown` where the engine does not answer.
    state: &'static str,
    /// The module that it is from there: that is evidence for its pack. Not told of ComfyUI's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    module: Option<String>,
}

/// A pack that workflows need.
#[derive(Debug, Default, Serialize)]
struct Pack {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    repository: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    commit: Option<String>,
    /// Those of its classes that are needed.
    classes: BTreeSet<String>,
    needed_by: BTreeSet<String>,
    /// Who says that the classes are its own: `workflow`, which stands for its sidecar as well, and `lock`.
    evidence: BTreeSet<&'static str>,
    /// `present`, `incomplete` where some of the classes are missing, `missing`, or `unknown`.
    engines: BTreeMap<String, &'static str>,
}

/// `GET /nodes`
pub async fn list(State(app): State<AppState>) -> Json<Listing> {
    let stock = app.jobs.pool.classes_of_each().await;
    let now = app.endpoints.now();
    let served: Vec<&Endpoint> = now.served().map(|endpoint| &**endpoint).collect();
    let mut packs = packs(&served, &app.jobs.supplies.locked());
    for pack in &mut packs {
        pack.engines = stock.iter().map(|stock| (stock.engine.clone(), state_of(pack, stock))).collect();
    }
    let mut needed: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for endpoint in &served {
        for node in &*endpoint.nodes {
            needed.entry(&*node.class_type).or_default().insert(endpoint.path.to_string());
        }
    }
    let node = |(class, needed_by): (&str, BTreeSet<String>)| Node {
        class_type: class.to_owned(),
        needed_by,
        packs: packs.iter().filter(|pack| pack.classes.contains(class)).map(|pack| pack.id.clone()).collect(),
        engines: stock.iter().map(|stock| (stock.engine.clone(), standing(class, stock))).collect(),
    };
    let nodes = needed.into_iter().map(node).collect();
    Json(Listing { engines: stock.iter().map(Lister::of).collect(), nodes, packs })
}

fn standing(class: &str, stock: &Stock<Arc<Capabilities>>) -> Standing {
    let Ok(has) = &stock.has else { return Standing { state: "unknown", module: None } };
    let state = if has.classes.contains(class) { "present" } else { "missing" };
    Standing { state, module: has.modules.get(class).cloned() }
}

fn state_of(pack: &Pack, stock: &Stock<Arc<Capabilities>>) -> &'static str {
    let Ok(has) = &stock.has else { return "unknown" };
    match pack.classes.iter().filter(|class| has.classes.contains(*class)).count() {
        found if found == pack.classes.len() => "present",
        0 => "missing",
        _ => "incomplete",
    }
}

/// The packs that workflows name, and what the lock says of them, by id.
fn packs(endpoints: &[&Endpoint], lock: &ProjectLock) -> Vec<Pack> {
    let mut packs: BTreeMap<String, Pack> = BTreeMap::new();
    for endpoint in endpoints {
        for named in &*endpoint.node_packs {
            let pack = packs.entry(named.id.to_lowercase()).or_default();
            pack.id = named.id.to_string();
            pack.repository =
                pack.repository.take().or_else(|| named.repository.as_ref().map(ToString::to_string));
            pack.classes.extend(named.classes.iter().map(ToString::to_string));
            pack.needed_by.insert(endpoint.path.to_string());
            pack.evidence.insert("workflow");
        }
    }
    for locked in &lock.packs {
        let pack = packs.entry(locked.id.to_lowercase()).or_default();
        let LockedPack { id, repository, version, commit, classes, workflows, .. } = locked.clone();
        (pack.id, pack.version, pack.commit) = (id, version, commit);
        pack.repository = repository.or_else(|| pack.repository.take());
        pack.classes.extend(classes);
        pack.needed_by.extend(workflows);
        pack.evidence.insert("lock");
    }
    packs.into_values().collect()
}
