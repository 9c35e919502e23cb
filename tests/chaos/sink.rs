//! Whoever is told of jobs by webhooks, and writes down what he was told.

use std::{
    collections::{HashMap, HashSet},
    net::Ipv4Addr,
    sync::{Arc, Mutex},
};

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use serde_json::Value;
use uuid::Uuid;

/// Of a hundred deliveries so many are refused after they were written down.
const REFUSED: u8 = 10;

/// What was told of one job.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// Names of deliveries, the same for every repetition.
    pub(crate) names: HashSet<String>,
    /// How often, repetitions included.
    pub(crate) times: usize,
}

#[derive(Debug)]
struct Shared {
    told: Mutex<HashMap<Uuid, Told>>,
    random: Mutex<fastrand::Rng>,
}

/// A receiver on a port of its own. It ends with the runtime.
#[derive(Debug, Clone)]
pub(crate) struct Sink {
    pub(crate) port: u16,
    shared: Arc<Shared>,
}

impl Sink {
    pub(crate) async fn new(seed: u64) -> Self {
        let random = Mutex::new(fastrand::Rng::with_seed(seed));
        let shared = Arc::new(Shared { told: Mutex::default(), random });
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let app = Router::new().route("/hook", post(hear)).with_state(Arc::clone(&shared));
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { port, shared }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/hook", self.port)
    }

    /// Whether it was told of all these jobs.
    pub(crate) fn knows(&self, jobs: impl IntoIterator<Item = Uuid>) -> bool {
        let told = self.shared.told.lock().unwrap();
        jobs.into_iter().all(|job| told.contains_key(&job))
    }

    /// What was told, by jobs.
    pub(crate) fn told(&self) -> HashMap<Uuid, Told> {
        std::mem::take(&mut self.shared.told.lock().unwrap())
    }
}

async fn hear(State(shared): State<Arc<Shared>>, headers: HeaderMap, Json(body): Json<Value>) -> StatusCode {
    let job = body["data"]["id"].as_str().unwrap().parse().unwrap();
    let name = headers["webhook-id"].to_str().unwrap().to_owned();
    {
        let mut told = shared.told.lock().unwrap();
        let told: &mut Told = told.entry(job).or_default();
        told.names.insert(name);
        told.times += 1;
    }
    if shared.random.lock().unwrap().u8(0..100) < REFUSED {
        StatusCode::INTERNAL_SERVER_ERROR
    } else {
        StatusCode::OK
    }
}
