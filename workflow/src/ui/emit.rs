//! Writing the nodes that are executed.

use std::collections::BTreeSet;

use super::{
    EXPORT, custom_combo,
    document::Mode,
    layout::{Fault, Kind},
    primitive,
    resolve::{Origin, Place, Whole},
    settle::settle,
    virtual_nodes::Virtual,
};
use crate::{
    catalog::Catalog,
    diagnostic::{Diagnostic, printable},
    json::{Number, Object, Value},
};

/// Steps along links that are taken in all; a chain of helpers that everything hangs on could be walked for ever.
const MOST_STEPS: usize = 5_000_000;

/// The nodes in the order in which the editor writes them: plain numbers first, by size, then those of subgraphs.
pub(super) fn graph(whole: &Whole<'_>, catalog: &Catalog, diagnostics: &mut Vec<Diagnostic>) -> Object {
    let mut writer = Writer { whole, catalog, diagnostics, steps: 0, named: BTreeSet::new() };
    let mut nodes: Vec<(String, Value)> = Vec::new();
    let mut open = vec![Place { instance: 0, node: 0 }];
    while let Some(place) = open.pop() {
        if place.node == whole.graph(place.instance).nodes.len() {
            continue;
        }
        open.push(Place { node: place.node + 1, ..place });
        if let Some(inner) = whole.instances.inner.get(&(place.instance, place.node)) {
            open.push(Place { instance: *inner, node: 0 });
        } else if whole.node(place).mode == Mode::Active {
            nodes.extend(writer.node(place).map(|node| (whole.id(place), node)));
        }
    }
    nodes.sort_by_key(|(id, _)| index(id).map_or((true, 0), |number| (false, number)));
    nodes.into_iter().collect()
}

/// Ids that a browser sorts by size.
fn index(id: &str) -> Option<u32> {
    let plain = id == "0" || !id.starts_with('0');
    id.parse().ok().filter(|_| plain && id.bytes().all(|byte| byte.is_ascii_digit()))
}

struct Writer<'w> {
    whole: &'w Whole<'w>,
    catalog: &'w Catalog,
    diagnostics: &'w mut Vec<Diagnostic>,
    steps: usize,
    /// Nodes by their graph that something was said about: once is enough for all copies.
    named: BTreeSet<(usize, usize, &'static str)>,
}

