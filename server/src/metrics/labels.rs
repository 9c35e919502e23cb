//! What series are told apart by. Only what the operator chose is a label, never what callers send: workflows and
//! engines that exist, routes as patterns, and words of ours.

use prometheus_client::encoding::EncodeLabelSet;

macro_rules! labels {
    ($($name:ident { $($label:ident: $ty:ty),* })*) => {$(
        #[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
        pub(super) struct $name { $(pub(super) $label: $ty),* }
    )*};
}

labels! {
    Request { route: String, status: u16 }
    ByWorkflow { workflow: String }
    ByEngine { engine: String }
    ByState { engine: String, state: &'static str }
    ByOutcome { outcome: &'static str }
    Ended { workflow: String, engine: String, state: &'static str }
    Ran { workflow: String, engine: String }
    Retry { workflow: String, code: &'static str }
    Transaction { kind: &'static str }
    Version { version: &'static str }
}
