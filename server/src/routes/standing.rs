//! Where a workflow stands among its versions, and whether callers should move on.

use comfyport_endpoint::{Endpoint, Text};
use serde::Serialize;

use crate::versions::Versions;

/// Part of what is said of an endpoint.
#[derive(Debug, Serialize)]
pub(super) struct Standing {
    /// Every path that leads to it, without their leading slash.
    paths: Vec<String>,
    #[serde(flatten)]
    version: Option<Version>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deprecated: Option<Deprecated>,
}

#[derive(Debug, Serialize)]
struct Version {
    #[serde(rename = "version")]
    number: u32,
    /// The numbers of all versions, in order.
    #[serde(rename = "versions")]
    all: Vec<u32>,
    /// Whether the path without a number leads to it.
    latest: bool,
}

#[derive(Debug, Serialize)]
struct Deprecated {
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sunset: Option<Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    link: Option<Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<Text>,
    /// The path of the newest version.
    #[serde(skip_serializing_if = "Option::is_none")]
    successor: Option<String>,
}

impl Standing {
    pub(super) fn of(endpoint: &Endpoint, versions: &Versions) -> Self {
        let all = versions.numbers(endpoint);
        let version = endpoint.version.map(|number| Version {
            number,
            all: all.to_vec(),
            latest: all.last() == Some(&number),
        });
        let deprecated = endpoint.deprecated.as_ref().map(|deprecation| Deprecated {
            since: deprecation.since.as_ref().map(|date| date.text.clone()),
            sunset: deprecation.sunset.as_ref().map(|date| date.text.clone()),
            link: deprecation.link.clone(),
            note: deprecation.note.clone(),
            successor: versions.successor(endpoint),
        });
        Self { paths: versions.paths(endpoint), version, deprecated }
    }
}
