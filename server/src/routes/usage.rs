//! `GET /usage`: what callers used, by day.

use axum::{
    Json,
    extract::{Query, State, rejection::QueryRejection},
};
use comfyport_store::usage::{DAY, Usage};
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::{
    access::Caller,
    app::AppState,
    problem::{Code, Problem},
};

/// Days that are shown if the caller does not say, and at most.
const USUAL: i64 = 30;
const MOST: i64 = 400;

/// Which days.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    days: Option<String>,
}

/// What one caller used on one day.
#[derive(Debug, Serialize)]
struct Day {
    /// `key:` with the id of a key, or `owner:` with the name of an owner.
    subject: String,
    date: String,
    #[serde(flatten)]
    amounts: IndexMap<String, i64>,
}

/// What is answered.
#[derive(Debug, Serialize)]
pub struct Used {
    usage: Vec<Day>,
}

/// One's own; everybody's for admins.
pub async fn show(
    State(app): State<AppState>,
    caller: Caller,
    query: Result<Query<Wanted>, QueryRejection>,
) -> Result<Json<Used>, Problem> {
    let malformed = |detail: String| Problem::new(Code::MalformedRequest, detail);
    let Query(wanted) = query.map_err(|error| malformed(error.body_text()))?;
    let days = wanted.days.as_deref().map_or(Ok(USUAL), |text| {
        let days = text.parse().ok().filter(|days| (1..=MOST).contains(days));
        days.ok_or_else(|| malformed(format!("`days` must be a whole number from 1 to {MOST}")))
    })?;
    let since = app.jobs.store.now() / DAY - days + 1;
    let mut found: Vec<Usage> = Vec::new();
    if caller.confined {
        for subject in [format!("key:{}", caller.subject), format!("owner:{}", caller.owner)] {
            found.extend(app.jobs.store.usage(Some(subject), since).await.map_err(Problem::from)?);
        }
    } else {
        found = app.jobs.store.usage(None, since).await.map_err(Problem::from)?;
    }
    let mut usage: Vec<Day> = Vec::new();
    let mut last = None;
    for one in found {
        let this = Some((one.subject.clone(), one.day));
        if last != this {
            last = this;
            usage.push(Day { date: date(one.day), subject: one.subject, amounts: IndexMap::new() });
        }
        if let Some(day) = usage.last_mut() {
            day.amounts.insert(one.kind, one.amount);
        }
    }
    Ok(Json(Used { usage }))
}

/// A day since 1970 as `2030-01-31`.
fn date(day: i64) -> String {
    let text = crate::jobs::body::time(day.saturating_mul(DAY));
    text.split('T').next().unwrap_or_default().to_owned()
}
