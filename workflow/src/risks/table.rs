//! The table of class names, `data/risks.toml`.

use std::{fmt, sync::OnceLock};

use regex_lite::Regex;
use serde::Deserialize;

use super::words::words;
use crate::diagnostic::Severity;

const TABLE: &str = include_str!("../../data/risks.toml");

/// Something that a node does besides computing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Risk {
    RunsCode,
    PaidService,
    Network,
    WritesPath,
    ReadsPath,
}

impl Risk {
    pub(crate) const ALL: [Self; 5] =
        [Self::RunsCode, Self::PaidService, Self::Network, Self::WritesPath, Self::ReadsPath];

    /// The code of its diagnostics.
    pub(super) fn code(self) -> &'static str {
        match self {
            Self::RunsCode => "risk-runs-code",
            Self::PaidService => "risk-paid-service",
            Self::Network => "risk-network",
            Self::WritesPath => "risk-writes-path",
            Self::ReadsPath => "risk-reads-path",
        }
    }

    /// Builds say so only of what can cost money or the machine.
    pub(super) fn severity(self) -> Severity {
        match self {
            Self::RunsCode | Self::PaidService => Severity::Warning,
            Self::Network | Self::WritesPath | Self::ReadsPath => Severity::Note,
        }
    }

    /// What a node does, to go after its name.
    pub(super) fn does(self) -> &'static str {
        match self {
            Self::RunsCode => "runs code",
            Self::PaidService => "sends what it is given to a service that may cost money",
            Self::Network => "reaches the network",
            Self::WritesPath => "writes or removes files by their path",
            Self::ReadsPath => "reads files by their path",
        }
    }

    /// What follows from it.
    pub(super) fn consequence(self) -> &'static str {
        match self {
            Self::RunsCode => "whoever changes the workflow, or sets that value, runs code on the engine",
            Self::PaidService => "each run may be charged, and hands over what callers send",
            Self::Network => "the engine connects to where the workflow says",
            Self::WritesPath => "the engine's files are what the workflow makes of them",
            Self::ReadsPath => "results may show files of the engine",
        }
    }
}

impl fmt::Display for Risk {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.code().trim_start_matches("risk-"))
    }
}

/// How a risk shows.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) risk: Risk,
    classes: Vec<Regex>,
    except: Option<Regex>,
    inputs: Option<Regex>,
    /// Whether an input of such a name is enough.
    pub(super) by_input: bool,
}

impl Rule {
    /// Whether nodes of this class do it.
    pub(super) fn fits(&self, class: &str) -> bool {
        let words = words(class);
        self.classes.iter().any(|pattern| pattern.is_match(&words))
            && !self.except.as_ref().is_some_and(|pattern| pattern.is_match(&words))
    }

    /// Whether an input of this name says on what.
    pub(super) fn names(&self, input: &str) -> bool {
        // Longer than any name.
        input.len() <= 100
            && self.inputs.as_ref().is_some_and(|pattern| pattern.is_match(&input.to_ascii_lowercase()))
    }

    /// Whether a value is one to do it with: a text, and for a path or an address one that looks like it.
    pub(super) fn is_meant(&self, value: Option<&str>) -> bool {
        let Some(text) = value else { return false };
        match self.risk {
            Risk::Network => text.contains("://"),
            Risk::ReadsPath | Risk::WritesPath => text.contains(['/', '\\']) && !text.contains('\n'),
            Risk::RunsCode | Risk::PaidService => true,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    rule: Vec<WrittenRule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenRule {
    risk: Risk,
    classes: Vec<String>,
    except: Option<String>,
    inputs: Option<String>,
    #[serde(default)]
    by_input: bool,
}

/// All rules.
pub(super) fn table() -> &'static [Rule] {
    static RULES: OnceLock<Vec<Rule>> = OnceLock::new();
    // It is ours, and a test reads it; were it broken, workflows would still be served.
    RULES.get_or_init(|| read(TABLE).unwrap_or_default())
}

fn read(text: &str) -> Option<Vec<Rule>> {
    let written: Written = toml::from_str(text).ok()?;
    let pattern = |text: Option<String>| text.map(|text| Regex::new(&text)).transpose().ok();
    written
        .rule
        .into_iter()
        .map(|rule| {
            let classes = rule.classes.iter().map(|text| Regex::new(text)).collect::<Result<_, _>>().ok()?;
            let (except, inputs) = (pattern(rule.except)?, pattern(rule.inputs)?);
            Some(Rule { risk: rule.risk, classes, except, inputs, by_input: rule.by_input })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(class: &str) -> Vec<String> {
        let rules = table().iter().filter(|rule| rule.fits(class));
        rules.map(|rule| rule.risk.to_string()).collect()
    }

    #[test]
    fn the_table_is_whole() {
        assert!(
            read(TABLE).is_some_and(|rules| Risk::ALL
                .iter()
                .all(|risk| rules.iter().any(|rule| rule.risk == *risk)))
        );
    }

    #[test]
    fn classes_show_what_they_do() {
        for (class, expected) in [
            ("PythonCodeExecutor", "runs-code"),
            ("VRGDG_PythonCodeRunner", "runs-code"),
            ("Griptape Code: Run Python [DEPRECATED]", "runs-code"),
            ("KY_Eval_Python", "runs-code"),
            ("JN_Exec", "runs-code"),
            ("AnyNode", "runs-code"),
            ("OpenAIVisionNode", "paid-service"),
            ("LayerUtility: GeminiV2", "paid-service"),
            ("LoadImageFromUrl", "network"),
            ("Load Image From Url (mtb)", "network"),
            ("LoadImagesFromURL", "network"),
            ("FL_SendToDiscordWebhook", "network"),
            ("OllamaGenerate", "network"),
            ("DownloadAndLoadSAM2Model", "network"),
            ("LoadImageS3", "network"),
            ("VHS_LoadVideoPath", "reads-path"),
            ("LoadImagesFromDirectory", "reads-path"),
            ("SaveImagetoPath", "writes-path"),
            ("RTXRemixDeleteFile", "writes-path"),
        ] {
            assert!(
                of(class).iter().any(|risk| risk == expected),
                "{class}: {:?}, not {expected}",
                of(class)
            );
        }
    }

    #[test]
    fn classes_that_sound_like_it_do_not_show_it() {
        for class in [
            "KSampler (Efficient)",
            "CutAndDragOnPath",
            "EvalSampler",
            "HighRes-Fix Script",
            "ControlNetScript",
            "PathchSageAttentionKJ",
            "If ANY execute A else B",
            "ShellAgentPluginInputImage",
            "LumaKeyMask",
            "ReplicateLatent",
            "MathExpression|pysssss",
            "ImageEvaluator",
            "Griptape Run: Image Description",
            "PikaVidStyle",
        ] {
            assert_eq!(of(class), [""; 0], "{class}");
        }
    }
}
