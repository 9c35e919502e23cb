//! The engines that work may go to.
//!
//! A [`Place`] is one engine with everything that is remembered about it; the [`Pool`] is all of them. Which of the
//! waiting jobs goes next is decided elsewhere; here it is decided where it may go.

use std::{
    collections::BTreeSet,
    fmt,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use comfyport_endpoint::Endpoint;
use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    engine::Capabilities,
    readiness::{Contracts, Report, Requirement},
    run::{Prepared, RunError, check_models, engine_error},
};

#[cfg(test)]
mod fake;
mod health;
mod place;
mod prompts;
mod rank;
mod settings;
mod state;
mod stock;
mod uploaded;
mod verdict;
mod view;
mod watcher;

use health::Table;
pub use place::{Occupied, Place, PlaceSettings};
pub use settings::Settings;
pub use state::{Affinity, Note, Room, State};
pub use stock::Stock;
pub(crate) use uploaded::Uploaded;
use verdict::Verdict;
pub use view::{EngineView, MemoryView, QueueView};

/// All engines, in the order of the configuration.
#[derive(Debug)]
pub struct Pool {
    places: Vec<Arc<Place>>,
    shared: Arc<Shared>,
    contracts: Arc<Contracts>,
}

/// How long those who ask for the state of engines wait for the slowest of them.
const LOOKERS_WAIT: Duration = Duration::from_secs(2);

/// What all places have in common.
struct Shared {
    settings: Settings,
    table: Mutex<Table>,
    changes: watch::Sender<u64>,
    names: OnceLock<Vec<String>>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Shared").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Shared {
    fn new(engines: usize, settings: Settings) -> Self {
        Self {
            settings,
            table: Mutex::new(Table::new(engines, settings, Instant::now())),
            changes: watch::Sender::new(0),
            names: OnceLock::new(),
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what is thought of engines; states that are others than before are logged and told.
    fn change(&self, change: impl FnOnce(&mut Table)) {
        let now = Instant::now();
        let changes: Vec<_> = {
            let mut table = self.table();
            change(&mut table);
            let changes = table.changes(now);
            let with_reason = changes.into_iter().map(|(index, state)| {
                let reason = table.show(index, now).and_then(|shown| shown.reason);
                (index, state, reason.unwrap_or_default())
            });
            with_reason.collect()
        };
        for (index, state, reason) in &changes {
            let engine = self.names.get().and_then(|names| names.get(*index)).map_or("", String::as_str);
            let state = state.as_str();
            tracing::info!(engine, state, reason, "the engine's state changed");
        }
        if !changes.is_empty() {
            self.changed();
        }
    }

    fn changed(&self) {
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
    }
}

impl Pool {
    /// Nothing is asked of any engine yet.
    pub fn new(places: Vec<Place>, settings: Settings) -> Self {
        let shared = Arc::new(Shared::new(places.len(), settings));
        let contracts = Arc::new(Contracts::default());
        let place = |(index, mut place): (usize, Place)| {
            (place.index, place.shared) = (index, Arc::clone(&shared));
            place.readiness.contracts = Arc::clone(&contracts);
            Arc::new(place)
        };
        let places: Vec<Arc<Place>> = places.into_iter().enumerate().map(place).collect();
        // Set once, just now.
        let _ = shared.names.set(places.iter().map(|place| place.name().to_owned()).collect());
        Self { places, shared, contracts }
    }

    /// Looks at every engine from now on, until told to stop. The tasks are the tracker's.
    pub fn keep_watching(&self, tasks: &TaskTracker, stop: &CancellationToken) {
        for place in &self.places {
            tasks.spawn(watcher::keep_watching(Arc::clone(place), stop.clone()));
        }
    }

    /// Knows what these endpoints give their nodes, and of no others any more. Without that, an engine's node
    /// definitions cannot be held against them.
    pub fn learn<'e>(&self, endpoints: impl IntoIterator<Item = &'e Endpoint>) {
        self.contracts.learn(endpoints);
        self.shared.changed();
    }

    /// Changes whenever an engine may take work that it would not take before: a prompt ended, a state or a list
    /// changed.
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.shared.changes.subscribe()
    }

    /// Candidates in the order in which a prompt should try them.
    ///
    /// First those that take work at all. Among them the one with the least to do: prompts there, ours and those of
    /// others, one more for each failure since the last success and for flapping, divided by its weight. If that is the
    /// same, one that is known to be well before one that is being tried, one that needed less than half the time for
    /// this workflow, one that ran this workflow last, one that ran its checkpoint last, and in the end by name.
    pub fn rank(
        &self,
        candidates: impl IntoIterator<Item = Arc<Place>>,
        wanted: &Affinity,
    ) -> Vec<Arc<Place>> {
        let now = Instant::now();
        let table = self.shared.table();
        let rank = |place: Arc<Place>| {
            let rank = table.rank(place.index, place.outstanding(), place.weight(), wanted, now);
            (rank, place)
        };
        let mut ranked: Vec<_> = candidates.into_iter().map(rank).collect();
        drop(table);
        ranked.sort_by(|(left, one), (right, other)| {
            left.compare(right).then_with(|| one.name().cmp(other.name()))
        });
        ranked.into_iter().map(|(_, place)| place).collect()
    }

