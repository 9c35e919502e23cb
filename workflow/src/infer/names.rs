//! One name for each parameter, and one parameter for values that are the same thing.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Context,
    candidate::Candidate,
    roles::describe,
    siblings::{FIRST_PASS, Siblings, Turn, class_word, input_word},
};
use crate::{
    diagnostic::Diagnostic,
    endpoint::{Binding, Param, ParamType, Tier},
    fingerprint::Shapes,
    lock::Held,
    sidecar::is_name,
};

/// Names that the request itself uses.
const RESERVED: &[&str] = &["options", "advanced"];

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
            let generic =
                matches!(first.input.as_str(), "value" | "Value" | "text" | "string" | "String" | "Text");
            let titled = if generic { title(context, first) } else { None };
            let input = slug(&first.input).or_else(|| {
                let letter = first.input.to_ascii_lowercase();
                is_name(&letter).then_some(letter)
            });
            titled.or(input).unwrap_or_else(|| first.ty.as_str().to_owned())
        }
        Some(role) => role.to_owned(),
    }
}

/// More values of one name are numbered: no graph has so many that people tell apart, and each takes several walks.
const MOST_SIBLINGS: usize = 64;

/// Where names collide: the title first, then what tells siblings apart, and a number only at the end.
fn distinguish(context: &Context<'_>, groups: &[Group], bases: Vec<String>) -> (Vec<String>, Vec<Twins>) {
    let mut names = bases;
    let siblings = Siblings::new(context);
    let turns: Vec<_> = groups.iter().map(|group| siblings.turn(&group[0])).collect();
    let titled = |index: usize, name: &str| {
        let title = title(context, &groups[index][0]).filter(|title| *title != name)?;
        let says_it = title.strip_suffix(name).is_some_and(|before| before.ends_with('_'));
        Some(if says_it { title } else { format!("{title}_{name}") })
    };
    for indices in collisions(context, groups, &names, &turns) {
        // The one that the author named, or that callers most likely mean, keeps the plain name.
        for index in indices.into_iter().skip(1).filter(|index| groups[*index][0].declared.is_none()) {
            names[index] = titled(index, &names[index]).unwrap_or_else(|| names[index].clone());
        }
    }
    for tells in [Tells::Control, Tells::Place, Tells::Model, Tells::Pass, Tells::Input, Tells::Class] {
        let few = |indices: &Vec<usize>| indices.len() <= MOST_SIBLINGS;
        for indices in collisions(context, groups, &names, &turns).into_iter().filter(few) {
            let words = indices.iter().map(|index| tells.word(&siblings, &groups[*index][0], &names[*index]));
            let words: Vec<Option<String>> = words.collect();
            // Of first passes nobody speaks where there is no other.
            let told = |word: &Option<String>| word.as_deref().is_some_and(|word| word != FIRST_PASS);
            if words.iter().all(|word| *word == words[0]) || !words.iter().any(told) {
                continue;
            }
            let plain = words[0].clone();
            for (index, word) in indices.into_iter().zip(words) {
                let first = &groups[index][0];
                if let Some(word) = word.filter(|word| tells.parts_all(first) || plain.as_ref() != Some(word))
                {
                    names[index] = with_word(&word, &names[index], first.ty);
                }
            }
        }
    }
    let mut taken: BTreeSet<String> = names.iter().cloned().collect();
    let numbered = collisions(context, groups, &names, &turns);
    let twins = twins(context, groups, &numbered);
    for indices in numbered {
        for (number, index) in indices.into_iter().enumerate().skip(1) {
            let free = (number + 1..)
                .map(|number| format!("{}_{number}", names[index]))
                .find(|name| !taken.contains(name));
            names[index] = free.unwrap_or_default();
            taken.insert(names[index].clone());
        }
    }
    for (name, group) in names.iter_mut().zip(groups) {
        if RESERVED.contains(&name.as_str()) && group[0].tier == Tier::Primary {
            name.push('_');
        }
    }
    (names, twins)
}

/// What siblings may be told apart by, the most telling first.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tells {
    Control,
    Place,
    Model,
    Pass,
    Input,
    Class,
}

