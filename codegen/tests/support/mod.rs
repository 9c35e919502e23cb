//! Reading folders of workflows as the build script does.

use std::{fs, path::Path};

use comfyport_codegen::Template;
use comfyport_workflow::Catalog;

/// Every workflow below a folder, in no particular order.
pub(crate) fn templates(folder: &Path) -> Vec<Template> {
    let mut templates = Vec::new();
    read(folder, folder, &mut templates);
    templates
}

/// The core catalog with the folder's own node definitions.
pub(crate) fn catalog(folder: &Path) -> Catalog {
    let mut catalog = Catalog::core().clone();
    if let Ok(bytes) = fs::read(folder.join("object_info.json")) {
        catalog.extend(Catalog::from_object_info(&bytes).expect("node definitions").0);
    }
    catalog
}

fn read(root: &Path, folder: &Path, templates: &mut Vec<Template>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.strip_prefix(root).expect("below the root").to_string_lossy().replace('\\', "/");
        if path.is_dir() {
            read(root, &path, templates);
        } else if let Some(route) = name.strip_suffix(".json").filter(|route| *route != "object_info") {
            templates.push(Template {
                path: route.to_owned(),
                file: name.clone(),
                bytes: fs::read(&path).expect("a workflow"),
                sidecar: fs::read_to_string(path.with_extension("toml")).ok(),
                lock: fs::read_to_string(path.with_extension("lock")).ok(),
            });
        }
    }
}
