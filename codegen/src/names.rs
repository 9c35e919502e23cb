//! Names that Rust accepts.

use std::collections::{BTreeMap, BTreeSet};

use comfyport_workflow::{
    Endpoint, NEVER_RAW, ParamType, Tier, enum_names,
    json::Value,
    route::{self, camel},
};
use proc_macro2::{Ident, Span};

/// Modules and crates that generated code speaks of at its root.
const TAKEN_MODULES: &[&str] = &["options", "endpoints", "comfyport_endpoint"];

/// Type names that mean something to the derive or to a reader.
const TAKEN_TYPES: &[&str] = &[
    "String",
    "Option",
    "Vec",
    "Box",
    "Result",
    "Some",
    "None",
    "Ok",
    "Err",
    "Self",
    "Seed",
    "Image",
    "Mask",
    "Video",
    "Audio",
    "Model3d",
    "FileInput",
    "Advanced",
    "Choice",
    "Request",
    "Field",
    "Kind",
    "Default",
    "Debug",
    "Clone",
];

/// A module for one segment of a path.
pub(crate) fn module(segment: &str) -> String {
    let mut name = route::name(segment);
    if TAKEN_MODULES.contains(&name.as_str()) {
        name.push('_');
    }
    name
}

/// An identifier for a name in snake case, raw where it is a keyword.
pub(crate) fn ident(name: &str) -> Ident {
    if NEVER_RAW.contains(&name) {
        return Ident::new(&format!("{name}_"), Span::call_site());
    }
    if syn::parse_str::<syn::Ident>(name).is_ok() {
        return Ident::new(name, Span::call_site());
    }
    Ident::new_raw(name, Span::call_site())
}

/// A type name that neither Rust nor the derive gives a meaning.
pub(crate) fn type_name(text: &str) -> String {
    let name = camel(text);
    if TAKEN_TYPES.contains(&name.as_str()) { format!("{name}Option") } else { name }
}

/// Variants for options: `dpmpp_2m` is `Dpmpp2m`. They are what generated clients call them, too.
pub(crate) fn variants(options: &[String]) -> Vec<Ident> {
    let names = enum_names(options.iter().map(String::as_str));
    names.iter().map(|name| Ident::new(name, Span::call_site())).collect()
}

/// Associated constants of a request for names of parameters; the derive has taken `FIELDS`.
pub(crate) fn constants<'n>(names: impl Iterator<Item = &'n str>) -> Vec<Ident> {
    let mut taken = BTreeSet::from(["FIELDS".to_owned()]);
    let name = |name: &'n str| {
        let plain = |one: char| if one.is_ascii_alphanumeric() { one.to_ascii_uppercase() } else { '_' };
        let mut base: String = name.chars().map(plain).collect();
        if !base.starts_with(|first: char| first.is_ascii_uppercase()) {
            base.insert_str(0, "P_");
        }
        let mut name = base.clone();
        let mut number = 2;
        while !taken.insert(name.clone()) {
            name = format!("{base}_{number}");
            number += 1;
        }
        Ident::new(&name, Span::call_site())
    };
    names.map(name).collect()
}

/// The module path of an endpoint.
pub(crate) fn modules(path: &str) -> Vec<String> {
    path.split('/').map(module).collect()
}

/// Shared lists of options, each under one name.
#[derive(Debug, Default)]
pub(crate) struct OptionLists {
    names: BTreeMap<Vec<String>, String>,
}

