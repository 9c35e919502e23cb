//! What was proposed, and which of it may be taken.

use std::collections::BTreeSet;

use comfyport_workflow::{Endpoint, Param, Tier};
use serde::Deserialize;

/// Longest title, in characters.
const LONGEST_TITLE: usize = 80;
/// Longest description, in characters.
const LONGEST_DESCRIPTION: usize = 400;
/// Longest name, in bytes.
const LONGEST_NAME: usize = 40;
/// Most parameters that become fields of the request itself.
const MOST_EXPOSED: usize = 5;

/// An answer of the schema that was asked for.
#[derive(Debug, Clone, Deserialize)]
pub struct Proposal {
    pub(crate) title: String,
    pub(crate) description: String,
    pub(crate) parameters: Vec<ProposedParam>,
}

/// What is proposed for a parameter; empty texts propose nothing.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct ProposedParam {
    /// As it is called now.
    name: String,
    #[serde(default)]
    new_name: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    primary: bool,
}

/// One change of a sidecar file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The title of the endpoint.
    Title(String),
    /// What the endpoint does.
    Description(String),
    /// The name of a parameter.
    Name {
        /// The entry of the sidecar file, in place or new.
        entry: String,
        /// The new name.
        name: String,
    },
    /// What a parameter is.
    Describe {
        /// The entry of the sidecar file, in place or new.
        entry: String,
        /// One sentence.
        description: String,
    },
    /// A parameter of `advanced` becomes a field of the request itself.
    Expose {
        /// The entry of the sidecar file, in place or new.
        entry: String,
    },
}

/// Something that is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// What it was about.
    pub about: String,
    /// Why it is not taken.
    pub why: String,
}

/// What is taken, and what is not.
#[derive(Debug, Clone, Default)]
pub struct Judged {
    /// In order.
    pub changes: Vec<Change>,
    /// In order.
    pub refused: Vec<Refused>,
}

impl Judged {
    fn refuse(&mut self, about: &str, why: impl Into<String>) {
        self.refused.push(Refused { about: shortened(about), why: why.into() });
    }
}

impl Proposal {
    /// Takes what is in order. `locked`: whether parameters keep their names and places.
    pub fn judge(self, endpoint: &Endpoint, locked: bool) -> Judged {
        let mut judged = Judged::default();
        if let Some(title) = text(&self.title, LONGEST_TITLE).filter(|title| *title != endpoint.title) {
            judged.changes.push(Change::Title(title));
        }
        let description = text(&self.description, LONGEST_DESCRIPTION);
        if let Some(text) = description.filter(|text| Some(text) != endpoint.description.as_ref()) {
            judged.changes.push(Change::Description(text));
        }
        let mut names: BTreeSet<String> = endpoint.params.iter().map(|param| param.name.clone()).collect();
        let (mut seen, mut exposed) = (BTreeSet::new(), 0);
        for proposed in self.parameters {
            let param = endpoint.params.iter().find(|param| is_public(param) && param.name == proposed.name);
            let Some(param) = param else {
                judged.refuse(&proposed.name, "there is no such parameter");
                continue;
            };
            if !seen.insert(param.name.clone()) {
                judged.refuse(&param.name, "it was there twice");
                continue;
            }
            let Some(entry) = entry(endpoint, param) else {
                continue;
            };
            if let Some(name) = name(&proposed, param, locked, &names, &mut judged) {
                names.insert(name.clone());
                judged.changes.push(Change::Name { entry: entry.clone(), name });
            }
            let description = text(&proposed.description, LONGEST_DESCRIPTION);
            if let Some(description) = description.filter(|text| Some(text) != param.description.as_ref()) {
                judged.changes.push(Change::Describe { entry: entry.clone(), description });
            }
            if proposed.primary && param.tier == Tier::Advanced {
                exposed += 1;
                if locked {
                    judged.refuse(&param.name, "its place is locked");
                } else if exposed > MOST_EXPOSED {
                    judged.refuse(&param.name, format!("at most {MOST_EXPOSED} are taken out of `advanced`"));
                } else {
                    judged.changes.push(Change::Expose { entry });
                }
            }
        }
        judged
    }
}

fn is_public(param: &Param) -> bool {
    matches!(param.tier, Tier::Primary | Tier::Advanced)
}

/// What the sidecar file calls a parameter. Fields that no node has are left as they are.
fn entry(endpoint: &Endpoint, param: &Param) -> Option<String> {
    if param.derived.is_some() {
        return None;
    }
    let own = || param.bindings.first().map(|binding| format!("{}.{}", binding.node, binding.input));
    endpoint.sidecar_entry(param).map(str::to_owned).or_else(own)
}

/// Another name, if it can be one.
fn name(
    proposed: &ProposedParam,
    param: &Param,
    locked: bool,
    names: &BTreeSet<String>,
    judged: &mut Judged,
) -> Option<String> {
    let name = proposed.new_name.trim();
    if name.is_empty() || name == param.name {
        return None;
    }
    let why = if locked {
        "its name is locked".to_owned()
    } else if !is_name(name) {
        format!("`{}` is no name: lower-case letters, digits and `_`", shortened(name))
    } else if names.contains(name) {
        format!("`{name}` is the name of another")
    } else {
        return Some(name.to_owned());
    };
    judged.refuse(&param.name, why);
    None
}

fn is_name(name: &str) -> bool {
    name.len() <= LONGEST_NAME
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        && !matches!(name, "options" | "advanced")
}

/// One line of what people see, or nothing.
fn text(text: &str, longest: usize) -> Option<String> {
    let seen: String = text.chars().map(|one| if is_unseen(one) { ' ' } else { one }).collect();
    let line = seen.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.is_empty() {
        return None;
    }
    if line.chars().count() <= longest {
        return Some(line);
    }
    let cut: String = line.chars().take(longest - 1).collect();
    Some(cut.trim_end().to_owned() + "…")
}

/// Characters that terminals and pages obey instead of showing them.
fn is_unseen(one: char) -> bool {
    one.is_control()
        || matches!(one, '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}')
}

fn shortened(name: &str) -> String {
    text(name, LONGEST_NAME).unwrap_or_default()
}
