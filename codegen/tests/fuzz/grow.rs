//! Workflows made from nothing: large, deep, circular, or of classes put together at random.

use comfyport_workflow::{
    Catalog,
    catalog::{InputDef, InputKind, NodeDef},
    json::{Object, Value},
};
use fastrand::Rng;

use crate::change::{class, odd};

/// Small far more often than large.
fn size(most_digits: u32, dice: &mut Rng) -> usize {
    let most = 10_usize.pow(dice.u32(1..=most_digits));
    dice.usize(1..most)
}

fn object<const N: usize>(members: [(&str, Value); N]) -> Value {
    Value::Object(members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

fn number(number: usize) -> Value {
    Value::from(i64::try_from(number).unwrap())
}

/// A text that is no workflow anybody would draw.
pub(crate) fn text(dice: &mut Rng) -> String {
    match dice.u8(..6) {
        0 => chain(dice),
        1 => fan(dice),
        2 => deep(dice),
        3 => tower(dice),
        4 => submitted(dice).to_json(),
        _ => saved(dice).to_json(),
    }
}

/// Nodes one after the other, sometimes in a circle, sometimes leading nowhere.
fn chain(dice: &mut Rng) -> String {
    let (count, class, end) = (size(5, dice), class(dice), dice.u8(..6));
    let node = |id: usize| {
        let next = if id + 1 < count || end == 0 { id + 1 } else { 0 };
        let inputs = format!(r#""image":["{next}",0],"model":["{next}",0]"#);
        let inputs = if next == 0 && end > 1 { "" } else { &inputs };
        format!(r#""{id}":{{"class_type":"{class}","inputs":{{{inputs}}}}}"#)
    };
    let nodes: Vec<String> = (0..count).map(node).collect();
    format!(r#"{{{},"save":{{"class_type":"SaveImage","inputs":{{"images":["0",0]}}}}}}"#, nodes.join(","))
}

/// One node with many inputs, or many nodes with one.
fn fan(dice: &mut Rng) -> String {
    let count = size(4, dice);
    let inputs: Vec<String> =
        (0..count).map(|index| format!(r#""text_{index}":["t{}",0]"#, index % 900)).collect();
    let texts = (0..count.min(900))
        .map(|id| format!(r#""t{id}":{{"class_type":"CLIPTextEncode","inputs":{{"text":"{}"}}}}"#, id % 5));
    let texts: Vec<String> = texts.collect();
    format!(
        r#"{{{},"all":{{"class_type":"{}","inputs":{{{}}}}},"s":{{"class_type":"SaveImage","inputs":{{"images":["all",0]}}}}}}"#,
        texts.join(","),
        class(dice),
        inputs.join(",")
    )
}

/// Brackets, or strings that hold documents that hold strings.
fn deep(dice: &mut Rng) -> String {
    let mut text = String::from(r#"{"1":{"class_type":"SaveImage","inputs":{}}}"#);
    if dice.bool() {
        for _ in 0..dice.usize(..14) {
            text = format!(r#"{{"workflow":{}}}"#, Value::from(text.as_str()).to_json());
        }
        return text;
    }
    let count = size(6, dice);
    let (open, close) = if dice.bool() { ("[", "]") } else { (r#"{"prompt":"#, "}") };
    format!("{}{text}{}", open.repeat(count), close.repeat(count))
}

/// Subgraphs of subgraphs, sometimes within themselves.
fn tower(dice: &mut Rng) -> String {
    let (height, width) = (dice.usize(1..60), dice.usize(1..12));
    let level = |level: usize, dice: &mut Rng| {
        let nodes: Vec<String> = (0..width)
            .map(|id| {
                let next = if dice.u8(..40) == 0 { dice.usize(..height) } else { level + 1 };
                let (class, link) = (format!("level {next}"), dice.usize(..4));
                let class = if next >= height || dice.u8(..3) == 0 { "ImageInvert" } else { &class };
                format!(
                    r#"{{"id":{id},"type":"{class}","inputs":[{{"name":"image","type":"IMAGE","link":{link}}}],"outputs":[{{"name":"IMAGE","type":"IMAGE"}}],"mode":{}}}"#,
                    dice.u8(..6)
                )
            })
            .collect();
        let link = |id: usize, from: i64, to: i64| {
            format!(
                r#"{{"id":{id},"origin_id":{from},"origin_slot":0,"target_id":{to},"target_slot":0,"type":"IMAGE"}}"#
            )
        };
        let any = |dice: &mut Rng| i64::try_from(dice.usize(..width)).unwrap();
        let links = [
            link(0, -10, any(dice)),
            link(1, any(dice), any(dice)),
            link(2, any(dice), -20),
            link(3, -10, -20),
        ];
        format!(
            r#"{{"id":"level {level}","nodes":[{}],"links":[{}],"inputs":[{{"name":"image","type":"IMAGE","linkIds":[0,3]}}],"outputs":[{{"name":"IMAGE","type":"IMAGE","linkIds":[2]}}]}}"#,
            nodes.join(","),
            links.join(",")
        )
    };
    let levels: Vec<String> = (0..height).map(|index| level(index, dice)).collect();
    format!(
        r#"{{"nodes":[{{"id":1,"type":"level 0","outputs":[{{"name":"IMAGE","type":"IMAGE"}}]}},{{"id":2,"type":"SaveImage","inputs":[{{"name":"images","type":"IMAGE","link":1}}]}}],"links":[[1,1,0,2,0,"IMAGE"]],"definitions":{{"subgraphs":[{}]}}}}"#,
        levels.join(",")
    )
}

fn definition(dice: &mut Rng) -> &'static NodeDef {
    const USUAL: &[&str] = &[
        "KSampler",
        "CLIPTextEncode",
        "LoadImage",
        "SaveImage",
        "VAEDecode",
        "EmptyLatentImage",
        "LoraLoader",
    ];
    let name = if dice.bool() { USUAL[dice.usize(..USUAL.len())] } else { class(dice) };
    Catalog::core().get(name).unwrap()
}

/// A value such as the input takes, or one that it does not.
fn value(input: &InputDef, dice: &mut Rng) -> Value {
    if dice.u8(..6) == 0 {
        return odd(dice);
    }
    match input.kind {
        InputKind::Int => Value::from(i64::from(dice.i32(-3..4_000))),
        InputKind::Float => Value::from(i64::from(dice.i8(..))),
        InputKind::Boolean => Value::Bool(dice.bool()),
        InputKind::Combo if !input.options.is_empty() => {
            input.options[dice.usize(..input.options.len())].clone()
        }
        InputKind::Combo => Value::from("file.safetensors"),
        InputKind::Text => {
            Value::from(*dice.choice(&["a cat", "", "blurry", "{red|green} /* c */", "%x%"]).unwrap())
        }
        InputKind::Socket(_) => Value::Null,
    }
}

/// Known classes with their inputs, linked at random; almost always to an earlier node.
fn submitted(dice: &mut Rng) -> Value {
    let count = size(3, dice);
    let mut nodes = Object::new();
    for id in 0..count {
        let definition = definition(dice);
        let mut inputs = Object::new();
        for input in &definition.inputs {
            let linked = !input.is_widget() || dice.u8(..6) == 0;
            let value = if linked && id > 0 {
                let to = if dice.u16(..2_000) == 0 { dice.usize(..count) } else { dice.usize(..id) };
                Value::Array(vec![Value::from(to.to_string()), number(dice.usize(..2))])
            } else {
                value(input, dice)
            };
            inputs.insert(input.name.clone(), value);
        }
        let title = if dice.u8(..4) == 0 { odd(dice) } else { Value::from(definition.class_type.as_str()) };
        let node = object([
            ("class_type", Value::from(definition.class_type.as_str())),
            ("inputs", Value::Object(inputs)),
            ("_meta", object([("title", title)])),
        ]);
        nodes.insert(id.to_string(), node);
    }
    Value::Object(nodes)
}

/// The same as the editor saves it, with helpers and bypassed nodes.
fn saved(dice: &mut Rng) -> Value {
    let count = size(3, dice);
    let (mut nodes, mut links) = (Vec::new(), Vec::new());
    for id in 1..=count {
        let helper = dice.u8(..5) == 0;
        let definition = definition(dice);
        let kind = if helper {
            *dice.choice(&["Reroute", "PrimitiveNode", "Note", "SetNode", "GetNode"]).unwrap()
        } else {
            &definition.class_type
        };
        let (mut inputs, mut values) = (Vec::new(), Vec::new());
        for input in definition.inputs.iter().take(if helper { 1 } else { usize::MAX }) {
            let widget = input.is_widget() && !helper;
            if widget && dice.u8(..20) > 0 {
                values.push(value(input, dice));
            }
            if !widget || dice.u8(..6) == 0 {
                let link = links.len() + 1;
                let from = if dice.u16(..1_000) == 0 { dice.usize(..=count) } else { dice.usize(..id) };
                links.push(Value::Array(vec![
                    number(link),
                    number(from),
                    number(dice.usize(..2)),
                    number(id),
                    number(inputs.len()),
                    Value::from("*"),
                ]));
                let named = object([("name", Value::from(input.name.as_str()))]);
                inputs.push(object([
                    ("name", Value::from(input.name.as_str())),
                    ("type", Value::from("*")),
                    ("link", number(link)),
                    ("widget", if widget { named } else { Value::Null }),
                ]));
            }
        }
        let output = || object([("name", Value::from("*")), ("type", Value::from("*"))]);
        nodes.push(object([
            ("id", number(id)),
            ("type", Value::from(kind)),
            ("mode", number(if dice.u8(..8) == 0 { dice.usize(..6) } else { 0 })),
            ("inputs", Value::Array(inputs)),
            ("outputs", Value::Array(vec![output(), output()])),
            ("widgets_values", Value::Array(values)),
        ]));
    }
    object([("nodes", Value::Array(nodes)), ("links", Value::Array(links)), ("version", Value::from(1))])
}
