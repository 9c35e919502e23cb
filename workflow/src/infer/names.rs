//! One name for each parameter, and one parameter for values that are the same thing.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Context,
    candidate::Candidate,
    roles::describe,
    sampling::carried_on,
    tiers::{is_formula, is_value_node},
};
use crate::{
    diagnostic::Diagnostic,
    endpoint::{Binding, Param, ParamType, Tier},
    lock::Held,
    sidecar::is_name,
};

mod distinguish;

use distinguish::distinguish;

/// Inputs that take anything.
const PLACES: &[&str] = &[
    "input",
    "any",
    "anything",
    "any_input",
    "condition",
    "switch",
    "select",
    "on_true",
    "on_false",
    "source",
];

/// Inputs of nodes that hold one value: they say of what kind it is, not what for.
const GENERIC: &[&str] = &["value", "text", "string", "int", "integer", "float", "number", "boolean", "bool"];

/// Merges equal values of one meaning and gives each parameter its name, in topological order.
pub(super) fn merge_and_name(
    context: &Context<'_>,
    candidates: Vec<Candidate>,
    diagnostics: &mut Vec<Diagnostic>,
) -> (Vec<Param>, Vec<Twins>) {
    let groups = merge(context, candidates);
    let bases: Vec<String> = groups.iter().map(|group| base_name(context, group)).collect();
    let (names, twins) = distinguish(context, &groups, bases);
    let params = groups.into_iter().zip(names).filter_map(|(group, name)| param(group, name, diagnostics));
    (params.collect(), twins)
}

/// Two values with an equal claim to a name: nothing but their ids tells them apart.
#[derive(Debug)]
pub(super) struct Twins {
    one: Binding,
    other: Binding,
}

/// Stops a build that would have to guess which of two equal nodes a name means.
pub(super) fn refuse_twins(
    twins: &[Twins],
    params: &[Param],
    held: Option<&Held>,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let decided = |binding: &Binding| {
        let of = params.iter().find(|param| param.bindings.contains(binding));
        held.is_some_and(|held| held.knows(binding))
            || of.is_none_or(|param| param.signal == "sidecar file" || param.tier != Tier::Primary)
    };
    for Twins { one, other } in twins.iter().filter(|twins| !decided(&twins.one) && !decided(&twins.other)) {
        let name = params.iter().find(|param| param.bindings.contains(one)).map_or("", |param| &param.name);
        let place = |binding: &Binding| format!("{}.{}", binding.node, binding.input);
        let line =
            |binding: &Binding, name: &str| format!("[params.\"{}\"]\nname = \"{name}\"", place(binding));
        diagnostics.push(
            Diagnostic::error(
                "ambiguous-name",
                format!(
                    "`{name}` could be {} or {}: nothing in the graph tells them apart",
                    place(one),
                    place(other)
                ),
            )
            .at_node(&other.node, None)
            .at_input(&other.input)
            .help(format!(
                "decide in the sidecar file:\n{}\nor give the nodes titles that say what they are for",
                line(one, name)
            )),
        );
    }
}

/// Candidates that one parameter stands for; the first is the one that decides.
type Group = Vec<Candidate>;

fn merge(context: &Context<'_>, candidates: Vec<Candidate>) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let mut known: BTreeMap<String, usize> = BTreeMap::new();
    let titles = first_stage_titles(context, &candidates);
    for candidate in candidates {
        if let Some(index) = row_of_steps(context, &candidate, &groups) {
            groups[index].push(candidate);
            continue;
        }
        let parallel =
            candidate.role.and_then(|role| titles.get(role)).is_some_and(|titles| titles.len() > 1);
        let key = merge_key(context, &candidate, parallel);
        if let Some(index) = key.as_ref().and_then(|key| known.get(key)) {
            groups[*index].push(candidate);
            continue;
        }
        if let Some(key) = key {
            known.insert(key, groups.len());
        }
        groups.push(vec![candidate]);
    }
    groups
}

/// The parameter of the steps that a sampler shares with the one it carries on from, whatever their titles.
fn row_of_steps(context: &Context<'_>, candidate: &Candidate, groups: &[Group]) -> Option<usize> {
    let open = |one: &Candidate| {
        one.is("steps")
            && one.declared.is_none()
            && !one.settled
            && !matches!(one.tier, Tier::Hidden | Tier::Model)
    };
    if !open(candidate) {
        return None;
    }
    let before = carried_on(context.graph, context.graph.node(&candidate.node)?)?;
    let same = |one: &Candidate| {
        open(one) && one.node == before.id && one.ty == candidate.ty && one.value == candidate.value
    };
    groups.iter().position(|group| group.iter().any(same))
}

/// Titles of nodes that hold a setting of the first samplers, by role. Where there are several, the author told them
/// apart; a later stage that repeats the only one's value follows it whatever its title.
fn first_stage_titles(
    context: &Context<'_>,
    candidates: &[Candidate],
) -> BTreeMap<&'static str, BTreeSet<String>> {
    let mut titles: BTreeMap<&'static str, BTreeSet<String>> = BTreeMap::new();
    for candidate in candidates.iter().filter(|candidate| context.sampling.of(&candidate.node) == 0) {
        if let (Some(role), Some(title)) = (candidate.role, title(context, candidate)) {
            titles.entry(role).or_default().insert(title);
        }
    }
    titles
}

