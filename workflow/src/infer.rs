//! From a graph to an endpoint.
//!
//! In order of authority: the sidecar file, declarations inside the graph, meaning found by walking the graph, and
//! the rest under `advanced` or hidden. Node order never decides.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    catalog::{Catalog, InputDef, NodeDef},
    diagnostic::Diagnostic,
    endpoint::{Binding, Endpoint, ModelRef, OutputKind, Param, ParamType, Stage},
    graph::{Consumer, Graph, Node, NodeId},
    json::Value,
    lock::{Held, Lock},
    packs,
    risks::{self, licences},
    sidecar::{Decisions, Sidecar},
    source::Source,
    ui::UiFacts,
};

mod candidate;
mod complete;
mod declared;
mod derive;
mod media;
mod models;
mod names;
mod order;
mod outputs;
mod prune;
mod roles;
mod sampling;
mod siblings;
mod text;
mod tiers;
mod types;
mod values;
mod wishes;

pub(crate) use models::REPOSITORY;

/// A workflow with more nodes than this is refused. The largest real ones have two hundred.
const MOST_NODES: usize = 10_000;

/// A workflow with more values to set than this is refused. The largest real ones have four hundred.
const MOST_VALUES: usize = 3_000;

/// A workflow with more results than this is refused. The largest real ones have twenty.
const MOST_OUTPUTS: usize = 300;

/// What inference is told besides the graph.
#[derive(Debug, Clone, Copy)]
pub struct Options<'a> {
    /// The file, as diagnostics and reports name it.
    pub file: &'a str,
    /// The route without its leading slash.
    pub path: &'a str,
    /// Node definitions.
    pub catalog: &'a Catalog,
    /// The author's decisions, where there is such a file.
    pub sidecar: Option<&'a Sidecar>,
    /// What was decided before, where there is such a file.
    pub lock: Option<&'a Lock>,
}

/// Infers the endpoint of a graph. What stands in the way is among its diagnostics.
pub fn infer(mut source: Source, options: &Options<'_>) -> Endpoint {
    let (mut notes, mut faulty) = (Vec::new(), None);
    for awake in std::mem::take(&mut source.awake) {
        let groups = awake.facts.groups.clone();
        let endpoint = infer_one(awake, options);
        if groups.iter().filter(|group| group.asleep).all(|group| derive::has_switch(&endpoint, group)) {
            if endpoint.is_usable() {
                return endpoint;
            }
            faulty = faulty.or(Some(endpoint));
            continue;
        }
        notes.extend(endpoint.diagnostics.into_iter().filter(|found| found.code == "not-locked"));
    }
    let mut endpoint = infer_one(source, options);
    // What is wrong with a group that is off must not stop what works without it.
    if let Some(faulty) = faulty.filter(|_| !endpoint.is_usable()) {
        return faulty;
    }
    notes.retain(|note| !endpoint.diagnostics.contains(note));
    notes.dedup();
    endpoint.diagnostics.extend(notes);
    endpoint
}

