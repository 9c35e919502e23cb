//! What a workflow does besides computing: running code, reaching the network, reading and writing files by path.
//!
//! Definitions say it of ComfyUI's own nodes; of others, the words of class names do (`data/risks.toml`). It is a hint
//! for those who put a workflow online, not a proof that a node is harmless.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    catalog::Catalog,
    diagnostic::{Diagnostic, Severity, printable},
    endpoint::{ModelRef, Param, Tier},
    graph::{Graph, Node},
    sidecar::AcceptedRisks,
};

pub(crate) mod licences;
mod table;
mod words;

pub(crate) use table::Risk;
use table::table;

/// Nodes of one class with one risk.
struct Finding<'g> {
    risk: Risk,
    nodes: Vec<&'g Node>,
    /// Of the first node.
    input: Option<&'g str>,
}

/// One diagnostic for each risk of each class, those accepted included, and one for each entry that accepts nothing.
pub(crate) fn find(
    graph: &Graph,
    catalog: &Catalog,
    params: &[Param],
    models: &[ModelRef],
    accepted: &AcceptedRisks,
) -> Vec<Diagnostic> {
    let findings = findings(graph, catalog, params, models);
    let mut diagnostics = flagged(graph, catalog);
    diagnostics.extend(findings.iter().map(|finding| {
        let names = accepted.of(finding.risk);
        let is_accepted =
            finding.nodes.iter().all(|node| names.contains(&node.id) || names.contains(&node.class_type));
        finding.diagnostic(params, is_accepted)
    }));
    for risk in Risk::ALL {
        for name in accepted.of(risk) {
            let of_risk = || findings.iter().filter(|finding| finding.risk == risk);
            let known = |finding: &Finding<'_>| {
                finding.nodes.iter().any(|node| node.id == *name || node.class_type == *name)
            };
            if !of_risk().any(known) {
                let classes: Vec<&str> = of_risk().map(Finding::class).collect();
                let help = if classes.is_empty() {
                    "no node does; remove it".to_owned()
                } else {
                    format!("those are: {}", printable(&classes.join(", ")))
                };
                let message =
                    format!("[risks] {risk}: `{}` is no node that {}", printable(name), risk.does());
                diagnostics.push(Diagnostic::error("sidecar", message).help(help));
            }
        }
    }
    diagnostics
}

/// Why a value is not offered to callers unless the author says so: they would say what is run, reached, read or
/// written.
pub(crate) fn delicate(catalog: &Catalog, node: &Node, input: &str) -> Option<&'static str> {
    let value = node.literal(input)?.as_str();
    if value.is_none() || !is_foreign(catalog, node) {
        return None;
    }
    let mut rules = table().iter().filter(|rule| rule.names(input) && rule.is_meant(value));
    let rule = rules.find(|rule| rule.by_input || rule.fits(&node.class_type))?;
    Some(match rule.risk {
        Risk::RunsCode => "code that the node runs",
        Risk::PaidService | Risk::Network => "an address that the engine connects to",
        Risk::WritesPath | Risk::ReadsPath => "a path on the engine",
    })
}

fn is_foreign(catalog: &Catalog, node: &Node) -> bool {
    let core = Catalog::core().get(&node.class_type).is_some();
    !core && !catalog.get(&node.class_type).is_some_and(|definition| definition.api_node)
}

fn findings<'g>(
    graph: &'g Graph,
    catalog: &Catalog,
    params: &[Param],
    models: &'g [ModelRef],
) -> Vec<Finding<'g>> {
    let fetched: BTreeMap<&str, &str> = models
        .iter()
        .filter(|model| model.auto_download)
        .map(|model| (model.node.as_str(), model.input.as_str()))
        .collect();
    let media: BTreeSet<&str> = params
        .iter()
        .filter(|param| param.ty.is_media() && is_offered(param))
        .flat_map(|param| param.bindings.iter().map(|one| one.node.as_str()))
        .collect();
    let mut found: BTreeMap<(Risk, &str), Finding<'g>> = BTreeMap::new();
    let mut seen = Seen::default();
    for node in graph.nodes.values() {
        let mut found_here = risks(node, catalog, &media, &mut seen);
        let is_known = found_here.iter().any(|(risk, _)| matches!(risk, Risk::Network | Risk::PaidService));
        let reaches = fetched.get(node.id.as_str()).copied().or_else(|| address(catalog, node));
        if let Some(input) = reaches.filter(|_| !is_known && !media.contains(node.id.as_str())) {
            found_here.push((Risk::Network, Some(input)));
        }
        for (risk, input) in found_here {
            found
                .entry((risk, node.class_type.as_str()))
                .or_insert(Finding { risk, nodes: Vec::new(), input })
                .nodes
                .push(node);
        }
    }
    found.into_values().collect()
}

/// Which rules classes fit and inputs are named by. Workflows have many nodes of few classes.
#[derive(Default)]
struct Seen<'g> {
    classes: BTreeMap<&'g str, Vec<bool>>,
    inputs: BTreeMap<&'g str, Vec<bool>>,
}

impl<'g> Seen<'g> {
    fn class(&mut self, class: &'g str, rule: usize) -> bool {
        let fits = || table().iter().map(|rule| rule.fits(class)).collect();
        self.classes.entry(class).or_insert_with(fits).get(rule).copied().unwrap_or(false)
    }

