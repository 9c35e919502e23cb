//! What nodes do: the simple ones what they say, the others something of the right kind and size.

use std::collections::BTreeMap;

use comfyport_workflow::{
    catalog::NodeDef,
    json::{Object, Value},
};

use crate::{media::picture::Picture, shared::Engine};
use data::Data;

pub(crate) mod data;
mod images;
pub(crate) mod outputs;
mod resize;
mod trace;

/// A node about to run.
pub(crate) struct Call<'a> {
    pub engine: &'a Engine,
    pub prompt: &'a Object,
    pub extra_data: &'a Value,
    pub id: String,
    pub class: &'a str,
    pub definition: Option<&'a NodeDef>,
    pub inputs: BTreeMap<&'a str, Data>,
    /// Stands for the node and all it needs.
    pub signature: u64,
}

/// A Python exception of a node.
#[derive(Debug, Clone)]
pub(crate) struct Exception {
    pub ty: String,
    pub message: String,
    /// What ComfyUI adds.
    pub tips: &'static str,
}

impl Exception {
    pub(crate) fn new(ty: &str, message: impl Into<String>) -> Self {
        Self { ty: ty.to_owned(), message: message.into(), tips: "" }
    }

    pub(crate) fn out_of_memory() -> Self {
        Self {
            ty: "torch.OutOfMemoryError".to_owned(),
            message: "Allocation on device 0 would exceed allowed memory. (out of memory)".to_owned(),
            tips: "This error means you ran out of memory on your GPU.\n\nTIPS: If the workflow worked before you \
                   might have accidentally set the batch_size to a large number.",
        }
    }
}

impl Call<'_> {
    pub(crate) fn value(&self, name: &str) -> Option<&Value> {
        match self.inputs.get(name)? {
            Data::Value(value) => Some(value),
            _ => None,
        }
    }

    pub(crate) fn number(&self, name: &str) -> Option<f64> {
        self.value(name)?.as_f64()
    }

    pub(crate) fn side(&self, name: &str) -> Option<u32> {
        let number = self.value(name)?.as_number()?;
        let number = number.as_i64().unwrap_or_default();
        Some(u32::try_from(number.clamp(0, 16_384)).unwrap_or(0))
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.value(name)?.as_str()
    }

    /// The first input that is a picture, or pictures.
    pub(crate) fn pictures(&self) -> Option<std::sync::Arc<Vec<Picture>>> {
        self.inputs.values().find_map(Data::pictures)
    }
}

/// How many steps a node reports, if it reports any.
pub(crate) fn steps(call: &Call<'_>) -> Option<u64> {
    let makes_latents =
        call.definition.is_some_and(|definition| definition.outputs.iter().any(|out| out.ty == "LATENT"));
    if !makes_latents || !call.class.contains("Sampler") {
        return None;
    }
    let steps =
        call.inputs.values().find_map(|data| if let Data::Steps(steps) = data { Some(*steps) } else { None });
    let steps = steps.or_else(|| call.value("steps")?.as_u64())?;
    let end = call.value("end_at_step").and_then(Value::as_u64).map_or(steps, |end| end.min(steps));
    let start = call.value("start_at_step").and_then(Value::as_u64).unwrap_or(0);
    Some(end.saturating_sub(start).max(1))
}

/// What a sampler shows while it works.
pub(crate) fn preview(call: &Call<'_>) -> Option<Picture> {
    let latent = call.inputs.values().find_map(Data::latent)?;
    trace::paint(call, latent.width.min(512), latent.height.min(512), 1).pop()
}

/// Runs a node: its outputs, and what it shows.
pub(crate) fn evaluate(call: &Call<'_>) -> Result<(Vec<Data>, Option<Value>), Exception> {
    if let Some(outputs) = images::evaluate(call)? {
        return Ok((outputs, None));
    }
    let ui = match call.definition {
        Some(definition) if definition.output_node => outputs::save(call)?,
        _ => None,
    };
    Ok((trace::outputs(call), ui))
}
