//! Keeping a new export to the API that was locked.

use std::collections::{BTreeMap, BTreeSet};

use super::{AMBIGUOUS, Change, DRIFT, Lock, LockedOutput, LockedParam, rematch, tier_name};
use crate::{
    diagnostic::Diagnostic,
    endpoint::{Binding, Derived, Endpoint, Output, Param, ParamType, Tier},
    graph::Graph,
    sidecar::Sidecar,
};

/// A lock, in terms of the present graph.
#[derive(Debug)]
pub(crate) struct Held {
    /// The lock with the ids that nodes have now; what is gone has no bindings.
    present: Lock,
    moved: Vec<Diagnostic>,
    /// Names that could be those of several nodes.
    unclear: Vec<Diagnostic>,
}

impl Held {
    pub(crate) fn new(lock: &Lock, graph: &Graph, sidecar: Option<&Sidecar>) -> Self {
        let nodes = rematch::Nodes::find(lock, graph, &pins(lock, graph, sidecar));
        let unclear = unclear(lock, &nodes);
        let mut present = lock.clone();
        let mut moved = BTreeMap::new();
        let mut note = |class: &str, former: &str, now: &str| {
            if former != now {
                let message = format!("node {former} of the locked workflow, a {class}, is node {now} now");
                moved.insert(former.to_owned(), Diagnostic::note("lock-moved", message).at_node(now, None));
            }
        };
        for param in &mut present.params {
            // What these are about are nodes: which of their inputs are fed does not matter.
            let of_nodes = [Derived::Switch, Derived::Loras]
                .iter()
                .any(|derived| param.derived.as_deref() == Some(derived.as_str()));
            param.bindings.retain_mut(|binding| {
                let Some(now) = nodes.now(&binding.node.id) else { return false };
                let still =
                    of_nodes || graph.node(now).is_some_and(|node| node.literal(&binding.input).is_some());
                note(&binding.node.class, &binding.node.id, now);
                now.clone_into(&mut binding.node.id);
                still
            });
        }
        for output in &mut present.outputs {
            match nodes.now(&output.node.id) {
                Some(now) => {
                    note(&output.node.class, &output.node.id, now);
                    now.clone_into(&mut output.node.id);
                }
                // No node is called that.
                None => output.node.id.clear(),
            }
        }
        Self { present, moved: moved.into_values().collect(), unclear }
    }

    /// Where the entries of the sidecar file lead, remembered from when the lock was written.
    pub(crate) fn keys(&self) -> BTreeMap<&str, (&str, &str)> {
        let keys = self.of_nodes().filter_map(|param| {
            let binding = param.bindings.first()?;
            Some((param.key.as_deref()?, (binding.node.id.as_str(), binding.input.as_str())))
        });
        keys.collect()
    }

    /// Where the entries of the sidecar file for outputs lead.
    pub(crate) fn output_keys(&self) -> BTreeMap<&str, &str> {
        let keys = self.present.outputs.iter();
        keys.filter_map(|output| Some((output.key.as_deref()?, output.node.id.as_str()))).collect()
    }

    /// Gives parameters and outputs the names they had, together with what callers of them rely on. What the sidecar
    /// file decided is left to it.
    pub(crate) fn impose(
        &self,
        graph: &Graph,
        sidecar: Option<&Sidecar>,
        params: &mut Vec<Param>,
        outputs: &mut [Output],
        diagnostics: &mut Vec<Diagnostic>,
    ) {
        diagnostics.extend(self.moved.iter().chain(&self.unclear).cloned());
        let forgotten = |key: &Option<String>| {
            key.as_ref().is_some_and(|key| !sidecar.is_some_and(|sidecar| sidecar.params.contains_key(key)))
        };
        let mut held: Vec<Param> = Vec::new();
        for locked in self.of_nodes().filter(|locked| !locked.bindings.is_empty()) {
            let Some(mut param) = take(params, locked) else { continue };
            if !forgotten(&locked.key) {
                keep(&mut param, locked, graph);
            }
            tell_split_values(&param, graph, diagnostics);
            held.push(param);
        }
        let taken: BTreeSet<(Tier, String)> =
            held.iter().map(|param| (param.tier, param.name.clone())).collect();
        for param in params.iter_mut().filter(|param| taken.contains(&(param.tier, param.name.clone()))) {
            param.name = free_name(&param.name, |name| taken.contains(&(param.tier, name.to_owned())));
        }
        params.splice(0..0, held);
        self.impose_outputs(sidecar, outputs);
    }

