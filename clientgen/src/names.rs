//! Names that both languages accept, each given once.

use std::collections::BTreeSet;

/// Types of the parts that are the same for every server, and of the languages where a type of that name would hide them.
const TAKEN: &[&str] = &[
    // TypeScript
    "Array",
    "ArrayBuffer",
    "AsyncGenerator",
    "BigInt",
    "Blob",
    "BlobPart",
    "Boolean",
    "CallOptions",
    "ClientSettings",
    "Comfyport",
    "Error",
    "File",
    "Generator",
    "Infinity",
    "JSON",
    "Math",
    "Map",
    "MediaSummary",
    "NaN",
    "Number",
    "Object",
    "OutputsOf",
    "ParamsOf",
    "Promise",
    "RangeError",
    "ReadableStream",
    "Record",
    "RegExp",
    "RequestOf",
    "Response",
    "RunEvent",
    "Set",
    "String",
    "Symbol",
    "TextDecoder",
    "Timing",
    "Uint8Array",
    "URL",
    "WIDE",
    "WorkflowPath",
    "Workflows",
    "AbortSignal",
    // Python
    "Any",
    "AsyncClient",
    "ClassVar",
    "Client",
    "Dict",
    "Event",
    "Exception",
    "False",
    "List",
    "Literal",
    "None",
    "NotRequired",
    "Optional",
    "Preview",
    "Progress",
    "Queued",
    "Request",
    "Started",
    "True",
    "TypedDict",
    "Union",
    "UnexpectedAnswer",
    // Both
    "Artifact",
    "ComfyportError",
    "Lora",
    "Media",
    "Problem",
    "ProblemCode",
    "ProblemFault",
    "Run",
    "RunOptions",
    "Verdict",
];

/// What is made of the name of a workflow.
const SUFFIXES: &[&str] = &["Request", "Advanced", "Outputs", "Params", "AdvancedParams"];

/// Names that are given once.
pub(crate) struct Names {
    taken: BTreeSet<String>,
}

impl Names {
    /// Names of types.
    pub(crate) fn of_types() -> Self {
        Self::besides(TAKEN)
    }

    /// Names other than these.
    pub(crate) fn besides(taken: &[&str]) -> Self {
        Self { taken: taken.iter().map(|name| (*name).to_owned()).collect() }
    }

    pub(crate) fn is_free(&self, name: &str) -> bool {
        !self.taken.contains(name)
    }

    /// This name, or with a number if it is taken.
    pub(crate) fn unique(&mut self, base: &str) -> String {
        let name = numbered(base, |name| !self.taken.contains(name));
        self.taken.insert(name.clone());
        name
    }

    /// A stem of which every name that is made of it is free.
    pub(crate) fn stem(&mut self, base: &str) -> String {
        let made = |stem: &str| SUFFIXES.iter().map(|suffix| format!("{stem}{suffix}")).collect::<Vec<_>>();
        let stem = numbered(base, |stem| made(stem).iter().all(|name| !self.taken.contains(name)));
        self.taken.extend(made(&stem));
        stem
    }
}

fn numbered(base: &str, is_free: impl Fn(&str) -> bool) -> String {
    if is_free(base) {
        return base.to_owned();
    }
    // `Mode2` and not `Mode_2`; but `a2_2`, where another digit would be read as one number.
    let joint =
        if base.ends_with(|last: char| last.is_ascii_digit()) || base.contains('_') { "_" } else { "" };
    let mut number = 2;
    loop {
        let name = format!("{base}{joint}{number}");
        if is_free(&name) {
            return name;
        }
        number += 1;
    }
}

/// `sd15/txt2img` as `Sd15Txt2img`.
pub(crate) fn camel(text: &str) -> String {
    let mut name = String::new();
    let mut upper = true;
    for one in text.chars() {
        if one.is_ascii_alphanumeric() {
            name.push(if upper { one.to_ascii_uppercase() } else { one });
            upper = false;
        } else {
            upper = true;
        }
    }
    if name.is_empty() {
        return "Unnamed".to_owned();
    }
    if name.starts_with(|first: char| first.is_ascii_digit()) {
        name.insert(0, 'W');
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_given_once() {
        let mut names = Names::of_types();
        assert_eq!(names.stem(&camel("a/b")), "AB");
        assert_eq!(names.stem(&camel("a_b")), "AB2");
        assert_eq!(names.stem(&camel("run")), "Run");
        assert_eq!(names.unique("Mode"), "Mode");
        assert_eq!(names.unique("Mode"), "Mode2");
        assert_eq!(names.unique("Artifact"), "Artifact2");
        assert_eq!(names.unique("ABRequest"), "ABRequest2");
        assert_eq!((camel("4x/提").as_str(), camel("提").as_str()), ("W4x", "Unnamed"));
    }
}
