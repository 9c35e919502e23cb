//! Model files that callers may tell by their address.

use super::{Expose, ParamRule};
use crate::{
    diagnostic::Diagnostic,
    endpoint::{Param, ParamType, Tier},
    infer::REPOSITORY,
};

/// What models are said to be in that are in no folder of the engine that is known.
const NO_FOLDERS: [&str; 2] = ["unknown", REPOSITORY];

impl ParamRule {
    /// Where callers may tell a model by its address, they may tell one at all.
    pub(super) fn apply_from_url(&self, param: &mut Param, key: &str, diagnostics: &mut Vec<Diagnostic>) {
        if let Some((what, help)) = self.odd_from_url(param) {
            let what = format!("[params.\"{key}\"]: {what}");
            diagnostics.push(Diagnostic::error("sidecar", what).help(help));
            return;
        }
        param.from_url = true;
        if self.expose.is_none() && !matches!(param.tier, Tier::Primary | Tier::Advanced) {
            param.tier = Tier::Primary;
        }
    }

    fn odd_from_url(&self, param: &Param) -> Option<(&'static str, &'static str)> {
        let folder = param.folder.as_deref().filter(|_| param.ty == ParamType::Loras || param.open);
        let Some(folder) = folder else {
            return Some(("`from_url` is for model files and lists of LoRAs", "leave it out"));
        };
        if NO_FOLDERS.contains(&folder) {
            let help = "leave it out: nobody knows where a file that is fetched would have to be";
            return Some(("`from_url` is for models whose folder is known", help));
        }
        let is_hidden = self.hide || self.expose == Some(Expose::Flag(false));
        is_hidden.then_some(("`from_url` is for what callers may set", "leave it out, or let them set it"))
    }
}