impl OptionLists {
    /// Names every list of texts that endpoints choose from. A second list of one name is named after its class.
    pub(crate) fn of(endpoints: &[Endpoint]) -> Self {
        let mut wanted: BTreeMap<Vec<String>, BTreeMap<String, usize>> = BTreeMap::new();
        let mut classes: BTreeMap<Vec<String>, String> = BTreeMap::new();
        for param in endpoints.iter().flat_map(|endpoint| &endpoint.params) {
            let (Some(options), Tier::Primary | Tier::Advanced) = (texts(param), param.tier) else {
                continue;
            };
            let name = param.enum_name.as_deref().unwrap_or(&param.name);
            *wanted.entry(options.clone()).or_default().entry(type_name(name)).or_default() += 1;
            let class = param.bindings.first().map(|binding| binding.class_type.as_str()).unwrap_or_default();
            classes.entry(options).or_insert_with(|| type_name(&format!("{class}_{name}")));
        }
        // The list that most parameters use gets the plain name; ties go by the list itself.
        let mut ranked: Vec<(Vec<String>, String, usize)> = wanted
            .into_iter()
            .filter_map(|(options, names)| {
                let uses = names.values().sum();
                let best = names
                    .into_iter()
                    .max_by(|left, right| left.1.cmp(&right.1).then(right.0.cmp(&left.0)))?
                    .0;
                Some((options, best, uses))
            })
            .collect();
        ranked.sort_by(|left, right| right.2.cmp(&left.2).then(left.0.cmp(&right.0)));
        let mut taken = BTreeSet::new();
        let mut names = BTreeMap::new();
        for (options, name, _) in ranked {
            let class = classes.remove(&options).unwrap_or_default();
            let numbered = (2..).map(|number| format!("{class}{number}"));
            let free =
                [name, class.clone()].into_iter().chain(numbered).find(|name| taken.insert(name.clone()));
            names.insert(options, free.unwrap_or_default());
        }
        Self { names }
    }

    /// The name of a parameter's list.
    pub(crate) fn name(&self, param: &comfyport_workflow::Param) -> Option<&str> {
        self.names.get(&texts(param)?).map(String::as_str)
    }

    /// All lists, by name.
    pub(crate) fn by_name(&self) -> BTreeMap<&str, &[String]> {
        self.names.iter().map(|(options, name)| (name.as_str(), options.as_slice())).collect()
    }
}

/// The options of a parameter, if it is a closed choice of texts.
fn texts(param: &comfyport_workflow::Param) -> Option<Vec<String>> {
    if param.ty != ParamType::Enum || param.open {
        return None;
    }
    let mut seen = BTreeSet::new();
    let texts: Option<Vec<&str>> = param.options.iter().map(Value::as_str).collect();
    // Some nodes list an option twice; an enum cannot.
    Some(texts?.into_iter().filter(|option| seen.insert(*option)).map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_keyword_can_be_a_field_and_a_module() {
        for keyword in [
            "as", "async", "await", "break", "const", "continue", "crate", "dyn", "else", "enum", "extern",
            "false", "fn", "for", "gen", "if", "impl", "in", "let", "loop", "match", "mod", "move", "mut",
            "pub", "ref", "return", "self", "static", "struct", "super", "trait", "true", "try", "type",
            "unsafe", "use", "where", "while", "abstract", "become", "box", "do", "final", "macro",
            "override", "priv", "typeof", "unsized", "virtual", "yield",
        ] {
            let ident = ident(keyword);
            assert!(
                syn::parse_str::<syn::ItemStruct>(&format!("struct S {{ {ident}: u8 }}")).is_ok(),
                "{keyword}"
            );
            assert!(syn::parse_str::<syn::ItemMod>(&format!("mod {ident} {{}}")).is_ok(), "{keyword}");
        }
    }

    #[test]
    fn constants_are_upper_case_and_each_of_its_own() {
        let names = ["scheduler", "fields", "self", "2nd", "a-b", "a_b"];
        let names: Vec<String> = constants(names.into_iter()).iter().map(ToString::to_string).collect();
        assert_eq!(names, ["SCHEDULER", "FIELDS_2", "SELF", "P_2ND", "A_B", "A_B_2"]);
    }

    #[test]
    fn names_are_rust() {
        assert_eq!(module("4x-Upscale.v2"), "w_4x_upscale_v2");
        assert_eq!(module("Options"), "options_");
        assert_eq!(camel("sampler_name"), "SamplerName");
        assert_eq!(type_name("image"), "ImageOption");
    }
}
