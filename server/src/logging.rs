//! The log, on standard error.

use tracing_subscriber::{EnvFilter, filter::LevelFilter};

use crate::config::{Log, LogFormat};

/// Libraries that say headers and values when they say all they can, and with them secrets.
const TALKATIVE: [&str; 2] = ["tungstenite", "tokio_postgres"];

/// Starts logging. A second call changes nothing.
pub(crate) fn start(settings: &Log) {
    // The level was checked with the rest of the configuration.
    let mut filter: EnvFilter = settings.level.parse().unwrap_or_default();
    if filter.max_level_hint().is_none_or(|most| most > LevelFilter::INFO) {
        for discreet in TALKATIVE.iter().filter_map(|target| format!("{target}=info").parse().ok()) {
            filter = filter.add_directive(discreet);
        }
    }
    let colour =
        std::env::var_os("NO_COLOR").is_none() && std::io::IsTerminal::is_terminal(&std::io::stderr());
    let log =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colour);
    let _ = match settings.format {
        LogFormat::Text => log.try_init(),
        LogFormat::Json => log.json().try_init(),
    };
}
