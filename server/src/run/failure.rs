//! Why a run did not yield a result, in the caller's words.
//!
//! Engines speak of nodes and inputs. Where an input was set by a parameter, the caller hears of the parameter; else of
//! the node by its title. What engines add for developers (tracebacks, paths, tensors) never gets this far.

use std::time::Duration;

use comfyport_comfyui::{ExecutionError, InputError, NodeError, Rejection, SubmitError};
use comfyport_endpoint::{Endpoint, Faults, Field, Held, Kind};

use crate::{
    engine::EngineError,
    readiness::{Missing, MissingModel, plain},
};

/// Why a run did not yield a result.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The request has faults.
    #[error("the request has {} fault(s)", .faults.0.len())]
    Request {
        /// What is wrong.
        faults: Faults,
        /// What is wrong with the addresses of files, if nothing else is wrong.
        url: Option<UrlTrouble>,
    },
    /// No engine has what the workflow needs.
    #[error("the engine lacks what this workflow needs: {}", .missing.sentence())]
    NotReady {
        /// The engine asked.
        engine: String,
        /// What it lacks.
        missing: Missing,
    },
    /// The engine cannot be reached, and nothing was queued.
    #[error("the engine {engine} cannot be reached")]
    Unreachable {
        /// The engine.
        engine: String,
    },
    /// Engines that could run it take no work now: they were drained or ejected.
    #[error("no engine takes work now: {why}")]
    NoEngine {
        /// Which, and why.
        why: String,
    },
    /// The engine does not take a file of the request.
    #[error(
        "a file of the request is larger than the engine {engine} accepts; its operator can raise ComfyUI's \
         `--max-upload-size`"
    )]
    FileTooLarge {
        /// The engine.
        engine: String,
    },
    /// The engine answered in a way that makes no sense.
    #[error("the engine {engine} gave an answer that makes no sense: {why}")]
    Protocol {
        /// The engine.
        engine: String,
        /// What it did.
        why: String,
    },
    /// The engine refused the prompt.
    #[error("the engine refused the workflow: {message}")]
    Rejected {
        /// Its summary.
        message: String,
        /// What it objects to.
        errors: Vec<Complaint>,
    },
    /// A node failed.
    #[error("the workflow failed: {message}")]
    Failed {
        /// What the node said.
        message: String,
        /// Where.
        errors: Vec<Complaint>,
    },
    /// The engine ran out of memory.
    #[error("the engine ran out of memory: {message}")]
    OutOfMemory {
        /// What the node said.
        message: String,
        /// Where.
        errors: Vec<Complaint>,
    },
    /// The engine has the prompt, or may have it, and cannot be reached.
    #[error("the engine {engine} cannot be reached while it has the run")]
    Away {
        /// The engine.
        engine: String,
    },
    /// The engine forgot the run: it was restarted.
    #[error("the engine lost the run, probably because it was restarted")]
    Lost,
    /// The engine answers but makes no progress.
    #[error("the engine answers but makes no progress")]
    Stalled,
    /// It took too long.
    #[error("the run did not end within {} seconds and was cancelled", .after.as_secs_f32())]
    Timeout {
        /// How long it was allowed to take.
        after: Duration,
    },
    /// Somebody cancelled it.
    #[error("the run was cancelled")]
    Cancelled,
    /// It ended well, but an output is missing or damaged.
    #[error("the run succeeded, but its output `{output}` is not usable: {why}")]
    OutputMissing {
        /// The output's name.
        output: String,
        /// What is wrong with it.
        why: String,
    },
    /// Our disk failed.
    #[error("a file cannot be stored or read at the moment")]
    Storage {
        /// The cause, for the log.
        why: String,
    },
    /// What was to be run is not there any more.
    #[error("{why}")]
    Gone {
        /// What is gone.
        why: String,
    },
    /// Too many runs wait already.
    #[error("too many runs are waiting")]
    Busy,
    /// The server is about to stop.
    #[error("the server is stopping")]
    Stopping,
}

/// What is wrong with the address of a file. What no repetition helps against comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum UrlTrouble {
    /// No address is asked.
    Off,
    /// It is not one that may be asked.
    Forbidden,
    /// What is there is no file that can be taken.
    Failed,
    /// It cannot be reached, or broke off.
    Unreachable,
}

