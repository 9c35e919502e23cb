//! Names for siblings that would be called alike.

use std::collections::{BTreeMap, BTreeSet};

use super::{Group, Twins, title};
use crate::{
    endpoint::{ParamType, Tier},
    fingerprint::Shapes,
    infer::{
        Context,
        candidate::Candidate,
        siblings::{FIRST_PASS, Siblings, Turn, class_word, input_word},
    },
    sidecar::is_name,
};

/// Names that the request itself uses.
const RESERVED: &[&str] = &["options", "advanced"];

/// What callers look for under its plain name, whatever else there is.
const WELL_KNOWN: &[&str] = &[
    "prompt",
    "negative_prompt",
    "seed",
    "steps",
    "cfg",
    "guidance",
    "denoise",
    "width",
    "height",
    "length",
    "num_frames",
    "fps",
];

/// More values of one name are numbered: no graph has so many that people tell apart, and each takes several walks.
const MOST_SIBLINGS: usize = 64;

/// Where names collide: the title first, then what tells siblings apart, and a number only at the end.
pub(super) fn distinguish(
    context: &Context<'_>,
    groups: &[Group],
    bases: Vec<String>,
) -> (Vec<String>, Vec<Twins>) {
    let mut names = bases;
    let siblings = Siblings::new(context);
    let turns: Vec<_> = groups.iter().map(|group| siblings.turn(&group[0])).collect();
    let titled = |index: usize, name: &str| {
        let title = title(context, &groups[index][0]).filter(|title| *title != name)?;
        let says_it = title.strip_suffix(name).is_some_and(|before| before.ends_with('_'));
        Some(if says_it { title } else { format!("{title}_{name}") }).filter(|name| is_name(name))
    };
    for indices in collisions(context, groups, &names, &turns) {
        let renamed = |index: &usize| {
            let undeclared = groups[*index][0].declared.is_none();
            undeclared.then(|| titled(*index, &names[*index])).flatten()
        };
        // The one that the author named, or that callers most likely mean, keeps the plain name.
        let keeps = indices.first().is_some_and(|first| is_plain(&groups[*first][0], &names[*first]));
        let rest: Vec<(usize, String)> =
            indices.iter().skip(1).filter_map(|index| Some((*index, renamed(index)?))).collect();
        // Elsewhere siblings are named alike, as long as that tells the first from the others.
        let first = indices.first().filter(|index| {
            !keeps && !rest.is_empty() && says_more(title(context, &groups[**index][0]), &groups[**index][0])
        });
        let first = first
            .and_then(|index| Some((*index, renamed(index)?)))
            .filter(|(_, name)| rest.iter().all(|(_, other)| other != name));
        for (index, name) in first.into_iter().chain(rest) {
            names[index] = name;
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
                let parted = |word: &String| tells.parts_all(first) || plain.as_ref() != Some(word);
                let name = word.filter(parted).map(|word| with_word(&word, &names[index], first.ty));
                // `3d` is a word, and `3d_image` no name.
                if let Some(name) = name.filter(|name| is_name(name)) {
                    names[index] = name;
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

    /// Whether the first of several, and what is like it, is told apart too, rather than keep the plain name.
    fn parts_all(self, first: &Candidate) -> bool {
        match self {
            Self::Control | Self::Place => first.tier != Tier::Primary || first.ty.is_media(),
            Self::Model => first.role == Some("shift"),
            Self::Pass | Self::Input | Self::Class => false,
        }
    }
}

/// Whether a title says more than what kind of node it is.
fn says_more(title: Option<String>, of: &Candidate) -> bool {
    let letters = |text: &str| -> String {
        text.chars().filter(char::is_ascii_alphanumeric).map(|one| one.to_ascii_lowercase()).collect()
    };
    title.is_some_and(|title| {
        let (title, class) = (letters(&title), letters(&of.class_type));
        !class.contains(&title) && !title.contains(&class)
    })
}

/// Whether the first of several is what callers mean by the plain name.
fn is_plain(first: &Candidate, name: &str) -> bool {
    first.ty.is_media() || first.tier == Tier::Primary && WELL_KNOWN.contains(&name)
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
