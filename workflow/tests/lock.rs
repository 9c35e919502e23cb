//! A locked API stays what it is, or the build fails: never something in between.
//!
//! `WORKFLOW_CORPUS` names a folder of real workflows; the bundled ones are always looked at.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use comfyport_workflow::{
    Catalog, Diagnostic, Endpoint, Lock, Options, Sidecar, Tier, accept, endpoint,
    graph::{Graph, Input},
    json::{Number, Value, write_text},
    read,
};

/// A generator of our own: the same mutations every time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit.max(1)
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

/// Its file, what is in it, and its sidecar file.
type Workflow = (String, Vec<u8>, Option<String>);

fn workflows() -> Vec<Workflow> {
    let mut files = Vec::new();
    let bundled = Path::new(env!("CARGO_MANIFEST_DIR")).join("../workflow_templates");
    collect(&bundled, &mut files);
    if let Some(corpus) = std::env::var_os("WORKFLOW_CORPUS") {
        collect(&PathBuf::from(corpus).join("api"), &mut files);
    }
    assert!(files.len() >= 13);
    let read = |path: &PathBuf| fs::read_to_string(path.with_extension("toml")).ok();
    files.iter().map(|path| (path.display().to_string(), fs::read(path).unwrap(), read(path))).collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> =
        fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|ending| ending == "json") {
            files.push(path);
        }
    }
}

fn write(graph: &Graph) -> Vec<u8> {
    let mut text = String::from("{");
    for (index, node) in graph.nodes.values().enumerate() {
        text.push_str(if index == 0 { "" } else { "," });
        write_text(&node.id, &mut text);
        text.push_str(":{\"class_type\":");
        write_text(&node.class_type, &mut text);
        if let Some(title) = &node.title {
            text.push_str(",\"_meta\":{\"title\":");
            write_text(title, &mut text);
            text.push('}');
        }
        text.push_str(",\"inputs\":{");
        for (index, (name, input)) in node.inputs.iter().enumerate() {
            text.push_str(if index == 0 { "" } else { "," });
            write_text(name, &mut text);
            text.push(':');
            match input {
                Input::Literal(value) => value.write(&mut text),
                Input::Link(link) => {
                    text.push('[');
                    write_text(&link.node, &mut text);
                    text.push_str(&format!(",{}]", link.slot));
                }
            }
        }
        text.push_str("}}");
    }
    text.push('}');
    text.into_bytes()
}

/// What callers see: for each public name its type, whether it is required, and the nodes it sets under their first
/// ids.
fn api(
    endpoint: &Endpoint,
    first: &BTreeMap<String, String>,
) -> BTreeMap<String, (String, bool, BTreeSet<String>)> {
    let place = |node: &str, input: &str| format!("{}.{input}", first.get(node).map_or("?", String::as_str));
    let params = endpoint.params.iter().filter(|param| matches!(param.tier, Tier::Primary | Tier::Advanced));
    let params = params.map(|param| {
        let sets = param.bindings.iter().map(|binding| place(&binding.node, &binding.input)).collect();
        (format!("{:?} {}", param.tier, param.name), (param.ty.as_str().to_owned(), param.required, sets))
    });
    let outputs = endpoint.outputs.iter().map(|output| {
        // Two nodes that save the same picture are the same to callers.
        let node = endpoint.graph.node(&output.node).unwrap();
        let sets = node.links().map(|(_, link)| place(&link.node, &link.slot.to_string())).collect();
        (format!("output {}", output.name), (output.kind.as_str().to_owned(), false, sets))
    });
    params.chain(outputs).collect()
}

/// A mutated graph, and the first ids of its nodes.
type Mutated = (Graph, BTreeMap<String, String>);

fn same_ids(graph: &Graph) -> BTreeMap<String, String> {
    graph.nodes.keys().map(|id| (id.clone(), id.clone())).collect()
}

