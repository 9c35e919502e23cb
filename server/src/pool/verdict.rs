//! Why no engine takes a request: the answer that tells its caller most.

use std::sync::Arc;

use super::{Place, Room, no_engine};
use crate::{
    engine::EngineError,
    readiness::{Missing, Requirement},
    run::{RunError, engine_error},
};

/// What was found while asking one engine after the other.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    /// Has all but what the caller chose.
    but_for_choice: Option<Arc<Place>>,
    /// Lacks the least of what the workflow needs.
    lacking: Option<(Arc<Place>, Missing)>,
    /// Does not answer, and had everything when it last did.
    absent: Option<RunError>,
    failed: Option<RunError>,
    /// Take no work now and are not known to lack anything.
    refused: Vec<String>,
}

impl Verdict {
    pub(super) fn lacks(&mut self, place: Arc<Place>, missing: Missing) {
        if missing.is_chosen_only() {
            self.but_for_choice.get_or_insert(place);
        } else if self.lacking.as_ref().is_none_or(|(_, least)| missing.len() < least.len()) {
            self.lacking = Some((place, missing));
        }
    }

    pub(super) fn refused(&mut self, place: &Place, need: &Requirement) {
        if place.readiness.last_known(need) != Some(false) {
            let Room::No(why) = place.room(0) else { return };
            self.refused.push(format!("{}: {why}", place.name()));
        }
    }

    pub(super) fn failed(&mut self, place: &Place, need: &Requirement, error: EngineError) {
        let error = engine_error(place.name(), error);
        if place.readiness.last_known(need) == Some(true) {
            self.absent.get_or_insert(error);
        } else {
            self.failed.get_or_insert(error);
        }
    }

    /// The engine by whose lists the caller's choice is to be judged; else why there is none.
    pub(super) fn nearest_but_for_choice(self) -> Result<Arc<Place>, RunError> {
        if let Some(error) = self.absent {
            return Err(error);
        }
        if !self.refused.is_empty() {
            return Err(RunError::NoEngine { why: self.refused.join("; ") });
        }
        if let Some(place) = self.but_for_choice {
            return Ok(place);
        }
        // An engine that answers and lacks something tells more than one that does not answer.
        let lacking = self.lacking.map(|(place, missing)| RunError::NotReady {
            engine: place.name().to_owned(),
            missing: missing.without_chosen(),
        });
        Err(lacking.or(self.failed).unwrap_or_else(no_engine))
    }
}