/// One thing that an engine objects to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    /// The parameter behind it.
    pub param: Option<String>,
    /// Where in the request, as a JSON pointer; empty if it was not the caller's doing.
    pub pointer: String,
    /// What is wrong.
    pub message: String,
}

/// What is known about the nodes and inputs of a prompt.
#[derive(Debug, Clone)]
pub(super) enum Names {
    /// Of an endpoint.
    Endpoint(Held<Endpoint>),
    /// Of a graph that a caller sent: node, class, title.
    Graph(std::sync::Arc<Vec<(String, String, Option<String>)>>),
}

impl Names {
    /// What people call a node: its title, else its class, and its id.
    pub(super) fn node(&self, id: &str) -> String {
        match self.title(id) {
            Some(title) => format!("node {id} \"{title}\""),
            None => format!("node {id}"),
        }
    }

    /// Nodes whose results come over the socket.
    pub(super) fn socket_nodes(&self) -> Vec<String> {
        const CLASS: &str = "SaveImageWebsocket";
        match self {
            Self::Endpoint(endpoint) => {
                let nodes = endpoint.nodes.iter().filter(|node| *node.class_type == *CLASS);
                nodes.map(|node| node.id.to_string()).collect()
            }
            Self::Graph(nodes) => {
                nodes.iter().filter(|(_, class, _)| class == CLASS).map(|(id, ..)| id.clone()).collect()
            }
        }
    }

    /// A node's title, else its class.
    pub(super) fn title(&self, id: &str) -> Option<String> {
        let (class, title) = match self {
            Self::Endpoint(endpoint) => {
                let node = endpoint.nodes.iter().find(|node| *node.id == *id)?;
                (&*node.class_type, (!node.title.is_empty()).then_some(&*node.title))
            }
            Self::Graph(nodes) => {
                let (_, class, title) = nodes.iter().find(|(node, ..)| node == id)?;
                (class.as_str(), title.as_deref())
            }
        };
        Some(title.unwrap_or(class).to_owned())
    }

    /// The parameter that sets an input, and its place in the request.
    fn param(&self, node: &str, input: &str) -> Option<(String, String)> {
        let Self::Endpoint(endpoint) = self else { return None };
        let binding = format!("{node}.{input}");
        let find = |fields: &[Field], prefix: &str| {
            let field = fields.iter().find(|field| field.at.iter().any(|at| **at == *binding))?;
            Some((field.name.to_string(), format!("{prefix}{}", super::pointer(&field.name))))
        };
        find(&endpoint.fields, "").or_else(|| find(&endpoint.advanced, "/advanced"))
    }

    /// How many nodes there are.
    pub(super) fn count(&self) -> usize {
        match self {
            Self::Endpoint(endpoint) => endpoint.nodes.len(),
            Self::Graph(nodes) => nodes.len(),
        }
    }

    /// The only media parameter of a node: what a loader complains about without naming an input.
    fn media_param(&self, node: &str) -> Option<(String, String)> {
        let Self::Endpoint(endpoint) = self else { return None };
        let of_node = |field: &&Field| {
            matches!(field.kind, Kind::Media { .. })
                && field.at.iter().any(|at| at.split_once('.').is_some_and(|(id, _)| id == node))
        };
        let field = endpoint.fields.iter().find(of_node)?;
        Some((field.name.to_string(), super::pointer(&field.name)))
    }

    fn complain(&self, node: &str, input: Option<&str>, message: &str) -> Complaint {
        let found = input.and_then(|input| self.param(node, input)).or_else(|| self.media_param(node));
        match (found, input) {
            (Some((param, pointer)), _) => {
                Complaint { param: Some(param), pointer, message: message.to_owned() }
            }
            (None, Some(input)) => {
                let message = format!("{}, input {input}: {message}", self.node(node));
                Complaint { param: None, pointer: String::new(), message }
            }
            (None, None) => {
                let message = format!("{}: {message}", self.node(node));
                Complaint { param: None, pointer: String::new(), message }
            }
        }
    }

    fn node_errors(&self, errors: &[NodeError]) -> Vec<Complaint> {
        let all = errors.iter().flat_map(|node| {
            node.errors
                .iter()
                .map(|error| self.complain(&node.node_id, error.input_name.as_deref(), &words(error)))
        });
        all.collect()
    }