/// Gives ids anew, so that old ones mean other nodes.
fn renumbered(graph: &Graph, dice: &mut Dice) -> Mutated {
    let mut ids: Vec<String> = graph.nodes.keys().cloned().collect();
    dice.shuffle(&mut ids);
    let new: BTreeMap<&String, &String> = graph.nodes.keys().zip(&ids).collect();
    let mut renumbered = graph.clone();
    renumbered.nodes.clear();
    for (id, node) in &graph.nodes {
        let mut node = node.clone();
        node.id.clone_from(new[id]);
        for input in node.inputs.values_mut() {
            if let Input::Link(link) = input {
                link.node = new.get(&link.node).map_or(link.node.clone(), |id| (*id).clone());
            }
        }
        renumbered.nodes.insert(node.id.clone(), node);
    }
    let first = new.iter().map(|(old, new)| ((*new).clone(), (*old).clone())).collect();
    (renumbered, first)
}

fn reordered(graph: &Graph, dice: &mut Dice) -> Mutated {
    let mut nodes: Vec<_> = graph.nodes.values().cloned().collect();
    dice.shuffle(&mut nodes);
    let nodes = nodes.into_iter().map(|node| (node.id.clone(), node)).collect();
    (Graph { nodes, ..graph.clone() }, same_ids(graph))
}

fn other_defaults(graph: &Graph, dice: &mut Dice) -> Mutated {
    let mut changed = graph.clone();
    for node in changed.nodes.values_mut() {
        for (name, input) in &mut node.inputs {
            let Input::Literal(value) = input else { continue };
            // A count says how many of the fields beside it are used at all.
            if dice.below(3) > 0 || name.ends_with("count") {
                continue;
            }
            let definition = Catalog::core().get(&node.class_type).and_then(|node| node.input(name));
            let most = definition.and_then(|input| input.max.as_ref()).map_or(f64::MAX, Number::as_f64);
            match value {
                Value::String(text)
                    if text.contains(' ')
                        && !text.contains(".safetensors")
                        && definition.is_none_or(|one| one.options.is_empty()) =>
                {
                    text.push_str(" at night");
                }
                Value::Number(number)
                    if (2.0..100_000.0).contains(&number.as_f64()) && number.as_f64() < most =>
                {
                    if let Some(whole) = number.as_i128() {
                        *number = Number::from_i128(whole + 1);
                    }
                }
                _ => {}
            }
        }
    }
    (changed, same_ids(graph))
}

fn renamed(graph: &Graph, dice: &mut Dice) -> Mutated {
    let mut changed = graph.clone();
    let index = dice.below(graph.nodes.len());
    changed.nodes[index].title = Some("Something else entirely".to_owned());
    (changed, same_ids(graph))
}

fn removed(graph: &Graph, dice: &mut Dice) -> Mutated {
    let mut changed = graph.clone();
    let (gone, _) = changed.nodes.shift_remove_index(dice.below(graph.nodes.len())).unwrap();
    for node in changed.nodes.values_mut() {
        node.inputs.retain(|_, input| !matches!(input, Input::Link(link) if link.node == gone));
    }
    (changed, same_ids(graph))
}

fn retyped(graph: &Graph, dice: &mut Dice) -> Mutated {
    let mut changed = graph.clone();
    let index = dice.below(graph.nodes.len());
    changed.nodes[index].class_type.push_str("Other");
    (changed, same_ids(graph))
}

fn all_at_once(graph: &Graph, dice: &mut Dice) -> Mutated {
    let (graph, _) = reordered(graph, dice);
    let (graph, _) = other_defaults(&graph, dice);
    let (graph, _) = renamed(&graph, dice);
    renumbered(&graph, dice)
}

fn removed_and_renumbered(graph: &Graph, dice: &mut Dice) -> Mutated {
    let (graph, _) = removed(graph, dice);
    renumbered(&graph, dice)
}

type Mutation = fn(&Graph, &mut Dice) -> Mutated;