    fn impose_outputs(&self, sidecar: Option<&Sidecar>, outputs: &mut [Output]) {
        let mut named = BTreeSet::new();
        for locked in &self.present.outputs {
            let gone = locked
                .key
                .as_ref()
                .is_some_and(|key| !sidecar.is_some_and(|sidecar| sidecar.outputs.contains_key(key)));
            if let Some(output) = outputs.iter_mut().find(|output| output.node == locked.node.id && !gone) {
                output.name.clone_from(&locked.name);
                named.insert(locked.node.id.clone());
            }
        }
        let taken: BTreeSet<String> = outputs
            .iter()
            .filter(|output| named.contains(&output.node))
            .map(|output| output.name.clone())
            .collect();
        for output in outputs.iter_mut().filter(|output| !named.contains(&output.node)) {
            if taken.contains(&output.name) {
                output.name = free_name(&output.name, |name| taken.contains(name));
            }
        }
    }

    /// Whether a parameter was locked.
    pub(crate) fn knows(&self, binding: &Binding) -> bool {
        self.of(binding).is_some()
    }

    /// Fields that nodes have.
    fn of_nodes(&self) -> impl Iterator<Item = &LockedParam> {
        self.present.params.iter().filter(|locked| locked.derived.is_none())
    }

    /// The nodes of a switch, where the sidecar file still lists those it listed when the lock was written.
    pub(crate) fn switched(&self, name: &str, listed: &[String]) -> Option<Vec<String>> {
        let key = switch_key(listed);
        let locked = self.present.params.iter().find(|locked| {
            locked.name == name && locked.derived.as_deref() == Some(Derived::Switch.as_str())
        })?;
        (locked.key.as_ref() == Some(&key))
            .then(|| locked.bindings.iter().map(|binding| binding.node.id.clone()).collect())
    }

    /// Whether callers had to give what this input is set to.
    pub(crate) fn requires(&self, binding: &Binding) -> bool {
        self.of(binding).is_some_and(|locked| locked.required)
    }

    /// Whether callers could set this input, and as part of the request itself.
    pub(crate) fn is_primary(&self, binding: &Binding) -> bool {
        self.of(binding).is_some_and(|locked| locked.tier == tier_name(Tier::Primary))
    }

    /// Whether a field that no node has was offered.
    pub(crate) fn offers(&self, derived: Derived, name: &str) -> bool {
        let is = |locked: &LockedParam| {
            locked.derived.as_deref() == Some(derived.as_str())
                && (derived != Derived::Switch || locked.name == name)
        };
        self.present.params.iter().any(is)
    }

    fn of(&self, binding: &Binding) -> Option<&LockedParam> {
        let is = |one: &super::LockedInput| one.node.id == binding.node && one.input == binding.input;
        self.of_nodes().find(|param| param.bindings.iter().any(is))
    }

    /// What callers would notice.
    pub(crate) fn changes(&self, endpoint: &Endpoint, sidecar: Option<&Sidecar>) -> Vec<Change> {
        self.present.changes(&Lock::of(endpoint, sidecar))
    }

    /// Each difference as an error that says how to accept it.
    pub(crate) fn drift(endpoint: &Endpoint) -> Vec<Diagnostic> {
        let told = |change: &Change| {
            Diagnostic::error(DRIFT, format!("the public API would change: {change}")).help(
                "`comfyport lock accept` shows all differences and accepts them; where no comfyport is built yet, \
                 `COMFYPORT_LOCK=accept cargo build`",
            )
        };
        endpoint.changes.iter().map(told).collect()
    }
}

/// How a lock remembers the nodes that a sidecar file lists.
pub(super) fn switch_key(listed: &[String]) -> String {
    listed.join(",")
}

/// A name in the sidecar file tells which of several nodes a locked name means: former and present id.
fn pins(lock: &Lock, graph: &Graph, sidecar: Option<&Sidecar>) -> Vec<(String, String)> {
    let mut pins = Vec::new();
    let class = |node: &str| graph.node(node).map(|node| node.class_type.as_str());
    for (key, rule) in sidecar.iter().flat_map(|sidecar| &sidecar.params) {
        let remembered = lock.params.iter().any(|param| param.key.as_ref() == Some(key));
        // What is hidden answers to no name.
        let name = rule.name.as_ref().filter(|_| !rule.hide);
        let (Some(name), Some((node, input)), false) = (name, key.rsplit_once('.'), remembered) else {
            continue;
        };
        let class = class(node);
        let locked = lock.params.iter().filter(|param| param.name == *name && param.is_public());
        let same = locked
            .flat_map(|param| &param.bindings)
            .find(|binding| binding.input == input && Some(binding.node.class.as_str()) == class);
        pins.extend(same.map(|binding| (binding.node.id.clone(), node.to_owned())));
    }
    for (key, rule) in sidecar.iter().flat_map(|sidecar| &sidecar.outputs) {
        let remembered = lock.outputs.iter().any(|output| output.key.as_ref() == Some(key));
        let name = rule.name.as_ref().filter(|_| !rule.hide);
        let (Some(name), false) = (name, remembered) else { continue };
        let fits =
            |output: &&LockedOutput| output.name == *name && Some(output.node.class.as_str()) == class(key);
        pins.extend(lock.outputs.iter().find(fits).map(|output| (output.node.id.clone(), key.clone())));
    }
    pins
}

