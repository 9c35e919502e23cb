//! Which widgets the editor shows for a class, and which saved value belongs to which.

use std::collections::VecDeque;

use super::{
    document::{Node, Values},
    slots::{Slot, defined_ty},
};
use crate::{
    catalog::{Dynamic, InputDef, InputKind, NodeDef},
    json::{Number, Object, Value},
};

/// Types besides the plain ones that have a widget; their values are objects or lists.
const WIDGET_TYPES: &[&str] = &[
    "COLOR",
    "COLORS",
    "CURVE",
    "RANGE",
    "BOUNDING_BOX",
    "BOUNDING_BOXES",
    "MARKDOWN",
    "TEXTAREA",
    "CHART",
    "GALLERIA",
    "PAINTER",
    "COMPOSITOR",
    "VIDEO_EDIT",
    "IMAGECOMPARE",
    "WEBCAM",
    "AUDIO_RECORD",
    "LOAD_3D",
    "LOAD_3D_ANIMATION",
    "COMFY_BRANCH_SELECTOR",
];

/// Types that bring widgets along whose number only the editor knows.
const OPAQUE_TYPES: &[&str] = &["COMFY_DYNAMICGROUP_V3", "COMFY_BRANCH_INPUT_NAMES"];

/// What the definition makes of a node.
#[derive(Debug, Default)]
pub(super) struct Assigned {
    /// Values to submit, in the order of the widgets.
    pub(super) values: Vec<(String, Value)>,
    /// Sockets, then the inputs of widgets.
    pub(super) slots: Vec<Slot>,
    /// Inputs whose value cannot be meant for them.
    pub(super) misfits: Vec<String>,
    /// Widgets whose text is settled before it is submitted.
    pub(super) dynamic_prompts: Vec<String>,
    /// Whether the class has widgets that its definition does not tell.
    pub(super) opaque: bool,
    /// How many saved values are left over.
    pub(super) surplus: usize,
}

/// Gives each widget of the class its saved value, or the editor's own where none was saved.
pub(super) fn assign(definition: &NodeDef, node: &Node) -> Assigned {
    let mut saved = Saved::new(definition, node);
    let mut assigned = Assigned::default();
    let mut widgets = Vec::new();
    let mut open: VecDeque<(String, &InputDef)> =
        definition.inputs.iter().map(|input| (input.name.clone(), input)).collect();
    while let Some((name, input)) = open.pop_front() {
        if !has_widget(input) {
            assigned.opaque |= OPAQUE_TYPES.contains(&defined_ty(input).as_str());
            if !matches!(input.dynamic, Some(Dynamic::Autogrow(_))) {
                assigned.slots.push(slot(&name, input, None));
            }
            continue;
        }
        if defined_ty(input) == "LOAD_3D" {
            saved.skip_while(is_button_of_3d);
        }
        let value = if is_saved(input) { saved.next(&name) } else { None };
        let value = value.or_else(|| initial(input));
        saved.skip(controls(input, &name));
        for (child, input) in children(input, value.as_ref()).into_iter().rev() {
            open.push_front((format!("{name}.{child}"), input));
        }
        if let Some(value) = value {
            if !fits(input, &value) {
                assigned.misfits.push(name.clone());
            }
            assigned.values.push((name.clone(), shown(input, value)));
        }
        if input.dynamic_prompts {
            assigned.dynamic_prompts.push(name.clone());
        }
        widgets.push(slot(&name, input, Some(name.clone())));
    }
    assigned.slots.append(&mut widgets);
    assigned.surplus = saved.left();
    assigned
}

/// Whether the editor shows a widget for an input.
pub(super) fn has_widget(input: &InputDef) -> bool {
    if input.force_input {
        return false;
    }
    match &input.kind {
        InputKind::Socket(types) => {
            matches!(types.as_slice(), [only] if WIDGET_TYPES.contains(&only.as_str()))
        }
        _ => true,
    }
}

fn slot(name: &str, input: &InputDef, widget: Option<String>) -> Slot {
    Slot { name: name.to_owned(), ty: defined_ty(input), widget, ..Slot::default() }
}

/// How many widgets for changing the value after each run follow it. A combo has one more, for filtering.
pub(super) fn controls(input: &InputDef, name: &str) -> usize {
    let seed = input.kind == InputKind::Int && matches!(name, "seed" | "noise_seed");
    match (input.control_after_generate.unwrap_or(seed), &input.kind) {
        (false, _) => 0,
        (true, InputKind::Combo) => 2,
        (true, _) => 1,
    }
}

/// The inputs that the chosen option brings along.
fn children<'c>(input: &'c InputDef, value: Option<&Value>) -> Vec<(&'c str, &'c InputDef)> {
    let Some(Dynamic::Options(options)) = &input.dynamic else { return Vec::new() };
    let chosen = options.iter().find(|(key, _)| Some(key) == value);
    chosen.into_iter().flat_map(|(_, inputs)| inputs).map(|input| (input.name.as_str(), input)).collect()
}

