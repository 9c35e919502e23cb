//! `comfyport serve`

use std::{io, process::ExitCode, sync::Arc, time::Duration};

use comfyport_endpoint::{Endpoint, Held, Kind};
use comfyport_simulator::{Installer, Simulator};
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    app::{self, AppState},
    assemble::assemble,
    cli::Serve,
    config::{Config, Overrides, seconds},
    dynamic::{self, Folder},
    endpoints::{Entry, Snapshot},
    listener::{
        self,
        acme::{self, Acme},
        tls::{Certificate, Tls},
    },
    say, warm_up,
};

pub(crate) fn run(arguments: &Serve, endpoints: &'static [&'static Endpoint]) -> ExitCode {
    let overrides = Overrides {
        listen: arguments.listen,
        comfyui_urls: arguments.comfyui_url.clone(),
        store: arguments.store.clone(),
        data_dir: arguments.data_dir.clone(),
        workflows_dir: arguments.workflows_dir.clone(),
        insecure: arguments.insecure,
    };
    // The flags have read their own variables already.
    let config = match Config::load(arguments.config.as_deref(), super::environment(), &overrides) {
        Ok(config) => config,
        Err(error) => return say::refuse(error),
    };
    crate::logging::start(&config.log);
    super::block_on(async {
        match serve(config, arguments.simulate, endpoints).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => say::refuse(error),
        }
    })
}

async fn serve(
    mut config: Config,
    simulate: bool,
    endpoints: &'static [&'static Endpoint],
) -> Result<(), String> {
    let listener =
        TcpListener::bind(config.server.listen).await.map_err(|error| cannot_listen(&config, &error))?;
    let (tls, acme) = open_tls(&config)?;
    let mut folder = open_folder(&config, endpoints)?;
    let found = folder.as_mut().and_then(Folder::look).unwrap_or_default();
    let simulator = if simulate {
        let dynamic = found.iter().filter_map(|entry| entry.endpoint.as_deref());
        let all: Vec<&Endpoint> = endpoints.iter().copied().chain(dynamic).collect();
        Some(start_simulator(&mut config, &all).await?)
    } else {
        None
    };
    let app = assemble(config, endpoints, simulator.is_some()).await?;
    app.endpoints.replace(&found);
    learn(&app);
    // They outlast the signal to stop: prompts that are cancelled then have to be seen to.
    let (watchers, stop_watching) = (TaskTracker::new(), CancellationToken::new());
    app.jobs.pool.keep_watching(&watchers, &stop_watching);
    let _stop_watching = stop_watching.drop_guard();
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    refuse_strangers(&app, address)?;
    greet(&app, address);

    let settings = &app.config.server;
    let limits = listener::Limits {
        connections: settings.max_connections,
        header_timeout: seconds(settings.header_timeout_s),
        write_timeout: seconds(settings.write_timeout_s),
        head_bytes: settings.max_head_bytes,
        simulated: app.simulated,
    };
    let patience = seconds(settings.shutdown_timeout_s);
    let begun = app.jobs.begin(app.config.store.url.expose().is_empty()).await;
    begun.map_err(|error| error.to_string())?;
    app.webhooks.begin();
    tokio::spawn(warm_up::run(app.clone()));
    let access = Arc::clone(&app.access);
    access.issuers().begin(&app.closing);
    let keeping = tokio::spawn(access.keep_fresh(app.jobs.store.clone(), app.closing.clone()));
    if let Some(folder) = folder {
        keep_looking(folder, &app, simulator.as_ref().map(Simulator::installer));
    }
    let closing = app.closing.clone();
    let server = tokio::spawn(listener::serve(listener, tls, app::router(app.clone()), limits, closing));
    // Now that the authority finds somebody there.
    if let Some(acme) = acme {
        tokio::spawn(acme.keep(app.closing.clone()));
    }
    until_told().await;
    let running = app.jobs.in_hand();
    say::line(format_args!("stopping: {running} running jobs have {} s to end", patience.as_secs()));
    // A second signal ends the process at once.
    let ended = async {
        tokio::select! {
            () = until_told() => say::line("stopped at once"),
            () = wind_down(&app, server, patience) => {}
        }
    };
    ended.await;
    app.closing.cancel();
    if tokio::time::timeout(FAREWELL, keeping).await.is_err() {
        tracing::warn!("what callers used in the last seconds could not be written down");
    }
    if let Some(simulator) = simulator {
        simulator.stop().await;
    }
    Ok(())
}

