//! `comfyport add`

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use comfyport_workflow::{Diagnostic, route};

use super::{files, workflow_file};
use crate::{
    cli::{Add, Check, Format},
    say,
};

/// The folder of workflows in a project.
const TEMPLATES: &str = "workflow_templates";

/// Why a file was not added.
enum Refusal {
    /// It is no workflow, and these say why.
    Faults(Vec<Diagnostic>),
    Usage(String),
}

/// Exits 0 if the workflow was added and makes an endpoint, 1 if it makes none, 2 if it could not be added.
pub(crate) fn run(arguments: &Add) -> ExitCode {
    match add(arguments) {
        Ok(target) => {
            say::line(format_args!("added {}; the next build serves it\n", target.display()));
            let check = Check { files: vec![target], format: Format::Text, object_info: None };
            super::check::run(&check)
        }
        Err(Refusal::Usage(error)) => say::refuse(error),
        Err(Refusal::Faults(diagnostics)) => {
            let file = arguments.file.display().to_string();
            let text: String = diagnostics.iter().map(|found| found.render(&file)).collect();
            say::data(&text);
            say::line("nothing was added");
            ExitCode::from(1)
        }
    }
}

/// Copies the workflow that a file holds into the project. Returns where to.
fn add(arguments: &Add) -> Result<PathBuf, Refusal> {
    let folder = templates().map_err(Refusal::Usage)?;
    let route = route_of(arguments);
    let target = folder.join(format!("{route}.json"));
    check_route(&folder, &route).map_err(Refusal::Usage)?;
    if target.exists() && !arguments.force {
        let shown = target.display();
        return Err(Refusal::Usage(format!(
            "{shown} is there already; `--force` replaces it, `--name` gives the new one another route"
        )));
    }
    let bytes = fs::read(&arguments.file).map_err(|error| named(&arguments.file, &error))?;
    let catalog = workflow_file::catalog(&target, None).map_err(Refusal::Usage)?;
    comfyport_workflow::read_with(&bytes, &catalog).map_err(Refusal::Faults)?;
    let workflow = comfyport_workflow::open(&bytes).map_err(|found| Refusal::Faults(vec![found]))?;
    if let Some(parent) = target.parent() {
        fs::create_dir_all(parent).map_err(|error| named(parent, &error))?;
    }
    files::replace(&target, &workflow).map_err(|error| named(&target, &error))?;
    Ok(target)
}

fn named(path: &Path, error: &std::io::Error) -> Refusal {
    Refusal::Usage(format!("{}: {error}", path.display()))
}

/// The folder of workflows of the project around the current directory.
fn templates() -> Result<PathBuf, String> {
    let here = std::env::current_dir().map_err(|error| format!("the current directory: {error}"))?;
    let found = here.ancestors().map(|folder| folder.join(TEMPLATES)).find(|folder| folder.is_dir());
    let folder = found.ok_or_else(|| {
        format!(
            "there is no folder `{TEMPLATES}` here or above; go to a project, or make one with `comfyport new NAME`"
        )
    })?;
    // Shorter to read, where it is the same.
    Ok(folder.strip_prefix(&here).map(Path::to_owned).unwrap_or(folder))
}

/// The route that was asked for, else one made of the file's name.
fn route_of(arguments: &Add) -> String {
    if let Some(name) = &arguments.name {
        let name = name.trim_start_matches('/');
        return name.strip_suffix(".json").unwrap_or(name).to_owned();
    }
    let stem = arguments.file.file_stem().unwrap_or_default().to_string_lossy();
    if route::check([&*stem].into_iter()).is_empty() { stem.into_owned() } else { route::name(&stem) }
}

/// Refuses routes that the next build would refuse.
fn check_route(folder: &Path, route: &str) -> Result<(), String> {
    let present = files::workflows_below(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let own = format!("{route}.json");
    let names: Vec<String> = present
        .iter()
        .filter_map(|path| Some(path.strip_prefix(folder).ok()?.to_str()?.replace('\\', "/")))
        .filter(|name| *name != own)
        .collect();
    let (_, twins) = route::of_files(names.iter().map(String::as_str).chain([own.as_str()]));
    let routes = names.iter().filter_map(|name| route::of_file(name)).filter(|other| *other != route);
    let clashes = route::check(routes.chain([route]));
    let Some((_, found)) = twins.into_iter().chain(clashes).find(|(name, _)| *name == own) else {
        return Ok(());
    };
    let segments =
        route.split('/').filter(|segment| segment.contains(|one: char| one.is_ascii_alphanumeric()));
    let plain = segments.map(route::name).collect::<Vec<_>>().join("/");
    let better = match found.code {
        "reserved-route" => format!("my_{plain}"),
        "odd-route" if plain.is_empty() => "my_workflow".to_owned(),
        "odd-route" => plain,
        _ => format!("{plain}_b"),
    };
    Err(format!("{}; choose another route, such as `--name {better}`", found.message))
}
