//! Where an input really comes from: through reroutes, bypassed nodes and the borders of subgraphs.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    document::{Document, Graph, INPUTS, Mode, Node},
    host::Outside,
    instances::Instances,
    layout::{Kind, Layout},
    slots::fit,
    virtual_nodes::{Virtual, first_value},
};
use crate::json::Value;

/// Everything that is known about the file.
#[derive(Debug)]
pub(super) struct Whole<'w> {
    pub(super) document: &'w Document,
    pub(super) layouts: &'w [Vec<Layout>],
    pub(super) outsides: &'w BTreeMap<(usize, usize), Outside>,
    pub(super) instances: &'w Instances,
    /// For each graph, the nodes that set a name.
    setters: Vec<BTreeMap<&'w str, usize>>,
}

/// A node in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) instance: usize,
    pub(super) node: usize,
}

/// What an input comes from.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Origin {
    /// An output of a node that is executed.
    Output(Place, usize),
    /// A widget outside.
    Value(Value),
    /// A primitive.
    Primitive(Value),
    /// Nothing.
    Nothing,
    /// Itself.
    Circle,
}

/// One step on the way: an input of a node, or an output of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Input(Place, usize),
    Output(Place, usize),
    /// Out of the instance, through an input of its subgraph.
    Outward(usize, usize),
    /// Into the instance, through an output of its subgraph.
    Inward(usize, usize),
}

/// The next step with the type that is asked for, or the end of the way.
type Next<'w> = Result<(Step, Option<&'w str>), Origin>;

impl<'w> Whole<'w> {
    pub(super) fn new(
        document: &'w Document,
        layouts: &'w [Vec<Layout>],
        outsides: &'w BTreeMap<(usize, usize), Outside>,
        instances: &'w Instances,
    ) -> Self {
        let setters =
            document.graphs.iter().zip(layouts).map(|(graph, layouts)| setters(graph, layouts)).collect();
        Self { document, layouts, outsides, instances, setters }
    }