/// Nobody finds out later that everybody could do everything.
fn refuse_strangers(app: &AppState, address: std::net::SocketAddr) -> Result<(), String> {
    if address.ip().is_loopback() || app.access.is_enforced() || app.config.access.insecure {
        return Ok(());
    }
    Err(format!(
        "{address} can be reached by others, and there are no API keys: make one with `comfyport keys create`, name an \
         issuer of tokens ([[access.issuers]]), listen on 127.0.0.1, or say --insecure if whoever reaches it may do \
         everything"
    ))
}

/// How long connections have to end when nobody is kept waiting any more.
const FAREWELL: Duration = Duration::from_secs(5);

/// No more work is taken; what runs may end. What has not ended when time is up is left to whoever comes next.
async fn wind_down(app: &AppState, mut server: tokio::task::JoinHandle<()>, patience: Duration) {
    app.stopping.cancel();
    app.jobs.drain();
    if tokio::time::timeout(patience, app.jobs.idle()).await.is_err() {
        let left = app.jobs.in_hand();
        tracing::warn!(left, "jobs are still running when time is up; they are left to whoever comes next");
    }
    if tokio::time::timeout(FAREWELL, app.webhooks.leave()).await.is_err() {
        tracing::warn!("webhooks are still on their way when time is up; they are sent again later");
    }
    if tokio::time::timeout(FAREWELL, app.jobs.leave()).await.is_err() {
        tracing::warn!("not every job could be handed over; whoever comes next finds out");
    }
    app.closing.cancel();
    if tokio::time::timeout(FAREWELL, &mut server).await.is_err() {
        server.abort();
    }
}

/// What HTTPS needs, if it is to be spoken, and who sees to its certificate, if that is us.
fn open_tls(config: &Config) -> Result<(Option<Arc<Tls>>, Option<Acme>), String> {
    let (files, acme) = (&config.server, &config.acme);
    if !acme.domains.is_empty() {
        let settings = acme::Settings {
            domains: acme.domains.clone(),
            contact: acme.contact.clone(),
            directory: acme.directory.clone(),
            folder: config.artifacts.data_dir.join("acme"),
        };
        let acme = Acme::new(&settings, acme.tls()?)?;
        return Ok((Some(Arc::new(Tls::acme(&acme)?)), Some(acme)));
    }
    if files.tls_cert.as_os_str().is_empty() {
        return Ok((None, None));
    }
    let certificate = Certificate::open(files.tls_cert.clone(), files.tls_key.clone())?;
    Ok((Some(Arc::new(Tls::Files(certificate))), None))
}

/// The folder of further workflows, if there is to be one.
fn open_folder(config: &Config, endpoints: &[&Endpoint]) -> Result<Option<Folder>, String> {
    let settings = &config.workflows;
    if settings.dir.as_os_str().is_empty() {
        return Ok(None);
    }
    let limits = dynamic::Limits {
        files: settings.max_files,
        file_bytes: settings.max_file_bytes,
        diagnostics: settings.max_diagnostics,
    };
    let folder = Folder::open(settings.dir.clone(), limits, endpoints);
    folder.map(Some).map_err(|error| format!("the workflows folder {}: {error}", settings.dir.display()))
}

/// Looks for changes of the folder from now on. A simulator is given what new workflows need.
fn keep_looking(folder: Folder, app: &AppState, installer: Option<Installer>) {
    let every = Duration::from_millis(app.config.workflows.poll_ms);
    if every.is_zero() {
        return;
    }
    let (stop, app) = (app.stopping.clone(), app.clone());
    let serve = move |found: &[Entry]| {
        if let Some(installer) = &installer {
            let endpoints: Vec<&Endpoint> =
                found.iter().filter_map(|entry| entry.endpoint.as_deref()).collect();
            let (classes, files) = super::simulate::needs(&endpoints);
            installer.install(&classes, files);
            app.jobs.pool.places().iter().for_each(|place| place.readiness.forget());
        }
        app.endpoints.replace(found);
        learn(&app);
    };
    tokio::spawn(dynamic::keep_looking(folder, every, stop, serve));
}

