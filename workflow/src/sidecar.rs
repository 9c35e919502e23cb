//! The file beside a workflow in which its author decides.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::{
    diagnostic::Diagnostic,
    endpoint::{Binding, Endpoint, NodePack, Output, Param, ParamType, Tier},
    graph::NodeId,
    json::{Number, Value},
    lock::Held,
    risks::Risk,
};

mod deprecation;
mod from_url;

pub use deprecation::{Date, Deprecation};

/// `name.toml` beside `name.json`. Every key is optional; unknown keys are errors.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sidecar {
    /// A name for people.
    pub title: Option<String>,
    /// What the workflow does.
    pub description: Option<String>,
    /// Whether callers should move on to something else: `true`, or when and to what.
    #[serde(default, deserialize_with = "deprecation::read")]
    pub(crate) deprecated: Option<deprecation::Notice>,
    /// Decisions about parameters, by public name or by `node.input`.
    #[serde(default)]
    pub params: BTreeMap<String, ParamRule>,
    /// Parts of the graph that callers may switch off, by the name of the switch.
    #[serde(default)]
    pub switches: BTreeMap<String, SwitchRule>,
    /// Decisions about outputs, by public name or by node id.
    #[serde(default)]
    pub outputs: BTreeMap<String, OutputRule>,
    /// Where model files come from, by file name.
    #[serde(default)]
    pub models: BTreeMap<String, ModelRule>,
    /// Where node packs come from, by id.
    #[serde(default)]
    pub node_packs: BTreeMap<String, PackRule>,
    /// Which nodes are known to do more than compute.
    #[serde(default)]
    pub risks: AcceptedRisks,
}

/// What the author decides about one parameter.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ParamRule {
    /// Another name.
    pub name: Option<String>,
    /// Where callers meet it: `true` and `"primary"` are the request itself, `"advanced"` its `advanced` object.
    pub expose: Option<Expose>,
    /// Not offered to callers.
    #[serde(default)]
    pub hide: bool,
    /// What it is when left out.
    pub default: Option<toml::Value>,
    /// The least value.
    pub min: Option<toml::Value>,
    /// The greatest value.
    pub max: Option<toml::Value>,
    /// The distance between sensible values.
    pub step: Option<toml::Value>,
    /// The values to choose from; no others are accepted.
    pub options: Option<Vec<toml::Value>>,
    /// Whether callers must give it.
    pub required: Option<bool>,
    /// One sentence for callers.
    pub description: Option<String>,
    /// Whether model files that callers tell by their address are fetched from there.
    #[serde(default)]
    pub from_url: bool,
}

/// Where a parameter is exposed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Expose {
    /// `true` is the request itself, `false` nowhere.
    Flag(bool),
    /// By name.
    Tier(ExposeTier),
}

/// Where a parameter is exposed, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExposeTier {
    /// A field of the request.
    Primary,
    /// A field of its `advanced` object.
    Advanced,
}

/// What the author decides about one output.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutputRule {
    /// Another name.
    pub name: Option<String>,
    /// Not given to callers.
    #[serde(default)]
    pub hide: bool,
}

/// A part of the graph that callers may switch off.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SwitchRule {
    /// The ids of its nodes. Switched off, they pass on what they take.
    pub nodes: Vec<String>,
    /// Whether it is on where callers do not say; on by itself.
    pub default: Option<bool>,
    /// One sentence for callers.
    pub description: Option<String>,
}

/// Where a model file comes from.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelRule {
    /// An address to fetch it from.
    pub url: Option<String>,
    /// What its content must hash to.
    pub sha256: Option<String>,
    /// The models folder it belongs in.
    pub folder: Option<String>,
    /// Whether what it is used for is covered by its licence.
    #[serde(default)]
    pub licence_accepted: bool,
}

/// Nodes, by id or by class, of which the author knows what they do besides computing.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct AcceptedRisks {
    /// They run code.
    pub runs_code: Vec<String>,
    /// They send what they are given to a service that may cost money.
    pub paid_service: Vec<String>,
    /// They reach the network.
    pub network: Vec<String>,
    /// They write or remove files by their path.
    pub writes_path: Vec<String>,
    /// They read files by their path.
    pub reads_path: Vec<String>,
}