fn infer_one(source: Source, options: &Options<'_>) -> Endpoint {
    let Source { graph, facts, mut diagnostics, .. } = source;
    let (graph, results) = what_runs(graph, &facts, options, &mut diagnostics);
    let context = Context::new(&graph, options.catalog);
    let Offer { mut params, twins, models } = offer(&context, &facts, &mut diagnostics);
    let mut outputs = outputs::name(&context, results, &mut diagnostics);
    let (node_packs, unknown_classes) = packs::find(&graph, options.catalog, &facts.packs, &mut diagnostics);
    let mut endpoint = Endpoint {
        file: options.file.to_owned(),
        path: options.path.to_owned(),
        version: None,
        deprecated: None,
        title: title_of(options.path),
        description: None,
        models,
        node_packs,
        unknown_classes,
        classes: classes(&graph),
        prefix_inputs: prefix_inputs(&context, &outputs),
        params: Vec::new(),
        outputs: Vec::new(),
        diagnostics: Vec::new(),
        graph: Graph::default(),
        sidecar_keys: Vec::new(),
        sidecar_outputs: Vec::new(),
        changes: Vec::new(),
        rules: Vec::new(),
        switches: Vec::new(),
        variants: Vec::new(),
        lora_lists: Vec::new(),
    };
    let held = options.lock.map(|lock| Held::new(lock, &graph, options.sidecar));
    if let Some(held) = &held {
        held.impose(&graph, options.sidecar, &mut params, &mut outputs, &mut diagnostics);
    }
    if let Some(sidecar) = options.sidecar {
        let decisions = Decisions { params: &mut params, outputs: &mut outputs, held: held.as_ref() };
        sidecar.apply(&mut endpoint, decisions, &mut diagnostics);
    }
    let accepted = options.sidecar.map(|sidecar| sidecar.risks.clone()).unwrap_or_default();
    diagnostics.extend(risks::find(&graph, options.catalog, &params, &endpoint.models, &accepted));
    diagnostics.extend(licences::find(&endpoint.models, &graph, options.sidecar));
    names::refuse_clashes(&params, &mut diagnostics);
    names::refuse_twins(&twins, &params, held.as_ref(), &mut diagnostics);
    endpoint.params = params;
    endpoint.outputs = outputs;
    endpoint.diagnostics = diagnostics;
    endpoint.graph = graph;
    let deriving = derive::Deriving {
        catalog: options.catalog,
        sidecar: options.sidecar,
        held: held.as_ref(),
        groups: &facts.groups,
    };
    derive::apply(&mut endpoint, &deriving);
    order::sort(&mut endpoint.params);
    // Only what is served can be held against the lock.
    crate::settle::settle(&mut endpoint);
    if let Some(held) = &held {
        endpoint.changes = held.changes(&endpoint, options.sidecar);
        let drift = Held::drift(&endpoint);
        endpoint.diagnostics.extend(drift);
    }
    endpoint
}

