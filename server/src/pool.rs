//! The engines that work may go to.
//!
//! A [`Place`] is one engine with everything that is remembered about it; the [`Pool`] is all of them. Which of the
//! waiting jobs goes next is decided elsewhere; here it is decided where it may go.

use std::{collections::BTreeSet, sync::Arc};

use comfyport_endpoint::Endpoint;

use crate::{
    engine::Capabilities,
    readiness::{Report, Requirement},
    run::{Prepared, RunError, check_models, engine_error},
};

#[cfg(test)]
mod fake;
mod place;
mod uploaded;
mod verdict;

pub use place::{Occupied, Place, PlaceSettings};
pub(crate) use uploaded::Uploaded;
use verdict::Verdict;

/// All engines, in the order of the configuration.
#[derive(Debug)]
pub struct Pool {
    places: Vec<Arc<Place>>,
}

impl Pool {
    /// Nothing is asked of any engine yet.
    pub fn new(places: Vec<Place>) -> Self {
        Self { places: places.into_iter().map(Arc::new).collect() }
    }

    /// The places, in the order of the configuration.
    pub fn places(&self) -> &[Arc<Place>] {
        &self.places
    }

    /// The place of this name.
    pub fn place(&self, name: &str) -> Option<&Arc<Place>> {
        self.places.iter().find(|place| place.name() == name)
    }

    /// Whether each engine can run a workflow.
    pub async fn report(&self, endpoint: &Endpoint) -> Vec<Report> {
        let all = self.places.iter().map(|place| place.readiness.report_workflow(endpoint));
        futures_util::future::join_all(all).await
    }

    /// The same for one request.
    pub async fn report_for(&self, prepared: &Prepared) -> Vec<Report> {
        let need = prepared.requirement();
        futures_util::future::join_all(self.places.iter().map(|place| place.readiness.report(&need))).await
    }

    /// What the first engine that answers can do.
    pub async fn known(&self) -> Result<Arc<Capabilities>, RunError> {
        let mut refusal = None;
        for place in self.least_busy_first() {
            match place.readiness.known().await {
                Ok(known) => return Ok(known),
                Err(error) => refusal = Some(engine_error(place.name(), error)),
            }
        }
        Err(refusal.unwrap_or_else(no_engine))
    }

    /// An engine that has what a request needs; of several, the one with the least to do. LoRAs that the request tells
    /// by their address get the names that this engine has for them.
    ///
    /// A model that the caller chose and that none of the engines has is a fault of the request. What only an engine
    /// has that cannot be reached now is no fault of anybody.
    pub async fn choose(&self, prepared: &mut Prepared) -> Result<Arc<Place>, RunError> {
        let place = match self.find(&prepared.requirement()).await {
            Ok(place) => place,
            Err(verdict) => verdict.nearest_but_for_choice()?,
        };
        check_models(&place, prepared).await?;
        Ok(place)
    }

    /// An engine that has all of these node classes.
    pub async fn choose_by_classes(&self, classes: &BTreeSet<String>) -> Result<Arc<Place>, RunError> {
        let found = self.find(&Requirement::of_classes("prompt", classes.clone())).await;
        found.or_else(Verdict::nearest_but_for_choice)
    }

    async fn find(&self, need: &Requirement) -> Result<Arc<Place>, Verdict> {
        let mut verdict = Verdict::default();
        for place in self.least_busy_first() {
            match place.lacks(need).await {
                Ok(missing) if missing.is_empty() => return Ok(place),
                Ok(missing) => verdict.lacks(place, missing),
                Err(error) => verdict.failed(&place, need, error),
            }
        }
        Err(verdict)
    }

    fn least_busy_first(&self) -> Vec<Arc<Place>> {
        let mut places = self.places.clone();
        places.sort_by_key(|place| place.outstanding());
        places
    }
}

/// Without any engine nothing could have been asked.
fn no_engine() -> RunError {
    RunError::Unreachable { engine: "(none configured)".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::{fake::*, *};
    use crate::readiness::Choice;

    #[tokio::test]
    async fn work_goes_where_its_classes_and_models_are() {
        let [bare, full] = [engine("bare", &["A"], &[]), engine("full", &["A", "B"], &["x.safetensors"])];
        let pool = pool(&[&bare, &full]);
        for need in [need(&["A", "B"], &[]), need(&["A"], &[("x.safetensors", Choice::Caller)])] {
            assert_eq!(pool.find(&need).await.unwrap().name(), "full");
        }
        assert_eq!(pool.find(&need(&["A"], &[])).await.unwrap().name(), "bare");
        let _busy = pool.place("bare").unwrap().occupy();
        assert_eq!(pool.find(&need(&["A"], &[])).await.unwrap().name(), "full");
    }

    #[tokio::test]
    async fn a_choice_that_no_engine_has_is_judged_by_the_engine_that_has_the_rest() {
        let [bare, full] = [engine("bare", &["A"], &[]), engine("full", &["A", "B"], &[])];
        let pool = pool(&[&bare, &full]);
        let wanted = need(&["A", "B"], &[("x.safetensors", Choice::Caller)]);
        let judge = async || pool.find(&wanted).await.unwrap_err().nearest_but_for_choice();
        assert_eq!(judge().await.unwrap().name(), "full");
        full.has(&["A"], &[]);
        full.forget(&pool);
        let RunError::NotReady { missing, .. } = judge().await.unwrap_err() else { panic!() };
        assert_eq!((missing.classes.len(), missing.chosen.len()), (1, 0));
    }

    #[tokio::test]
    async fn what_only_an_absent_engine_has_is_nobodys_fault() {
        let [bare, full] = [engine("bare", &["A"], &[]), engine("full", &["A"], &["x.safetensors"])];
        let pool = pool(&[&bare, &full]);
        let wanted = need(&["A"], &[("x.safetensors", Choice::Caller)]);
        assert_eq!(pool.find(&wanted).await.unwrap().name(), "full");
        full.answers(false);
        full.forget(&pool);
        let judged = pool.find(&wanted).await.unwrap_err().nearest_but_for_choice();
        assert!(matches!(judged, Err(RunError::Unreachable { .. })), "{judged:?}");
    }

    #[tokio::test]
    async fn what_is_remembered_needs_no_question() {
        let full = engine("full", &["A"], &["sub/x.safetensors", "y.safetensors", "other/y.safetensors"]);
        let pool = pool(&[&full]);
        let place = pool.place("full").unwrap();
        let by_address = |file| need(&["A"], &[(file, Choice::Address)]);
        assert_eq!(place.could_run(&by_address("x.safetensors")), None);
        assert!(place.lacks(&by_address("x.safetensors")).await.unwrap().is_empty());
        let asked = full.asked();
        assert_eq!(place.could_run(&by_address("x.safetensors")), Some(true));
        // Of two files of this name, the caller has to say which.
        assert_eq!(place.could_run(&by_address("y.safetensors")), Some(false));
        assert_eq!(place.could_run(&need(&["B"], &[])), Some(false));
        place.readiness.forget();
        assert_eq!(place.could_run(&by_address("x.safetensors")), None);
        assert_eq!(full.asked(), asked);
    }
}
