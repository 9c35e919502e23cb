//! Where a workflow comes from, and whether what is served is what its file says.

use comfyport_workflow::Diagnostic;
use serde::Serialize;

use crate::endpoints::Entry;

/// Part of what is said of a workflow.
#[derive(Debug, Serialize)]
pub(super) struct Origin {
    /// Whether it was read from a file while the server ran.
    dynamic: bool,
    /// The file, by its path below the folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    /// Whether the file makes an endpoint as it is now.
    usable: bool,
    serving: Serving,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    diagnostics: Vec<Diagnostic>,
}

/// What requests meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Serving {
    /// The workflow as it is now.
    Current,
    /// The last version of the file that made an endpoint.
    LastGood,
    /// 404.
    Nothing,
}

impl Origin {
    pub(super) fn of(entry: &Entry) -> Self {
        let usable = entry.file.as_ref().is_none_or(|file| file.usable);
        let serving = match (&entry.endpoint, usable) {
            (None, _) => Serving::Nothing,
            (Some(_), true) => Serving::Current,
            (Some(_), false) => Serving::LastGood,
        };
        let (file, diagnostics) =
            entry.file.as_ref().map(|file| (file.name.clone(), file.diagnostics.clone())).unzip();
        Self {
            dynamic: entry.file.is_some(),
            file,
            usable,
            serving,
            diagnostics: diagnostics.unwrap_or_default(),
        }
    }
}
