//! Whom models are asked from, as the settings say.

use std::{sync::Arc, time::Duration};

use comfyport_depot::{Hub, Ways};
use comfyport_fetch::{Client, Guard, SystemLookup};

use crate::{
    config::{Config, seconds},
    shelves::Shelves,
};

/// Whom models are asked from.
pub(crate) fn ways(config: &Config) -> Result<Ways, String> {
    let models = &config.models;
    let guard = Guard::new(config.fetch.policy()?);
    let timeout = seconds(config.fetch.connect_timeout_s);
    let client = Client::new(guard, Arc::new(SystemLookup::default()), comfyport_comfyui::tls(), timeout)
        .map_err(|error| format!("the client of `[fetch]`: {error}"))?;
    Ok(Ways {
        client,
        credentials: config.fetch.credentials()?,
        buckets: Shelves::open(&config.bucket, "", Duration::ZERO)?.buckets(),
        hugging_face: Hub { endpoint: models.hugging_face.clone(), token: models.hugging_face_token()? },
        civitai: Hub { endpoint: models.civitai.clone(), token: models.civitai_token()? },
    })
}
