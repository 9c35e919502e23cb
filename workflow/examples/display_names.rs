//! Makes `data/display_names.tsv.zlib` from the language files of ComfyUI's editor (facts only: classes and the names
//! they are shown by), or from one file that maps each class to a list of names:
//! `cargo run -p comfyport-workflow --example display_names -- src/locales/*/nodeDefs.json > workflow/data/display_names.tsv.zlib`

#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used)]

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
};

use comfyport_workflow::json::{Value, parse};

fn main() {
    let mut classes: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for path in std::env::args_os().skip(1) {
        let file = parse(&std::fs::read(path).unwrap()).unwrap().value;
        for (class, entry) in file.as_object().expect("an object of classes") {
            let listed = entry.as_array().unwrap_or_default().iter();
            let names = listed.chain(entry.get("display_name")).filter_map(Value::as_str);
            let names = names.map(str::trim).filter(|name| !name.is_empty() && !name.contains(['\t', '\n']));
            classes.entry(class.clone()).or_default().extend(names.map(str::to_owned));
        }
    }
    let mut packed = flate2::write::ZlibEncoder::new(std::io::stdout().lock(), flate2::Compression::best());
    for (class, names) in &classes {
        let row: Vec<&str> =
            std::iter::once(class.as_str()).chain(names.iter().map(String::as_str)).collect();
        writeln!(packed, "{}", row.join("\t")).unwrap();
    }
    drop(packed.finish().unwrap());
}
