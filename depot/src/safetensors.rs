//! The header of a safetensors file: what is in it, without loading it.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read},
    path::Path,
};

use serde_json::Value;

/// The format allows no longer header.
const LONGEST_HEADER: u64 = 100_000_000;

/// What a safetensors file says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Header {
    /// Words about the whole, such as `modelspec.architecture`.
    pub metadata: BTreeMap<String, String>,
    /// The names of its tensors.
    pub tensors: Vec<String>,
}

/// Why a file is no safetensors file.
#[derive(Debug, thiserror::Error)]
pub enum BadHeader {
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
    /// It is not one.
    #[error("it is not a safetensors file: {0}")]
    Content(String),
}

fn content(what: impl Into<String>) -> BadHeader {
    BadHeader::Content(what.into())
}

impl Header {
    /// Reads and checks the header of a file: its length, that it is JSON, and that its tensors fill the file.
    pub fn read(path: &Path) -> Result<Self, BadHeader> {
        let file = File::open(path)?;
        let size = file.metadata()?.len();
        Self::from_reader(file, size)
    }

    fn from_reader(mut file: impl Read, size: u64) -> Result<Self, BadHeader> {
        let mut length = [0; 8];
        if size < 8 {
            return Err(content("it is shorter than any"));
        }
        file.read_exact(&mut length)?;
        let length = u64::from_le_bytes(length);
        if length > LONGEST_HEADER || length > size - 8 {
            return Err(content(format!("its header would be {length} bytes long")));
        }
        let mut text = Vec::new();
        file.take(length).read_to_end(&mut text)?;
        if text.first() != Some(&b'{') {
            return Err(content("its header is not a JSON object"));
        }
        let entries: BTreeMap<String, Value> =
            serde_json::from_slice(&text).map_err(|_| content("its header is not a JSON object"))?;
        let mut header = Self::default();
        let mut end = 0;
        for (name, entry) in entries {
            if name == "__metadata__" {
                header.metadata = serde_json::from_value(entry).unwrap_or_default();
                continue;
            }
            end = end.max(
                tensor_end(&entry)
                    .ok_or_else(|| content(format!("its tensor {name:?} is described wrongly")))?,
            );
            header.tensors.push(name);
        }
        if end != size - 8 - length {
            return Err(content(format!(
                "its tensors are {end} bytes long, and {} bytes follow the header",
                size - 8 - length
            )));
        }
        Ok(header)
    }

    /// The folder below the models folder that such tensors belong in, where that is beyond doubt.
    pub fn folder(&self) -> Option<&'static str> {
        let any =
            |marks: &[&str]| self.tensors.iter().any(|name| marks.iter().any(|mark| name.contains(mark)));
        let begins =
            |marks: &[&str]| self.tensors.iter().any(|name| marks.iter().any(|mark| name.starts_with(mark)));
        let says = |word: &str| {
            self.metadata
                .get("modelspec.architecture")
                .is_some_and(|architecture| architecture.ends_with(word))
        };
        // The order matters: later marks are found in earlier kinds as well.
        let kinds: [(&'static str, bool); 9] = [
            (
                "loras",
                says("/lora")
                    || any(&[
                        ".lora_up.",
                        ".lora_down.",
                        ".lora_A.",
                        ".lora_B.",
                        ".lora.up.",
                        ".hada_w1_",
                        ".lokr_w",
                    ])
                    || begins(&["lora_unet_", "lora_te", "lora_transformer_"]),
            ),
            ("controlnet", begins(&["control_model.", "controlnet_", "input_hint_block."])),
            ("embeddings", begins(&["emb_params", "string_to_param"]) || says("/textual-inversion")),
            (
                "checkpoints",
                begins(&["model.diffusion_model."])
                    && begins(&[
                        "first_stage_model.",
                        "vae.",
                        "cond_stage_model.",
                        "conditioner.",
                        "text_encoders.",
                    ]),
            ),
            (
                "diffusion_models",
                begins(&["model.diffusion_model.", "double_blocks.", "single_blocks.", "joint_blocks."]),
            ),
            ("clip_vision", begins(&["vision_model.encoder.layers."]) && !begins(&["text_model."])),
            (
                "text_encoders",
                begins(&["text_model.encoder.layers.", "encoder.block.0.layer.", "model.embed_tokens."]),
            ),
            (
                "vae",
                begins(&["encoder.conv_in.", "encoder.down"]) && begins(&["decoder.conv_out.", "decoder.up"]),
            ),
            ("style_models", begins(&["redux_up."])),
        ];
        kinds.into_iter().find_map(|(folder, fits)| fits.then_some(folder))
    }
}