impl Tells {
    fn word(self, siblings: &Siblings<'_, '_>, candidate: &Candidate, name: &str) -> Option<String> {
        if candidate.declared.is_some() || matches!(candidate.tier, Tier::Hidden | Tier::Model) {
            return None;
        }
        let word = match self {
            Self::Control => siblings.control(candidate).map(str::to_owned),
            Self::Place => siblings.place(candidate),
            Self::Model => siblings.model(candidate).map(str::to_owned),
            Self::Pass => siblings.pass(candidate).map(str::to_owned),
            Self::Input => input_word(&candidate.input, name),
            Self::Class => class_word(&candidate.class_type, name),
        }?;
        // Said once is enough.
        let said =
            name == word || name.starts_with(&format!("{word}_")) || name.ends_with(&format!("_{word}"));
        (!said).then_some(word)
    }

    /// Whether the first of several, and what is like it, is told apart too, rather than keep the plain name: callers
    /// of a prompt or a seed look for it under that name.
    fn parts_all(self, first: &Candidate) -> bool {
        let plain = first.tier == Tier::Primary && !first.ty.is_media();
        matches!(self, Self::Control | Self::Place) && !plain
    }
}

/// A picture of depth is a `depth_image`, whatever else it is.
fn with_word(word: &str, name: &str, ty: ParamType) -> String {
    let kind = ty.as_str();
    let is_kind =
        ty.is_media() && (name == kind || name.strip_suffix(kind).is_some_and(|rest| rest.ends_with('_')));
    match () {
        () if is_kind && word == "mask" => word.to_owned(),
        () if is_kind => format!("{word}_{kind}"),
        () => format!("{word}_{name}"),
    }
}

fn twins(context: &Context<'_>, groups: &[Group], numbered: &[Vec<usize>]) -> Vec<Twins> {
    // Told apart by ids alone: rare enough to look at the whole graph only then. The first has the plain name; which
    // of the others comes next nobody could say.
    let primary: Vec<Vec<&Candidate>> = numbered
        .iter()
        .map(|indices| {
            let rest = indices.iter().skip(1).map(|index| &groups[*index][0]);
            rest.filter(|one| one.tier == Tier::Primary)
        })
        .map(Iterator::collect)
        .filter(|rivals: &Vec<&Candidate>| rivals.len() > 1)
        .collect();
    if primary.is_empty() {
        return Vec::new();
    }
    let shapes = Shapes::of(context.graph);
    // Also titles that yield no name, such as emoji, tell nodes apart.
    let raw = |one: &Candidate| context.graph.node(&one.node).and_then(|node| context.custom_title(node));
    let mut twins = Vec::new();
    for rivals in primary {
        let (first, rest) = (rivals[0], &rivals[1..]);
        let same = |other: &&&Candidate| {
            other.input == first.input
                && other.declared.is_none()
                && shapes.get(&other.node) == shapes.get(&first.node)
                && raw(other) == raw(first)
        };
        twins.extend(
            rest.iter().find(same).map(|other| Twins { one: first.binding(), other: other.binding() }),
        );
    }
    twins
}

/// Groups that share a name where callers would see both, the most prominent first.
fn collisions(context: &Context<'_>, groups: &[Group], names: &[String], turns: &[Turn]) -> Vec<Vec<usize>> {
    // An author who titles a node with a name means that one.
    let titled = |index: usize| title(context, &groups[index][0]).is_some_and(|title| title == names[index]);
    let mut shared: BTreeMap<(bool, &str), Vec<usize>> = BTreeMap::new();
    for (index, group) in groups.iter().enumerate() {
        // Numbers are for what callers see.
        let unseen = matches!(group[0].tier, Tier::Model | Tier::Hidden);
        shared.entry((unseen, &names[index])).or_default().push(index);
    }
    let mut collisions: Vec<Vec<usize>> = shared.into_values().filter(|indices| indices.len() > 1).collect();
    for indices in &mut collisions {
        indices.sort_by_key(|index| {
            let first = &groups[*index][0];
            (!first.settled, first.tier, !titled(*index), turns[*index], *index)
        });
    }
    collisions
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
