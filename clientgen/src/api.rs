//! Endpoints as both languages see them: named types, shared lists of options, and the shape of each field.

use std::collections::BTreeMap;

use comfyport_endpoint::{Endpoint, Field, Kind, Text};

use crate::names::{Names, camel};

/// Numbers beyond this are not exact in JavaScript.
const SAFE: i128 = (1 << 53) - 1;

/// Everything there is to write.
pub(crate) struct Api<'e> {
    /// In the order of their paths.
    pub(crate) workflows: Vec<Workflow<'e>>,
    /// Lists of options by the name of their type.
    pub(crate) lists: BTreeMap<String, &'e [Text]>,
    /// Codes of problems.
    pub(crate) codes: &'e [&'e str],
}

/// An endpoint and the stem of its types.
pub(crate) struct Workflow<'e> {
    pub(crate) endpoint: &'e Endpoint,
    /// `Sd15Txt2img`, of which `Sd15Txt2imgRequest` and others are made.
    pub(crate) name: String,
}

/// What a value is, as far as a client needs to know.
pub(crate) enum Shape<'a> {
    Text,
    /// One of a named list.
    Choice(&'a str),
    /// One of a few whole numbers.
    Numbers(&'a [i64]),
    /// A whole number, and whether it may exceed what JavaScript's numbers hold.
    Integer {
        wide: bool,
    },
    Float,
    Boolean,
    File,
    /// LoRAs in order.
    Loras,
}

impl<'e> Api<'e> {
    pub(crate) fn of(endpoints: &[&'e Endpoint], codes: &'e [&'e str]) -> Self {
        let mut endpoints: Vec<&Endpoint> = endpoints.to_vec();
        endpoints.sort_by(|left, right| left.path.cmp(&right.path));
        let mut names = Names::of_types();
        let workflows: Vec<Workflow<'e>> = endpoints
            .into_iter()
            .map(|endpoint| Workflow { endpoint, name: names.stem(&camel(&endpoint.path)) })
            .collect();
        let lists = lists(&workflows, &mut names);
        Self { workflows, lists, codes }
    }

    pub(crate) fn shape<'a>(&'a self, field: &'a Field) -> Shape<'a> {
        match &field.kind {
            Kind::Text { .. } | Kind::Suggest { .. } | Kind::Model { .. } => Shape::Text,
            Kind::Integer { min, max } => Shape::Integer { wide: *min < -SAFE || *max > SAFE },
            Kind::Seed { max, .. } => Shape::Integer { wide: i128::from(*max) > SAFE },
            Kind::Float { .. } => Shape::Float,
            Kind::Boolean => Shape::Boolean,
            Kind::NumberChoice { options } => Shape::Numbers(options),
            Kind::Media { .. } => Shape::File,
            Kind::Loras { .. } => Shape::Loras,
            Kind::Choice { options } => {
                let list = self.lists.iter().find(|(_, list)| ***list == **options);
                list.map_or(Shape::Text, |(name, _)| Shape::Choice(name))
            }
        }
    }
}

impl<'e> Workflow<'e> {
    /// All fields, those under `advanced` last.
    fn fields(&self) -> impl Iterator<Item = &'e Field> {
        self.endpoint.fields.iter().chain(self.endpoint.advanced.iter())
    }

    /// Whether something under `advanced` must be given.
    pub(crate) fn needs_advanced(&self) -> bool {
        self.endpoint.advanced.iter().any(|field| field.required)
    }

    /// Whether the values a run was made with always say something under `advanced`.
    pub(crate) fn tells_advanced(&self) -> bool {
        self.endpoint.advanced.iter().any(is_told)
    }
}

/// Whether the values a run was made with always include this one: it was given, has a default, or was drawn.
pub(crate) fn is_told(field: &Field) -> bool {
    field.required || field.default.is_some() || matches!(field.kind, Kind::Seed { .. })
}

/// A name for each list. The one that most fields use gets the plain name; ties go by the list itself.
fn lists<'e>(workflows: &[Workflow<'e>], names: &mut Names) -> BTreeMap<String, &'e [Text]> {
    let mut uses: BTreeMap<&'e [Text], BTreeMap<String, usize>> = BTreeMap::new();
    let fields = workflows.iter().flat_map(Workflow::fields);
    for field in fields {
        if let Kind::Choice { options } = &field.kind {
            *uses.entry(options).or_default().entry(camel(&field.name)).or_default() += 1;
        }
    }
    let mut ranked: Vec<(usize, &'e [Text], String)> = uses
        .into_iter()
        .filter_map(|(options, names)| {
            let count = names.values().sum();
            let best =
                names.into_iter().max_by(|left, right| left.1.cmp(&right.1).then(right.0.cmp(&left.0)))?;
            Some((count, options, best.0))
        })
        .collect();
    ranked.sort_by(|left, right| right.0.cmp(&left.0).then(left.1.cmp(right.1)));
    let mut named = BTreeMap::new();
    for (_, options, name) in ranked {
        named.insert(names.unique(&name), options);
    }
    named
}
