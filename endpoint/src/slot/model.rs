//! Names of model files, and addresses in their place.

use crate::{address, fault::ValueFault};

/// How the names of model files end that are told by their address.
const ENDINGS: &[&str] = &[".safetensors", ".sft", ".gguf", ".onnx", ".ckpt", ".pt", ".pth", ".bin"];

/// The name of a model is looked up below a folder: it must not lead out of it.
pub(crate) fn name(text: &str) -> Result<(), ValueFault> {
    let leads_out = text.starts_with(['/', '~'])
        || text.contains(['\\', ':'])
        || text.split('/').any(|part| part == ".." || part == "." || part.is_empty());
    let annotated = ["[output]", "[input]", "[temp]"].iter().any(|mark| text.trim_end().ends_with(mark));
    if leads_out || annotated || text.chars().any(char::is_control) || text.is_empty() {
        return Err(ValueFault::new("must be a file name, with `/` between folders"));
    }
    Ok(())
}

/// An address in the place of a name, as far as it is kept: without its query, which may hold a secret.
pub(crate) fn read_address(text: &str) -> Result<String, ValueFault> {
    let address = address::read(text, ENDINGS)?;
    let file = address.file.ok_or_else(|| {
        let endings = ENDINGS.join(", ");
        ValueFault::new(format!("the address does not end in the name of a model file ({endings})"))
    })?;
    name(&file)?;
    Ok(address.text)
}

/// An address where only a name is taken.
pub(crate) fn no_address() -> ValueFault {
    ValueFault::new(
        "must be the name of a file that the engine has: an address is only taken where the workflow's sidecar sets \
         `from_url = true` for this parameter",
    )
}
