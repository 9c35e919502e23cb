//! Names for the options of a closed choice, for languages in which an option is an identifier.

use std::collections::BTreeSet;

use crate::route::camel;

/// Words that cannot name a member of an enum in one of the languages that clients are written in.
const TAKEN: &[&str] = &["self", "none", "true", "false", "null", "any", "type", "protocol"];

/// A name for each option, in order: `dpmpp_2m` is `Dpmpp2m`. Names are ASCII identifiers and differ in more than case;
/// what has no letters of its own is numbered.
pub fn enum_names<'o>(options: impl IntoIterator<Item = &'o str>) -> Vec<String> {
    let mut taken = BTreeSet::new();
    let name = |option: &str| {
        // `+` and `-` alone would leave the same name behind.
        let spelled = option.replace('+', " plus ").replace('%', " percent ").replace('&', " and ");
        let mut base = if spelled.is_ascii() { camel(&spelled) } else { "Unnamed".to_owned() };
        if TAKEN.contains(&base.to_ascii_lowercase().as_str()) {
            base.push_str("Option");
        }
        let mut name = base.clone();
        let mut number = 2;
        while !taken.insert(name.to_ascii_lowercase()) {
            name = format!("{base}{number}");
            number += 1;
        }
        name
    };
    options.into_iter().map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_identifiers_everywhere_and_differ() {
        let options = ["a-b", "a_b", "aB", "提", "", "+", "self", "None", "2x", "1", "nearest-exact"];
        let expected = [
            "AB",
            "AB2",
            "AB3",
            "Unnamed",
            "Unnamed2",
            "Plus",
            "SelfOption",
            "NoneOption",
            "W2x",
            "W1",
            "NearestExact",
        ];
        assert_eq!(enum_names(options), expected);
    }
}