/// For each name that could mean several nodes, which, and the line that decides.
fn unclear(lock: &Lock, nodes: &rematch::Nodes) -> Vec<Diagnostic> {
    let told = |param: &LockedParam| {
        let binding = param.bindings.iter().find(|binding| nodes.unclear.contains_key(&binding.node.id))?;
        let candidates = &nodes.unclear[&binding.node.id];
        let places: Vec<String> = candidates.iter().map(|node| format!("{node}.{}", binding.input)).collect();
        let line = format!("[params.\"{}\"]\nname = \"{}\"", places[0], param.name);
        Some(
            Diagnostic::error(
                AMBIGUOUS,
                format!(
                    "`{}` was {}.{} and could be {} now: nothing in the graph tells them apart",
                    param.name,
                    binding.node.id,
                    binding.input,
                    places.join(" or ")
                ),
            )
            .help(format!(
                "decide in the sidecar file:\n{line}\nor give the nodes titles that say what they are for"
            )),
        )
    };
    lock.params.iter().filter(|param| param.is_public()).filter_map(told).collect()
}

/// The parameter that sets what a locked one set, with exactly its bindings. Values may have been merged or parted
/// since, because exports repeat shared values.
fn take(params: &mut Vec<Param>, locked: &LockedParam) -> Option<Param> {
    let is = |binding: &Binding| {
        locked.bindings.iter().any(|one| one.node.id == binding.node && one.input == binding.input)
    };
    let mut donors = params.iter().filter(|param| param.bindings.iter().any(is));
    // Of several that were one before, the one that means what it meant.
    let first = donors.next()?;
    let alike = |param: &&Param| param.role == locked.role && param.ty.as_str() == locked.ty;
    let donor = [first].into_iter().chain(donors).find(alike).unwrap_or(first);
    let mut taken = donor.clone();
    taken.bindings = params.iter().flat_map(|param| &param.bindings).filter(|one| is(one)).cloned().collect();
    let order = |binding: &Binding| {
        locked.bindings.iter().position(|one| one.node.id == binding.node && one.input == binding.input)
    };
    taken.bindings.sort_by_key(order);
    for param in params.iter_mut() {
        param.bindings.retain(|binding| !is(binding));
    }
    params.retain(|param| !param.bindings.is_empty());
    Some(taken)
}

/// What callers rely on stays as it was, as far as the new export allows.
fn keep(param: &mut Param, locked: &LockedParam, graph: &Graph) {
    param.name.clone_from(&locked.name);
    let tiers = [Tier::Primary, Tier::Advanced, Tier::Model, Tier::Hidden];
    if let Some(tier) = tiers.into_iter().find(|tier| tier_name(*tier) == locked.tier) {
        param.tier = tier;
    }
    // Without a definition the type is guessed from the value, and a new default may look like a whole number.
    if param.ty == ParamType::Integer && locked.ty == ParamType::Number.as_str() {
        param.ty = ParamType::Number;
    }
    if locked.required {
        param.required = true;
        param.default = None;
    } else if param.required && !param.ty.is_media() {
        param.required = false;
        let first = param.bindings.first();
        let value = first.and_then(|binding| graph.node(&binding.node)?.literal(&binding.input));
        param.default = value.cloned().filter(|_| param.ty != ParamType::Seed);
    }
}

/// One field sets several inputs: where an export gives them different values, only one is the default.
fn tell_split_values(param: &Param, graph: &Graph, diagnostics: &mut Vec<Diagnostic>) {
    let value = |binding: &Binding| graph.node(&binding.node)?.literal(&binding.input);
    let Some(first) = param.bindings.first() else { return };
    for other in &param.bindings[1..] {
        let (Some(one), Some(two)) = (value(first), value(other)) else { continue };
        if one != two && param.ty != ParamType::Seed {
            diagnostics.push(
                Diagnostic::warning(
                    "split-value",
                    format!(
                        "`{}` sets several inputs, which this export gives different values: {} and {}",
                        param.name,
                        one.to_json(),
                        two.to_json()
                    ),
                )
                .at_node(&other.node, None)
                .at_input(&other.input)
                .help("the first is used for all; to make them two parameters, delete the lock file and accept anew"),
            );
        }
    }
}

fn free_name(name: &str, taken: impl Fn(&str) -> bool) -> String {
    (2..).map(|number| format!("{name}_{number}")).find(|name| !taken(name)).unwrap_or_default()
}
