//! What the editor's own format says beside the graph: which inputs and results the author offers, where models come
//! from.

use super::{Found, candidate::Candidate, names::slug};
use crate::{
    catalog::model_folders::is_model_file,
    endpoint::{ModelRef, Param, ParamType, Tier},
    json::Value,
    ui::{Declaration, UiFacts, Wish},
};

/// Only the results that the author offers, if any of them is one.
pub(super) fn choose_outputs(facts: &UiFacts, results: &mut Vec<Found>) {
    if results.iter().any(|result| facts.outputs.contains(&result.node)) {
        results.retain(|result| facts.outputs.contains(&result.node));
    }
}

/// Offers what the author offers. A model is offered only if it stands in the author's form.
pub(super) fn offer(facts: &UiFacts, candidates: &mut [Candidate]) {
    for candidate in candidates {
        let Some(wish) = wish(facts, &candidate.node, &candidate.input) else { continue };
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
    for param in params {
        let mut wishes =
            param.bindings.iter().filter_map(|binding| wish(facts, &binding.node, &binding.input));
        if let Some(text) = wishes.find_map(|wish| wish.description.clone()) {
            param.description = Some(text);
        }
    }
}

fn wish<'f>(facts: &'f UiFacts, node: &str, input: &str) -> Option<&'f Declaration> {
    let binds = |one: &&Declaration| one.inputs.iter().any(|(id, name)| id == node && name == input);
    facts.declarations.iter().find(binds)
}

/// Where models come from, by the name of the file.
pub(super) fn source_models(facts: &UiFacts, models: &mut [ModelRef]) {
    for model in models.iter_mut().filter(|model| is_model_file(&model.file)) {
        let last = |file: &str| file.rsplit('/').next().unwrap_or(file).to_owned();
        let whole = facts.models.iter().find(|fact| fact.file == model.file);
        let Some(fact) =
            whole.or_else(|| facts.models.iter().find(|fact| last(&fact.file) == last(&model.file)))
        else {
            continue;
        };
        model.url = model.url.take().or_else(|| fact.url.clone());
        model.sha256 = model.sha256.take().or_else(|| fact.sha256.clone());
        if let Some(folder) = fact.folder.as_ref().filter(|_| model.folder == "unknown") {
            model.folder.clone_from(folder);
        }
    }
}