impl AcceptedRisks {
    pub(crate) fn of(&self, risk: Risk) -> &[String] {
        match risk {
            Risk::RunsCode => &self.runs_code,
            Risk::PaidService => &self.paid_service,
            Risk::Network => &self.network,
            Risk::WritesPath => &self.writes_path,
            Risk::ReadsPath => &self.reads_path,
        }
    }
}

/// Where a node pack comes from.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackRule {
    /// Its repository.
    pub repository: Option<String>,
    /// The version or commit to use.
    pub version: Option<String>,
    /// Classes that it is to be taken for, where several packs have them.
    #[serde(default)]
    pub classes: Vec<String>,
}

/// What a sidecar file decides about.
pub(crate) struct Decisions<'d> {
    pub(crate) params: &'d mut [Param],
    pub(crate) outputs: &'d mut Vec<Output>,
    /// What was decided before.
    pub(crate) held: Option<&'d Held>,
}

impl Sidecar {
    /// Reads a sidecar file.
    pub fn parse(text: &str) -> Result<Self, Vec<Diagnostic>> {
        toml::from_str(text).map_err(|error| {
            let line = error
                .span()
                .map_or(1, |span| 1 + text.bytes().take(span.start).filter(|byte| *byte == b'\n').count());
            let message = error.message().to_owned();
            let diagnostic = Diagnostic::error("sidecar", format!("sidecar file, line {line}: {message}"));
            vec![match suggestion(&message) {
                Some(known) => diagnostic.help(format!("did you mean `{known}`?")),
                None => diagnostic,
            }]
        })
    }

    pub(crate) fn apply(
        &self,
        endpoint: &mut Endpoint,
        decisions: Decisions<'_>,
        diagnostics: &mut Vec<Diagnostic>,
    ) {
        let Decisions { params, outputs, held } = decisions;
        if let Some(title) = &self.title {
            endpoint.title.clone_from(title);
        }
        endpoint.description.clone_from(&self.description);
        endpoint.deprecated = self.deprecated.as_ref().map(|notice| notice.check(diagnostics));
        endpoint.sidecar_keys = self.apply_params(params, held, diagnostics);
        endpoint.sidecar_outputs = self.apply_outputs(outputs, held, diagnostics);
        self.apply_models(endpoint, diagnostics);
        self.apply_packs(endpoint);
    }

