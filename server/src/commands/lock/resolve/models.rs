//! Sizes and hashes of models, from their hosts; and where models may be of which nobody said it.

use comfyport_depot::{Described, Inquiry, ModelName, PullError, Sha256, Source, Trust, Wanted};
use comfyport_needs::{LockedModel, ProjectLock};
use futures_util::{StreamExt, stream};

use super::{Resolved, Suggestion, quoted};
use crate::commands::remote::printable;

/// Whether something can be asked of it.
pub(super) fn is_open(model: &LockedModel) -> bool {
    !model.fetched_by_node && (model.urls.is_empty() || model.size.is_none() || model.sha256.is_none())
}

/// What was heard of a model.
#[derive(Default)]
struct Heard {
    described: Option<(String, Described)>,
    suggestions: Vec<Suggestion>,
    failures: Vec<String>,
}

pub(super) async fn resolve(
    inquiry: &Inquiry,
    parallel: usize,
    lock: &mut ProjectLock,
    resolved: &mut Resolved,
) {
    let open = lock.models.iter().enumerate().filter(|(_, model)| is_open(model));
    let questions: Vec<(usize, LockedModel)> = open.map(|(index, model)| (index, model.clone())).collect();
    let asked = questions.iter().map(|(_, model)| ask(inquiry, model));
    let heard: Vec<Heard> = stream::iter(asked).buffered(parallel.max(1)).collect().await;
    for ((index, _), heard) in questions.iter().zip(heard) {
        resolved.suggestions.extend(heard.suggestions);
        resolved.failures.extend(heard.failures);
        let (Some(model), Some((place, described))) = (lock.models.get_mut(*index), heard.described) else {
            continue;
        };
        take(model, &place, &described, resolved);
    }
}

/// Fills in what a host says. What is locked already stays: a host that says otherwise is told.
fn take(model: &mut LockedModel, place: &str, described: &Described, resolved: &mut Resolved) {
    let name = model.name();
    let said = described.sha256.map(|sha256| sha256.to_string());
    if let (Some(locked), Some(said)) = (&model.sha256, &said)
        && !locked.eq_ignore_ascii_case(said)
    {
        resolved.failures.push(format!(
            "model {name}: {place} has another content by now: sha256 {said}, and {locked} is locked; name \
             another source in models.toml, or the other hash"
        ));
        return;
    }
    let (had_size, had_hash) = (model.size.is_some(), model.sha256.is_some());
    model.size = model.size.or(described.size);
    model.sha256 = model.sha256.take().or(said);
    let news = [(had_size, model.size.is_some(), "size"), (had_hash, model.sha256.is_some(), "sha256")];
    let news: Vec<&str> =
        news.into_iter().filter(|(had, has, _)| *has && !had).map(|(_, _, what)| what).collect();
    if !news.is_empty() {
        resolved.found.push(format!("model {name}: {} by {place}", news.join(" and ")));
    }
    if model.sha256.is_none() {
        resolved.failures.push(format!(
            "model {name}: {place} does not say what it hashes to; fetch it, and give `sha256` in models.toml"
        ));
    }
}

async fn ask(inquiry: &Inquiry, model: &LockedModel) -> Heard {
    let mut heard = Heard::default();
    let name = model.name();
    let sha256 = model.sha256.as_deref().and_then(|text| text.parse::<Sha256>().ok());
    if model.urls.is_empty() {
        suggest(inquiry, model, sha256.as_ref(), &mut heard).await;
        return heard;
    }
    for url in &model.urls {
        let described = match describe(inquiry, model, url, sha256).await {
            Ok(described) => described,
            Err(why) => {
                heard.failures.push(format!("model {name}: {why}"));
                continue;
            }
        };
        let is_better = heard
            .described
            .as_ref()
            .is_none_or(|(_, best)| best.sha256.is_none() && described.1.sha256.is_some());
        if is_better {
            heard.described = Some(described);
        }
        if heard.described.as_ref().is_some_and(|(_, best)| best.sha256.is_some()) {
            break;
        }
    }
    heard
}

/// What a source says, and what it is called without secrets.
async fn describe(
    inquiry: &Inquiry,
    model: &LockedModel,
    url: &str,
    sha256: Option<Sha256>,
) -> Result<(String, Described), String> {
    let source: Source = url.parse().map_err(|error| format!("{error}"))?;
    let folder = if model.folder == "unknown" { "models" } else { &model.folder };
    let wanted = Wanted {
        name: ModelName::new(folder, &model.file).map_err(|error| error.to_string())?,
        sources: Vec::new(),
        size: model.size,
        sha256,
        trust: Trust::Anybody,
    };
    let described = inquiry.describe(&wanted, &source).await.map_err(in_words)?;
    Ok((source.to_string(), described))
}

/// Where it may be: never taken, only told.
async fn suggest(inquiry: &Inquiry, model: &LockedModel, sha256: Option<&Sha256>, heard: &mut Heard) {
    let name = model.name();
    if let Some(sha256) = sha256 {
        match inquiry.find_by_hash(sha256).await {
            Ok(Some(found)) => {
                let url = format!("https://civitai.com/api/download/models/{}", found.id);
                let what = format!(
                    "model {name}: CivitAI has this content: {}, version {}",
                    printable(&found.file),
                    printable(&found.version)
                );
                heard.suggestions.push(suggestion(model, what, &url));
                return;
            }
            Ok(None) => {}
            Err(error) => heard.failures.push(format!("model {name}: {}", in_words(error))),
        }
    }
    match inquiry.find_by_name(&model.file).await {
        Ok(found) => {
            for named in found {
                let gated = if named.gated { ", whose terms have to be accepted" } else { "" };
                let what =
                    format!("model {name}: a file of that name, which may be it, is {}{gated}", named.source);
                heard.suggestions.push(suggestion(model, what, &named.url));
            }
            if heard.suggestions.is_empty() {
                heard
                    .failures
                    .push(format!("model {name}: nobody who was asked knows it; give `urls` in models.toml"));
            }
        }
        Err(error) => heard.failures.push(format!("model {name}: {}", in_words(error))),
    }
}

fn suggestion(model: &LockedModel, what: String, url: &str) -> Suggestion {
    let mut lines = format!("[[model]]\nfile = {}\n", quoted(&model.file));
    if model.folder != "unknown" {
        lines += &format!("folder = {}\n", quoted(&model.folder));
    }
    lines += &format!("urls = [{}]\n", quoted(url));
    Suggestion { what, file: "models.toml".to_owned(), lines }
}

fn in_words(error: PullError) -> String {
    format!("{error}; {}", error.next_step())
}
