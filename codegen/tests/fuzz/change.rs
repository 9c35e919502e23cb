//! Changes of JSON that keep it JSON.

use comfyport_workflow::{
    Catalog,
    json::{Number, Object, Value},
};
use fastrand::Rng;

/// Stands in texts for half of a surrogate pair, which no text can hold but JSON can spell.
pub(crate) const LONE_SURROGATE: char = '\u{E000}';

/// Texts that mean something to somebody.
const TEXTS: &[&str] = &[
    "",
    " ",
    "prompt",
    "seed",
    "options",
    "advanced",
    "type",
    "__proto__",
    "a\"#*/\\{}%\n\r\u{2028}\u{202E}\0",
    "{prompt?}",
    "[in_image]",
    "$seed",
    "PARAM_INT_X",
    "{{x}}",
    "%x%",
    "${x:1}",
    "embedding:x",
    "../../etc/passwd",
    "x.safetensors",
    "https://example.com/x.png",
    "workflow>Group",
    "Reroute",
    "PrimitiveNode",
    "GetNode",
    "SetNode",
    "Note",
    "KSampler",
    "SaveImage",
    "LoadImage",
    "CustomCombo",
    "Power Lora Loader (rgthree)",
    "11111111-1111-4111-8111-111111111111",
    "-1",
    "18446744073709551616",
    "1e999",
    "NaN",
    "true",
    "data:image/png;base64,AAAA",
    "\u{E000}",
];

const NUMBERS: &[&str] = &[
    "0",
    "-0",
    "1",
    "-1",
    "-10",
    "-20",
    "2",
    "3.5",
    "1e-320",
    "1e308",
    "1e400",
    "-1e400",
    "2147483648",
    "4294967295",
    "4294967296",
    "9007199254740993",
    "9223372036854775807",
    "-9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "170141183460469231731687303715884105728",
    "0.1000000000000000055511151231257827021181583404541015625",
];

const KEYS: &[&str] = &[
    "id",
    "type",
    "class_type",
    "inputs",
    "outputs",
    "links",
    "link",
    "nodes",
    "mode",
    "widgets_values",
    "widget",
    "name",
    "properties",
    "proxyWidgets",
    "definitions",
    "subgraphs",
    "groupNodes",
    "linearData",
    "extra",
    "_meta",
    "title",
    "floatingLinks",
    "reroutes",
    "models",
    "__value__",
    "prompt",
    "version",
    "slot_index",
    "origin_id",
    "target_slot",
];

/// Changes a value in one to a dozen places.
pub(crate) fn some(value: &mut Value, others: &[Value], dice: &mut Rng) {
    let count = 1 + dice.usize(..12) * dice.usize(..2);
    for _ in 0..count {
        once(value, others, dice);
    }
}

fn once(value: &mut Value, others: &[Value], dice: &mut Rng) {
    match dice.u8(..16) {
        0 | 1 => *place(value, dice) = odd(dice),
        2 => remove(place(value, dice), dice),
        3 => repeat(place(value, dice), 1, dice),
        4 => {
            let mut taken = std::mem::replace(place(value, dice), Value::Null);
            std::mem::swap(place(value, dice), &mut taken);
        }
        5 => {
            let other = &mut others[dice.usize(..others.len())].clone();
            *place(value, dice) = std::mem::replace(place(other, dice), Value::Null);
        }
        6 => nest(place(value, dice), dice),
        7 => swell(place(value, dice), dice),
        8 | 9 => relink(value, dice),
        10 | 11 => retype(value, dice),
        12 | 13 => odd_widgets(value, dice),
        14 => rename(place(value, dice), dice),
        _ => {
            if let Value::String(text) = place(value, dice) {
                text.push_str(TEXTS[dice.usize(..TEXTS.len())]);
            }
        }
    }
}

/// A place somewhere below; deeper ones as likely as shallow ones.
fn place<'v>(value: &'v mut Value, dice: &mut Rng) -> &'v mut Value {
    if dice.u8(..10) == 0 {
        return value;
    }
    let count = match value {
        Value::Array(items) => items.len(),
        Value::Object(members) => members.len(),
        _ => 0,
    };
    let index = if count > 0 { dice.usize(..count) } else { return value };
    match value {
        Value::Array(items) => place(&mut items[index], dice),
        Value::Object(members) => place(&mut members[index], dice),
        leaf => leaf,
    }
}

