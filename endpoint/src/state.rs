//! Which nodes take part in a run: some fields take nodes out of the prompt.

use crate::{Endpoint, NodeLabel, Request, template::is_on};

/// As many switches have as many states as `NodeLabel::states` has bits.
const MOST_SWITCHES: usize = u32::BITS.ilog2() as usize;

/// Which of an endpoint's switches are off: files that were left out, lists that are empty, truth values that are false.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State(u32);

impl NodeLabel {
    /// The value of `states` of a node that is always there.
    pub const ALWAYS: u32 = u32::MAX;

    /// Whether the prompt has this node.
    pub fn takes_part(&self, state: State) -> bool {
        self.states >> state.0 & 1 == 1
    }
}

impl Endpoint {
    /// The state of a request that gives only what it has to.
    pub fn usual_state(&self) -> State {
        self.state(&*(self.new_request)(self))
    }

    pub(crate) fn state(&self, request: &dyn Request) -> State {
        let switches = self.switches.iter().take(MOST_SWITCHES).enumerate();
        let off = switches.filter(|(_, field)| !is_on(self, request, usize::from(**field)));
        State(off.fold(0, |state, (bit, _)| state | 1 << bit))
    }
}
