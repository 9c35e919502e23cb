//! One case: what is read, and what must hold for what comes out.

use std::collections::BTreeSet;

use comfyport_codegen::{Template, generate};
use comfyport_workflow::{
    Catalog, Diagnostic, Endpoint, Lock, Options, Sidecar, endpoint, json::Value, openapi, report,
};
use fastrand::Rng;

use crate::{bytes, change, grow, notes, seeds::Seeds};

/// A workflow, the files beside it, and the node definitions of its project.
pub(crate) struct Case {
    /// What kind of change made it.
    pub(crate) kind: &'static str,
    template: Template,
    definitions: Option<Vec<u8>>,
}

impl Case {
    /// The case with this number: the same for the same seeds.
    pub(crate) fn new(number: u64, seeds: &Seeds) -> Self {
        let dice = &mut Rng::with_seed(number.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let mut case = Self {
            kind: "submitted",
            template: Template {
                path: "folder/case".to_owned(),
                file: "folder/case.json".to_owned(),
                bytes: Vec::new(),
                sidecar: None,
                lock: None,
            },
            definitions: None,
        };
        case.template.bytes = match dice.u8(..20) {
            0..5 => changed(&seeds.submitted, dice),
            5..11 => {
                case.kind = "saved";
                changed(&seeds.saved, dice)
            }
            11 => {
                case.kind = "text";
                bytes::text(&seeds.texts[dice.usize(..seeds.texts.len())], seeds, dice)
            }
            12..14 => {
                case.kind = "container";
                bytes::container(&seeds.containers[dice.usize(..seeds.containers.len())], seeds, dice)
            }
            14..16 => {
                case.kind = "grown";
                grow::text(dice).into_bytes()
            }
            16 | 17 => {
                case.kind = "sidecar";
                case.sidecar(seeds, dice)
            }
            18 => {
                case.kind = "lock";
                case.lock(seeds, dice)
            }
            _ => {
                case.kind = "definitions";
                case.definitions(seeds, dice)
            }
        };
        case
    }

    fn sidecar(&mut self, seeds: &Seeds, dice: &mut Rng) -> Vec<u8> {
        let workflow = seeds.submitted[dice.usize(..seeds.submitted.len())].to_json().into_bytes();
        self.template.sidecar = Some(if dice.u8(..4) == 0 {
            notes::lines(&seeds.sidecars[dice.usize(..seeds.sidecars.len())], dice)
        } else {
            notes::sidecar(&names(&workflow), dice)
        });
        workflow
    }

    fn lock(&mut self, seeds: &Seeds, dice: &mut Rng) -> Vec<u8> {
        let (workflow, lock) = &seeds.locked[dice.usize(..seeds.locked.len())];
        let mut workflow = workflow.clone();
        let text_changes = dice.bool();
        if !text_changes || dice.bool() {
            change::some(&mut workflow, &seeds.submitted, dice);
        }
        self.template.lock = Some(if text_changes { notes::lines(lock, dice) } else { lock.clone() });
        workflow.to_json().into_bytes()
    }

    /// A project's own definitions of some of the classes of its workflow.
    fn definitions(&mut self, seeds: &Seeds, dice: &mut Rng) -> Vec<u8> {
        let all = if dice.bool() { &seeds.submitted } else { &seeds.saved };
        let workflow = &all[dice.usize(..all.len())];
        let mut classes = BTreeSet::new();
        collect_classes(workflow, &mut classes);
        let known = classes.into_iter().filter_map(|class| Catalog::core().get(&class));
        let definitions = known.map(|node| (node.class_type.clone(), node.to_object_info()));
        let mut definitions = Value::Object(definitions.collect());
        change::some(&mut definitions, &seeds.submitted, dice);
        self.definitions = Some(spelled(&definitions));
        workflow.to_json().into_bytes()
    }

    /// Everything about it, for a report.
    pub(crate) fn describe(&self) -> String {
        let part = |name: &str, text: Option<&str>| {
            text.map_or_else(String::new, |text| format!("--- {name}\n{text}\n"))
        };
        let definitions = self.definitions.as_deref().map(String::from_utf8_lossy);
        format!(
            "--- {}\n{}\n{}{}{}",
            self.kind,
            String::from_utf8_lossy(&self.template.bytes),
            part("sidecar", self.template.sidecar.as_deref()),
            part("lock", self.template.lock.as_deref()),
            part("definitions", definitions.as_deref()),
        )
    }

    /// Reads it all and uses what comes out. Returns `usable`, or the code of the first error.
    pub(crate) fn run(&self) -> String {
        let mut own = None;
        if let Some(bytes) = &self.definitions {
            match Catalog::from_object_info(bytes) {
                Ok((read, _)) => {
                    let mut catalog = Catalog::core().clone();
                    catalog.extend(read);
                    own = Some(catalog);
                }
                Err(error) => return first_word(&error.to_string()),
            }
        }
        let catalog = own.as_ref().unwrap_or(Catalog::core());
        match self.infer(catalog, self.template.lock.as_deref()) {
            Ok(endpoint) if endpoint.is_usable() => {
                self.use_it(&endpoint, catalog);
                "usable".to_owned()
            }
            Ok(endpoint) => {
                drop((report(&endpoint), serde_json::to_string(&endpoint).unwrap()));
                first_error(&endpoint.diagnostics)
            }
            Err(found) => first_error(&found),
        }
    }

    fn infer(&self, catalog: &Catalog, lock: Option<&str>) -> Result<Endpoint, Vec<Diagnostic>> {
        let Template { path, file, bytes, sidecar, .. } = &self.template;
        let sidecar = sidecar.as_deref().map(Sidecar::parse).transpose()?;
        let lock = lock.map(Lock::parse).transpose()?;
        endpoint(bytes, &Options { file, path, catalog, sidecar: sidecar.as_ref(), lock: lock.as_ref() })
    }

    /// What is usable has a report, a description and code; what is locked stays what it is.
    fn use_it(&self, endpoint: &Endpoint, catalog: &Catalog) {
        let json = serde_json::to_string(endpoint).unwrap();
        assert!(!report(endpoint).is_empty());
        let fragment = openapi::fragment(endpoint, "case");
        serde_json::from_str::<serde_json::Value>(&fragment).unwrap();
        let again = self.infer(catalog, self.template.lock.as_deref()).unwrap();
        assert_eq!(serde_json::to_string(&again).unwrap(), json, "the same twice");

        let accepted =
            self.template.accept(catalog).unwrap_or_else(|found| panic!("not accepted: {found:?}"));
        let text = accepted.lock.render();
        assert_eq!(Lock::parse(&text).unwrap(), accepted.lock, "a lock is what was written");
        let locked = self.infer(catalog, Some(&text)).unwrap();
        assert!(locked.is_usable(), "its own lock fits: {:?}", locked.diagnostics);
        assert!(locked.changes.is_empty(), "its own lock fits: {:?}", locked.changes);

        let generated = generate(std::slice::from_ref(&self.template), catalog)
            .unwrap_or_else(|found| panic!("usable, but no code: {found:?}"));
        for (name, text) in &generated.files {
            if name.ends_with(".rs") {
                syn::parse_file(text).unwrap_or_else(|error| panic!("{name} is not Rust: {error}"));
            }
        }
    }
}

fn changed(all: &[Value], dice: &mut Rng) -> Vec<u8> {
    let mut value = all[dice.usize(..all.len())].clone();
    change::some(&mut value, all, dice);
    spelled(&value)
}

/// The text of a value, with halves of surrogate pairs where they were asked for.
fn spelled(value: &Value) -> Vec<u8> {
    value.to_json().replace(change::LONE_SURROGATE, "\\ud800").into_bytes()
}

/// Public names, for a sidecar to speak of.
fn names(workflow: &[u8]) -> Vec<String> {
    let options = Options { file: "case", path: "case", catalog: Catalog::core(), sidecar: None, lock: None };
    let Ok(endpoint) = endpoint(workflow, &options) else { return Vec::new() };
    let params = endpoint.params.iter().flat_map(|param| {
        let places = param.bindings.iter().map(|binding| format!("{}.{}", binding.node, binding.input));
        places.chain([param.name.clone()]).collect::<Vec<_>>()
    });
    let outputs = endpoint.outputs.iter().flat_map(|output| [output.name.clone(), output.node.clone()]);
    let models = endpoint.models.iter().map(|model| model.file.clone());
    params.chain(outputs).chain(models).collect()
}

fn collect_classes(value: &Value, classes: &mut BTreeSet<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect_classes(item, classes)),
        Value::Object(members) => {
            for key in ["class_type", "type"] {
                classes.extend(members.get(key).and_then(Value::as_str).map(str::to_owned));
            }
            members.values().for_each(|member| collect_classes(member, classes));
        }
        _ => {}
    }
}

fn first_error(diagnostics: &[Diagnostic]) -> String {
    let error = diagnostics.iter().find(|found| found.is_error());
    for found in diagnostics {
        assert!(!found.render("case.json").is_empty());
    }
    error.expect("what is refused is refused for a reason").code.to_owned()
}

fn first_word(text: &str) -> String {
    text.split(':').next().unwrap_or_default().replace(' ', "-")
}
