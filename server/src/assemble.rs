//! From the settings to an application that has not begun to listen.

use std::{path::PathBuf, sync::Arc, time::Duration};

use comfyport_comfyui::Client;
use comfyport_endpoint::{DecodeLimits, Endpoint};
use comfyport_fetch::{Client as FetchClient, Fetcher, Guard, Policy, SystemLookup};
use comfyport_pictures::Limits;
use comfyport_store as store;

use crate::{
    access::{self, Access, Audit, token::Issuers},
    app::AppState,
    artifacts::Files,
    compat::Enclosures,
    config::{Config, EngineTable, seconds},
    endpoints::Endpoints,
    engine::comfyui::ComfyUi,
    intake::{self, Intake},
    jobs::{self, Ears, Jobs, Words},
    media::{Workshop, WorkshopSettings, moving},
    metrics::Metrics,
    pool::{self, Place, PlaceSettings, Pool},
    readiness::Ages,
    run::{OptionLimits, RequestLimits},
    shelves::Shelves,
    supplies::Supplies,
    webhooks::{self, DeliveryCounter, Schedule, Targets, Webhooks},
};

/// Everything between the settings and the listener.
pub async fn assemble(
    config: Config,
    endpoints: &'static [&'static Endpoint],
    simulated: bool,
) -> Result<AppState, String> {
    let ages = Ages { fresh: seconds(config.readiness.fresh_s), error: Duration::from_secs(1) };
    let away = seconds(config.engines.unreachable_s);
    let shared = !config.store.url.expose().is_empty();
    let kind = simulated.then_some(if shared { Simulated::Shared } else { Simulated::Alone });
    let places = config.engines().into_iter().map(|engine| place(engine, ages, away, kind));
    let pool = Arc::new(Pool::new(places.collect::<Result<_, _>>()?, pool_settings(&config.engines)));
    let endpoints = Arc::new(Endpoints::new(endpoints));
    let supplies = Arc::new(Supplies::open(&config, &pool)?);
    let targets = targets(&config)?;
    let jobs = jobs(&config, pool, supplies, Arc::clone(&endpoints), &targets, simulated).await?;
    let metrics = Arc::new(Metrics::default());
    let access = Arc::new(access(&config, &jobs.store).await?);
    jobs.counts.tell(Arc::clone(&metrics) as _);
    jobs.counts.tell(Arc::clone(&access.usage) as _);
    let stopwatch = Arc::clone(&metrics);
    jobs.store.observe(Arc::new(move |writes, took| stopwatch.stored(writes, took)));
    let enclosing = Arc::new(Enclosures::new(&config, Arc::clone(&jobs), Arc::clone(&access)));
    let webhooks = webhooks(&config, Arc::clone(&jobs), targets, Arc::clone(&metrics) as _, enclosing)?;
    Ok(AppState::new(config, endpoints, access, jobs, webhooks, metrics, simulated))
}

async fn access(config: &Config, store: &store::Store) -> Result<Access, String> {
    let settings = access::Settings {
        public: config.access.public.clone(),
        wrong_keys_per_minute: config.access.wrong_keys_per_minute,
        trusted: access::address::networks(&config.server.trusted_proxies)?,
    };
    let file = config.artifacts.data_dir.join("audit.jsonl");
    let audit = match config.access.audit_bytes {
        0 => None,
        largest => Some(Audit::open(file.clone(), largest).map_err(|error| {
            format!("the audit log {}: {error}; `access.audit_bytes = 0` does without", file.display())
        })?),
    };
    Access::open(store, settings, issuers(config)?, audit).await.map_err(|error| error.to_string())
}

/// Their addresses are the operator's own, so that they may lead inside.
fn issuers(config: &Config) -> Result<Issuers, String> {
    let issuers = config.issuers()?;
    if issuers.is_empty() {
        return Ok(Issuers::default());
    }
    let (lookup, timeout) = (Arc::new(SystemLookup::default()), seconds(config.fetch.connect_timeout_s));
    let client = FetchClient::new(Guard::default(), lookup, comfyport_comfyui::tls(), timeout);
    let client = client.map_err(|error| format!("the client of `[[access.issuers]]`: {error}"))?;
    Ok(Issuers::new(issuers, &client))
}

