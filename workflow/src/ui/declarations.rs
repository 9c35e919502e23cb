//! Inputs that the author offers to others: in the editor's form, or on the outside of a subgraph.

use super::{
    MOST_SLOTS,
    document::id_text,
    facts::{Declaration, Wish},
    layout::Kind,
    resolve::{Place, Whole},
};
use crate::json::{Object, Value};

/// Declarations in the author's order; the form before the outsides of subgraphs.
pub(super) fn find(value: &Value, whole: &Whole<'_>, graph: &Object) -> Vec<Declaration> {
    let finder = Finder { whole, graph };
    let mut found: Vec<Declaration> = finder.form(value);
    found.extend(finder.promoted());
    found.retain(|declaration| !declaration.inputs.is_empty());
    found
}

struct Finder<'f> {
    whole: &'f Whole<'f>,
    graph: &'f Object,
}

impl Finder<'_> {
    /// `linearData.inputs` lists `[node, widget, {…}]`.
    fn form(&self, value: &Value) -> Vec<Declaration> {
        let linear = value.get("extra").and_then(|extra| extra.get("linearData"));
        let listed =
            linear.and_then(|linear| linear.get("inputs")).and_then(Value::as_array).unwrap_or_default();
        let entry = |entry: &Value| {
            let items = entry.as_array()?;
            let (id, widget) = (id_text(items.first()?)?, items.get(1)?.as_str()?);
            let place = self.place(&id)?;
            let settings =
                |key: &str| items.get(2).and_then(|settings| settings.get(key)).and_then(Value::as_str);
            let label = self.whole.layout(place).slots.iter().find(|slot| slot.name == widget);
            let label = label.and_then(|slot| slot.label.as_deref());
            Some(Declaration {
                name: settings("label").or(label).unwrap_or(widget).to_owned(),
                description: settings("description").map(str::to_owned),
                wish: Wish::App,
                inputs: self.inputs(place, widget),
            })
        };
        listed.iter().take(MOST_SLOTS).filter_map(entry).collect()
    }

    /// Widgets on the outside of the subgraphs of the outermost graph.
    fn promoted(&self) -> Vec<Declaration> {
        let mut found = Vec::new();
        for node in 0..self.whole.graph(0).nodes.len() {
            let place = Place { instance: 0, node };
            if !matches!(self.whole.layout(place).kind, Kind::Host(_)) {
                continue;
            }
            for slot in self.whole.layout(place).slots.iter().filter(|slot| slot.link.is_none()) {
                found.push(Declaration {
                    name: slot.label.clone().unwrap_or_else(|| slot.name.clone()),
                    description: None,
                    wish: Wish::Promoted,
                    inputs: self.inputs(place, &slot.name),
                });
            }
        }
        found
    }

    /// A node by the path of ids that leads to it.
    fn place(&self, path: &str) -> Option<Place> {
        let mut instance = 0;
        let mut parts = path.split(':').peekable();
        loop {
            let node = self.whole.graph(instance).nodes.get_index_of(parts.next()?)?;
            if parts.peek().is_none() {
                return Some(Place { instance, node });
            }
            instance = *self.whole.instances.inner.get(&(instance, node))?;
        }
    }

    /// The inputs that a widget sets, through the borders of subgraphs.
    fn inputs(&self, place: Place, widget: &str) -> Vec<(String, String)> {
        let mut found = Vec::new();
        let mut open = vec![(place, widget.to_owned())];
        while let Some((place, widget)) = open.pop() {
            let id = self.whole.id(place);
            if self.graph.contains_key(&id) {
                if self.is_literal(&id, &widget) {
                    found.push((id, widget));
                }
                continue;
            }
            let inner = self.whole.instances.inner.get(&(place.instance, place.node));
            let port = self.whole.layout(place).slots.iter().position(|slot| slot.name == widget);
            let (Some(instance), Some(port)) = (inner, port) else { continue };
            let graph = self.whole.graph(*instance);
            for id in graph.inputs.get(port).into_iter().flat_map(|port| port.links.iter().rev()) {
                let Some(node) = graph.links.get(id).and_then(|link| graph.nodes.get_index_of(&link.target))
                else {
                    continue;
                };
                let place = Place { instance: *instance, node };
                let slots = &self.whole.layout(place).slots;
                open.extend(
                    slots
                        .iter()
                        .filter(|slot| slot.link.as_ref() == Some(id))
                        .map(|slot| (place, slot.name.clone())),
                );
            }
        }
        found
    }

    fn is_literal(&self, id: &str, input: &str) -> bool {
        let value =
            self.graph.get(id).and_then(|node| node.get("inputs")).and_then(|inputs| inputs.get(input));
        value.is_some_and(|value| value.as_array().is_none())
    }
}
