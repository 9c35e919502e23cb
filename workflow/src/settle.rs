//! From what was inferred to what can be served.

use std::collections::BTreeSet;

use crate::endpoint::{Endpoint, ParamType, Tier};

/// Names that are never a field, not even as `r#self`.
pub const NEVER_RAW: &[&str] = &["self", "super", "crate", "_"];

/// What cannot be written down in Rust or in JSON stays what the workflow says: infinite defaults, for one. The
/// last step of inference: whoever serves an endpoint, compiled or not, is given it settled.
pub(crate) fn settle(endpoint: &mut Endpoint) {
    for param in &mut endpoint.params {
        let odd = param
            .default
            .as_ref()
            .and_then(|value| value.as_number())
            .is_some_and(|number| !number.is_finite());
        if odd {
            param.tier = Tier::Hidden;
        }
        // Files are fields of the request itself.
        if param.ty.is_media() && param.tier == Tier::Advanced {
            param.tier = Tier::Primary;
        }
        if param.ty == ParamType::Enum && param.options.is_empty() {
            param.ty = ParamType::String;
            param.open = true;
        }
    }
    // Each output is a field of the response by exactly its name.
    let mut taken = BTreeSet::new();
    for output in &mut endpoint.outputs {
        if NEVER_RAW.contains(&output.name.as_str()) {
            output.name.push('_');
        }
        while !taken.insert(output.name.clone()) {
            output.name.push_str("_2");
        }
    }
}