    pub(super) fn graph(&self, instance: usize) -> &'w Graph {
        &self.document.graphs[self.instances.all[instance].graph]
    }

    pub(super) fn node(&self, place: Place) -> &'w Node {
        &self.graph(place.instance).nodes[place.node]
    }

    pub(super) fn layout(&self, place: Place) -> &'w Layout {
        &self.layouts[self.instances.all[place.instance].graph][place.node]
    }

    pub(super) fn id(&self, place: Place) -> String {
        format!("{}{}", self.instances.all[place.instance].path, self.node(place).id)
    }

    /// What an input comes from, and how many steps it took to find out.
    pub(super) fn origin(&self, place: Place, slot: usize) -> (Origin, usize) {
        let mut visited = BTreeSet::new();
        let (mut step, mut ty) = (Step::Input(place, slot), None);
        loop {
            if !visited.insert(step) {
                return (Origin::Circle, visited.len());
            }
            let next = match step {
                Step::Input(place, slot) => self.input(place, slot, ty),
                Step::Output(place, slot) => self.output(place, slot, ty),
                Step::Outward(instance, input) => self.outward(instance, input),
                Step::Inward(instance, output) => self.inward(instance, output, ty),
            };
            match next {
                Ok(next) => (step, ty) = next,
                Err(origin) => return (origin, visited.len()),
            }
        }
    }

    /// Along the link that ends at an input.
    fn input(&self, place: Place, slot: usize, ty: Option<&'w str>) -> Next<'w> {
        let graph = self.graph(place.instance);
        let slot = self.layout(place).slots.get(slot).ok_or(Origin::Nothing)?;
        let link = graph.link(slot).ok_or(Origin::Nothing)?;
        if link.origin == INPUTS {
            return Ok((Step::Outward(place.instance, link.origin_slot), None));
        }
        let node = graph.nodes.get_index_of(&link.origin).ok_or(Origin::Nothing)?;
        let ty = ty.unwrap_or(&slot.ty);
        Ok((Step::Output(Place { node, ..place }, link.origin_slot), Some(ty)))
    }

    fn output(&self, place: Place, slot: usize, ty: Option<&'w str>) -> Next<'w> {
        let (node, layout) = (self.node(place), self.layout(place));
        if layout.kind == Kind::Virtual(Virtual::Primitive) {
            // Its value was put into the widgets it leads to before anything was left out.
            let own = self.borrowed(place, "value").or_else(|| first_value(node));
            return Err(own.map_or(Origin::Nothing, |value| Origin::Primitive(value.clone())));
        }
        match node.mode {
            Mode::Muted => return Err(Origin::Nothing),
            Mode::Bypassed => {
                let input = bypass(layout, slot, ty.unwrap_or("*")).ok_or(Origin::Nothing)?;
                return Ok((Step::Input(place, input), None));
            }
            Mode::Active => {}
        }
        match layout.kind {
            Kind::Real => Err(Origin::Output(place, slot)),
            Kind::Host(_) => {
                let inner = self.instances.inner.get(&(place.instance, place.node)).ok_or(Origin::Nothing)?;
                Ok((Step::Inward(*inner, slot), ty))
            }
            Kind::Virtual(Virtual::Passes) => Ok((Step::Input(place, slot), ty)),
            Kind::Virtual(Virtual::Sets) => Ok((Step::Input(place, 0), ty)),
            Kind::Virtual(Virtual::Gets) => {
                Ok((Step::Input(self.setter(place).ok_or(Origin::Nothing)?, 0), ty))
            }
            Kind::Virtual(_) => Err(Origin::Nothing),
        }
    }

    /// The link outside, or the widget that stands there when there is none.
    fn outward(&self, instance: usize, input: usize) -> Next<'w> {
        let (outer, node) = self.instances.all[instance].host.ok_or(Origin::Nothing)?;
        let place = Place { instance: outer, node };
        let slot = self.layout(place).slots.get(input).ok_or(Origin::Nothing)?;
        if slot.link.is_some() {
            return Ok((Step::Input(place, input), None));
        }
        let outside = self.outsides.get(&(self.instances.all[outer].graph, node));
        let own = self.borrowed(place, &slot.name);
        let value = own.or_else(|| outside?.inputs.get(input)?.as_ref());
        Err(value.map_or(Origin::Nothing, |value| Origin::Value(value.clone())))
    }

    fn inward(&self, instance: usize, output: usize, ty: Option<&'w str>) -> Next<'w> {
        let graph = self.graph(instance);
        let port = graph.outputs.get(output).ok_or(Origin::Nothing)?;
        let link = port.links.first().and_then(|id| graph.links.get(id)).ok_or(Origin::Nothing)?;
        if link.origin == INPUTS {
            return Ok((Step::Outward(instance, link.origin_slot), None));
        }
        let node = graph.nodes.get_index_of(&link.origin).ok_or(Origin::Nothing)?;
        Ok((Step::Output(Place { instance, node }, link.origin_slot), ty))
    }

    /// The value that the subgraph around a node sets for one of its widgets.
    pub(super) fn borrowed(&self, place: Place, widget: &str) -> Option<&'w Value> {
        let (outer, host) = self.instances.all[place.instance].host?;
        let outside = self.outsides.get(&(self.instances.all[outer].graph, host))?;
        if outside.widgets.is_empty() {
            return None;
        }
        outside.widgets.get(&(self.node(place).id.clone(), widget.to_owned()))
    }

    /// The node that sets the name that this one gets: in the same graph, else in one around it.
    pub(super) fn setter(&self, place: Place) -> Option<Place> {
        let name = first_value(self.node(place))?.as_str()?;
        let mut instance = place.instance;
        loop {
            if let Some(node) = self.setters[self.instances.all[instance].graph].get(name) {
                return Some(Place { instance, node: *node });
            }
            instance = self.instances.all[instance].host?.0;
        }
    }
}

fn setters<'w>(graph: &'w Graph, layouts: &[Layout]) -> BTreeMap<&'w str, usize> {
    let mut setters = BTreeMap::new();
    for (index, (node, layout)) in graph.nodes.values().zip(layouts).enumerate() {
        if layout.kind == Kind::Virtual(Virtual::Sets)
            && let Some(name) = first_value(node).and_then(Value::as_str)
        {
            setters.entry(name).or_insert(index);
        }
    }
    setters
}

/// The input whose value comes out of an output when the node is bypassed: the one in the same place if its type
/// fits, else the first of exactly the type that is asked for, else the first that fits.
fn bypass(layout: &Layout, slot: usize, wanted: &str) -> Option<usize> {
    let output = layout.outputs.get(slot)?;
    let slots = &layout.slots;
    if wanted == "*" {
        return (!slots.is_empty()).then_some(if slots.len() > slot { slot } else { 0 });
    }
    let fits = |ty: &str| fit(ty, output) && fit(ty, wanted);
    if slots.get(slot).is_some_and(|same| fits(&same.ty)) {
        return Some(slot);
    }
    slots.iter().position(|slot| slot.ty == wanted).or_else(|| slots.iter().position(|slot| fits(&slot.ty)))
}
