//! Makes `data/core_nodes.json` from a saved `object_info`:
//! `cargo run -p comfyport-workflow --example core_snapshot -- object_info.json > workflow/data/core_nodes.json`

#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used)]

fn main() {
    let path = std::env::args_os().nth(1).expect("the path of a saved object_info");
    let (mut catalog, diagnostics) =
        comfyport_workflow::Catalog::from_object_info(&std::fs::read(path).unwrap()).unwrap();
    assert!(diagnostics.is_empty(), "{diagnostics:?}");
    catalog.retain_core();
    print!("{}", catalog.to_snapshot());
}