    /// Which value each entry decided about.
    fn apply_params(
        &self,
        params: &mut [Param],
        held: Option<&Held>,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Vec<(String, Binding)> {
        // An entry means what it meant when the lock was written, whatever ids nodes have now.
        let known = held.map(Held::keys).unwrap_or_default();
        let find = |key: &str| match known.get(key) {
            Some((node, input)) => {
                let is = |one: &Binding| one.node == *node && one.input == *input;
                params.iter().position(|param| param.bindings.iter().any(is))
            }
            None => find_param(params, key),
        };
        // Found before anything is renamed, so that the order of entries does not matter.
        let targets: Vec<(Option<usize>, &str, &ParamRule)> =
            self.params.iter().map(|(key, rule)| (find(key), key.as_str(), rule)).collect();
        let mut decided = Vec::new();
        for (target, key, rule) in targets {
            match target {
                Some(index) => {
                    rule.apply(&mut params[index], key, diagnostics);
                    let first = params[index].bindings.first().cloned();
                    decided.extend(first.map(|binding| (key.to_owned(), binding)));
                }
                // What no node has is looked at when that has been derived.
                None if self.is_of_no_node(key) => {}
                None => diagnostics.push(unmatched_param(params, key)),
            }
        }
        decided
    }

    /// Whether an entry may be about a field that no node has.
    fn is_of_no_node(&self, key: &str) -> bool {
        matches!(key, "duration_s" | "aspect_ratio" | "megapixels" | "count" | "loras")
            || key.ends_with("_loras")
            || self.switches.contains_key(key)
    }

    /// Entries about fields that no node has and that this workflow does not have either.
    pub(crate) fn unmet(&self, params: &[Param]) -> Vec<Diagnostic> {
        let is_met = |key: &String, rule: &ParamRule| {
            let name = rule.name.as_ref().unwrap_or(key);
            rule.hide || find_param(params, key).is_some() || params.iter().any(|param| param.name == *name)
        };
        let unmet = self.params.iter().filter(|(key, rule)| self.is_of_no_node(key) && !is_met(key, rule));
        unmet.map(|(key, _)| unmatched_param(params, key)).collect()
    }

    /// Which node's result each entry decided about.
    fn apply_outputs(
        &self,
        outputs: &mut Vec<Output>,
        held: Option<&Held>,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Vec<(String, NodeId)> {
        let known = held.map(Held::output_keys).unwrap_or_default();
        let find = |key: &str| {
            let is = |output: &Output| match known.get(key) {
                Some(node) => output.node == *node,
                None => output.name == key || output.node == key,
            };
            outputs.iter().position(is)
        };
        // Found before anything is renamed, so that the order of entries does not matter.
        let targets: Vec<(Option<usize>, &String, &OutputRule)> =
            self.outputs.iter().map(|(key, rule)| (find(key), key, rule)).collect();
        let names = outputs.iter().map(|output| output.name.as_str()).collect::<Vec<_>>().join(", ");
        let (mut decided, mut hidden) = (Vec::new(), Vec::new());
        for (target, key, rule) in targets {
            let Some(output) = target.map(|index| &mut outputs[index]) else {
                diagnostics.push(
                    Diagnostic::error("sidecar", format!("[outputs.\"{key}\"] matches no output"))
                        .help(format!("the outputs are: {names}")),
                );
                continue;
            };
            decided.push((key.clone(), output.node.clone()));
            if let Some(name) = rule.name.as_deref() {
                if is_name(name) {
                    name.clone_into(&mut output.name);
                } else {
                    diagnostics.push(bad_name(name));
                }
            }
            if rule.hide {
                hidden.push(output.node.clone());
            }
        }
        outputs.retain(|output| !hidden.contains(&output.node));
        let mut names: Vec<&str> = outputs.iter().map(|output| output.name.as_str()).collect();
        names.sort_unstable();
        let twice = names.iter().zip(names.iter().skip(1)).find(|(left, right)| left == right);
        if let Some((name, _)) = twice {
            diagnostics.push(Diagnostic::error("sidecar", format!("two outputs are called `{name}`")));
        }
        decided
    }

    fn apply_models(&self, endpoint: &mut Endpoint, diagnostics: &mut Vec<Diagnostic>) {
        for (file, rule) in &self.models {
            let mut found = false;
            for model in endpoint.models.iter_mut().filter(|model| model.file == *file) {
                found = true;
                model.url = rule.url.clone().or_else(|| model.url.take());
                model.sha256 = rule.sha256.clone().or_else(|| model.sha256.take());
                if let Some(folder) = &rule.folder {
                    model.folder.clone_from(folder);
                }
                model.licence_accepted = rule.licence_accepted;
            }
            if !found {
                let known: Vec<&str> = endpoint.models.iter().map(|model| model.file.as_str()).collect();
                diagnostics.push(
                    Diagnostic::error(
                        "sidecar",
                        format!("[models.\"{file}\"] matches no model of the workflow"),
                    )
                    .help(format!("the models are: {}", known.join(", "))),
                );
            }
        }
    }

    fn apply_packs(&self, endpoint: &mut Endpoint) {
        for (id, rule) in &self.node_packs {
            let evidence = match &rule.version {
                Some(version) => format!("sidecar file, version {version}"),
                None => "sidecar file".to_owned(),
            };
            match endpoint.node_packs.iter_mut().find(|pack| pack.id == *id) {
                Some(pack) => {
                    pack.repository = rule.repository.clone().or_else(|| pack.repository.take());
                    pack.version = rule.version.clone().or_else(|| pack.version.take());
                    pack.doubtful.clear();
                    pack.candidates.clear();
                    pack.evidence = evidence;
                }
                None => endpoint.node_packs.push(NodePack {
                    id: id.clone(),
                    repository: rule.repository.clone(),
                    version: rule.version.clone(),
                    classes: Vec::new(),
                    doubtful: Vec::new(),
                    candidates: Vec::new(),
                    evidence,
                }),
            }
            take_classes(&mut endpoint.node_packs, id, &rule.classes);
            endpoint.unknown_classes.retain(|class| !rule.classes.contains(class));
        }
    }
}

/// Gives classes to the pack of this id; packs that have no others go.
fn take_classes(packs: &mut Vec<NodePack>, id: &str, classes: &[String]) {
    for pack in packs.iter_mut().filter(|pack| pack.id != id) {
        pack.classes.retain(|class| !classes.contains(class));
        pack.doubtful.retain(|class| !classes.contains(class));
        if pack.doubtful.is_empty() {
            pack.candidates.clear();
        }
    }
    // One that the sidecar names without classes stays.
    packs.retain(|pack| pack.id == id || !pack.classes.is_empty() || pack.evidence.starts_with("sidecar"));
    if let Some(pack) = packs.iter_mut().find(|pack| pack.id == id) {
        for class in classes {
            if !pack.classes.contains(class) {
                pack.classes.push(class.clone());
            }
        }
    }
}

impl ParamRule {
    /// Applies what can be decided about a field that no node has.
    pub(crate) fn apply_derived(&self, param: &mut Param, key: &str, diagnostics: &mut Vec<Diagnostic>) {
        let other = self.expose.is_some()
            || self.default.is_some()
            || self.step.is_some()
            || self.options.is_some()
            || self.required.is_some();
        if other {
            diagnostics.push(
                Diagnostic::error("sidecar", format!("[params.\"{key}\"]: no node has this value"))
                    .help("`name`, `description`, `min`, `max`, `from_url` and `hide` can be decided; its default follows from the inputs it sets"),
            );
        }
        let kept = Self {
            name: self.name.clone(),
            description: self.description.clone(),
            min: self.min.clone(),
            max: self.max.clone(),
            from_url: self.from_url,
            ..Self::default()
        };
        kept.apply(param, key, diagnostics);
    }

    fn apply(&self, param: &mut Param, key: &str, diagnostics: &mut Vec<Diagnostic>) {
        let mut odd = |what: &str, help: &str| {
            diagnostics.push(Diagnostic::error("sidecar", format!("[params.\"{key}\"]: {what}")).help(help));
        };
        "sidecar file".clone_into(&mut param.signal);
        if let Some(name) = self.name.as_deref() {
            if is_name(name) {
                name.clone_into(&mut param.name);
            } else {
                odd(&format!("`{name}` is not a name"), NAME_RULE);
            }
        }
        match self.expose {
            Some(Expose::Flag(true) | Expose::Tier(ExposeTier::Primary)) => param.tier = Tier::Primary,
            Some(Expose::Tier(ExposeTier::Advanced)) => param.tier = Tier::Advanced,
            Some(Expose::Flag(false)) => param.tier = Tier::Hidden,
            None => {}
        }
        if self.hide {
            param.tier = Tier::Hidden;
        }
        for (bound, value) in
            [(&mut param.min, &self.min), (&mut param.max, &self.max), (&mut param.step, &self.step)]
        {
            match value.as_ref().map(number) {
                Some(Some(number)) => *bound = Some(number),
                Some(None) => odd("`min`, `max` and `step` are numbers", "write them without quotes"),
                None => {}
            }
        }
        if let Some(options) = &self.options {
            let options: Vec<Value> = options.iter().filter_map(value).collect();
            param.enum_name = None;
            param.ty = ParamType::Enum;
            param.open = false;
            param.options = options;
        }
        if let Some(default) = &self.default {
            match value(default).filter(|default| fits(param, default)) {
                Some(default) => {
                    param.default = Some(default);
                    param.required = false;
                }
                None => odd(
                    &format!("`{default}` is not a {} it accepts", param.ty.as_str()),
                    "change the default or the range",
                ),
            }
        }
        if let Some(required) = self.required {
            param.required = required;
            if required {
                param.default = None;
            } else if param.default.is_none() && param.ty != ParamType::Seed && !param.ty.is_media() {
                odd("an optional parameter needs a default", "add `default = …`");
            }
        }
        if let Some(description) = &self.description {
            param.description = Some(description.clone());
        }
        if self.from_url {
            self.apply_from_url(param, key, diagnostics);
        }
    }
}

pub(crate) const NAME_RULE: &str = "a name has lower-case letters, digits and `_`, and starts with a letter";

pub(crate) fn is_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        && name.len() <= 64
        && !matches!(name, "options" | "advanced")
}

fn bad_name(name: &str) -> Diagnostic {
    Diagnostic::error("sidecar", format!("`{name}` is not a name")).help(NAME_RULE)
}

fn find_param(params: &[Param], key: &str) -> Option<usize> {
    let bound = |param: &Param| {
        param.bindings.iter().any(|binding| {
            key.strip_prefix(binding.node.as_str()).and_then(|rest| rest.strip_prefix('.'))
                == Some(binding.input.as_str())
        })
    };
    params.iter().position(bound).or_else(|| {
        let mut named: Vec<usize> = (0..params.len()).filter(|index| params[*index].name == key).collect();
        named.sort_by_key(|index| params[*index].tier);
        named.first().copied()
    })
}

fn unmatched_param(params: &[Param], key: &str) -> Diagnostic {
    let places = params.iter().flat_map(|param| {
        param
            .bindings
            .iter()
            .map(|binding| format!("{}.{}", binding.node, binding.input))
            .chain([param.name.clone()])
    });
    let mut places: Vec<String> = places.collect();
    places
        .sort_by(|left, right| strsim::jaro_winkler(right, key).total_cmp(&strsim::jaro_winkler(left, key)));
    places.dedup();
    places.truncate(5);
    Diagnostic::error("sidecar", format!("[params.\"{key}\"] matches no value of the workflow"))
        .help(format!("the closest are: {}", places.join(", ")))
}

fn number(value: &toml::Value) -> Option<Number> {
    match value {
        toml::Value::Integer(value) => Some(Number::from_i128(i128::from(*value))),
        toml::Value::Float(value) => Some(Number::from_f64(*value)).filter(Number::is_finite),
        // TOML integers end at 2^63-1: larger bounds come as text.
        toml::Value::String(text) => Number::parse(text),
        _ => None,
    }
}

fn value(toml: &toml::Value) -> Option<Value> {
    Some(match toml {
        toml::Value::String(text) => Value::from(text.as_str()),
        toml::Value::Boolean(value) => Value::Bool(*value),
        toml::Value::Integer(_) | toml::Value::Float(_) => Value::Number(number(toml)?),
        _ => return None,
    })
}

fn fits(param: &Param, value: &Value) -> bool {
    let in_range = |number: &Number| {
        param.min.as_ref().is_none_or(|min| number.as_f64() >= min.as_f64())
            && param.max.as_ref().is_none_or(|max| number.as_f64() <= max.as_f64())
    };
    match param.ty {
        ParamType::String => value.as_str().is_some(),
        ParamType::Boolean => value.as_bool().is_some(),
        ParamType::Integer | ParamType::Seed => {
            value.as_number().is_some_and(|number| number.as_i128().is_some() && in_range(number))
        }
        ParamType::Number => value.as_number().is_some_and(in_range),
        ParamType::Enum => param.options.contains(value),
        _ => false,
    }
}

/// serde says "unknown field `x`, expected one of `a`, `b`": the closest of those.
fn suggestion(message: &str) -> Option<String> {
    let mut names = message.split('`').skip(1).step_by(2);
    let unknown = names.next().filter(|_| message.starts_with("unknown field"))?;
    let best = names.max_by(|left, right| {
        strsim::jaro_winkler(left, unknown).total_cmp(&strsim::jaro_winkler(right, unknown))
    })?;
    (strsim::jaro_winkler(best, unknown) > 0.7).then(|| best.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_keys_are_errors_with_a_suggestion() {
        let diagnostics = Sidecar::parse("[params.steps]\nmaximum = 3").unwrap_err();
        assert!(diagnostics[0].message.contains("line 2"), "{diagnostics:?}");
        let diagnostics = Sidecar::parse("titel = \"x\"").unwrap_err();
        assert_eq!(diagnostics[0].help.as_deref(), Some("did you mean `title`?"));
    }
}