    /// What there is to say of every engine, in the order of the configuration.
    pub fn view(&self) -> Vec<EngineView> {
        self.places.iter().map(|place| place.view()).collect()
    }

    /// How often each engine was ejected, in the order of the configuration.
    pub fn ejections(&self) -> Vec<u64> {
        let table = self.shared.table();
        self.places.iter().map(|place| table.ejections(place.index)).collect()
    }

    /// Asks the engines that nobody looked at for longer than between two looks. Those that take their time are not
    /// waited for: what was seen of them before stands.
    pub async fn look(&self) {
        let recent = self.shared.settings.poll;
        let look = |place: &Arc<Place>| {
            let place = Arc::clone(place);
            async move { tokio::time::timeout(LOOKERS_WAIT, place.look_unless_within(recent)).await.ok() }
        };
        futures_util::future::join_all(self.places.iter().map(look)).await;
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
        for place in self.rank(self.places.iter().cloned(), &Affinity::default()) {
            match place.readiness.known().await {
                Ok(known) => return Ok(known),
                Err(error) => refusal = Some(engine_error(place.name(), error)),
            }
        }
        Err(refusal.unwrap_or_else(no_engine))
    }

    /// An engine that has what a request needs; of several, the one with the least to do. Model files that the
    /// request tells by their address get the names that this engine has for them.
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
        for place in self.rank(self.places.iter().cloned(), &need.affinity()) {
            let state = place.state();
            // One that does not answer is asked after all others: perhaps it does by now.
            if !state.takes_work() && state != State::Down {
                verdict.refused(&place, need);
                continue;
            }
            match place.lacks(need).await {
                Ok(missing) if missing.is_empty() => return Ok(place),
                Ok(missing) => verdict.lacks(place, missing),
                Err(error) => verdict.failed(&place, need, error),
            }
        }
        Err(verdict)
    }
}

/// Without any engine nothing could have been asked.
fn no_engine() -> RunError {
    RunError::Unreachable { engine: "(none configured)".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::{
        fake::{engine, need, pool},
        *,
    };
    use crate::readiness::Choice;

    #[tokio::test]
    async fn work_goes_where_its_classes_and_models_are() {
        let [bare, full] = [engine("bare", &["A"], &[]), engine("full", &["A", "B"], &["x.safetensors"])];
        let pool = pool(&[&bare, &full]);
        for need in [need(&["A", "B"], &[]), need(&["A"], &[("x.safetensors", Choice::Caller)])] {
            assert_eq!(pool.find(&need).await.unwrap().name(), "full");
        }
        assert_eq!(pool.find(&need(&["A"], &[])).await.unwrap().name(), "bare");
        let busy = pool.place("bare").unwrap().occupy();
        assert_eq!(pool.find(&need(&["A"], &[])).await.unwrap().name(), "full");
        let mut changed = pool.changed();
        changed.borrow_and_update();
        drop(busy);
        assert!(changed.has_changed().unwrap());
        pool.place("bare").unwrap().drain(true);
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

    #[tokio::test]
    async fn a_look_tells_who_is_there_and_whether_it_is_back() {
        let fake = engine("only", &["A"], &[]);
        let pool = pool(&[&fake]);
        let place = pool.place("only").unwrap();
        place.look().await;
        assert_eq!((place.state(), place.room(1)), (State::Up, Room::Free(1)));
        fake.answers(false);
        place.look().await;
        assert_eq!(place.state(), State::Down);
        assert!(matches!(place.room(0), Room::No(why) if why.contains("cannot be reached")));
        fake.answers(true);
        place.look().await;
        assert_eq!(
            (place.state(), place.room(0), place.room(1)),
            (State::Probing, Room::Free(1), Room::Full)
        );
        let here = place.occupy();
        let id = uuid::Uuid::new_v4();
        here.prompt(id);
        fake.queues(&[&id.to_string()], &["theirs"]);
        place.look().await;
        let queue = place.view().queue.unwrap();
        assert_eq!((queue.ours, queue.foreign, place.outstanding()), (1, 1, 1));
    }

    #[tokio::test]
    async fn orphans_are_cancelled_once_the_engine_answers_and_nothing_else_is() {
        let fake = engine("only", &["A"], &[]);
        fake.answers(false);
        let settings = Settings { poll: Duration::from_millis(5), ..Settings::default() };
        let pool = fake::pool_with(&[&fake], settings);
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        pool.keep_watching(&tasks, &stop);
        let mut changed = pool.changed();
        let place = pool.place("only").unwrap();
        changed.wait_for(|_| place.state() == State::Down).await.unwrap();
        let id = uuid::Uuid::new_v4();
        fake.queues(&["theirs"], &[&id.to_string(), "more"]);
        place.orphan(id);
        fake.answers(true);
        let cancelled = tokio::time::timeout(Duration::from_secs(10), fake.cancelled()).await.unwrap();
        assert_eq!(cancelled, [id]);
        stop.cancel();
        tasks.close();
        tasks.wait().await;
    }
}
