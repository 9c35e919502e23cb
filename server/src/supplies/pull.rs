//! Fetching models into an engine's folder.

use comfyport_depot::{Depot, How, Listener, PullError, Pulled, Wanted};
use serde_json::Value;

use super::{
    Supplies,
    board::Board,
    errand::Errand,
    site::Site,
    told::{failed, pulled},
};

/// What became of an errand.
#[derive(Debug)]
pub struct Done {
    /// What became of each thing.
    pub items: Vec<Value>,
    /// Why not all went well: the first that went wrong, and what to do about it.
    pub fault: Option<String>,
    /// How many bytes were fetched.
    pub fetched: u64,
}

impl Supplies {
    /// Fetches models. If it is dropped, what has arrived is kept.
    pub async fn pull(&self, site: &Site, errand: &Errand, board: &std::sync::Arc<Board>) -> Done {
        let (mut wanted, mut places, mut items) =
            (Vec::new(), Vec::new(), vec![Value::Null; errand.models.len()]);
        let mut fault = None;
        for (place, needed) in errand.models.iter().enumerate() {
            match needed.wanted() {
                Ok(one) => {
                    wanted.push(one);
                    places.push(place);
                }
                Err(why) => {
                    let (message, help) =
                        why.split_once("\n  help: ").unwrap_or((&why, "correct the request"));
                    fault.get_or_insert_with(|| format!("{message}: {help}"));
                    items[place] = failed(&needed.name(), "bad_request", message, help);
                }
            }
        }
        if errand.models.is_empty() {
            return Done { items, fault, fetched: 0 };
        }
        let on_board: Vec<usize> = places.iter().map(|place| errand.packs.len() + place).collect();
        let outcomes = match self.depot(site, errand) {
            Ok(depot) => fetch(&depot, &wanted, &on_board, board).await,
            Err(why) => {
                fault.get_or_insert_with(|| why.clone());
                let settings = "correct the settings of the server";
                let all =
                    errand.models.iter().map(|needed| failed(&needed.name(), "settings", &why, settings));
                return Done { items: all.collect(), fault, fetched: 0 };
            }
        };
        let mut fetched = 0;
        for ((place, wanted), outcome) in places.into_iter().zip(&wanted).zip(&outcomes) {
            items[place] = pulled(&wanted.name.to_string(), outcome);
            match outcome {
                Ok(Pulled { how: How::Fetched { bytes, .. }, .. }) => fetched += bytes,
                Ok(_) => {}
                Err(error) => {
                    fault.get_or_insert_with(|| format!("{error}: {}", error.next_step()));
                }
            }
        }
        Done { items, fault, fetched: fetched.max(board.fetched()) }
    }

    fn depot(&self, site: &Site, errand: &Errand) -> Result<Depot, String> {
        let mut settings = site.models.clone().ok_or("the engine has no models folder here")?;
        settings.overwrite = errand.overwrite;
        Depot::new(settings, self.ways.clone()?).map_err(|error| format!("{error}: {}", error.next_step()))
    }
}

/// `places` are those of the wanted models on the board.
async fn fetch(
    depot: &Depot,
    wanted: &[Wanted],
    places: &[usize],
    board: &std::sync::Arc<Board>,
) -> Vec<Result<Pulled, PullError>> {
    let (told, places) = (std::sync::Arc::clone(board), places.to_vec());
    let listener = Listener::new(move |mut event| {
        event.item = places.get(event.item).copied().unwrap_or(usize::MAX);
        told.hear(event);
    });
    depot.pull(wanted, &listener).await
}
