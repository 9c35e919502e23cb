//! Node classes that hold several LoRAs in their own inputs, and how a list is written into them.

use super::{Fragment, LoraPart, MOST_LORAS, OwnLora, Stack, StackInput, is_accelerator};
use crate::{
    graph::{Input, Node},
    json::{Object, Value},
};

/// A class with a fixed number of places. `{}` in the name of an input stands for the number of the place.
struct Slots {
    class: &'static str,
    /// The numbers of the first and of the last place.
    numbers: (usize, usize),
    /// How many digits a number has at least.
    digits: usize,
    /// The input that names the file.
    name: &'static str,
    /// The name that stands for no file.
    none: &'static str,
    strengths: Strengths,
    /// The input that has a place `On` or `Off`.
    switch: Option<&'static str>,
    /// The input that says how many places count.
    count: Option<&'static str>,
    /// The input that has the whole node on.
    toggle: Option<&'static str>,
}

/// Inputs for the strength of a LoRA.
enum Strengths {
    /// One for the model, or for the model and the text encoder together.
    One(&'static str),
    /// One for the model, one for the text encoder.
    Two(&'static str, &'static str),
    /// As a mode says: one where that is `simple`, else two.
    ByMode { mode: &'static str, simple: &'static str, advanced: (&'static str, &'static str) },
}

/// The strengths that classes with fixed places take.
const RANGE: (i64, i64) = (-10, 10);

const SLOTS: &[Slots] = &[
    Slots {
        class: "Lora Loader Stack (rgthree)",
        numbers: (1, 4),
        digits: 2,
        name: "lora_{}",
        none: "None",
        strengths: Strengths::One("strength_{}"),
        switch: None,
        count: None,
        toggle: None,
    },
    Slots {
        class: "CR LoRA Stack",
        numbers: (1, 3),
        digits: 1,
        name: "lora_name_{}",
        none: "None",
        strengths: Strengths::Two("model_weight_{}", "clip_weight_{}"),
        switch: Some("switch_{}"),
        count: None,
        toggle: None,
    },
    Slots {
        class: "LoRA Stacker",
        numbers: (1, 50),
        digits: 1,
        name: "lora_name_{}",
        none: "None",
        strengths: Strengths::ByMode {
            mode: "input_mode",
            simple: "lora_wt_{}",
            advanced: ("model_str_{}", "clip_str_{}"),
        },
        switch: None,
        count: Some("lora_count"),
        toggle: None,
    },
    Slots {
        class: "easy loraStack",
        numbers: (1, 10),
        digits: 1,
        name: "lora_{}_name",
        none: "None",
        strengths: Strengths::ByMode {
            mode: "mode",
            simple: "lora_{}_strength",
            advanced: ("lora_{}_model_strength", "lora_{}_clip_strength"),
        },
        switch: None,
        count: Some("num_loras"),
        toggle: Some("toggle"),
    },
    Slots {
        class: "WanVideoLoraSelectMulti",
        numbers: (0, 4),
        digits: 1,
        name: "lora_{}",
        none: "none",
        strengths: Strengths::One("strength_{}"),
        switch: None,
        count: None,
        toggle: None,
    },
];

/// The class whose places are rows that the editor adds: `lora_1` is `{"on": true, "lora": "…", "strength": 1}`.
const ROWS: &str = "Power Lora Loader (rgthree)";

impl Stack {
    /// Whether the class holds several LoRAs.
    pub(crate) fn is_class(class: &str) -> bool {
        class == ROWS || SLOTS.iter().any(|slots| slots.class == class)
    }

    /// How a list is written into a node. `None` where the class holds no LoRAs, or where what it holds does not
    /// stand in the node itself. LoRAs that make a model need few steps keep their places.
    pub(crate) fn of(node: &Node) -> Option<Self> {
        let stack = match SLOTS.iter().find(|slots| slots.class == node.class_type) {
            Some(slots) => slots.read(node),
            None if node.class_type == ROWS => rows(node),
            None => None,
        };
        stack.filter(|stack| stack.most > 0 && stack.own.len() <= stack.most)
    }

