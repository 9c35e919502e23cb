//! Whether ComfyUI can live with what was done; what it cannot live with is taken back.

use crate::{
    engine::{Classes, Engine, ImportFailures},
    outcome::Became,
    plan::Step,
};

use super::{Installer, Item};

/// What ComfyUI says of a pack that is there.
enum Verdict {
    Good { proved: bool },
    Incomplete(Vec<String>),
    Broken(String),
}

impl Installer {
    /// Looks which packs ComfyUI has now, if it runs.
    pub(super) async fn look_at(&self, items: &mut [Item<'_>]) {
        let Some(engine) = &self.engine else { return };
        if !engine.is_up().await {
            return;
        }
        let Ok(classes) = engine.classes().await else { return };
        let failures = engine.import_failures().await;
        for item in items {
            item.was_loaded = classes.any_of(&item.step.folder);
            if matches!(item.became, Some(Became::Kept)) {
                keep(item, &classes, &failures);
            }
        }
    }

    /// Starts ComfyUI anew until it can live with what is left.
    pub(super) async fn prove(&self, items: &mut [Item<'_>]) {
        let Some(engine) = self.engine.as_ref().filter(|engine| engine.can_restart()) else {
            let note = "ComfyUI was not restarted: nobody said how";
            for item in items.iter_mut().filter(|item| item.applied) {
                item.notes.push(note.to_owned());
            }
            return;
        };
        while items.iter().any(|item| item.applied && item.is_open()) {
            if let Err(error) = engine.restart().await
                && !self.isolate(engine, items, &error.to_string()).await
            {
                return;
            }
            let judged = match engine.classes().await {
                Ok(classes) => judge(&classes, &engine.import_failures().await, items),
                Err(error) => {
                    // It answered a moment ago: this is no reason to take anything back.
                    for item in items.iter_mut().filter(|item| item.applied && item.is_open()) {
                        item.notes.push(format!("ComfyUI does not say what it has: {error}"));
                    }
                    return;
                }
            };
            if judged.is_empty() {
                return;
            }
            for (index, why) in judged {
                let Some(item) = items.get_mut(index) else { continue };
                self.roll_back(item, why).await;
            }
            // What is left is proved again; if nothing is, ComfyUI has to run as before.
            if !items.iter().any(|item| item.applied && item.is_open()) {
                self.settle(engine, items).await;
            }
        }
    }

    async fn roll_back(&self, item: &mut Item<'_>, why: String) {
        let left = self.undo(item).await;
        item.notes.extend(left);
        item.proved = false;
        item.became = Some(Became::RolledBack(why));
    }

    /// ComfyUI does not start: finds out with which of the changes it does. Answers whether it runs then.
    async fn isolate(&self, engine: &Engine, items: &mut [Item<'_>], why: &str) -> bool {
        let mut suspects: Vec<&mut Item<'_>> =
            items.iter_mut().filter(|item| item.applied && item.is_open()).collect();
        for item in suspects.iter_mut().rev() {
            let left = self.undo(item).await;
            item.notes.extend(left);
        }
        if let Err(error) = engine.restart().await {
            for item in suspects {
                item.became = Some(Became::RolledBack(format!(
                    "ComfyUI starts neither with it nor without it: {error}"
                )));
            }
            return false;
        }
        if let [only] = suspects.as_mut_slice() {
            only.became = Some(Became::RolledBack(why.to_owned()));
            return true;
        }
        let mut runs = true;
        for item in suspects {
            let done = match self.apply(item).await {
                Ok(()) => engine.restart().await.map_err(|error| error.to_string()),
                Err(error) => Err(error),
            };
            runs = done.is_ok();
            if let Err(why) = done {
                self.roll_back(item, why).await;
            }
        }
        runs || self.settle(engine, items).await
    }

    /// Starts ComfyUI with what is left. Answers whether it runs.
    async fn settle(&self, engine: &Engine, items: &mut [Item<'_>]) -> bool {
        let Err(error) = engine.restart().await else { return true };
        for item in items.iter_mut().filter(|item| matches!(item.became, Some(Became::RolledBack(_)))) {
            item.notes.push(format!("ComfyUI does not start after it was taken back either: {error}"));
        }
        false
    }
}

/// Judges what is there. It answers which have to go, and why.
fn judge(classes: &Classes, failures: &ImportFailures, items: &mut [Item<'_>]) -> Vec<(usize, String)> {
    let mut broken = Vec::new();
    for (index, item) in items.iter_mut().enumerate() {
        if matches!(item.became, Some(Became::Kept)) {
            keep(item, classes, failures);
            continue;
        }
        if !item.applied || !item.is_open() {
            continue;
        }
        if item.is_removal() {
            item.proved = !classes.any_of(&item.step.folder);
            continue;
        }
        match verdict(item.step, item.was_loaded, classes, failures) {
            Verdict::Good { proved } => item.proved = proved,
            Verdict::Incomplete(_) => item.proved = true,
            Verdict::Broken(why) => broken.push((index, why)),
        }
    }
    if broken.is_empty() {
        for item in items.iter_mut().filter(|item| item.applied && item.is_open() && !item.is_removal()) {
            if let Verdict::Incomplete(missing) = verdict(item.step, item.was_loaded, classes, failures) {
                item.became = Some(Became::Incomplete(missing));
            }
        }
    }
    broken
}

/// Says of a pack that was left as it is whether ComfyUI has it.
fn keep(item: &mut Item<'_>, classes: &Classes, failures: &ImportFailures) {
    item.notes.clear();
    item.proved = false;
    match verdict(item.step, false, classes, failures) {
        Verdict::Good { proved } => item.proved = proved,
        Verdict::Incomplete(missing) => {
            item.notes.push(format!("it is loaded, and has no {}", missing.join(", ")));
        }
        Verdict::Broken(why) => item.notes.push(why),
    }
}

fn verdict(step: &Step, was_loaded: bool, classes: &Classes, failures: &ImportFailures) -> Verdict {
    let Step { folder, classes: asked, .. } = step;
    if let Some(why) = failures.get(folder) {
        let why = if why.is_empty() { "look into its log" } else { why };
        return Verdict::Broken(format!("ComfyUI could not import it: {why}"));
    }
    let missing: Vec<String> = asked.iter().filter(|class| !classes.has(class)).cloned().collect();
    let loaded = classes.any_of(folder);
    if !loaded && ((!asked.is_empty() && missing.len() == asked.len()) || was_loaded) {
        return Verdict::Broken("ComfyUI started and has none of its classes".to_owned());
    }
    if missing.is_empty() {
        // Some packs bring nothing but scripts for the editor.
        return Verdict::Good { proved: loaded || !asked.is_empty() };
    }
    Verdict::Incomplete(missing)
}