/// Where the data of a tensor end, counted from the end of the header.
fn tensor_end(entry: &Value) -> Option<u64> {
    entry.get("dtype")?.as_str()?;
    entry.get("shape")?.as_array()?.iter().all(Value::is_u64).then_some(())?;
    let [start, end] = entry.get("data_offsets")?.as_array()?.as_slice() else { return None };
    let (start, end) = (start.as_u64()?, end.as_u64()?);
    (start <= end).then_some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(header: &str, data: usize) -> Result<Header, BadHeader> {
        let mut file = (header.len() as u64).to_le_bytes().to_vec();
        file.extend(header.as_bytes());
        file.extend(vec![0; data]);
        Header::from_reader(file.as_slice(), file.len() as u64)
    }

    fn of(tensors: &[&str]) -> Header {
        let tensors = tensors.iter().map(|&name| name.to_owned()).collect();
        Header { metadata: BTreeMap::new(), tensors }
    }

    #[test]
    fn headers_are_checked_against_the_file() {
        let tensor = r#"{"dtype":"F16","shape":[2],"data_offsets":[0,4]}"#;
        let good = format!(r#"{{"__metadata__":{{"a":"b"}},"x":{tensor}}}"#);
        let header = read(&good, 4).unwrap();
        assert_eq!((header.tensors, header.metadata["a"].as_str()), (vec!["x".to_owned()], "b"));
        assert!(read("{}", 0).is_ok());
        for (bad, data) in [
            (good.as_str(), 3),
            (good.as_str(), 5),
            ("[]", 0),
            ("{", 0),
            ("", 0),
            (r#"{"x":{"dtype":"F16","shape":[2],"data_offsets":[4,0]}}"#, 0),
            (r#"{"x":{"dtype":"F16","shape":[-2],"data_offsets":[0,4]}}"#, 4),
            (r#"{"x":1}"#, 0),
        ] {
            assert!(matches!(read(bad, data), Err(BadHeader::Content(_))), "{bad}");
        }
        let lying = [&u64::MAX.to_le_bytes()[..], b"{}"].concat();
        assert!(Header::from_reader(lying.as_slice(), 10).is_err());
        assert!(Header::from_reader(&b"PK"[..], 2).is_err());
    }

    #[test]
    fn folders_are_told_by_tensors() {
        for (tensors, folder) in [
            (&["lora_unet_down_blocks_0.lora_up.weight"][..], Some("loras")),
            (&["diffusion_model.double_blocks.0.lora_A.weight"], Some("loras")),
            (&["model.diffusion_model.x", "first_stage_model.y"], Some("checkpoints")),
            (&["model.diffusion_model.x"], Some("diffusion_models")),
            (&["double_blocks.0.x", "single_blocks.1.y"], Some("diffusion_models")),
            (&["encoder.conv_in.weight", "decoder.conv_out.weight"], Some("vae")),
            (&["text_model.encoder.layers.0.x"], Some("text_encoders")),
            (&["encoder.block.0.layer.0.x"], Some("text_encoders")),
            (&["vision_model.encoder.layers.0.x"], Some("clip_vision")),
            (&["control_model.x"], Some("controlnet")),
            (&["something.else"], None),
            (&[], None),
        ] {
            assert_eq!(of(tensors).folder(), folder, "{tensors:?}");
        }
    }
}