    /// The inputs of the node that name files which a list takes the place of; at least one.
    pub(crate) fn names<'s>(&'s self, node: &'s Node) -> Vec<&'s str> {
        let is_name = |input: &&StackInput| {
            let goes = input.item.is_none() && input.otherwise.is_none();
            goes || input.listed.contains(&Fragment::Part(LoraPart::Name))
        };
        let all = self.inputs.iter().filter(is_name).map(|input| input.name.as_str());
        let own: Vec<&str> = all.clone().filter(|name| node.inputs.contains_key(*name)).collect();
        if own.is_empty() { all.take(1).collect() } else { own }
    }

    /// The names of the inputs that callers do not set together with a list.
    pub(crate) fn decides(&self) -> impl Iterator<Item = &str> {
        self.inputs.iter().map(|input| input.name.as_str()).chain(self.fixed.iter().map(String::as_str))
    }
}

/// One place as it is in the workflow.
struct Place<'n> {
    number: usize,
    file: &'n str,
    on: bool,
}

impl Slots {
    fn read(&self, node: &Node) -> Option<Stack> {
        let (first, last) = self.numbers;
        let count = match self.count {
            Some(input) => usize::try_from(node.literal(input)?.as_u64()?).ok()?.min(last),
            None => last,
        };
        let toggled = match self.toggle {
            Some(input) => node.literal(input)?.as_bool()?,
            None => true,
        };
        let (mode, strength, clip) = match self.strengths {
            Strengths::One(one) => (None, one, None),
            Strengths::Two(model, clip) => (None, model, Some(clip)),
            Strengths::ByMode { mode, simple, advanced: (model, clip) } => {
                match node.literal(mode)?.as_str()? {
                    "simple" => (Some(mode), simple, None),
                    "advanced" => (Some(mode), model, Some(clip)),
                    _ => return None,
                }
            }
        };
        let places: Vec<Place<'_>> =
            (first..=last).map(|number| self.place(node, number, count, toggled)).collect::<Option<_>>()?;
        let is_pinned = |place: &Place<'_>| place.on && is_accelerator(place.file);
        let free: Vec<&Place<'_>> = places.iter().filter(|place| !is_pinned(place)).collect();
        let most = free.len().min(MOST_LORAS);
        let highest = free.iter().take(most).map(|place| place.number).max();
        // What counts now keeps counting: an accelerator may be the last.
        let counted = count.max(highest.unwrap_or(0));

        let mut inputs = Vec::new();
        for (position, place) in free.iter().enumerate().filter(|(_, place)| place.number <= counted) {
            let item = u16::try_from(position).ok().filter(|_| position < most);
            let mut input = |pattern: &str, listed: Fragment, otherwise: Value| {
                let name = self.input(pattern, place.number);
                inputs.push(StackInput { name, item, listed: vec![listed], otherwise: Some(otherwise) });
            };
            if let Some(switch) = self.switch {
                input(switch, Fragment::Text("\"On\"".to_owned()), Value::from("Off"));
            }
            input(self.name, Fragment::Part(LoraPart::Name), Value::from(self.none));
            let was = |pattern| self.number(node, pattern, place.number);
            input(strength, Fragment::Part(LoraPart::Strength), was(strength)?);
            if let Some(clip) = clip {
                input(clip, Fragment::Part(LoraPart::StrengthClip), was(clip)?);
            }
        }
        let mut constant = |name: &str, value: Value| {
            let listed = Vec::new();
            inputs.push(StackInput { name: name.to_owned(), item: None, listed, otherwise: Some(value) });
        };
        if let Some(input) = self.count {
            constant(input, Value::from(i64::try_from(counted).ok()?));
        }
        if let Some(input) = self.toggle {
            constant(input, Value::from(true));
        }
        let own = free.iter().filter(|place| place.on).map(|place| {
            Some(OwnLora {
                name: place.file.to_owned(),
                strength: self.number(node, strength, place.number)?,
                strength_clip: match clip {
                    Some(clip) => Some(self.number(node, clip, place.number)?),
                    None => None,
                },
            })
        });
        Some(Stack {
            node: node.id.clone(),
            own: own.collect::<Option<_>>()?,
            inputs,
            fixed: mode.map(str::to_owned).into_iter().collect(),
            most,
            clip: clip.is_some(),
            range: RANGE,
        })
    }

