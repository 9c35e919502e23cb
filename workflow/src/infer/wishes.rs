//! What the editor's own format says beside the graph: which inputs and results the author offers, where models come
//! from.

use std::collections::{BTreeMap, BTreeSet};

use super::{Found, candidate::Candidate, names::slug};
use crate::{
    catalog::model_folders::is_model_file,
    endpoint::{Binding, ModelRef, Param, ParamType, Tier},
    json::Value,
    ui::{Declaration, UiFacts, Wish},
};

/// Only the results that the author offers, if any of them is one.
pub(super) fn choose_outputs(facts: &UiFacts, results: &mut Vec<Found>) {
    let chosen: BTreeSet<&str> = facts.outputs.iter().map(String::as_str).collect();
    if results.iter().any(|result| chosen.contains(result.node.as_str())) {
        results.retain(|result| chosen.contains(result.node.as_str()));
    }
}

/// Offers what the author offers. A model is offered only if it stands in the author's form.
pub(super) fn offer(facts: &UiFacts, candidates: &mut [Candidate]) {
    let wishes = by_input(facts);
    for candidate in candidates {
        let Some(wish) = wishes.get(&(candidate.node.as_str(), candidate.input.as_str())) else { continue };
        let plain = !matches!(candidate.value, Value::Null | Value::Array(_) | Value::Object(_));
        if !plain || (candidate.tier == Tier::Model && wish.wish == Wish::Promoted) {
            continue;
        }
        // A name that is only the widget's says less than what was found out about it.
        if wish.name != candidate.input || candidate.ty == ParamType::String && candidate.role.is_none() {
            candidate.declared = slug(&wish.name).or_else(|| candidate.declared.take());
        }
        let signal = match wish.wish {
            Wish::App => "chosen in the editor's app mode",
            Wish::Promoted => "on the outside of a subgraph",
        };
        candidate.put(Tier::Primary, signal);
    }
}

/// What the author wrote about an input.
pub(super) fn describe(facts: &UiFacts, params: &mut [Param]) {
    let wishes = by_input(facts);
    let written =
        |binding: &Binding| wishes.get(&(binding.node.as_str(), binding.input.as_str()))?.description.clone();
    for param in params {
        let written = param.bindings.iter().find_map(written);
        param.description = written.or_else(|| param.description.take());
    }
}

/// The first wish about each input.
fn by_input(facts: &UiFacts) -> BTreeMap<(&str, &str), &Declaration> {
    let mut wishes = BTreeMap::new();
    for wish in &facts.declarations {
        for (node, input) in &wish.inputs {
            wishes.entry((node.as_str(), input.as_str())).or_insert(wish);
        }
    }
    wishes
}

/// Where models come from, by the name of the file.
pub(super) fn source_models(facts: &UiFacts, models: &mut [ModelRef]) {
    let last = |file: &str| file.rsplit('/').next().unwrap_or(file).to_owned();
    let (mut whole, mut lasts) = (BTreeMap::new(), BTreeMap::new());
    for fact in &facts.models {
        whole.entry(fact.file.as_str()).or_insert(fact);
        lasts.entry(last(&fact.file)).or_insert(fact);
    }
    for model in models.iter_mut().filter(|model| is_model_file(&model.file)) {
        let Some(fact) = whole.get(model.file.as_str()).or_else(|| lasts.get(&last(&model.file))) else {
            continue;
        };
        model.url = model.url.take().or_else(|| fact.url.clone());
        model.sha256 = model.sha256.take().or_else(|| fact.sha256.clone());
        if let Some(folder) = fact.folder.as_ref().filter(|_| model.folder == "unknown") {
            model.folder.clone_from(folder);
        }
    }
}
