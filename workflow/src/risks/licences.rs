//! Licences of well-known models, told from file names (`data/licences.toml`).

use std::{collections::BTreeSet, sync::OnceLock};

use regex_lite::Regex;
use serde::{Deserialize, Serialize};

use crate::{
    diagnostic::{Diagnostic, Severity, printable},
    endpoint::ModelRef,
    graph::Graph,
    sidecar::Sidecar,
};

const TABLE: &str = include_str!("../../data/licences.toml");

/// Whether a licence forbids commercial use, or binds it to conditions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LicenceKind {
    /// It forbids it.
    NonCommercial,
    /// It allows it on conditions.
    Conditions,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    licence: Vec<Licence>,
}

/// A licence that restricts what may be done with a model.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Licence {
    file: String,
    /// What it is called.
    pub name: String,
    /// How it restricts.
    pub kind: LicenceKind,
    /// What binds, in a few words.
    pub terms: String,
    /// Where it can be read.
    pub source: String,
}

/// A warning for each model whose licence is known to restrict what may be done with it; a note where the author has
/// accepted that.
pub(crate) fn find(models: &[ModelRef], graph: &Graph, sidecar: Option<&Sidecar>) -> Vec<Diagnostic> {
    let mut seen = BTreeSet::new();
    let fresh = models.iter().filter(|model| seen.insert(model.file.as_str()));
    fresh
        .filter_map(|model| {
            let licence = licence_of(&model.file)?;
            let accepted = sidecar
                .and_then(|sidecar| sidecar.models.get(&model.file))
                .is_some_and(|rule| rule.licence_accepted);
            Some(diagnostic(model, licence, graph, accepted))
        })
        .collect()
}

fn diagnostic(model: &ModelRef, licence: &Licence, graph: &Graph, accepted: bool) -> Diagnostic {
    let code = match licence.kind {
        LicenceKind::NonCommercial => "licence-non-commercial",
        LicenceKind::Conditions => "licence-conditions",
    };
    let file = printable(&model.file);
    let suffix = if accepted { ", accepted in the sidecar file" } else { "" };
    let message = format!("`{file}` is under the {}: {}{suffix}", licence.name, licence.terms);
    let title = graph.node(&model.node).and_then(|node| node.title.as_deref());
    let mut diagnostic = Diagnostic::note(code, message).at_node(&model.node, title).at_input(&model.input);
    if !accepted {
        diagnostic.severity = Severity::Warning;
        diagnostic = diagnostic.help(format!(
            "read {}; if your use is covered, say so in the sidecar file:\n[models.\"{file}\"]\nlicence_accepted = true",
            licence.source
        ));
    }
    diagnostic
}

/// The licence of a model that is known by its file name, if it restricts anything.
pub fn licence_of(file: &str) -> Option<&'static Licence> {
    let name = file.rsplit(['/', '\\']).next().unwrap_or(file);
    // Longer than any file name.
    if name.len() > 255 {
        return None;
    }
    let plain: String =
        name.chars().map(|one| if one.is_alphanumeric() { one.to_ascii_lowercase() } else { '-' }).collect();
    table().iter().find(|(pattern, _)| pattern.is_match(&plain)).map(|(_, licence)| licence)
}

fn table() -> &'static [(Regex, Licence)] {
    static LICENCES: OnceLock<Vec<(Regex, Licence)>> = OnceLock::new();
    // It is ours, and a test reads it; were it broken, workflows would still be served.
    LICENCES.get_or_init(|| read(TABLE).unwrap_or_default())
}

fn read(text: &str) -> Option<Vec<(Regex, Licence)>> {
    let written: Written = toml::from_str(text).ok()?;
    written.licence.into_iter().map(|licence| Some((Regex::new(&licence.file).ok()?, licence))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_whole() {
        let licences = read(TABLE).unwrap();
        assert!(licences.iter().all(|(_, licence)| licence.source.starts_with("https://")));
    }

    #[test]
    fn files_are_told_by_their_names() {
        for (file, expected) in [
            ("flux1-dev.safetensors", "FLUX.1 [dev]"),
            ("flux/FLUX1-dev-fp8-e4m3fn.safetensors", "FLUX.1 [dev]"),
            ("flux1-kontext-dev.safetensors", "FLUX.1 [dev]"),
            ("flux1-dev-kontext_fp8_scaled.safetensors", "FLUX.1 [dev]"),
            ("shakker-labs-flux.1-dev-controlnet-union-pro.safetensors", "FLUX.1 [dev]"),
            ("flux2_dev_fp8mixed.safetensors", "FLUX Non"),
            ("sd_xl_turbo_1.0_fp16.safetensors", "Stability AI Non"),
            ("svd_xt.safetensors", "Stable Video"),
            ("sd3.5_large_fp8_scaled.safetensors", "Stability AI Community"),
            ("hunyuan_video_t2v_720p_bf16.safetensors", "Tencent"),
            ("hunyuan3d-dit-v2.safetensors", "Tencent"),
            ("hunyuanimage2.1_bf16.safetensors", "Tencent"),
            ("codeformer-v0.1.0.pth", "S-Lab"),
            ("inswapper_128.onnx", "InsightFace"),
            ("depth_anything_v2_vitl.pth", "CC-BY-NC"),
        ] {
            let found = licence_of(file).map(|licence| licence.name.as_str()).unwrap_or_default();
            assert!(found.starts_with(expected), "{file}: {found}");
        }
        for file in [
            "flux1-schnell-fp8.safetensors",
            "FLUX.1-Turbo-Alpha.safetensors",
            "flux2-vae.safetensors",
            "flux-2-klein-4b.safetensors",
            "dreamshaperXL_v21TurboDPMSDE.safetensors",
            "sd_xl_base_1.0.safetensors",
            "depth_anything_v2_vits.pth",
            "video_depth_anything_vits.pth",
            "fake-dev-model.safetensors",
            "ltx-2-19b-dev.safetensors",
            "hidream_i1_dev_bf16.safetensors",
            "lnrnr_flux_EliPot.safetensors",
            "hunyuan_samusHunyuan.safetensors",
        ] {
            assert!(licence_of(file).is_none(), "{file}: {:?}", licence_of(file));
        }
    }
}