/// Where jobs are kept. What was made up is kept apart: a real engine must never be given a job that was meant for a
/// simulation.
pub fn store_options(config: &Config, simulated: bool) -> (PathBuf, store::Options) {
    let data_dir = &config.artifacts.data_dir;
    let data_dir = if simulated { data_dir.join("simulation") } else { data_dir.clone() };
    let url = config.store.url.expose().to_owned();
    let options = if url.is_empty() {
        store::Options::Sqlite(data_dir.clone())
    } else {
        store::Options::Postgres { url, connections: config.store.connections }
    };
    (data_dir, options)
}

/// Where webhooks may go. What of `[fetch]` is not asked for files is not told of jobs.
fn targets(config: &Config) -> Result<Targets, String> {
    let policy = Policy { http: false, allow: Vec::new(), only: Vec::new(), ..config.fetch.policy()? };
    let settings = &config.webhooks;
    let public = settings.public.then(|| Guard::new(policy));
    Ok(Targets::new(settings.allow.clone(), public, !settings.secrets.is_empty()))
}

fn webhooks(
    config: &Config,
    jobs: Arc<Jobs>,
    targets: Targets,
    counter: Arc<dyn DeliveryCounter>,
    enclosing: Arc<Enclosures>,
) -> Result<Arc<Webhooks>, String> {
    let settings = &config.webhooks;
    let keys = settings.keys().map_err(|error| error.to_string())?;
    let settings = webhooks::Settings {
        targets,
        concurrency: settings.concurrency,
        timeout: seconds(settings.timeout_s),
        schedule: Schedule::of(&settings.schedule_s),
    };
    // Within the timeout of a delivery, so that there is time for an answer.
    let client = FetchClient::new(
        Guard::new(Policy { allow: Vec::new(), ..config.fetch.policy()? }),
        Arc::new(SystemLookup::default()),
        comfyport_comfyui::tls(),
        settings.timeout,
    );
    let client = client.map_err(|error| format!("the client of webhooks: {error}"))?;
    Ok(Webhooks::new(jobs, settings, keys, client, counter, enclosing))
}

async fn jobs(
    config: &Config,
    pool: Arc<Pool>,
    supplies: Arc<Supplies>,
    endpoints: Arc<Endpoints>,
    targets: &Targets,
    simulated: bool,
) -> Result<Arc<Jobs>, String> {
    let kept = &config.artifacts;
    let (data_dir, options) = store_options(config, simulated);
    let shared = matches!(options, store::Options::Postgres { .. });
    let ears = Arc::new(Ears::default());
    let hears = Arc::clone(&ears);
    let opened = tokio::task::spawn_blocking(move || {
        store::Store::open(&options, Arc::new(Words), move |notice| hears.hear(notice))
    });
    let opened = opened.await.map_err(|error| error.to_string())?;
    let store = opened.map_err(|error| error.to_string())?;
    let files = Files::open(&data_dir, kept.max_file_bytes, shared.then(|| store.clone()));
    let files = files.map_err(|error| {
        format!("the data directory {}: {error}; choose another with --data-dir", data_dir.display())
    })?;
    let name = std::env::var("HOSTNAME").unwrap_or_else(|_| format!("process {}", std::process::id()));
    let shelves = Arc::new(Shelves::open(&config.bucket, &kept.bucket, seconds(kept.link_s))?);
    let intake = intake(config, Arc::clone(&shelves))?;
    let settings = job_settings(config, targets);
    Ok(Jobs::new(store, ears, files, intake, shelves, supplies, pool, endpoints, name, settings))
}

fn intake(config: &Config, shelves: Arc<Shelves>) -> Result<Intake, String> {
    let (fetch, media) = (&config.fetch, &config.media);
    let limits = intake::Limits {
        pictures: picture_limits(media),
        moving: moving::Limits {
            duration: Some(seconds(media.max_duration_s)).filter(|longest| !longest.is_zero()),
            pictures: picture_limits(media),
        },
        sizes: intake::Sizes {
            picture: media.max_picture_bytes,
            video: media.max_video_bytes,
            audio: media.max_audio_bytes,
            other: media.max_other_bytes,
        },
        fetches: fetch.concurrency,
        patience: seconds(fetch.timeout_s),
    };
    let fetcher = fetch.enabled.then(|| {
        let timeout = seconds(fetch.connect_timeout_s);
        let lookup = Arc::new(SystemLookup::default());
        let client = FetchClient::new(Guard::new(fetch.policy()?), lookup, comfyport_comfyui::tls(), timeout);
        let client = client.map_err(|error| format!("the client of `[fetch]`: {error}"))?;
        Ok::<_, String>(Fetcher::new(client, fetch.credentials()?, fetch.limits()))
    });
    Ok(Intake::new(fetcher.transpose()?, shelves, limits, Workshop::new(&workshop(media))))
}