    /// Why a prompt was not taken.
    pub(super) fn submit_error(&self, engine: &str, error: SubmitError) -> RunError {
        match error {
            SubmitError::Rejected(rejection) => self.rejection(engine, &rejection),
            SubmitError::Unreachable(why) => {
                tracing::warn!(engine, %why, "the engine cannot be reached");
                RunError::Unreachable { engine: engine.to_owned() }
            }
            SubmitError::NotAccepted(why) => {
                RunError::Protocol { engine: engine.to_owned(), why: why.to_string() }
            }
            SubmitError::Unknown(why) => {
                tracing::warn!(engine, %why, "it is not known whether the engine has the run");
                RunError::Lost
            }
        }
    }

    fn rejection(&self, engine: &str, rejection: &Rejection) -> RunError {
        let missing = self.lacks(rejection);
        if !missing.is_empty() {
            return RunError::NotReady { engine: engine.to_owned(), missing };
        }
        let error = &rejection.error;
        let message = if error.details.is_empty() {
            error.message.clone()
        } else {
            format!("{}: {}", error.message, error.details)
        };
        RunError::Rejected { message, errors: self.node_errors(&rejection.node_errors) }
    }

    /// What the engine turns out not to have, although its lists had it.
    fn lacks(&self, rejection: &Rejection) -> Missing {
        let mut missing = Missing::default();
        let error = &rejection.error;
        if matches!(error.kind.as_str(), "missing_node_type" | "invalid_prompt") {
            let class = error.class_type.clone().or_else(|| self.class(error.node_id.as_deref()?));
            missing = class.map(|class| Missing::of_classes(std::iter::once(&class))).unwrap_or_default();
        }
        let Self::Endpoint(endpoint) = self else { return missing };
        for node in &rejection.node_errors {
            for fault in node.errors.iter().filter(|fault| fault.kind == "value_not_in_list") {
                let model = endpoint.models.iter().find(|model| {
                    *model.node == *node.node_id && fault.input_name.as_deref() == Some(&*model.input)
                });
                let own = |model: &&comfyport_endpoint::Model| {
                    let sent = fault.received.as_ref().and_then(comfyport_workflow::json::Value::as_str);
                    sent.is_none_or(|sent| plain(sent) == plain(&model.file))
                };
                missing.models.extend(model.filter(own).map(|model| MissingModel::new(model, None)));
            }
        }
        missing
    }

    fn class(&self, id: &str) -> Option<String> {
        match self {
            Self::Endpoint(endpoint) => {
                endpoint.nodes.iter().find(|node| *node.id == *id).map(|node| node.class_type.to_string())
            }
            Self::Graph(nodes) => {
                nodes.iter().find(|(node, ..)| node == id).map(|(_, class, _)| class.clone())
            }
        }
    }

    /// Why a prompt ended without success.
    pub(super) fn execution_error(&self, error: &ExecutionError) -> RunError {
        let message = if error.node_id.is_empty() {
            error.message.clone()
        } else {
            format!("{}: {}", self.node(&error.node_id), error.message)
        };
        let mut errors = vec![self.complain(&error.node_id, None, &error.message)];
        errors.retain(|complaint| complaint.param.is_some());
        if error.oom {
            RunError::OutOfMemory { message, errors }
        } else {
            RunError::Failed { message, errors }
        }
    }
}

fn words(error: &InputError) -> String {
    if error.details.is_empty() {
        error.message.clone()
    } else {
        format!("{}: {}", error.message, error.details)
    }
}

/// Why an engine did not do its part before or after the run itself.
pub(crate) fn engine_error(engine: &str, error: EngineError) -> RunError {
    match error {
        EngineError::Unreachable(why) => {
            tracing::warn!(engine, why, "the engine cannot be reached");
            RunError::Unreachable { engine: engine.to_owned() }
        }
        EngineError::Protocol(why) => RunError::Protocol { engine: engine.to_owned(), why },
        EngineError::TooLarge => RunError::FileTooLarge { engine: engine.to_owned() },
        EngineError::NotFound => RunError::Protocol {
            engine: engine.to_owned(),
            why: "it does not have what it announced".to_owned(),
        },
    }
}