/// The results, and the graph of what they need and nothing else.
fn what_runs(
    mut graph: Graph,
    facts: &UiFacts,
    options: &Options<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> (Graph, Vec<Found>) {
    if graph.nodes.len() > MOST_NODES {
        diagnostics.push(too_large("nodes", graph.nodes.len(), MOST_NODES));
        graph.nodes.clear();
    }
    let graph = declared::bypass::apply(declared::unwrap::apply(graph), options.catalog, diagnostics);
    let mut results = outputs::find(&graph, options.catalog);
    wishes::choose_outputs(facts, &mut results);
    refuse_more_than(MOST_OUTPUTS, "results", &mut results, diagnostics);
    outputs::drop_repeats(&graph, &mut results, |node| {
        options.sidecar.is_some_and(|sidecar| !sidecar.outputs.is_empty())
            || options.lock.is_some_and(|lock| lock.has_output(node))
    });
    if results.is_empty() && !diagnostics.iter().any(Diagnostic::is_error) {
        diagnostics.push(
            Diagnostic::error("no-outputs", "no node of this workflow yields a result")
                .help("add an output node such as Save Image; if one is there, give comfyport its definition in object_info.json"),
        );
    }
    let live = graph.ancestors(results.iter().map(|output| output.node.as_str()));
    if live.len() < graph.nodes.len() && !results.is_empty() {
        let dead = graph.nodes.len() - live.len();
        let nodes = if dead == 1 { "node leads" } else { "nodes lead" };
        diagnostics.push(Diagnostic::note(
            "dead-nodes",
            format!("{dead} {nodes} to no result and will not be submitted"),
        ));
    }
    let mut graph = prune::keep(graph, &live);
    complete::fill(&mut graph, options.catalog, diagnostics);
    (graph, results)
}

/// What the graph alone has callers decide, before the lock and the sidecar have their say.
struct Offer {
    params: Vec<Param>,
    twins: Vec<names::Twins>,
    models: Vec<ModelRef>,
}

fn offer(context: &Context<'_>, facts: &UiFacts, diagnostics: &mut Vec<Diagnostic>) -> Offer {
    let mut candidates = values::collect(context);
    refuse_more_than(MOST_VALUES, "values to set", &mut candidates, diagnostics);
    let mut models = models::find(context, &mut candidates);
    wishes::source_models(facts, &mut models);
    media::mark(context, &mut candidates);
    declared::mark(context, &mut candidates, diagnostics);
    media::fix(&mut candidates, diagnostics);
    text::mark(context, &mut candidates);
    roles::mark(&mut candidates);
    tiers::assign(context, &mut candidates);
    sampling::later_stages(context, &mut candidates);
    wishes::offer(facts, &mut candidates);
    let (mut params, twins) = names::merge_and_name(context, candidates, diagnostics);
    text::keep_later_prompts(context.graph, &mut params);
    for param in params.iter_mut().filter(|param| param.ty == ParamType::Number) {
        if let Some(Value::Number(number)) = &param.default {
            param.default = Some(Value::Number(number.without_noise()));
        }
    }
    wishes::describe(facts, &mut params);
    Offer { params, twins, models }
}

fn classes(graph: &Graph) -> Vec<String> {
    let distinct: BTreeSet<&str> = graph.nodes.values().map(|node| node.class_type.as_str()).collect();
    distinct.into_iter().map(str::to_owned).collect()
}

fn too_large(what: &str, count: usize, most: usize) -> Diagnostic {
    let message = format!("this workflow has {count} {what}; one endpoint may have {most}");
    Diagnostic::error("too-large", message).help("make several workflows of it")
}

/// What is too much is told, and left out of a report that nobody could read.
fn refuse_more_than<T>(most: usize, what: &str, all: &mut Vec<T>, diagnostics: &mut Vec<Diagnostic>) {
    if all.len() > most {
        diagnostics.push(too_large(what, all.len(), most));
        all.truncate(most);
    }
}

/// `qwen/qwen_img_edit` is "Qwen img edit" until somebody gives it a title.
fn title_of(path: &str) -> String {
    let name = path.rsplit('/').next().unwrap_or(path).replace(['_', '-'], " ");
    let mut letters = name.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// File names belong to the server: it writes a prefix of its own for each run.
fn prefix_inputs(context: &Context<'_>, outputs: &[crate::Output]) -> Vec<Binding> {
    let of = |output: &crate::Output| {
        let node = context.graph.node(&output.node)?;
        node.literal("filename_prefix")?;
        Some(Context::binding(node, "filename_prefix"))
    };
    outputs.iter().filter_map(of).collect()
}

/// The graph and what is derived from it once.
struct Context<'a> {
    graph: &'a Graph,
    catalog: &'a Catalog,
    consumers: BTreeMap<&'a str, Vec<Consumer<'a>>>,
    /// Position in topological order.
    rank: BTreeMap<&'a str, usize>,
    sampling: sampling::Stages,
}

impl<'a> Context<'a> {
    fn new(graph: &'a Graph, catalog: &'a Catalog) -> Self {
        let order = graph.topological();
        let consumers = graph.consumers();
        let sampling = sampling::Stages::find(graph, &order, &consumers);
        let rank = order.iter().enumerate().map(|(rank, id)| (*id, rank)).collect();
        Self { graph, catalog, consumers, rank, sampling }
    }

    fn definition(&self, node: &Node) -> Option<&'a NodeDef> {
        self.catalog.get(&node.class_type)
    }

    fn input(&self, node: &Node, input: &str) -> Option<&'a InputDef> {
        self.definition(node)?.input(input)
    }

    fn fed_by(&self, node: &str) -> &[Consumer<'a>] {
        self.consumers.get(node).map_or(&[], Vec::as_slice)
    }

    fn binding(node: &Node, input: &str) -> Binding {
        Binding { node: node.id.clone(), input: input.to_owned(), class_type: node.class_type.clone() }
    }

    fn rank(&self, node: &str) -> usize {
        self.rank.get(node).copied().unwrap_or(usize::MAX)
    }

    /// The title, if the author chose it.
    fn custom_title(&self, node: &'a Node) -> Option<&'a str> {
        let title = declared::plain_title(node.title.as_deref()?)?;
        let is_default = |title: &str| {
            crate::catalog::display_names::is_default_title(self.catalog, &node.class_type, title)
        };
        if is_default(title) || is_template_title(title) {
            return None;
        }
        // "KSampler (Advanced) - REFINER": what the author added says it.
        let added = title.rsplit_once(" - ").filter(|(head, _)| is_default(head)).map(|(_, added)| added);
        Some(added.unwrap_or(title))
    }
}

/// Titles that come with ComfyUI's own templates: they tell polarity, not what an author wanted to say.
fn is_template_title(title: &str) -> bool {
    let lower = title.to_lowercase();
    lower.starts_with("clip text encode") || lower.starts_with("load checkpoint - ")
}

/// An output before it has a name.
#[derive(Debug, Clone)]
struct Found {
    node: NodeId,
    kind: OutputKind,
    stage: Stage,
}
