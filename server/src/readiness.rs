//! Whether an engine can run a workflow: has it the node classes, and has it the model files?
//!
//! Answers come from the engine's own lists, which are remembered for a while. Before anybody is refused, lists that are
//! not brand new are read again, so that a model copied into place a moment ago counts.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use comfyport_depot::may_be_pickle;
use comfyport_endpoint::Endpoint;
use serde::Serialize;

use crate::engine::{Capabilities, Engine, EngineError};

mod cached;
mod contract;
mod drift;
mod find;
mod requirement;

pub use cached::Ages;
use cached::Cached;
pub use contract::Contracts;
pub use drift::{ChangedClass, Drift};
pub use find::{FoundFile, find_file};
pub use requirement::{Choice, RequiredModel, RequiredPack, Requirement};

/// What an engine lacks for a workflow.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Missing {
    /// Node classes it does not have.
    pub classes: Vec<MissingClass>,
    /// Model files it does not have.
    pub models: Vec<MissingModel>,
    /// Model files that the caller chose and that it does not have, or of which it has several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub chosen: Vec<MissingModel>,
    /// Inputs that its node classes require and the workflow does not give: they changed since it was exported.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<MissingInput>,
}

/// An input that an engine's node class requires and a workflow does not give.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MissingInput {
    /// The node's id.
    pub node: String,
    /// Its title, or its class.
    pub title: String,
    /// Its class.
    pub class_type: String,
    /// The input.
    pub input: String,
}

/// A node class that an engine does not have.
#[derive(Debug, Clone, Serialize)]
pub struct MissingClass {
    /// The class.
    pub class_type: String,
    /// The node pack that has it, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_pack: Option<String>,
    /// Where the node pack comes from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
}

/// A model file that an engine does not have.
#[derive(Debug, Clone, Serialize)]
pub struct MissingModel {
    /// The folder below `models`.
    pub folder: String,
    /// The file, with `/` between folders.
    pub file: String,
    /// The node that loads it.
    pub node: String,
    /// The input that names it.
    pub input: String,
    /// Where it can be fetched from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// A file of the engine with nearly this name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub did_you_mean: Option<String>,
    /// Whether it may be fetched from where its caller says.
    #[serde(skip)]
    pub from_url: bool,
}

impl MissingModel {
    fn of(model: &RequiredModel, files: &BTreeSet<String>) -> Self {
        Self {
            folder: model.folder.clone(),
            file: model.file.clone(),
            node: model.node.clone(),
            input: model.input.clone(),
            url: model.url.clone(),
            did_you_mean: similar(files, &model.file),
            // Where there are several of its name, one more is of no use.
            from_url: model.from_url
                && find_file(&model.file, true, files).is_none()
                && !may_be_pickle(&model.file),
        }
    }

    pub(crate) fn new(model: &comfyport_endpoint::Model, did_you_mean: Option<String>) -> Self {
        Self {
            folder: canonical(&model.folder).to_owned(),
            file: plain(&model.file),
            node: model.node.to_string(),
            input: model.input.to_string(),
            url: model.url.as_ref().map(ToString::to_string),
            did_you_mean,
            from_url: false,
        }
    }
}

