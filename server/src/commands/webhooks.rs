//! `comfyport webhooks`

use std::process::ExitCode;

use clap::ValueEnum;
use serde_json::Value;

use super::{
    remote::Remote,
    table::{cell, details, table},
};
use crate::{
    cli::{Format, WebhookAction, WebhookList, Webhooks},
    say,
    webhooks::fresh_secret,
};

pub(crate) fn run(arguments: &Webhooks) -> ExitCode {
    if let Some(WebhookAction::Secret) = &arguments.action {
        return match fresh_secret() {
            Ok(secret) => say::data(&format!("{secret}\n")),
            Err(_) => say::refuse("this machine has no randomness to make a secret of"),
        };
    }
    super::block_on(async {
        match ask(arguments).await {
            Ok(text) => say::data(&text),
            Err(error) => say::refuse(error),
        }
    })
}

async fn ask(arguments: &Webhooks) -> Result<String, String> {
    let server = Remote::new(&arguments.server.url)?;
    let (answer, is_list) = match &arguments.action {
        Some(WebhookAction::Redeliver(one)) => {
            let delivery = format!("{}:redeliver", one.delivery);
            (server.post(&["jobs", &one.job.to_string(), "webhooks", &delivery]).await?, false)
        }
        Some(WebhookAction::List(wanted)) => (find(&server, wanted).await?, true),
        None | Some(WebhookAction::Secret) => {
            (find(&server, &WebhookList { limit: 50, ..WebhookList::default() }).await?, true)
        }
    };
    Ok(match arguments.format {
        Format::Json => format!("{answer:#}\n"),
        Format::Text if is_list => list(&answer),
        Format::Text => details(&answer),
    })
}

async fn find(server: &Remote, wanted: &WebhookList) -> Result<Value, String> {
    if let Some(job) = &wanted.job {
        return server.get(&["jobs", &job.to_string(), "webhooks"]).await;
    }
    let limit = wanted.limit.to_string();
    let status = wanted.status.and_then(|status| status.to_possible_value());
    let mut query = vec![("limit", limit.as_str())];
    query.extend(status.as_ref().map(|status| ("status", status.get_name())));
    server.find(&["webhooks"], &query).await
}

fn list(answer: &Value) -> String {
    let deliveries =
        answer.get("deliveries").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let row = |delivery: &Value| {
        ["job", "id", "event", "status", "attempts", "next_attempt_at", "response_status", "url", "error"]
            .map(|key| cell(delivery, key))
    };
    let rows: Vec<_> = deliveries.iter().map(row).collect();
    let headings = ["JOB", "DELIVERY", "EVENT", "STATUS", "TRIES", "NEXT TRY", "ANSWER", "ADDRESS", "ERROR"];
    table(headings, &rows)
}
