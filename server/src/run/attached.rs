//! Files for inputs of a graph that a caller sent.

use std::sync::Arc;

use comfyport_endpoint::{Fault, FaultKind, Faults, MediaKind, MediaSource};
use serde::{Deserialize, Serialize};

use super::{GraphPlan, RunError, pointer};
use crate::{
    artifacts::Files,
    intake::{Intake, Session, Wanted},
};

/// A file that a caller gives an input of a node.
#[derive(Debug)]
pub struct Attachment {
    /// The node's id.
    pub node: String,
    /// The input.
    pub input: String,
    /// What it must be.
    pub kind: MediaKind,
    /// Where it is.
    pub source: MediaSource,
}

/// A file of ours for an input of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attached {
    /// The node's id.
    pub node: String,
    /// The input.
    pub input: String,
    /// Its name among our files.
    pub file: Arc<str>,
}

/// Takes the files of a graph in. All faults come back together; `root` leads to the graph in the request.
pub async fn attach(
    attachments: Vec<Attachment>,
    root: &str,
    session: &Session<'_>,
) -> Result<Vec<Attached>, RunError> {
    let mut places = Vec::with_capacity(attachments.len());
    let mut wanted = Vec::with_capacity(attachments.len());
    for Attachment { node, input, kind, source } in attachments {
        places.push((node, input));
        // Nodes turn pictures the right way themselves, where they mean to.
        wanted.push(Wanted { kind, source, wish: None });
    }
    let (mut attached, mut faults, mut urls, mut storage) = (Vec::new(), Vec::new(), Vec::new(), false);
    for ((node, input), result) in places.into_iter().zip(session.take(wanted).await) {
        match result {
            Some(Ok(taken)) => attached.push(Attached { node, input, file: taken.name }),
            Some(Err(rejected)) => {
                urls.extend(rejected.url);
                storage |= rejected.storage;
                faults.push(fault(root, &node, &input, rejected.code, rejected.message));
            }
            None => {}
        }
    }
    if storage {
        return Err(RunError::Storage { why: "a file of the request cannot be stored or read".to_owned() });
    }
    if faults.is_empty() {
        return Ok(attached);
    }
    // What is worst is said of all, if they are all of a kind.
    let url = urls.iter().min().copied().filter(|_| urls.len() == faults.len());
    Err(RunError::Request { faults: Faults(faults), url })
}

/// A fault of an input of a node.
fn fault(root: &str, node: &str, input: &str, code: FaultKind, message: String) -> Fault {
    let pointer = format!("{root}{}{}{}", pointer(node), pointer("inputs"), pointer(input));
    Fault {
        pointer,
        param: Some(format!("{node}.{input}")),
        message,
        allowed: None,
        did_you_mean: None,
        code,
    }
}

impl GraphPlan {
    /// Looks for the files that came with the graph among ours.
    pub async fn fetch(
        &mut self,
        attached: &[Attached],
        intake: &Intake,
        files: &Files,
    ) -> Result<(), RunError> {
        let gone = || RunError::Gone { why: "a file of the request is no longer kept".to_owned() };
        for Attached { node, input, file } in attached {
            // What it is was decided when it came.
            let taken = intake.reread(files, MediaKind::File, file).await.ok_or_else(gone)?;
            self.bring(node, input, taken.map_err(|_| gone())?);
        }
        Ok(())
    }
}
