//! Makes `data/node_packs.zlib` from the files of ComfyUI-Manager (facts only: classes, repositories, stars):
//! `cargo run -p comfyport-workflow --example node_packs -- extension-node-map.json github-stats.json > workflow/data/node_packs.zlib`

#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used)]

use std::io::Write;

use comfyport_workflow::json::{Value, parse};

fn main() {
    let mut files =
        std::env::args_os().skip(1).map(|path| parse(&std::fs::read(path).unwrap()).unwrap().value);
    let (map, stars) =
        (files.next().expect("extension-node-map.json"), files.next().expect("github-stats.json"));
    let mut text = String::new();
    for (repository, entry) in map.as_object().unwrap() {
        let [classes, facts] = entry.as_array().unwrap() else { continue };
        let count =
            stars.get(repository).and_then(|facts| facts.get("stars")).and_then(Value::as_u64).unwrap_or(0);
        let pattern = facts.get("nodename_pattern").and_then(Value::as_str).unwrap_or_default();
        text.push_str(&format!(">{repository}\t{count}\t{pattern}\n"));
        for (mark, list) in [("!", facts.get("preemptions")), ("", Some(classes))] {
            for class in list.and_then(Value::as_array).unwrap_or_default().iter().filter_map(Value::as_str) {
                if !class.contains('\n') && !class.starts_with(['>', '!']) {
                    text.push_str(&format!("{mark}{class}\n"));
                }
            }
        }
    }
    let mut packed = flate2::write::ZlibEncoder::new(std::io::stdout().lock(), flate2::Compression::best());
    packed.write_all(text.as_bytes()).unwrap();
    drop(packed.finish().unwrap());
}