/// Name, mutation, and whether the API must survive it.
const MUTATIONS: &[(&str, Mutation, bool)] = &[
    ("renumber", renumbered, true),
    ("reorder", reordered, true),
    ("other defaults", other_defaults, true),
    ("rename", renamed, true),
    ("all of these", all_at_once, true),
    ("remove", removed, false),
    ("retype", retyped, false),
    ("remove and renumber", removed_and_renumbered, false),
];

/// Whether what stands in the way is that nothing tells nodes apart.
fn is_unclear(outcome: &Result<Endpoint, Vec<Diagnostic>>) -> bool {
    let told = outcome.as_ref().map_or_else(|found| found, |endpoint| &endpoint.diagnostics);
    told.iter().any(|found| found.code == "ambiguous-lock")
}

#[test]
fn a_locked_api_is_kept_or_its_loss_is_told() {
    let files: Vec<_> = workflows().into_iter().enumerate().collect();
    let threads = std::thread::available_parallelism().map_or(1, Into::into);
    let judge_all = |part: &[(usize, Workflow)]| {
        let mut found = Found::default();
        for (seed, workflow) in part {
            found.judge(*seed as u64, workflow);
        }
        found
    };
    let found = std::thread::scope(|scope| {
        let parts = files.chunks(files.len().div_ceil(threads));
        let judges: Vec<_> = parts.map(|part| scope.spawn(|| judge_all(part))).collect();
        judges.into_iter().fold(Found::default(), |all, judge| all.and(judge.join().unwrap()))
    });
    for (name, (all, refused, kept)) in &found.counts {
        println!("{name}: {all} workflows, {kept} kept, {refused} refused");
    }
    println!("silent changes: {}, lost without need: {}", found.silent.len(), found.lost.len());
    assert!(found.silent.is_empty(), "{}", found.silent.join("\n"));
    assert!(found.lost.is_empty(), "{}", found.lost.join("\n"));
}

/// What became of locked workflows that were changed.
#[derive(Default)]
struct Found {
    /// By mutation: all, those refused, those kept.
    counts: BTreeMap<&'static str, (usize, usize, usize)>,
    silent: Vec<String>,
    lost: Vec<String>,
}

impl Found {
    fn and(mut self, other: Self) -> Self {
        for (name, (all, refused, kept)) in other.counts {
            let count = self.counts.entry(name).or_default();
            *count = (count.0 + all, count.1 + refused, count.2 + kept);
        }
        self.silent.extend(other.silent);
        self.lost.extend(other.lost);
        self
    }

    fn judge(&mut self, seed: u64, (file, bytes, sidecar): &Workflow) {
        let sidecar = sidecar.as_ref().map(|text| Sidecar::parse(text).unwrap());
        let options =
            Options { file, path: "x", catalog: Catalog::core(), sidecar: sidecar.as_ref(), lock: None };
        let Ok(locked) = accept(bytes, &options) else { return };
        let lock = Lock::parse(&locked.lock.render()).unwrap();
        assert_eq!(lock, locked.lock, "{file}: a lock reads back as it was written");
        let graph = read(bytes).unwrap().graph;
        let before = api(&endpoint(bytes, &options).unwrap(), &same_ids(&graph));
        let options = Options { lock: Some(&lock), ..options };
        let unchanged = endpoint(bytes, &options).unwrap();
        assert!(unchanged.changes.is_empty(), "{file}: {:?}", unchanged.changes);
        for (name, mutation, must_survive) in MUTATIONS {
            let mut dice = Dice(seed);
            let (mutated, first) = mutation(&graph, &mut dice);
            let count = self.counts.entry(name).or_default();
            count.0 += 1;
            let after = match endpoint(&write(&mutated), &options) {
                Ok(after) if after.is_usable() => after,
                other => {
                    count.1 += 1;
                    if *must_survive && !is_unclear(&other) {
                        let told: Vec<_> = other.map_or_else(|found| found, |after| after.diagnostics);
                        let told: Vec<_> =
                            told.iter().filter(|one| one.is_error()).map(|one| &one.message).collect();
                        self.lost.push(format!("{name}: {file}: {told:?}"));
                    }
                    continue;
                }
            };
            let after = api(&after, &first);
            let kept = before.len() == after.len()
                && before.iter().zip(&after).all(|((old_name, old), (new_name, new))| {
                    // A field that set several nodes may have lost one of them.
                    let fewer =
                        new.2.is_subset(&old.2) && (!new.2.is_empty() || old_name.starts_with("output "));
                    let sets = new.2 == old.2 || !must_survive && fewer;
                    old_name == new_name && old.0 == new.0 && old.1 == new.1 && sets
                });
            if kept {
                count.2 += 1;
            } else {
                let gone: Vec<_> = before.iter().filter(|one| after.get(one.0) != Some(one.1)).collect();
                let come: Vec<_> = after.iter().filter(|one| before.get(one.0) != Some(one.1)).collect();
                self.silent.push(format!("{name}: {file}:\n  was {gone:?}\n  is {come:?}"));
            }
        }
    }
}

