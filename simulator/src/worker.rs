//! The one thread that runs prompts, strictly one at a time.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, atomic::Ordering},
};

use comfyport_workflow::json::{Object, Value};

use crate::{
    events::Events,
    faults::Fault,
    ledger::LedgerEvent,
    nodes::data::Data,
    order::{inputs, link},
    python,
    queue::Item,
    run::{Ending, Run},
    shared::Engine,
};

/// What a node made, and what it showed.
#[derive(Debug)]
pub(crate) struct Made {
    pub outputs: Vec<Data>,
    pub ui: Option<Value>,
    /// The node that made it, which may be another one with the same inputs.
    pub node: String,
}

/// What the nodes of the last prompt made, by signature.
pub(crate) type Cache = HashMap<u64, Arc<Made>>;

/// Runs prompts until the engine stops.
pub(crate) fn work(engine: &Engine) {
    let mut cache = Cache::new();
    while let Some(item) = engine.next_prompt() {
        let remaining = engine.queue().remaining();
        engine.send_status(remaining);
        if engine.free_memory.swap(false, Ordering::SeqCst) {
            cache.clear();
        }
        let (fault, cleared) = engine.faults.of_prompt();
        if let Some(fault) = &fault {
            engine.ledger.note(LedgerEvent::Fault, Some(&item.prompt_id), format!("{fault:?}"));
        }
        // A null where an object belongs kills ComfyUI's worker, too.
        if fault == Some(Fault::Zombie) || item.extra_data.is_null() {
            engine.faults.wait_until_cleared(cleared, || engine.is_over(item.generation));
            continue;
        }
        run(engine, &item, (fault, cleared), &mut cache);
    }
}

fn run(engine: &Engine, item: &Item, fault: (Option<Fault>, u64), cache: &mut Cache) {
    engine.interrupt.store(false, Ordering::SeqCst);
    engine.ledger.note(LedgerEvent::Started, Some(&item.prompt_id), "");
    let client = match item.extra_data.get("client_id") {
        None | Some(Value::Null) => None,
        // An id of another type never equals that of a socket.
        Some(Value::String(id)) => Some(id.clone()),
        Some(_) => Some(String::new()),
    };
    let events = Events::new(engine, &item.prompt_id, client, fault.0.clone());
    let signatures = signatures(engine, &item.prompt);
    cache.retain(|signature, _| signatures.values().any(|other| other == signature));
    let installed = engine.installed();
    let mut run = Run::new(engine, &installed, item, events, fault, &signatures, cache);
    let ending = run.execute();
    let (entry, events) = run.into_entry(&ending);
    let event = match ending {
        Ending::Success => LedgerEvent::Succeeded,
        Ending::Error => LedgerEvent::Failed,
        Ending::Interrupted => LedgerEvent::Interrupted,
        Ending::Forgotten => {
            if engine.is_over(item.generation) {
                engine.nothing_at_work();
            } else {
                engine.restart();
            }
            return;
        }
    };
    if engine.is_over(item.generation) {
        return;
    }
    engine.ledger.note(event, Some(&item.prompt_id), "");
    let remaining = {
        let mut queue = engine.queue();
        if engine.is_over(item.generation) {
            return;
        }
        queue.finish(&item.prompt_id, entry);
        queue.remaining()
    };
    events.finish(|| engine.send_status(remaining));
}

/// What tells the result of each node apart: its class, its literals and, through links, those of all it needs.
fn signatures(engine: &Engine, prompt: &Object) -> BTreeMap<String, u64> {
    let mut known = BTreeMap::new();
    for id in prompt.keys() {
        signature(engine, prompt, id, &mut known);
    }
    known
}

fn signature(engine: &Engine, prompt: &Object, id: &str, known: &mut BTreeMap<String, u64>) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    if let Some(signature) = known.get(id) {
        return *signature;
    }
    // Also ends the walk on a cycle.
    known.insert(id.to_owned(), 0);
    let mut hasher = DefaultHasher::new();
    let class =
        prompt.get(id).and_then(|node| node.get("class_type")).and_then(Value::as_str).unwrap_or_default();
    class.hash(&mut hasher);
    let mut given: Vec<(&str, &Value)> = inputs(prompt, id).collect();
    given.sort_by_key(|(name, _)| *name);
    for (name, value) in given {
        name.hash(&mut hasher);
        if let Some((node, slot)) = link(value) {
            (signature(engine, prompt, node, known), slot).hash(&mut hasher);
        } else {
            python::dumps(value).hash(&mut hasher);
            if let (true, Some(text)) = (class.starts_with("Load"), value.as_str()) {
                // A loader looks at its file, not only at the name.
                let file = engine.store.get(&crate::store::Place::annotated(text));
                file.map(|file| file.version).hash(&mut hasher);
            }
        }
    }
    if class == "SaveImageWebsocket" {
        // Says of itself that it always has to run.
        known.len().hash(&mut hasher);
        std::time::Instant::now().hash(&mut hasher);
    }
    let signature = hasher.finish();
    known.insert(id.to_owned(), signature);
    signature
}