impl Missing {
    /// These classes and nothing else.
    pub fn of_classes<'c>(classes: impl Iterator<Item = &'c String>) -> Self {
        let class =
            |class: &String| MissingClass { class_type: class.clone(), node_pack: None, repository: None };
        Self { classes: classes.map(class).collect(), ..Self::default() }
    }

    /// Whether nothing is missing but what the caller chose.
    pub fn is_chosen_only(&self) -> bool {
        self.classes.is_empty() && self.models.is_empty() && self.inputs.is_empty()
    }

    /// Whether all would be there, and the definitions of nodes are no longer those that the workflow was made for.
    pub fn is_incompatible(&self) -> bool {
        self.classes.is_empty() && self.models.is_empty() && !self.inputs.is_empty()
    }

    /// What the workflow itself needs.
    #[must_use]
    pub fn without_chosen(self) -> Self {
        Self { chosen: Vec::new(), ..self }
    }

    /// How much is missing.
    pub fn len(&self) -> usize {
        self.classes.len() + self.models.len() + self.chosen.len() + self.inputs.len()
    }

    /// What is not among the other.
    fn without(mut self, other: &Self) -> Self {
        self.classes.retain(|class| other.classes.iter().all(|known| known.class_type != class.class_type));
        self.inputs.retain(|input| !other.inputs.contains(input));
        self.models.retain(|model| {
            other.models.iter().all(|known| (&known.node, &known.input) != (&model.node, &model.input))
        });
        self
    }

    /// Whether nothing is missing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One sentence that names everything.
    pub fn sentence(&self) -> String {
        let classes = self.classes.iter().map(|class| match &class.node_pack {
            Some(pack) => format!("node class {} (node pack {pack})", class.class_type),
            None => format!("node class {}", class.class_type),
        });
        let models = self
            .models
            .iter()
            .chain(&self.chosen)
            .map(|model| format!("model {}/{}", model.folder, model.file));
        let inputs = self.inputs.iter().map(|input| {
            let MissingInput { node, title, class_type, input } = input;
            format!("input {input} of node {node} \"{title}\", which {class_type} requires here")
        });
        classes.chain(models).chain(inputs).collect::<Vec<_>>().join(", ")
    }
}

/// Whether one engine can run one workflow.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The engine's name.
    pub engine: String,
    /// Whether its results are made up.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub simulated: bool,
    /// Whether it could run it now.
    pub ready: bool,
    /// Why not, in a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What it lacks.
    #[serde(skip_serializing_if = "Missing::is_empty")]
    pub missing: Missing,
    /// What it lacks besides for requests that give what may be left out, or switch on what is off.
    #[serde(skip_serializing_if = "Missing::is_empty")]
    pub missing_optional: Missing,
}

/// Refusals rest on lists no older than this.
const BRAND_NEW: Duration = Duration::from_secs(2);

/// No engine is asked for more folders than this.
const MOST_FOLDERS: usize = 500;

/// The files of a models folder; `None` if the engine does not list it.
type Files = Option<BTreeSet<String>>;

/// The remembered lists of one engine.
#[derive(Debug)]
pub struct Readiness {
    engine: Arc<dyn Engine>,
    ages: Ages,
    classes: Cached<Capabilities>,
    folders: Mutex<HashMap<String, Arc<Cached<Files>>>>,
    drift: drift::Watched,
    pub(crate) contracts: Arc<Contracts>,
}

impl Readiness {
    /// Knows nothing yet; the first question asks the engine.
    pub fn new(engine: Arc<dyn Engine>, ages: Ages) -> Self {
        Self {
            engine,
            ages,
            classes: Cached::default(),
            folders: Mutex::default(),
            drift: drift::Watched::default(),
            contracts: Arc::default(),
        }
    }

    /// What the engine can do, if it answers.
    pub async fn known(&self) -> Result<Arc<Capabilities>, EngineError> {
        self.capabilities(None).await
    }

    /// What the engine lacks for a request.
    pub async fn missing(&self, need: &Requirement) -> Result<Missing, EngineError> {
        let missing = self.missing_since(need, None).await?;
        if missing.is_empty() {
            return Ok(missing);
        }
        self.missing_since(need, Instant::now().checked_sub(BRAND_NEW)).await
    }

    /// The same as a report that has an answer when the engine has none.
    pub async fn report(&self, need: &Requirement) -> Report {
        let (missing, reason) = match self.missing(need).await {
            Ok(missing) if missing.is_empty() => (missing, None),
            Ok(missing) => {
                let reason = format!("missing: {}", missing.sentence());
                (missing, Some(reason))
            }
            Err(error) => (Missing::default(), Some(error.to_string())),
        };
        Report {
            engine: self.engine.name().to_owned(),
            simulated: self.engine.is_simulated(),
            ready: reason.is_none(),
            reason,
            missing,
            missing_optional: Missing::default(),
        }
    }