    fn input(&mut self, input: &'g str, rule: usize) -> bool {
        let names = || table().iter().map(|rule| rule.names(input)).collect();
        self.inputs.entry(input).or_insert_with(names).get(rule).copied().unwrap_or(false)
    }
}

/// What a node does, with the input that says on what.
fn risks<'n>(
    node: &'n Node,
    catalog: &Catalog,
    media: &BTreeSet<&str>,
    seen: &mut Seen<'n>,
) -> Vec<(Risk, Option<&'n str>)> {
    let mut found = Vec::new();
    if catalog.get(&node.class_type).is_some_and(|definition| definition.api_node) {
        found.push((Risk::PaidService, None));
    }
    if !is_foreign(catalog, node) {
        return found;
    }
    for (index, rule) in table().iter().enumerate() {
        let input = node.inputs.keys().map(String::as_str).find(|input| {
            let is_meant = |value: &crate::json::Value| rule.is_meant(value.as_str());
            seen.input(input, index) && node.literal(input).is_some_and(is_meant)
        });
        // Files that callers send are put in place by the server itself.
        if matches!(rule.risk, Risk::Network | Risk::ReadsPath) && media.contains(node.id.as_str()) {
            continue;
        }
        let is_new = found.iter().all(|(risk, _)| *risk != rule.risk);
        if is_new && (seen.class(&node.class_type, index) || (rule.by_input && input.is_some())) {
            found.push((rule.risk, input));
        }
    }
    // What writes by path has an input that looks like one to read from.
    if found.iter().any(|(risk, _)| *risk == Risk::WritesPath) {
        found.retain(|(risk, _)| *risk != Risk::ReadsPath);
    }
    found
}

impl Finding<'_> {
    fn class(&self) -> &str {
        self.nodes.first().map_or("", |node| &node.class_type)
    }

    fn diagnostic(&self, params: &[Param], is_accepted: bool) -> Diagnostic {
        let class = printable(self.class());
        let mut message = format!("`{class}` {}", self.risk.does());
        if self.nodes.len() > 1 {
            message.push_str(&format!(", in {} nodes", self.nodes.len()));
        }
        let offered = self.offered(params);
        if let Some(param) = offered {
            message.push_str(&format!(", and callers set `{}`", printable(&param.name)));
        }
        if is_accepted {
            message.push_str(", accepted in the sidecar file");
        }
        let severity = match (is_accepted, offered) {
            (true, _) => Severity::Note,
            (false, Some(_)) => Severity::Warning,
            (false, None) => self.risk.severity(),
        };
        let mut diagnostic = Diagnostic::note(self.risk.code(), message);
        diagnostic.severity = severity;
        if let Some(node) = self.nodes.first() {
            diagnostic = diagnostic.at_node(&node.id, node.title.as_deref());
        }
        if let Some(input) = self.input {
            diagnostic = diagnostic.at_input(input);
        }
        if severity == Severity::Warning {
            let help = format!(
                "{}; if that is meant, say so in the sidecar file:\n[risks]\n{} = [\"{class}\"]",
                self.risk.consequence(),
                self.risk
            );
            diagnostic = diagnostic.help(help);
        }
        diagnostic
    }

    /// The parameter by which callers set the input that says on what.
    fn offered<'p>(&self, params: &'p [Param]) -> Option<&'p Param> {
        let input = self.input?;
        let mut offered = params.iter().filter(|param| is_offered(param));
        offered.find(|param| {
            let is =
                |node: &&Node| param.bindings.iter().any(|one| one.node == node.id && one.input == input);
            self.nodes.iter().any(is)
        })
    }
}

fn is_offered(param: &Param) -> bool {
    matches!(param.tier, Tier::Primary | Tier::Advanced)
}

/// The input of a loader that holds an address of the web.
fn address<'n>(catalog: &Catalog, node: &'n Node) -> Option<&'n str> {
    let class = node.class_type.to_lowercase();
    if !is_foreign(catalog, node) || !["load", "fetch"].iter().any(|word| class.contains(word)) {
        return None;
    }
    let is_address = |text: &str| text.starts_with("https://") || text.starts_with("http://");
    let mut literals = node.literals();
    literals.find(|(_, value)| value.as_str().is_some_and(is_address)).map(|(input, _)| input)
}

/// What definitions say of classes as such.
fn flagged(graph: &Graph, catalog: &Catalog) -> Vec<Diagnostic> {
    let classes: BTreeSet<&str> = graph.nodes.values().map(|node| node.class_type.as_str()).collect();
    let with = |flag: fn(&crate::catalog::NodeDef) -> bool| {
        let flagged: Vec<&str> =
            classes.iter().filter(|class| catalog.get(class).is_some_and(flag)).copied().collect();
        (!flagged.is_empty()).then(|| printable(&flagged.join(", ")))
    };
    let note = |code, says: &str, names: Option<String>| {
        names.map(|names| Diagnostic::note(code, format!("{says}: {names}")))
    };
    [
        note("risk-experimental", "ComfyUI may change these nodes", with(|node| node.experimental)),
        note("risk-deprecated", "ComfyUI advises against these nodes", with(|node| node.deprecated)),
    ]
    .into_iter()
    .flatten()
    .collect()
}
