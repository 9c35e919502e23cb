//! The codes of problems: part of the public contract.

use axum::http::StatusCode;
use serde::{Serialize, Serializer};

/// Whose doing a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// The request.
    Request,
    /// This server.
    Server,
    /// The workflow, or a node of it.
    Workflow,
    /// The engine.
    Engine,
}

macro_rules! codes {
    ($($variant:ident $text:literal $status:ident $origin:ident $retryable:literal $title:literal $meaning:literal)*) => {
        /// A stable name for a kind of problem.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Code {
            $(#[doc = $meaning] $variant,)*
        }

        impl Code {
            /// All codes, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The name in JSON.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// The status it is answered with.
            pub fn status(self) -> StatusCode {
                match self { $(Self::$variant => StatusCode::$status,)* }
            }

            /// Whose doing it is.
            pub fn origin(self) -> Origin {
                match self { $(Self::$variant => Origin::$origin,)* }
            }

            /// Whether the same request may succeed later.
            pub fn is_retryable(self) -> bool {
                match self { $(Self::$variant => $retryable,)* }
            }

            /// A few words for people.
            pub fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)* }
            }

            /// What it means and what to do.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning,)* }
            }
        }
    };
}

codes! {
    MalformedRequest "malformed_request" BAD_REQUEST Request false "Malformed request"
        "The body or a header cannot be read. The detail says where."
    HeadTooLarge "head_too_large" REQUEST_HEADER_FIELDS_TOO_LARGE Request false "Head too large"
        "The address or the headers of the request exceed a limit of this server (`server.max_head_bytes`, or 100 headers)."
    InvalidRequest "invalid_request" UNPROCESSABLE_ENTITY Request false "Invalid request"
        "The request was read, and some values are not acceptable. `errors` lists all of them under your parameter names."
    InputUrlUnsupported "input_url_unsupported" UNPROCESSABLE_ENTITY Request false "URLs are not fetched"
        "A file was given by URL, and this server fetches none (`fetch.enabled`). Send the file itself, or upload it with `POST /uploads`."
    InputUrlForbidden "input_url_forbidden" UNPROCESSABLE_ENTITY Request false "URL not allowed"
        "A file was given by a URL that is not asked: it does not lead to a public address of the internet, or the operator does not want it (`fetch.allow`, `fetch.deny`, `fetch.only`). Nothing was sent there."
    InputUrlFailed "input_url_failed" UNPROCESSABLE_ENTITY Request false "No file at the URL"
        "What is at the URL of a file cannot be taken: its host answered with an error, leads on and on, or sends something else than a whole file. `errors` says which."
    InputUrlUnreachable "input_url_unreachable" BAD_GATEWAY Request true "URL not reachable"
        "The host of a file's URL cannot be reached, is too slow (`fetch.timeout_s`, `fetch.min_bytes_per_s`), or broke off. Nothing was queued; try again later."
    UploadLimit "upload_limit" TOO_MANY_REQUESTS Request false "Too many uploads"
        "You keep as many uploads as you may (`uploads.max_files`, `uploads.max_bytes`). Delete some, or wait until they expire."
    UnsupportedMedia "unsupported_media" UNSUPPORTED_MEDIA_TYPE Request false "Unsupported kind of file"
        "A file is not of a supported kind, whatever its name and declared type say. The detail lists what is."
    TooLarge "too_large" PAYLOAD_TOO_LARGE Request false "Too large"
        "The body or a value exceeds a limit of this server (`server.max_body_bytes`)."
    Unauthorized "unauthorized" UNAUTHORIZED Request false "No valid key"
        "The request carries no API key, or one that is wrong, revoked or expired; a token that is not accepted, and the detail says why; or a signed link that is not for this address or has expired."
    IssuerUnavailable "issuer_unavailable" SERVICE_UNAVAILABLE Server true "Issuer unavailable"
        "The keys of the token's issuer could not be had since this server was started, so that it cannot be told whether the token is genuine. Try again later."
    Forbidden "forbidden" FORBIDDEN Request false "Not allowed"
        "The key or token is valid and does not allow this: it lacks the scope, or is not for this workflow."
    RateLimited "rate_limited" TOO_MANY_REQUESTS Request true "Too often"
        "The caller's rate is used up, or too many wrong keys or tokens came from this address. `Retry-After` says when to try again."
    TooManyJobs "too_many_jobs" TOO_MANY_REQUESTS Request true "Too many jobs of this key"
        "As many jobs of the key's owner wait or run as the key allows. Try again when one has ended."
    NotFound "not_found" NOT_FOUND Request false "Not found"
        "There is nothing at this address. `GET /workflows` lists the workflows."
    MethodNotAllowed "method_not_allowed" METHOD_NOT_ALLOWED Request false "Method not allowed"
        "The address exists and does not take this method; `Allow` lists those it takes."
    NotAcceptable "not_acceptable" NOT_ACCEPTABLE Request false "No such output"
        "No output of the workflow has a type that `Accept` names."
    SlowRequest "slow_request" REQUEST_TIMEOUT Request true "Too slow"
        "The body did not arrive within `server.body_timeout_s`."
    ForeignOrigin "foreign_origin" FORBIDDEN Request false "Foreign origin"
        "A server on a loopback address answers only to its own host names. `server.allowed_hosts` adds others."
    PromptDisabled "prompt_disabled" FORBIDDEN Request false "Raw graphs are off"
        "`POST /prompt` runs arbitrary graphs and is off unless the operator sets `prompt_route.enabled = true`."
    NotImplemented "not_implemented" NOT_IMPLEMENTED Server false "Not there yet"
        "This release does not do that; the detail says what to do instead."
    IdempotencyInFlight "idempotency_in_flight" CONFLICT Request true "In flight"
        "A request with this `Idempotency-Key` is being answered. Its job is at `Location`; repeat the request later."
    IdempotencyMismatch "idempotency_mismatch" UNPROCESSABLE_ENTITY Request false "Key used before"
        "This `Idempotency-Key` was used before for another request. Keys are remembered for a day (`jobs.remember_s`)."
    JobEnded "job_ended" CONFLICT Request false "Job has ended"
        "The job has ended, so it can no longer be cancelled, or has not ended, so it cannot be run again."
    OutputGone "output_gone" GONE Request false "Output gone"
        "The output was there and is no longer kept (`artifacts.keep_s`, `artifacts.keep_bytes`)."
    Busy "busy" TOO_MANY_REQUESTS Server true "Too many jobs"
        "As many jobs wait as this server lets wait (`jobs.max_queued`). Try again later."
    Stopping "stopping" SERVICE_UNAVAILABLE Server true "Stopping"
        "The server is about to stop. Try again at another instance, or later."
    Internal "internal" INTERNAL_SERVER_ERROR Server true "Internal error"
        "A fault of this server. The log has more under the request id."
    StoreUnavailable "store_unavailable" SERVICE_UNAVAILABLE Server true "Job store unavailable"
        "Jobs cannot be kept at the moment, so none are accepted."
    StorageFailed "storage_failed" SERVICE_UNAVAILABLE Server true "Storage failed"
        "A file cannot be written to the data directory: it may be full."
    WorkflowNotReady "workflow_not_ready" SERVICE_UNAVAILABLE Engine false "Workflow not ready"
        "The engine lacks node classes or model files that the workflow needs; `missing` names all of them. Nothing was queued."
    WorkflowIncompatible "workflow_incompatible" SERVICE_UNAVAILABLE Engine false "Workflow out of date"
        "A node class of the engine requires an input that the workflow does not give: the node pack changed since the workflow was exported. `missing.inputs` names node and input; export it again. Nothing was queued."
    WarmingUp "warming_up" SERVICE_UNAVAILABLE Server true "Warming up"
        "The server has just started and runs each workflow once (`[warm_up]`). Requests are accepted; `/ready` is not green yet."
    SuppliesOff "supplies_off" FORBIDDEN Request false "Off"
        "This server does not fetch models or install node packs, unless the operator sets `supplies.pull` or `supplies.install`."
    SuppliesFailed "supplies_failed" BAD_GATEWAY Server true "Not all is there"
        "A model could not be fetched, or a node pack not be installed. The detail names the first and the next step; `items` has all of them."
    EngineUnreachable "engine_unreachable" SERVICE_UNAVAILABLE Engine true "Engine unreachable"
        "The engine does not answer, or all engines that could run the workflow were drained or ejected. Nothing was queued."
    EngineProtocol "engine_protocol" BAD_GATEWAY Engine true "Engine answered nonsense"
        "The engine answered something that is not ComfyUI's protocol."
    EngineStalled "engine_stalled" BAD_GATEWAY Engine true "Engine stalled"
        "The engine answers and makes no progress: its worker has probably died. It needs a restart."
    WorkerLost "worker_lost" BAD_GATEWAY Engine true "Run lost"
        "The engine forgot the run, probably because it was restarted. It is safe to run it again."
    Oom "oom" BAD_GATEWAY Engine true "Out of memory"
        "The engine ran out of memory. Smaller sizes or batches may succeed."
    WorkflowRejected "workflow_rejected" BAD_GATEWAY Workflow false "Workflow refused"
        "The engine refused the workflow before running it. `errors` names parameters where they are the cause."
    WorkflowError "workflow_error" BAD_GATEWAY Workflow false "Workflow failed"
        "A node failed while the workflow ran. The detail names the node and what it said."
    OutputMissing "output_missing" BAD_GATEWAY Workflow true "Output missing"
        "The run ended well, and an output is missing, empty or damaged."
    Poison "poison" BAD_GATEWAY Engine false "Parked"
        "Engines or servers went down again and again while they had this job, so it is not tried any more."
    WorkflowGone "workflow_gone" CONFLICT Workflow false "Workflow gone"
        "The workflow was removed or changed while the job waited, and does not take the request any more."
    Expired "expired" GATEWAY_TIMEOUT Engine false "Expired"
        "The deadline of the job (`options.deadline`, `jobs.max_wait_s`) passed before it ended."
    Timeout "timeout" GATEWAY_TIMEOUT Engine true "Took too long"
        "The run did not end in time (`jobs.timeout_s`, `options.timeout_s`) and was cancelled."
    Cancelled "cancelled" CONFLICT Engine true "Cancelled"
        "Somebody cancelled the run on the engine."
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// The documentation of all codes, in Markdown.
pub fn documentation() -> String {
    let mut text = String::from(
        "# Problems\n\nEvery answer that is not a success is `application/problem+json` (RFC 9457) with `type`, `title`, \
         `status`, `detail`, `code`, `request_id`, `retryable`, `source`, and for faulty requests `errors`.\n\n\
         | code | status | source | retry | meaning |\n|---|---|---|---|---|\n",
    );
    for code in Code::ALL {
        let origin = format!("{:?}", code.origin()).to_lowercase();
        let retry = if code.is_retryable() { "yes" } else { "no" };
        let row = format!(
            "| `{}` | {} | {origin} | {retry} | {} |\n",
            code.as_str(),
            code.status().as_u16(),
            code.meaning()
        );
        text.push_str(&row);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `COMFYPORT_BLESS=1 cargo test -p comfyport-server` writes the page anew.
    #[test]
    fn the_documentation_lists_every_code() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/errors.md");
        if std::env::var_os("COMFYPORT_BLESS").is_some() {
            std::fs::write(path, documentation()).unwrap();
        }
        assert_eq!(std::fs::read_to_string(path).unwrap_or_default(), documentation());
    }
}