/// Same meaning, same value, and no title that says otherwise: exports inline a shared widget into every node it feeds.
fn merge_key(context: &Context<'_>, candidate: &Candidate, parallel: bool) -> Option<String> {
    if matches!(candidate.tier, Tier::Hidden | Tier::Model) {
        return None;
    }
    if let Some(declared) = &candidate.declared {
        return Some(format!("declared {declared} {:?}", candidate.ty));
    }
    let role = candidate
        .role
        .filter(|role| !matches!(*role, "text" | "secondary_prompt" | "batch_size" | "shift"))?;
    let together = matches!(role, "prompt" | "negative_prompt" | "guidance") || !parallel;
    let title = if together { None } else { title(context, candidate) };
    Some(format!("{role} {:?} {:?} {} {title:?}", candidate.tier, candidate.ty, candidate.value.to_json()))
}

fn title(context: &Context<'_>, candidate: &Candidate) -> Option<String> {
    let title = context.custom_title(context.graph.node(&candidate.node)?)?;
    // What is left of a title in another script is not what it says.
    let letters = title.chars().filter(|one| one.is_alphabetic());
    let (plain, other): (Vec<char>, Vec<char>) = letters.partition(char::is_ascii_alphabetic);
    if plain.len() < other.len() { None } else { slug(title) }
}

fn base_name(context: &Context<'_>, group: &Group) -> String {
    let first = &group[0];
    if let Some(declared) = &first.declared {
        return declared.clone();
    }
    if first.ty.is_media() {
        let titled = title(context, first);
        return titled.or_else(|| first.suggested.clone()).unwrap_or_else(|| first.ty.as_str().to_owned());
    }
    if let Some(suggested) = &first.suggested {
        return suggested.clone();
    }
    match first.role {
        Some("text" | "model") | None => {
            let generic = GENERIC.contains(&first.input.to_lowercase().as_str());
            let telling = || title(context, first).or_else(|| consumers_word(context, first));
            let titled = if generic { telling() } else { None };
            let input = slug(&first.input).or_else(|| {
                let letter = first.input.to_ascii_lowercase();
                is_name(&letter).then_some(letter)
            });
            titled.or(input).unwrap_or_else(|| first.ty.as_str().to_owned())
        }
        Some(role) => role.to_owned(),
    }
}

/// What the inputs that a lone value feeds are called, or the words that they share: `scale` of `scale_width` and
/// `scale_height`.
fn consumers_word(context: &Context<'_>, candidate: &Candidate) -> Option<String> {
    let node = context.graph.node(&candidate.node)?;
    if !is_value_node(node) {
        return None;
    }
    let inputs: BTreeSet<String> = context
        .fed_by(&node.id)
        .iter()
        .filter(|consumer| !is_formula(consumer.node))
        .filter_map(|consumer| slug(consumer.input))
        .collect();
    shared_words(&inputs).filter(|word| !GENERIC.contains(&word.as_str()) && !PLACES.contains(&word.as_str()))
}

fn shared_words(names: &BTreeSet<String>) -> Option<String> {
    let split = |name: &String| name.split('_').map(str::to_owned).collect::<Vec<String>>();
    let names: Vec<Vec<String>> = names.iter().map(split).collect();
    let (first, rest) = names.split_first()?;
    let common = |same: &dyn Fn(&Vec<String>, usize) -> bool| {
        (0..first.len()).take_while(|at| rest.iter().all(|other| same(other, *at))).count()
    };
    let front = common(&|other, at| other.get(at) == first.get(at));
    let back = common(&|other, at| other.iter().rev().nth(at) == first.iter().rev().nth(at));
    let words: Vec<&str> = if front > 0 {
        first.iter().take(front).map(String::as_str).collect()
    } else {
        first.iter().skip(first.len() - back).map(String::as_str).collect()
    };
    slug(&words.join("_"))
}

fn param(group: Group, name: String, diagnostics: &mut Vec<Diagnostic>) -> Option<Param> {
    let bindings = group.iter().map(Candidate::binding).collect();
    // Bounds that hold for every input it is bound to.
    let least =
        group.iter().filter_map(|one| one.min.clone()).max_by(|a, b| a.as_f64().total_cmp(&b.as_f64()));
    let greatest =
        group.iter().filter_map(|one| one.max.clone()).min_by(|a, b| a.as_f64().total_cmp(&b.as_f64()));
    let first = group.into_iter().next()?;
    if first.signal == "a secret" {
        diagnostics.push(
            Diagnostic::warning("secret", "the workflow holds a secret")
                .at_node(&first.node, None)
                .at_input(&first.input)
                .help("remove it before sharing the file; it is not offered to callers"),
        );
    }
    let described = first.role.and_then(describe);
    let enum_name = (first.ty == ParamType::Enum && !first.own_options).then(|| camel(&first.input));
    Some(Param {
        tier: first.tier,
        ty: first.ty,
        role: first.role.map(str::to_owned),
        required: first.required,
        default: first.default,
        min: least,
        max: greatest,
        step: first.step,
        options: first.options,
        open: first.open,
        multiline: first.multiline,
        encoding: first.encoding.map(str::to_owned),
        folder: first.folder,
        description: first
            .description
            .or_else(|| described.map(|(text, _)| text.to_owned()))
            .or_else(|| media_line(first.ty)),
        unit: described.and_then(|(_, unit)| unit).map(str::to_owned),
        enum_name,
        bindings,
        signal: first.signal,
        name,
        derived: None,
        loras: None,
        from_url: false,
        settled: first.settled || first.declared.is_some(),
        insisted: first.insisted,
    })
}

