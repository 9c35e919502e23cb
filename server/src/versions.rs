//! Versions of a workflow beside each other, and telling callers of an old one to move on.

use std::{
    collections::BTreeMap,
    time::{Duration, UNIX_EPOCH},
};

use axum::http::{HeaderMap, HeaderName, HeaderValue, header::LINK};
use comfyport_endpoint::{Date, Deprecation, Endpoint};
use comfyport_workflow::route;

const DEPRECATION: HeaderName = HeaderName::from_static("deprecation");
const SUNSET: HeaderName = HeaderName::from_static("sunset");

/// The first second of the year 10000, which HTTP cannot write.
const END_OF_DATES: u64 = 253_402_300_800;

/// Which versions of workflows are served.
#[derive(Debug, Default)]
pub struct Versions {
    /// The numbers of each workflow that has any, in order, by its route without a number.
    numbers: BTreeMap<String, Vec<u32>>,
}

impl Versions {
    /// Those of these endpoints.
    pub fn of<'e>(endpoints: impl IntoIterator<Item = &'e Endpoint>) -> Self {
        let mut numbers: BTreeMap<String, Vec<u32>> = BTreeMap::new();
        for endpoint in endpoints {
            if let Some(number) = endpoint.version {
                numbers.entry(plain(endpoint).to_owned()).or_default().push(number);
            }
        }
        for all in numbers.values_mut() {
            all.sort_unstable();
        }
        Self { numbers }
    }

    /// Where a route without a number leads: to the path of the newest version, if there are versions.
    pub fn newest(&self, route: &str) -> Option<String> {
        let number = self.numbers.get(route)?.last()?;
        Some(route::path(*number, route))
    }

    /// The numbers of all versions of this endpoint's workflow, in order; none where there are no versions.
    pub fn numbers(&self, endpoint: &Endpoint) -> &[u32] {
        let all = endpoint.version.and_then(|_| self.numbers.get(plain(endpoint)));
        all.map_or(&[], Vec::as_slice)
    }

    /// Every path that leads to this endpoint, without their leading slash; its own comes last.
    pub fn paths(&self, endpoint: &Endpoint) -> Vec<String> {
        let is_newest =
            endpoint.version.is_some() && self.numbers(endpoint).last() == endpoint.version.as_ref();
        let newest = is_newest.then(|| plain(endpoint).to_owned());
        newest.into_iter().chain([endpoint.path.to_string()]).collect()
    }

    /// The path of the version that came after this one and is the newest.
    pub fn successor(&self, endpoint: &Endpoint) -> Option<String> {
        endpoint.version?;
        self.newest(plain(endpoint)).filter(|newest| **newest != *endpoint.path)
    }

    /// What is said with every answer of a deprecated endpoint: `Deprecation` of RFC 9745, `Sunset` of RFC 8594, and
    /// links to what explains it and to what comes after it.
    pub fn notice(&self, endpoint: &Endpoint) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let Some(Deprecation { since, sunset, link, .. }) = &endpoint.deprecated else { return headers };
        let mut say = |name: HeaderName, value: String| {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.append(name, value);
            }
        };
        // The header must have a moment. One that has passed says: already.
        let since = since.as_ref().map_or(0, |since| since.unix);
        say(DEPRECATION, format!("@{since}"));
        if let Some(sunset) = sunset.as_ref().and_then(http_date) {
            say(SUNSET, sunset);
        }
        if let Some(link) = link {
            say(LINK, format!("<{link}>; rel=\"deprecation\""));
        }
        if let Some(successor) = self.successor(endpoint) {
            say(LINK, format!("</{successor}>; rel=\"successor-version\""));
        }
        headers
    }
}

/// The path without the number of the version in front.
fn plain(endpoint: &Endpoint) -> &str {
    endpoint.path.split_once('/').map_or(&*endpoint.path, |(_, route)| route)
}

fn http_date(date: &Date) -> Option<String> {
    let time = UNIX_EPOCH + Duration::from_secs(Some(date.unix).filter(|unix| *unix < END_OF_DATES)?);
    Some(httpdate::fmt_http_date(time))
}
