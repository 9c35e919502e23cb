//! `comfyport simulate`

use std::{path::Path, process::ExitCode, time::Duration};

use comfyport_endpoint::Endpoint;
use comfyport_simulator::{ModelFiles, Models, Options, Simulator};
use comfyport_workflow::{Catalog, catalog::NodeDef};

use crate::{cli::Simulate, say};

pub(crate) fn run(arguments: &Simulate, endpoints: &'static [&'static Endpoint]) -> ExitCode {
    let catalog = match arguments.object_info.as_deref().map(catalog).transpose() {
        Ok(catalog) => catalog,
        Err(error) => return say::refuse(error),
    };
    let options = Options {
        listen: arguments.listen,
        step_delay: Duration::from_millis(arguments.step_delay),
        catalog,
        previews: arguments.previews,
        ledger: arguments.ledger.clone(),
        ..options(endpoints)
    };
    super::block_on(async {
        let listen = options.listen;
        let simulator = match Simulator::start(options).await {
            Ok(simulator) => simulator,
            Err(error) => {
                return say::refuse(format_args!("the simulator cannot start on {listen}: {error}"));
            }
        };
        say::line("this is a SIMULATION of ComfyUI: results are made up");
        say::line(format_args!("listening on {}", simulator.url()));
        super::serve::until_told().await;
        simulator.stop().await;
        ExitCode::SUCCESS
    })
}

fn catalog(path: &Path) -> Result<Catalog, String> {
    let named = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let bytes = std::fs::read(path).map_err(|error| named(&error))?;
    Catalog::from_object_info(&bytes).map(|(catalog, _)| catalog).map_err(|error| named(&error))
}

/// A simulator that has whatever the workflows need, custom nodes included.
pub(crate) fn options(endpoints: &[&Endpoint]) -> Options {
    let (extra_classes, files) = needs(endpoints);
    Options { models: Models::Any(files), extra_classes, ..Options::default() }
}

/// Classes and model files that no simulator has by itself.
pub(crate) fn needs(endpoints: &[&Endpoint]) -> (Vec<NodeDef>, ModelFiles) {
    let mut files = ModelFiles::new();
    for model in endpoints.iter().flat_map(|endpoint| &endpoint.models) {
        files.entry(model.folder.to_string()).or_default().push(model.file.to_string());
    }
    let core = Catalog::core();
    let mut foreign: Vec<(&str, bool)> = endpoints
        .iter()
        .flat_map(|endpoint| {
            let is_output = |class: &str| endpoint.outputs.iter().any(|output| *output.class_type == *class);
            endpoint.nodes.iter().map(move |node| (&*node.class_type, is_output(&node.class_type)))
        })
        .filter(|(class, _)| core.get(class).is_none())
        .collect();
    foreign.sort_unstable();
    foreign.dedup();
    let classes = foreign.into_iter().map(|(class, output)| comfyport_simulator::open_class(class, output));
    (classes.collect(), files)
}