fn job_settings(config: &Config, targets: &Targets) -> jobs::Settings {
    let jobs = &config.jobs;
    jobs::Settings {
        queued: jobs.max_queued,
        timeout: seconds(jobs.timeout_s),
        max_attempts: jobs.max_attempts,
        max_wait: seconds(jobs.max_wait_s),
        remember: seconds(jobs.remember_s),
        affinity_wait: seconds(jobs.affinity_wait_s),
        lease: seconds(config.store.lease_s),
        keep: seconds(jobs.keep_s),
        keep_files: seconds(config.artifacts.keep_s),
        keep_bytes: config.artifacts.keep_bytes,
        cached: jobs.cache.clone(),
        inline_bytes: config.artifacts.max_inline_bytes,
        request: RequestLimits {
            decode: DecodeLimits { media_bytes: config.server.max_body_bytes, ..DecodeLimits::default() },
            options: OptionLimits {
                timeout: seconds(jobs.timeout_s),
                max_attempts: MOST_ATTEMPTS,
                metadata_bytes: jobs.max_metadata_bytes,
                side: config.media.max_side,
                webhooks: targets.clone(),
                buckets: config.bucket.iter().map(|bucket| bucket.name.clone()).collect(),
            },
            body: config.server.max_body_bytes,
            parts: config.server.max_form_parts,
        },
    }
}

fn picture_limits(media: &crate::config::Media) -> Limits {
    Limits {
        pixels: media.max_pixels,
        side: media.max_side,
        memory: media.max_decoded_bytes,
        avif_pixels: media.max_avif_pixels,
    }
}

fn workshop(media: &crate::config::Media) -> WorkshopSettings {
    let processors = || std::thread::available_parallelism().map_or(1, usize::from);
    WorkshopSettings {
        limits: picture_limits(media),
        workers: if media.workers == 0 { processors() } else { media.workers },
        memory: media.memory_bytes,
        orient: media.orient,
    }
}

/// Nobody needs more tries than this.
const MOST_ATTEMPTS: u32 = 20;

fn pool_settings(engines: &crate::config::Engines) -> pool::Settings {
    pool::Settings {
        poll: Duration::from_millis(engines.poll_ms),
        idle_poll: Duration::from_millis(engines.idle_poll_ms),
        eject: seconds(engines.eject_s),
        eject_max: seconds(engines.eject_max_s.max(engines.eject_s)),
        eject_after_failures: engines.eject_after_failures,
        flap_count: engines.flap_count,
        flap_window: seconds(engines.flap_window_s),
        interrupt_grace: seconds(engines.interrupt_grace_s),
    }
}

/// Who can reach a simulator's jobs.
#[derive(Debug, Clone, Copy)]
enum Simulated {
    /// This server only.
    Alone,
    /// Every server that shares the store, but not the simulator.
    Shared,
}

/// An engine of the configuration.
fn place(
    engine: EngineTable,
    ages: Ages,
    away: Duration,
    simulated: Option<Simulated>,
) -> Result<Place, String> {
    let name = match simulated {
        None => engine.name(),
        Some(Simulated::Alone) => "simulator".to_owned(),
        // Each server has a simulator of its own, and nobody else can reach it.
        Some(Simulated::Shared) => format!("simulator-{}", std::process::id()),
    };
    let simulated = simulated.is_some();
    let mut client = engine.client(&name)?;
    client.unreachable_after = away;
    client.stall_after = engine.stall_timeout_s.filter(|stall| *stall > 0).map(seconds);
    let stall_after = client.stall_after;
    let client = Client::new(client).map_err(|error| format!("the client of engine {name}: {error}"))?;
    let settings = PlaceSettings {
        weight: engine.weight,
        tags: engine.tags,
        concurrency: engine.concurrency,
        stall_after,
    };
    Ok(Place::new(Arc::new(ComfyUi::new(name, client, simulated)), settings, ages))
}