    /// The same for a workflow as such: a request that leaves out what it can decides whether it is ready.
    pub async fn report_workflow(&self, endpoint: &Endpoint) -> Report {
        let mut report = self.report(&Requirement::usual(endpoint)).await;
        if let Ok(utmost) = self.missing(&Requirement::utmost(endpoint)).await {
            report.missing_optional = utmost.without(&report.missing);
        }
        report
    }

    /// The files in a models folder; `None` if the engine does not list it.
    pub async fn files(&self, folder: &str) -> Result<Arc<Files>, EngineError> {
        self.files_since(folder, None).await
    }

    /// The same, from a list that is brand new.
    pub async fn files_now(&self, folder: &str) -> Result<Arc<Files>, EngineError> {
        self.files_since(folder, Instant::now().checked_sub(BRAND_NEW)).await
    }

    /// The files of all models folders.
    pub async fn models(&self) -> Result<BTreeMap<String, BTreeSet<String>>, EngineError> {
        let folders = self.engine.folders().await?;
        let mut models = BTreeMap::new();
        for folder in folders.into_iter().take(MOST_FOLDERS) {
            let files = self.files(&folder).await?;
            models
                .entry(canonical(&folder).to_owned())
                .or_insert_with(|| files.as_ref().clone().unwrap_or_default());
        }
        Ok(models)
    }

    /// How the node definitions changed since they were first seen.
    pub fn drift(&self) -> Drift {
        self.drift.drift()
    }

    /// Reads again what is old or was forgotten, and what endpoints need and nobody asked for yet. Whether anything may
    /// have changed.
    pub async fn refresh(&self) -> bool {
        let before = self.classes.remembered();
        // Whoever needs the lists hears of errors.
        let after = self.capabilities(None).await.ok();
        let is_same = |one: Option<&Arc<_>>, other: Option<&Arc<_>>| match (one, other) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (one, other) => one.is_none() && other.is_none(),
        };
        let mut changed = !is_same(before.as_ref(), after.as_ref());
        let mut folders = self.contracts.folders();
        folders.extend(self.folders.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned());
        for folder in folders {
            let cached = self.folder(&folder);
            let before = cached.remembered();
            let after = self.files_since(&folder, None).await.ok();
            changed |= match (&before, &after) {
                (Some(before), Some(after)) => before != after,
                (before, after) => before.is_some() != after.is_some(),
            };
        }
        changed
    }

    /// Forgets everything: the engine did something that its lists did not foretell.
    pub fn forget(&self) {
        self.classes.forget();
        let folders = self.folders.lock().unwrap_or_else(PoisonError::into_inner);
        folders.values().for_each(|folder| folder.forget());
    }

    async fn missing_since(
        &self,
        need: &Requirement,
        since: Option<Instant>,
    ) -> Result<Missing, EngineError> {
        let capabilities = self.capabilities(since).await?;
        let missing = need.classes.difference(&capabilities.classes);
        let mut missing = Missing {
            classes: missing.map(|class| missing_class(need, class)).collect(),
            ..Missing::default()
        };
        missing.inputs = self.contracts.missing(&need.workflow, &need.classes, &capabilities);
        for model in &need.models {
            let files = self.files_since(&model.folder, since).await?;
            let Some(files) = files.as_ref() else { continue };
            if !has(files, model) {
                let list =
                    if model.choice == Choice::Workflow { &mut missing.models } else { &mut missing.chosen };
                list.push(MissingModel::of(model, files));
            }
        }
        Ok(missing)
    }

    /// Whether nothing is missing, by lists that nobody has called into question since they were read.
    pub fn remembered(&self, need: &Requirement) -> Option<bool> {
        self.judge(need, self.classes.remembered(), Cached::remembered)
    }

    /// The same by the last lists that the engine gave, whatever happened since.
    pub fn last_known(&self, need: &Requirement) -> Option<bool> {
        self.judge(need, self.classes.last_good(), Cached::last_good)
    }

    fn judge(
        &self,
        need: &Requirement,
        capabilities: Option<Arc<Capabilities>>,
        files: impl Fn(&Cached<Files>) -> Option<Arc<Files>>,
    ) -> Option<bool> {
        let capabilities = capabilities?;
        if !need.classes.is_subset(&capabilities.classes) {
            return Some(false);
        }
        if !self.contracts.missing(&need.workflow, &need.classes, &capabilities).is_empty() {
            return Some(false);
        }
        let folders = self.folders.lock().unwrap_or_else(PoisonError::into_inner);
        let mut answer = Some(true);
        for model in &need.models {
            let known = folders.get(&model.folder).and_then(|folder| files(folder));
            match known.as_deref() {
                Some(Some(files)) if !has(files, model) => return Some(false),
                Some(_) => {}
                None => answer = None,
            }
        }
        answer
    }

    async fn capabilities(&self, since: Option<Instant>) -> Result<Arc<Capabilities>, EngineError> {
        let ask = async || {
            let capabilities = self.engine.capabilities().await?;
            self.drift.observe(self.engine.name(), &capabilities);
            Ok(capabilities)
        };
        self.classes.get(&self.ages, since, ask).await
    }

    async fn files_since(&self, folder: &str, since: Option<Instant>) -> Result<Arc<Files>, EngineError> {
        let folder = canonical(folder);
        self.folder(folder).get(&self.ages, since, || self.list(folder)).await
    }

    fn folder(&self, folder: &str) -> Arc<Cached<Files>> {
        let mut folders = self.folders.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(folders.entry(folder.to_owned()).or_default())
    }

    async fn list(&self, folder: &str) -> Result<Option<BTreeSet<String>>, EngineError> {
        let mut files = self.engine.models(folder).await?;
        // Engines of before the renaming know only the old name.
        if let (None, Some(old)) = (&files, old_name(folder)) {
            files = self.engine.models(old).await?;
        }
        Ok(files.map(|files| files.iter().map(|file| plain(file)).collect()))
    }
}

