//! Prints the report of exported workflows: `cargo run -p comfyport-workflow --example report -- FILE…`

#![allow(clippy::print_stdout, clippy::unwrap_used)]

use comfyport_workflow::{Catalog, Options, Sidecar, endpoint, report};

fn main() {
    for path in std::env::args().skip(1) {
        let sidecar = std::fs::read_to_string(path.replace(".json", ".toml")).ok();
        let sidecar = sidecar.map(|text| Sidecar::parse(&text).unwrap());
        let stem = path.trim_end_matches(".json");
        let options = Options {
            file: &path,
            path: stem,
            catalog: Catalog::core(),
            sidecar: sidecar.as_ref(),
            lock: None,
        };
        match endpoint(&std::fs::read(&path).unwrap(), &options) {
            Ok(endpoint) => println!("{}", report(&endpoint)),
            Err(diagnostics) => diagnostics.iter().for_each(|one| println!("{}", one.render(&path))),
        }
    }
}