/// A value of any kind.
pub(crate) fn odd(dice: &mut Rng) -> Value {
    match dice.u8(..9) {
        0 => Value::Null,
        1 => Value::Bool(dice.bool()),
        2 => Value::Number(Number::from_f64(*dice.choice(&[f64::NAN, f64::INFINITY, -0.0, 0.1]).unwrap())),
        3 | 4 => Number::parse(NUMBERS[dice.usize(..NUMBERS.len())]).map_or(Value::Null, Value::Number),
        5 => Value::Array((0..dice.usize(..4)).map(|_| odd(dice)).collect()),
        6 => {
            let members = (0..dice.usize(..4)).map(|_| (key(dice), odd(dice)));
            Value::Object(members.collect::<Vec<_>>().into_iter().collect())
        }
        7 => Value::from(i64::from(dice.i8(..))),
        _ => Value::from(TEXTS[dice.usize(..TEXTS.len())]),
    }
}

fn key(dice: &mut Rng) -> String {
    let keys = if dice.bool() { KEYS } else { TEXTS };
    keys[dice.usize(..keys.len())].to_owned()
}

fn remove(value: &mut Value, dice: &mut Rng) {
    match value {
        Value::Array(items) if !items.is_empty() => drop(items.remove(dice.usize(..items.len()))),
        Value::Object(members) if !members.is_empty() => {
            members.shift_remove_index(dice.usize(..members.len()));
        }
        other => *other = Value::Null,
    }
}

fn repeat(value: &mut Value, times: usize, dice: &mut Rng) {
    match value {
        Value::Array(items) if !items.is_empty() => {
            let item = items[dice.usize(..items.len())].clone();
            items.extend(std::iter::repeat_n(item, times));
        }
        Value::Object(members) if !members.is_empty() => {
            let item = members[dice.usize(..members.len())].clone();
            members.extend((0..times).map(|index| (format!("{}{index}", key(dice)), item.clone())));
        }
        _ => {}
    }
}

/// Many more of the same, as long as they are small.
fn swell(value: &mut Value, dice: &mut Rng) {
    let most = 2_000_000 / value.to_json().len().max(1);
    let times = 10_usize.pow(dice.u32(1..5)).min(most);
    repeat(value, times, dice);
}

fn nest(value: &mut Value, dice: &mut Rng) {
    let name = key(dice);
    for _ in 0..2_usize.pow(dice.u32(..9)) {
        let inner = std::mem::replace(value, Value::Null);
        *value = if dice.bool() {
            Value::Array(vec![inner])
        } else {
            Value::Object(Object::from_iter([(name.clone(), inner)]))
        };
    }
}

fn rename(value: &mut Value, dice: &mut Rng) {
    if let Value::Object(members) = value
        && let Some((_, value)) =
            (!members.is_empty()).then(|| members.shift_remove_index(dice.usize(..members.len()))).flatten()
    {
        members.insert(key(dice), value);
    }
}

/// Gives one of the objects that fit to the action.
fn one(
    value: &mut Value,
    fits: &dyn Fn(&Object) -> bool,
    dice: &mut Rng,
    action: &mut dyn FnMut(&mut Object, &mut Rng),
) {
    fn count(value: &Value, fits: &dyn Fn(&Object) -> bool) -> usize {
        match value {
            Value::Array(items) => items.iter().map(|item| count(item, fits)).sum(),
            Value::Object(members) => {
                usize::from(fits(members)) + members.values().map(|member| count(member, fits)).sum::<usize>()
            }
            _ => 0,
        }
    }
    fn nth<'v>(
        value: &'v mut Value,
        fits: &dyn Fn(&Object) -> bool,
        left: &mut usize,
    ) -> Option<&'v mut Object> {
        match value {
            Value::Array(items) => items.iter_mut().find_map(|item| nth(item, fits, left)),
            Value::Object(members) => {
                if fits(members) {
                    if *left == 0 {
                        return Some(members);
                    }
                    *left -= 1;
                }
                members.values_mut().find_map(|member| nth(member, fits, left))
            }
            _ => None,
        }
    }
    let all = count(value, fits);
    if all > 0
        && let Some(found) = nth(value, fits, &mut dice.usize(..all))
    {
        action(found, dice);
    }
}