fn media_line(ty: ParamType) -> Option<String> {
    let line = match ty {
        ParamType::Image => "A picture: PNG, JPEG, WebP, GIF, BMP or TIFF.",
        ParamType::Mask => "A picture whose channel marks an area.",
        ParamType::Video => "A film.",
        ParamType::Audio => "A sound.",
        ParamType::Model3d => "A 3D model.",
        _ => return None,
    };
    Some(line.to_owned())
}

/// Two fields of one name would make one of them unreachable.
pub(super) fn refuse_clashes(params: &[Param], diagnostics: &mut Vec<Diagnostic>) {
    let mut seen: BTreeMap<(Tier, &str), &Param> = BTreeMap::new();
    for param in params.iter().filter(|param| matches!(param.tier, Tier::Primary | Tier::Advanced)) {
        if let Some(other) = seen.insert((param.tier, &param.name), param) {
            let (one, two) = (&other.bindings[0], &param.bindings[0]);
            let line = format!("[params.\"{}.{}\"]\nname = \"{}_b\"", two.node, two.input, param.name);
            diagnostics.push(
                Diagnostic::error(
                    "ambiguous-name",
                    format!(
                        "two parameters are called `{}`: {}.{} and {}.{}",
                        param.name, one.node, one.input, two.node, two.input
                    ),
                )
                .at_node(&two.node, None)
                .at_input(&two.input)
                .help(format!("give one of them another name in the sidecar file:\n{line}")),
            );
        }
    }
}

/// ASCII snake case; `None` where fewer than two letters are left.
pub(crate) fn slug(text: &str) -> Option<String> {
    let text: Vec<char> = text.chars().take(80).collect();
    let mut slug = String::new();
    for (index, one) in text.iter().enumerate() {
        if one.is_ascii_alphanumeric() {
            if begins_word(&text, index) {
                slug.push('_');
            }
            slug.push(one.to_ascii_lowercase());
        } else if !slug.is_empty() && !slug.ends_with('_') {
            slug.push('_');
        }
    }
    let slug = slug.trim_matches('_').to_owned();
    if slug.bytes().filter(u8::is_ascii_lowercase).count() < 2 {
        return None;
    }
    Some(if slug.starts_with(|first: char| first.is_ascii_digit()) { format!("p_{slug}") } else { slug })
}

/// Whether a capital begins a word: after a small letter, or as the last of a row of capitals that a word follows. A
/// lone capital belongs to the word: `KSampler`, but `VAE` and `Decode`.
fn begins_word(text: &[char], index: usize) -> bool {
    let (before, after) = text.split_at(index);
    if !after.first().is_some_and(char::is_ascii_uppercase) {
        return false;
    }
    let capitals = before.iter().rev().take_while(|one| one.is_ascii_uppercase()).count();
    // Two letters, for the plural of an acronym is no word.
    let word = after.iter().skip(1).take_while(|one| one.is_ascii_lowercase()).count() >= 2;
    before.last().is_some_and(char::is_ascii_lowercase) || capitals >= 2 && word
}

fn camel(text: &str) -> String {
    let slug = slug(text).unwrap_or_else(|| "choice".to_owned());
    slug.split('_')
        .map(|word| {
            word.chars()
                .next()
                .map_or_else(String::new, |first| first.to_ascii_uppercase().to_string() + &word[1..])
        })
        .collect()
}

#[cfg(test)]
mod siblings_tests;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_are_plain_names() {
        for (text, expected) in [
            ("INPUTIMAGE", Some("inputimage")),
            ("EXPORT IMAGE", Some("export_image")),
            ("fooBar", Some("foo_bar")),
            ("CLIPText", Some("clip_text")),
            ("CLIPTextEncode", Some("clip_text_encode")),
            ("VAEDecode", Some("vae_decode")),
            ("KSampler", Some("ksampler")),
            ("KSamplerAdvanced", Some("ksampler_advanced")),
            ("my KSampler", Some("my_ksampler")),
            ("ApplySD3", Some("apply_sd3")),
            ("LLMs", Some("llms")),
            ("Depth Map", Some("depth_map")),
            ("2nd image", Some("p_2nd_image")),
            ("提示词", None),
            ("x", None),
        ] {
            assert_eq!(slug(text).as_deref(), expected, "{text}");
        }
        assert_eq!(camel("sampler_name"), "SamplerName");
    }
}