#[test]
fn an_output_that_the_sidecar_renames_by_its_name_stays_what_it_is() {
    let bytes =
        br#"{"1":{"class_type":"EmptyImage","inputs":{"width":8,"height":8,"batch_size":1,"color":0}},
        "2":{"class_type":"SaveImage","inputs":{"images":["1",0],"filename_prefix":"a"}},
        "3":{"class_type":"SaveImage","inputs":{"images":["1",0],"filename_prefix":"b"}}}"#;
    // The new name of one is the old name of the other: which is which must not depend on the order.
    let sidecar =
        Sidecar::parse("[outputs.image]\nname = \"image_2\"\n[outputs.image_2]\nname = \"picture\"").unwrap();
    let options =
        Options { file: "a.json", path: "a", catalog: Catalog::core(), sidecar: Some(&sidecar), lock: None };
    let lock = accept(bytes, &options).unwrap().lock;
    let locked = endpoint(bytes, &Options { lock: Some(&lock), ..options }).unwrap();
    assert!(locked.is_usable(), "{:?}", locked.diagnostics);
    let names: Vec<(&str, &str)> =
        locked.outputs.iter().map(|output| (output.node.as_str(), output.name.as_str())).collect();
    assert_eq!(names, [("2", "image_2"), ("3", "picture")]);
}

#[test]
fn a_result_that_the_sidecar_hides_takes_no_name_of_another() {
    let bytes = br#"{"1":{"class_type":"LoadImage","inputs":{"image":"a.png"}},
        "2":{"class_type":"SaveImage","inputs":{"images":["1",0],"filename_prefix":"a"},"_meta":{"title":"one"}},
        "3":{"class_type":"SaveImage","inputs":{"images":["1",0],"filename_prefix":"b"},"_meta":{"title":"_"}}}"#;
    let sidecar = Sidecar::parse("[outputs.\"2\"]\nname = \"image\"\nhide = true").unwrap();
    let options =
        Options { file: "a.json", path: "a", catalog: Catalog::core(), sidecar: Some(&sidecar), lock: None };
    let lock = accept(bytes, &options).unwrap().lock;
    let locked = endpoint(bytes, &Options { lock: Some(&lock), ..options }).unwrap();
    assert!(locked.is_usable(), "{:?}", locked.diagnostics);
    let names: Vec<&str> = locked.outputs.iter().map(|output| output.node.as_str()).collect();
    assert_eq!(names, ["3"]);
}

#[test]
fn a_lock_that_was_written_by_hand_is_read_with_care() {
    let lock = |name: &str| {
        format!(
            "version = 1\n[[outputs]]\nname = {name:?}\nkind = \"image\"\n[outputs.node]\nid = \"1\"\nclass = \"A\"\n\
             near = \"0\"\nwhole = \"0\"\n"
        )
    };
    assert!(Lock::parse(&lock("image_2")).is_ok());
    for name in ["", "_", "../x", "a b", "1a", "né"] {
        let found = Lock::parse(&lock(name)).unwrap_err();
        assert!(found[0].message.ends_with("is not a name"), "{name}: {found:?}");
    }
}