/// Leads a link to another node, to itself, or to nothing.
fn relink(value: &mut Value, dice: &mut Rng) {
    let ids: Vec<Value> = ids(value);
    let any = |dice: &mut Rng| {
        if ids.is_empty() || dice.u8(..8) == 0 { odd(dice) } else { ids[dice.usize(..ids.len())].clone() }
    };
    let slot = |dice: &mut Rng| Value::from(i64::from(dice.u8(..3)));
    one(
        value,
        &|object| object.contains_key("inputs") || object.contains_key("links"),
        dice,
        &mut |object, dice| {
            if let Some(Value::Object(inputs)) = object.get_mut("inputs") {
                let Some(index) = (!inputs.is_empty()).then(|| dice.usize(..inputs.len())) else { return };
                inputs[index] = Value::Array(vec![any(dice), slot(dice)]);
            } else if let Some(Value::Array(links)) = object.get_mut("links") {
                let Some(index) = (!links.is_empty()).then(|| dice.usize(..links.len())) else { return };
                match &mut links[index] {
                    Value::Array(link) if link.len() > 4 => {
                        link[dice.usize(..5)] = any(dice);
                    }
                    Value::Object(link) if !link.is_empty() => {
                        let index = dice.usize(..link.len());
                        link[index] = any(dice);
                    }
                    other => *other = any(dice),
                }
            } else if let Some(Value::Array(slots)) = object.get_mut("inputs")
                && !slots.is_empty()
            {
                let index = dice.usize(..slots.len());
                if let Value::Object(slot) = &mut slots[index] {
                    slot.insert("link".to_owned(), any(dice));
                }
            }
        },
    );
}

/// The ids of nodes, as they are written.
fn ids(value: &Value) -> Vec<Value> {
    let listed = value.get("nodes").and_then(Value::as_array).into_iter().flatten();
    let listed = listed.filter_map(|node| node.get("id").cloned());
    let keys = value.as_object().into_iter().flat_map(Object::keys).map(|key| Value::from(key.as_str()));
    listed.chain(keys).chain([Value::from(-10), Value::from(-20)]).collect()
}

/// Makes a node one of another class: a known one, a helper of the editor, or a subgraph, also the one it stands in.
fn retype(value: &mut Value, dice: &mut Rng) {
    let subgraphs: Vec<Value> = value
        .get("definitions")
        .and_then(|definitions| definitions.get("subgraphs")?.as_array())
        .into_iter()
        .flatten()
        .filter_map(|subgraph| subgraph.get("id").cloned())
        .collect();
    let node = |object: &Object| object.contains_key("class_type") || object.contains_key("mode");
    one(value, &node, dice, &mut |object, dice| {
        let class = match dice.u8(..4) {
            0 | 1 if !subgraphs.is_empty() => subgraphs[dice.usize(..subgraphs.len())].clone(),
            0 => Value::from(TEXTS[dice.usize(..TEXTS.len())]),
            _ => Value::from(class(dice)),
        };
        let key = if object.contains_key("class_type") { "class_type" } else { "type" };
        object.insert(key.to_owned(), class);
        if dice.u8(..4) == 0 {
            object.insert("mode".to_owned(), Value::from(i64::from(dice.u8(..6))));
        }
    });
}

/// The name of one of ComfyUI's own classes.
pub(crate) fn class(dice: &mut Rng) -> &'static str {
    let catalog = Catalog::core();
    let nth = dice.usize(..catalog.len());
    catalog.iter().nth(nth).map_or("KSampler", |node| node.class_type.as_str())
}

/// Values of widgets: too few, too many, in another order, by name.
fn odd_widgets(value: &mut Value, dice: &mut Rng) {
    let any = dice.u8(..4) == 0;
    let node =
        move |object: &Object| object.contains_key("widgets_values") || any && object.contains_key("mode");
    one(value, &node, dice, &mut |object, dice| {
        let values = object.entry("widgets_values".to_owned()).or_insert(Value::Array(Vec::new()));
        match (values, dice.u8(..6)) {
            (Value::Array(values), 0) => dice.shuffle(values),
            (Value::Array(values), 1) => values.truncate(dice.usize(..=values.len())),
            (Value::Array(values), 2) => {
                values.extend((0..dice.usize(..40)).map(|_| odd(dice)).collect::<Vec<_>>());
            }
            (Value::Array(values), 3) if !values.is_empty() => {
                let index = dice.usize(..values.len());
                values[index] = odd(dice);
            }
            (values, 4) => {
                let named = (0..dice.usize(..6)).map(|_| (key(dice), odd(dice))).collect::<Vec<_>>();
                *values = Value::Object(named.into_iter().collect());
            }
            (values, _) => *values = odd(dice),
        }
    });
}
