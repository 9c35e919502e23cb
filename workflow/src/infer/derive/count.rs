//! `count`: how many results, instead of the size of a batch.
//!
//! Holds where exactly one value is a batch size and callers may set it. The class takes up to thousands; a request
//! that asks for that much would hold an engine for hours or exhaust its memory, so `count` ends at [`MOST`] unless
//! the author says otherwise. Off for films, where a batch is several films of which most output nodes keep one.

use super::{Deriving, field, number, only};
use crate::{
    endpoint::{Derived, Endpoint, OutputKind, ParamType},
    json::{Number, Value},
    rules::Rule,
};

/// What is offered without being asked for.
const MOST: i64 = 16;

pub(super) fn offer(endpoint: &mut Endpoint, with: &Deriving<'_>) -> Option<()> {
    if !endpoint.outputs.iter().any(|output| output.kind == OutputKind::Image) {
        return None;
    }
    let batch = only(endpoint, &["batch_size"])?;
    let [input] = batch.bindings.as_slice() else { return None };
    let latent = with.catalog.get(&input.class_type)?.outputs.iter().any(|output| output.ty == "LATENT");
    let default = batch.default.as_ref().and_then(Value::as_number).and_then(Number::as_i64)?;
    let greatest = batch.max.as_ref().and_then(Number::as_i64)?;
    if !latent || default < 1 || super::is_decided(batch) {
        return None;
    }
    let input = input.clone();
    let mut param = field("count", Derived::Count, ParamType::Integer, std::slice::from_ref(&input));
    param.default = batch.default.clone();
    param.min = Some(Number::from_i128(1));
    param.max = Some(Number::from_i128(i128::from(MOST.max(default).min(greatest))));
    param.description = Some("How many results to make at once.".to_owned());
    "the size of the batch".clone_into(&mut param.signal);
    debug_assert!(number(param.default.as_ref()).is_some());
    let field = with.offer(endpoint, param)?;
    with.step_back(endpoint, &input);
    endpoint.rules.push(Rule::Same { field, input });
    Some(())
}