/// What the editor starts with. Which files a machine has is not known.
fn initial(input: &InputDef) -> Option<Value> {
    if let Some(default) = &input.default {
        return Some(default.clone());
    }
    match &input.kind {
        InputKind::Int | InputKind::Float => Some(Value::from(0)),
        InputKind::Text => Some(Value::from("")),
        InputKind::Boolean => Some(Value::Bool(false)),
        InputKind::Combo => input.options.first().cloned(),
        // Two pictures to compare, which there are only after a run.
        InputKind::Socket(_) if !is_saved(input) => {
            Some(Value::Array(vec![Value::from(""), Value::from("")]))
        }
        InputKind::Socket(_) => None,
    }
}

/// Whether the editor saves the value.
fn is_saved(input: &InputDef) -> bool {
    defined_ty(input) != "IMAGECOMPARE"
}

/// A number where one is asked for, or a text that may stand for one.
fn fits(input: &InputDef, value: &Value) -> bool {
    match input.kind {
        InputKind::Int | InputKind::Float => fits_number(value),
        _ => true,
    }
}

/// Placeholders of other tools stand where numbers belong, and `null` where nothing was chosen.
pub(super) fn fits_number(value: &Value) -> bool {
    match value {
        Value::Number(_) | Value::Bool(_) | Value::Null => true,
        Value::String(text) => {
            Number::parse(text).is_some()
                || text.contains(['{', '%', '$'])
                || text.starts_with("__")
                || text.starts_with("PARAM_")
        }
        _ => false,
    }
}

/// Buttons that the editor shows before a 3D view, and saves as if they had a value.
fn is_button_of_3d(value: &Value) -> bool {
    matches!(value.as_str(), Some("upload3dmodel" | "uploadExtraResources" | "clear"))
}

/// A text area shows everything as text.
fn shown(input: &InputDef, value: Value) -> Value {
    match value {
        Value::Number(number) if input.kind == InputKind::Text && input.multiline => {
            Value::from(number.as_str())
        }
        Value::Null if input.kind == InputKind::Text && input.multiline => Value::from(""),
        value => value,
    }
}

/// Saved values, handed out in order.
enum Saved<'n> {
    Listed { items: Vec<&'n Value>, next: usize },
    Named(&'n Object),
}

impl<'n> Saved<'n> {
    fn new(definition: &NodeDef, node: &'n Node) -> Self {
        match &node.values {
            Values::Named(members) => Self::Named(members),
            Values::Listed(items) => Self::Listed { items: without_sockets(definition, items), next: 0 },
        }
    }

    fn next(&mut self, name: &str) -> Option<Value> {
        match self {
            Self::Named(members) => members.get(name).cloned(),
            Self::Listed { items, next } => {
                let value = items.get(*next).map(|value| (*value).clone());
                *next += 1;
                value
            }
        }
    }

    fn skip_while(&mut self, condition: impl Fn(&Value) -> bool) {
        if let Self::Listed { items, next } = self {
            *next += items.iter().skip(*next).take_while(|value| condition(value)).count();
        }
    }

    /// Values that no widget took. Players and buttons at the end save something as well.
    fn left(&self) -> usize {
        let button = |value: &&&Value| {
            matches!(value, Value::Null | Value::Bool(_))
                || matches!(value.as_str(), Some("" | "image" | "refresh"))
        };
        match self {
            Self::Listed { items, next } => items.iter().skip(*next).filter(|value| !button(value)).count(),
            Self::Named(_) => 0,
        }
    }

    fn skip(&mut self, count: usize) {
        if let Self::Listed { next, .. } = self {
            *next += count;
        }
    }
}

/// Older editors saved a value for each input that is forced to be a socket. Whether they did shows in the count.
fn without_sockets<'n>(definition: &NodeDef, items: &'n [Value]) -> Vec<&'n Value> {
    let counted = definition.inputs.iter().filter(|input| has_widget(input) || input.force_input);
    let mut sockets: Vec<bool> = counted
        .flat_map(|input| {
            let controls = if input.force_input { 0 } else { controls(input, &input.name) };
            std::iter::once(input.force_input).chain(std::iter::repeat_n(false, controls))
        })
        .collect();
    let widgets = sockets.iter().filter(|socket| !**socket).count();
    let uploads = definition.inputs.iter().any(|input| input.required && input.upload.is_some());
    if items.len() > widgets && items.len() == sockets.len() + usize::from(uploads) {
        sockets.push(false);
        return items.iter().zip(sockets).filter(|(_, socket)| !socket).map(|(value, _)| value).collect();
    }
    items.iter().collect()
}