fn missing_class(need: &Requirement, class: &str) -> MissingClass {
    let pack = need.packs.iter().find(|pack| pack.classes.contains(class));
    MissingClass {
        class_type: class.to_owned(),
        node_pack: pack.map(|pack| pack.id.clone()),
        repository: pack.and_then(|pack| pack.repository.clone()),
    }
}

/// Whether a folder has the file, and one only where any folder in it would do.
fn has(files: &BTreeSet<String>, model: &RequiredModel) -> bool {
    let by_address = model.choice == Choice::Address;
    matches!(find_file(&model.file, by_address, files), Some(FoundFile::One(_)))
}

/// File names as compared: exports from Windows have backslashes.
pub fn plain(file: &str) -> String {
    file.replace('\\', "/")
}

/// ComfyUI renamed two folders, and keeps the old names as aliases.
pub(crate) fn canonical(folder: &str) -> &str {
    match folder {
        "unet" => "diffusion_models",
        "clip" => "text_encoders",
        other => other,
    }
}

fn old_name(folder: &str) -> Option<&'static str> {
    match folder {
        "diffusion_models" => Some("unet"),
        "text_encoders" => Some("clip"),
        _ => None,
    }
}

/// The same name in another subfolder, else the nearest name if it is near.
pub fn similar(files: &BTreeSet<String>, wanted: &str) -> Option<String> {
    let base = |file: &str| file.rsplit('/').next().unwrap_or(file).to_lowercase();
    let name = base(wanted);
    // Similarity costs the product of both lengths; file systems end names at 255 bytes.
    if name.len() > 255 {
        return None;
    }
    let nearest = files
        .iter()
        .map(|file| (strsim::jaro_winkler(&base(file), &name), file))
        .max_by(|left, right| left.0.total_cmp(&right.0))?;
    (nearest.0 > 0.85).then(|| nearest.1.clone())
}
