//! What engines have: their model files and node classes.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures_util::future::join_all;

use super::{LOOKERS_WAIT, Place, Pool, no_engine};
use crate::{
    engine::{Capabilities, EngineError},
    run::{RunError, engine_error},
};

/// What an engine has, if it says so.
#[derive(Debug)]
pub struct Stock<T> {
    /// The engine's name.
    pub engine: String,
    /// Whether its results are made up.
    pub simulated: bool,
    /// What it has.
    pub has: Result<T, EngineError>,
}

/// Model files by folder.
type Files = BTreeMap<String, BTreeSet<String>>;

impl Pool {
    /// The model files of each engine. Engines that take their time count as away.
    pub async fn models_of_each(&self) -> Vec<Stock<Files>> {
        self.each(|place| place.readiness.models()).await
    }

    /// The node classes of each engine.
    pub async fn classes_of_each(&self) -> Vec<Stock<Arc<Capabilities>>> {
        self.each(|place| place.readiness.known()).await
    }

    /// The model files of all engines that answer, by folder.
    pub async fn models(&self) -> Result<Files, RunError> {
        let (mut all, mut refusal, mut answers) = (Files::new(), None, false);
        for stock in self.models_of_each().await {
            match stock.has {
                Ok(models) => {
                    answers = true;
                    for (folder, files) in models {
                        all.entry(folder).or_default().extend(files);
                    }
                }
                Err(error) => refusal = Some(engine_error(&stock.engine, error)),
            }
        }
        if answers { Ok(all) } else { Err(refusal.unwrap_or_else(no_engine)) }
    }

    async fn each<'p, T, F>(&'p self, ask: impl Fn(&'p Place) -> F) -> Vec<Stock<T>>
    where
        F: Future<Output = Result<T, EngineError>>,
    {
        let stock = |place: &'p Arc<Place>| {
            let has = tokio::time::timeout(LOOKERS_WAIT, ask(place));
            async move {
                let late = || Err(EngineError::Unreachable("it takes its time".to_owned()));
                let (engine, simulated) = (place.name().to_owned(), place.engine.is_simulated());
                Stock { engine, simulated, has: has.await.unwrap_or_else(|_| late()) }
            }
        };
        join_all(self.places().iter().map(stock)).await
    }
}