impl Writer<'_> {
    fn say(&mut self, place: Place, code: &'static str, found: Diagnostic) {
        let graph = self.whole.instances.all[place.instance].graph;
        if self.named.insert((graph, place.node, code)) {
            self.diagnostics.push(found.at_node(&self.whole.id(place), Some(&self.title(place))));
        }
    }

    fn title(&self, place: Place) -> String {
        let node = self.whole.node(place);
        let default = || self.catalog.get(&node.class).and_then(|definition| definition.display_name.clone());
        node.title.clone().or_else(default).unwrap_or_else(|| node.class.clone())
    }

    fn node(&mut self, place: Place) -> Option<Value> {
        let (node, layout) = (self.whole.node(place), self.whole.layout(place));
        match layout.kind {
            Kind::Real => {}
            Kind::Virtual(does) => {
                self.check_virtual(place, does);
                return None;
            }
            Kind::Host(_) => return None,
        }
        if let Some(fault) = &layout.fault {
            self.fault(place, fault);
        }
        let mut inputs = self.widgets(place);
        self.links(place, &mut inputs);
        if node.class == custom_combo::CLASS {
            custom_combo::place(&mut inputs);
        }
        let mut meta = Object::new();
        meta.insert("title".to_owned(), Value::from(self.title(place)));
        let mut members = Object::new();
        members.insert("inputs".to_owned(), Value::Object(inputs));
        members.insert("class_type".to_owned(), Value::from(node.class.as_str()));
        members.insert("_meta".to_owned(), Value::Object(meta));
        Some(Value::Object(members))
    }

    fn widgets(&mut self, place: Place) -> Object {
        let layout = self.whole.layout(place);
        let mut inputs = Object::new();
        for (name, value) in &layout.values {
            let value = self.whole.borrowed(place, name).unwrap_or(value);
            let settled = match value {
                Value::String(text) if layout.dynamic_prompts.contains(name) => {
                    self.settled(place, name, text)
                }
                value => literal(value.clone(), self.ty(place, name)),
            };
            inputs.insert(name.clone(), settled);
        }
        inputs
    }

    fn ty(&self, place: Place, widget: &str) -> &str {
        let slots = &self.whole.layout(place).slots;
        slots.iter().find(|slot| slot.name == widget).map_or("", |slot| slot.ty.as_str())
    }

    fn settled(&mut self, place: Place, name: &str, text: &str) -> Value {
        let (text, chosen) = settle(text);
        if chosen {
            let found = Diagnostic::warning(
                "dynamic-prompt",
                "the editor chooses one of `{a|b}` at random for each run; the first is taken",
            );
            self.say(place, "dynamic-prompt", found.at_input(name));
        }
        Value::String(text)
    }

    fn links(&mut self, place: Place, inputs: &mut Object) {
        for (index, slot) in self.whole.layout(place).slots.iter().enumerate() {
            if slot.link.is_none() {
                continue;
            }
            if self.steps > MOST_STEPS {
                self.say(place, "too-large", too_many_steps());
                return;
            }
            let (origin, steps) = self.whole.origin(place, index);
            self.steps += steps;
            match origin {
                Origin::Nothing => {}
                Origin::Circle => self.say(place, "cycle", circle().at_input(&slot.name)),
                Origin::Value(value) => drop(inputs.insert(slot.name.clone(), literal(value, &slot.ty))),
                Origin::Primitive(value) => {
                    let definition = self.catalog.get(&self.whole.node(place).class);
                    let value = primitive::taken(value, definition.and_then(|class| class.input(&slot.name)));
                    inputs.insert(slot.name.clone(), literal(value, &slot.ty));
                }
                Origin::Output(origin, output) => {
                    let output = Number::from_i128(i128::try_from(output).unwrap_or_default());
                    let link = vec![Value::String(self.whole.id(origin)), Value::Number(output)];
                    inputs.insert(slot.name.clone(), Value::Array(link));
                }
            }
        }
    }

    fn fault(&mut self, place: Place, fault: &Fault) {
        let class = printable(&self.whole.node(place).class);
        match fault {
            Fault::Unknown => {
                let found = Diagnostic::error(
                    "unknown-node",
                    format!(
                        "the class `{class}` is not known, so the values of its widgets cannot be told apart"
                    ),
                );
                self.say(place, "unknown-node", found.help(EXPORT));
            }
            Fault::Surplus(count) => {
                let message = format!(
                    "{count} saved values of `{class}` belong to none of its widgets and are left out"
                );
                let found = Diagnostic::warning("surplus-values", message);
                self.say(place, "surplus-values", found.help(EXPORT));
            }
            Fault::Misfits(names) => {
                let message = format!(
                    "the saved values of `{class}` do not line up with its widgets: {}",
                    names.join(", ")
                );
                let found = Diagnostic::error("widgets-misaligned", message);
                self.say(place, "widgets-misaligned", found.help(EXPORT));
            }
        }
    }

    fn check_virtual(&mut self, place: Place, does: Virtual) {
        let class = printable(&self.whole.node(place).class);
        if does == Virtual::Everywhere {
            let found = Diagnostic::error(
                "invisible-links",
                format!("`{class}` feeds inputs that no link leads to; which ones is decided in the editor"),
            );
            self.say(place, "invisible-links", found.help(EXPORT));
        }
        if does == Virtual::Gets && self.whole.setter(place).is_none() {
            let found = Diagnostic::warning("unset-name", format!("`{class}` gets a name that no node sets"));
            self.say(place, "unset-name", found.help("set the name, or remove the node"));
        }
    }
}

/// A bare list would be read as a link.
fn literal(value: Value, ty: &str) -> Value {
    let wrap = |value: Value, kind: Option<&str>| {
        let mut members = Object::new();
        if let Some(kind) = kind {
            members.insert("__type__".to_owned(), Value::from(kind));
        }
        members.insert("__value__".to_owned(), value);
        Value::Object(members)
    };
    match value {
        Value::Null => Value::Null,
        value if ty == "CURVE" => wrap(value, Some("CURVE")),
        value @ Value::Array(_) => wrap(value, None),
        value => value,
    }
}

fn circle() -> Diagnostic {
    Diagnostic::error("cycle", "the input leads back to itself")
        .help("a workflow must be free of loops; remove one of the links")
}

fn too_many_steps() -> Diagnostic {
    Diagnostic::error("too-large", "following the links of this workflow takes too long").help(EXPORT)
}
