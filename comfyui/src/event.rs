use bytes::Bytes;

use crate::NodeId;

/// What happens while a prompt waits and runs. Hints: any of them may be missing or come twice.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// Waiting; so many prompts run before this one.
    Queued {
        /// Prompts ahead, the running one included.
        position: usize,
    },
    /// Execution began.
    Started,
    /// Nodes whose results were still known.
    Cached {
        /// Their ids.
        nodes: Vec<NodeId>,
    },
    /// A node began.
    Executing {
        /// Its id in the submitted prompt.
        node: NodeId,
    },
    /// A node progressed.
    Progress {
        /// Its id in the submitted prompt.
        node: NodeId,
        /// Steps done; finite.
        value: f64,
        /// Steps in all; finite.
        max: f64,
    },
    /// A picture of what a node is making.
    Preview {
        /// The node.
        node: NodeId,
        /// `image/jpeg` or `image/png`.
        content_type: String,
        /// The encoded picture.
        data: Bytes,
    },
    /// Text a node shows while it works.
    Text {
        /// The node.
        node: NodeId,
        /// The text.
        text: String,
    },
    /// A node ended with something to show.
    Executed {
        /// Its id in the submitted prompt.
        node: NodeId,
    },
    /// Events were dropped: the reader was slow, or the connection broke.
    Lagged,
    /// Progress is unknown: no connection reports on this prompt any more. It is still watched.
    Unknown,
}