/// The engines' node definitions are held against what is served.
fn learn(app: &AppState) {
    app.jobs.pool.learn(app.endpoints.now().served().map(|endpoint| &**endpoint));
}

fn cannot_listen(config: &Config, error: &io::Error) -> String {
    let address = config.server.listen;
    match error.kind() {
        io::ErrorKind::AddrInUse => format!("{address} is in use already; choose another with --listen"),
        _ => format!("cannot listen on {address}: {error}"),
    }
}

async fn start_simulator(config: &mut Config, endpoints: &[&Endpoint]) -> Result<Simulator, String> {
    let simulator = Simulator::start(super::simulate::options(endpoints))
        .await
        .map_err(|error| format!("the simulator cannot start: {error}"))?;
    config.comfyui.url =
        simulator.url().parse().map_err(|error| format!("the simulator's address: {error}"))?;
    config.comfyui.headers.clear();
    config.engine.clear();
    Ok(simulator)
}

/// What a person who just started it wants to know.
fn greet(app: &AppState, address: std::net::SocketAddr) {
    let plain = app.config.server.tls_cert.as_os_str().is_empty() && app.config.acme.domains.is_empty();
    let scheme = if plain { "http" } else { "https" };
    let base = format!("{scheme}://{address}");
    let now = app.endpoints.now();
    let workflows = now.served().count();
    say::line(format_args!("comfyport {}: {workflows} workflows", env!("CARGO_PKG_VERSION")));
    let folder = &app.config.workflows.dir;
    if !folder.as_os_str().is_empty() {
        let files = || now.entries().iter().filter_map(|entry| entry.file.as_ref());
        let faulty = files().filter(|file| !file.usable).count();
        let (all, shown) = (files().count(), folder.display());
        say::line(format_args!(
            "folder: {all} files in {shown}, {faulty} with faults; GET /workflows shows them"
        ));
    }
    if app.simulated {
        say::line("engine: SIMULATION, results are made up; --comfyui-url names a real ComfyUI");
    } else {
        for engine in app.config.engines() {
            let name = engine.name();
            let named = if name == "comfyui" { String::new() } else { format!("{name}, ") };
            say::line(format_args!("engine: {named}ComfyUI at {}", engine.url));
        }
    }
    if app.access.is_enforced() {
        let names: Vec<_> = app.access.issuers().names().collect();
        let tokens =
            if names.is_empty() { String::new() } else { format!(" or tokens of {}", names.join(", ")) };
        say::line(format_args!("access: API keys{tokens} are needed"));
    } else if !address.ip().is_loopback() {
        say::line("warning: INSECURE, there are no API keys: whoever reaches this address may do everything");
    }
    say::line(format_args!("docs:   {base}/docs/"));
    let key = if app.access.is_enforced() { " -H \"authorization: Bearer $COMFYPORT_API_KEY\"" } else { "" };
    if let Some(line) = example(&now, &base, key) {
        say::line(format_args!("try:    {line}"));
    }
    say::line(format_args!("listening on {base}"));
}

/// A line that works as pasted: of a workflow that needs text alone. `key` is how it is let in.
fn example(endpoints: &Snapshot, base: &str, key: &str) -> Option<String> {
    let text_only = |endpoint: &&Held<Endpoint>| {
        let mut required = endpoint.fields.iter().filter(|field| field.required).peekable();
        required.peek().is_some()
            && required.all(|field| matches!(field.kind, Kind::Text { .. }))
            && endpoint.advanced.iter().all(|field| !field.required)
    };
    let shortest = |endpoint: &&Held<Endpoint>| {
        let is_old = endpoint.deprecated.is_some();
        (is_old, endpoint.models.len(), endpoint.fields.iter().filter(|field| field.required).count())
    };
    let endpoint = endpoints.served().filter(text_only).min_by_key(shortest)?;
    let values = endpoint
        .fields
        .iter()
        .filter(|field| field.required)
        .map(|field| format!("\"{}\":\"a lighthouse at dusk\"", field.name));
    Some(format!("curl -s {base}/{}{key} -d '{{{}}}'", endpoint.path, values.collect::<Vec<_>>().join(",")))
}

/// Until SIGTERM or SIGINT.
pub(crate) async fn until_told() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
            return;
        }
    }
    let _ = tokio::signal::ctrl_c().await;
}