    /// A place that is not in the file is empty; `None` where something feeds it.
    fn place<'n>(&self, node: &'n Node, number: usize, count: usize, toggled: bool) -> Option<Place<'n>> {
        let file = match node.inputs.get(&self.input(self.name, number)) {
            Some(Input::Literal(value)) => value.as_str()?,
            Some(Input::Link(_)) => return None,
            None => self.none,
        };
        let switched = match self.switch {
            Some(switch) => node.literal(&self.input(switch, number))?.as_str()? == "On",
            None => true,
        };
        let is_file = !file.is_empty() && file != self.none;
        Some(Place { number, file, on: toggled && switched && is_file && number <= count })
    }

    /// What an input is in the workflow; 1 where it is not in the file.
    fn number(&self, node: &Node, pattern: &str, number: usize) -> Option<Value> {
        match node.inputs.get(&self.input(pattern, number)) {
            Some(Input::Literal(value)) => value.as_f64().map(|_| value.clone()),
            Some(Input::Link(_)) => None,
            None => Some(Value::from(1)),
        }
    }

    fn input(&self, pattern: &str, number: usize) -> String {
        let digits = self.digits;
        pattern.replace("{}", &format!("{number:0digits$}"))
    }
}

/// Any number of rows. Headers and buttons that are saved beside them stay.
fn rows(node: &Node) -> Option<Stack> {
    // Something must stand before the first row.
    node.link("model")?;
    let clip = node.link("clip").is_some();
    let mut own = Vec::new();
    let mut inputs = Vec::new();
    let mut pinned = Vec::new();
    for (name, input) in node.inputs.iter().filter(|(name, _)| name.to_lowercase().starts_with("lora_")) {
        let Input::Literal(Value::Object(row)) = input else { return None };
        let file = row.get("lora").and_then(Value::as_str).unwrap_or_default();
        let on = row.get("on")?.as_bool()? && !file.is_empty() && file != "None";
        if on && is_accelerator(file) {
            pinned.push(name.to_lowercase());
            continue;
        }
        inputs.push(StackInput { name: name.clone(), item: None, listed: Vec::new(), otherwise: None });
        if on {
            own.push(own_row(row, file, clip)?);
        }
    }
    let names = (1..).map(|number| format!("lora_{number}")).filter(|name| !pinned.contains(name));
    for (item, name) in (0_u16..).zip(names).take(MOST_LORAS) {
        inputs.retain(|input| input.name != name);
        let mut listed = vec![
            Fragment::Text("{\"on\":true,\"lora\":".to_owned()),
            Fragment::Part(LoraPart::Name),
            Fragment::Text(",\"strength\":".to_owned()),
            Fragment::Part(LoraPart::Strength),
        ];
        if clip {
            listed.push(Fragment::Text(",\"strengthTwo\":".to_owned()));
            listed.push(Fragment::Part(LoraPart::StrengthClip));
        }
        listed.push(Fragment::Text("}".to_owned()));
        inputs.push(StackInput { name, item: Some(item), listed, otherwise: None });
    }
    let node = node.id.clone();
    Some(Stack { node, inputs, fixed: Vec::new(), most: MOST_LORAS, clip, range: (-100, 100), own })
}

fn own_row(row: &Object, file: &str, clip: bool) -> Option<OwnLora> {
    let number = |value: &Value| value.as_f64().map(|_| value.clone());
    let strength = number(row.get("strength")?)?;
    let strength_clip = match row.get("strengthTwo").filter(|value| clip && !value.is_null()) {
        Some(value) => Some(number(value)?),
        None => None,
    };
    let strength_clip = strength_clip.or_else(|| clip.then(|| strength.clone()));
    Some(OwnLora { name: file.to_owned(), strength, strength_clip })
}
