//! Output nodes: what they save, and what they show.

use bytes::Bytes;
use comfyport_workflow::json::{Object, Value};

use super::{Call, Exception, data::Data};
use crate::{
    media::{audio::Sound, mesh, mp4, picture::Picture, png, webp},
    python,
    shared::Engine,
    store::{Folder, Place, normalize},
};

/// Saves what an output node saves and returns what it shows.
pub(super) fn save(call: &Call<'_>) -> Result<Option<Value>, Exception> {
    let class = call.class;
    let saved = match class {
        "SaveImageWebsocket" => return Ok(None),
        "PreviewAny" => return Ok(Some(text(call, "source"))),
        "Preview3D" | "Preview3DAnimation" => {
            let file = call.value("model_file").cloned().unwrap_or(Value::Null);
            return Ok(Some(list("result", vec![file, Value::Null])));
        }
        "SaveAnimatedWEBP" | "SaveAnimatedPNG" | "SaveWEBM" => animation(call)?,
        "SaveLatent" => list("latents", vec![file(call, "latents/ComfyUI", "latent", size(call), latent())?]),
        "SaveSVGNode" => list("images", vec![file(call, "svg/ComfyUI", "svg", size(call), svg(call))?]),
        _ => by_content(call)?,
    };
    Ok(Some(saved))
}

/// Any other output node saves the first thing it is given that can be saved.
fn by_content(call: &Call<'_>) -> Result<Value, Exception> {
    for data in call.inputs.values() {
        match data {
            Data::Images(pictures) | Data::Masks(pictures) if call.class.contains("VideoCombine") => {
                let fps = call.number("frame_rate").unwrap_or(8.0);
                let film = mp4::encode(pictures, fps);
                let mut item = file(call, "AnimateDiff", "mp4", size(call), film)?;
                if let Value::Object(members) = &mut item {
                    members.insert("format".to_owned(), Value::from("video/h264-mp4"));
                    members.insert(
                        "frame_rate".to_owned(),
                        Value::Number(comfyport_workflow::json::Number::from_f64(fps)),
                    );
                }
                return Ok(list("gifs", vec![item]));
            }
            Data::Images(pictures) | Data::Masks(pictures) => return images(call, pictures),
            Data::Video { frames, fps } => {
                let film = file(call, "video/ComfyUI", "mp4", size(call), mp4::encode(frames, *fps))?;
                return Ok(animated(film));
            }
            Data::Sound(sound) => return audio(call, *sound),
            Data::Mesh(seed) => {
                let cube = file(call, "mesh/ComfyUI", "glb", size(call), mesh::cube(*seed))?;
                return Ok(list("3d", vec![cube]));
            }
            Data::Svg(drawing) => {
                let drawing = file(call, "svg/ComfyUI", "svg", size(call), drawing.clone().into_bytes())?;
                return Ok(list("images", vec![drawing]));
            }
            _ => {}
        }
    }
    let shown = ["text", "string", "value", "source", "anything"]
        .into_iter()
        .find(|name| call.inputs.contains_key(name));
    Ok(text(call, shown.unwrap_or("text")))
}

fn list(key: &str, items: Vec<Value>) -> Value {
    python::object([(key, Value::Array(items))])
}

fn animated(item: Value) -> Value {
    python::object([
        ("images", Value::Array(vec![item])),
        ("animated", Value::Array(vec![Value::Bool(true)])),
    ])
}

fn text(call: &Call<'_>, input: &str) -> Value {
    let shown = match call.inputs.get(input) {
        Some(Data::Value(value)) => python::str(value),
        Some(Data::Images(pictures) | Data::Masks(pictures)) => {
            let shape = pictures.first().map_or((0, 0), |first| (first.height, first.width));
            format!("tensor of shape [{}, {}, {}, 3]", pictures.len(), shape.0, shape.1)
        }
        _ => "simulated".to_owned(),
    };
    list("text", vec![Value::from(shown)])
}

fn size(call: &Call<'_>) -> (u32, u32) {
    let pictures = call.pictures();
    pictures.and_then(|pictures| pictures.first().map(|first| (first.width, first.height))).unwrap_or((0, 0))
}

fn images(call: &Call<'_>, pictures: &[Picture]) -> Result<Value, Exception> {
    let prompt = python::dumps(&Value::Object(call.prompt.clone()));
    let extra = call.extra_data.get("extra_pnginfo").and_then(Value::as_object);
    let extra: Vec<(&str, String)> =
        extra.into_iter().flatten().map(|(key, value)| (key.as_str(), python::dumps(value))).collect();
    let mut texts = vec![("prompt", prompt.as_str())];
    texts.extend(extra.iter().map(|(key, text)| (*key, text.as_str())));
    let target = Target::of(call, "ComfyUI", size(call))?;
    let mut items = Vec::with_capacity(pictures.len());
    for (index, picture) in pictures.iter().enumerate() {
        let prefix = target.prefix.replace("%batch_num%", &index.to_string());
        items.push(target.put(call.engine, &prefix, "png", png::encode(picture, &texts)));
    }
    Ok(list("images", items))
}

fn animation(call: &Call<'_>) -> Result<Value, Exception> {
    let pictures = call.pictures().unwrap_or_default();
    let fps = call.number("fps").unwrap_or(6.0).clamp(0.01, 1000.0);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a frame lasts 100 s at most"
    )]
    let milliseconds = (1000.0 / fps) as u32;
    let (ending, data) = match call.class {
        "SaveAnimatedWEBP" => {
            let data = webp::animate(&pictures, milliseconds);
            ("webp", data.ok_or_else(|| Exception::new("ValueError", "encoding error 5"))?)
        }
        "SaveAnimatedPNG" => {
            let delay = u16::try_from(milliseconds / 10).unwrap_or(u16::MAX);
            ("png", png::encode_animated(&pictures, delay, &[]))
        }
        // A film in the other container: there is no encoder for the codecs of WebM here.
        _ => ("webm", mp4::encode(&pictures, fps)),
    };
    Ok(animated(file(call, "ComfyUI", ending, size(call), data)?))
}

fn audio(call: &Call<'_>, sound: Sound) -> Result<Value, Exception> {
    let (ending, data) = match call.class {
        "SaveAudioMP3" => ("mp3", sound.mp3()),
        "SaveAudioOpus" => ("opus", sound.opus()),
        _ => ("flac", sound.flac()),
    };
    Ok(list("audio", vec![file(call, "audio/ComfyUI", ending, (0, 0), data)?]))
}

fn svg(call: &Call<'_>) -> Vec<u8> {
    let drawing = call
        .inputs
        .values()
        .find_map(|data| if let Data::Svg(svg) = data { Some(svg.clone()) } else { None });
    drawing.unwrap_or_else(|| mesh::svg(call.signature)).into_bytes()
}

/// A safetensors file with one small tensor in it.
fn latent() -> Vec<u8> {
    let head = r#"{"latent_tensor":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
    [&(head.len() as u64).to_le_bytes()[..], head.as_bytes(), &[0; 4]].concat()
}

/// Saves one file.
fn file(
    call: &Call<'_>,
    prefix: &str,
    ending: &str,
    size: (u32, u32),
    data: Vec<u8>,
) -> Result<Value, Exception> {
    let target = Target::of(call, prefix, size)?;
    Ok(target.put(call.engine, &target.prefix, ending, data))
}

/// Where a node saves.
struct Target {
    folder: Folder,
    subfolder: String,
    prefix: String,
}

impl Target {
    fn of(call: &Call<'_>, default: &str, (width, height): (u32, u32)) -> Result<Self, Exception> {
        if call.class.starts_with("Preview") || call.class == "MaskPreview" {
            let letters: String = (0..5)
                .map(|at| char::from(b'a' + u8::try_from((call.signature >> (8 * at)) % 26).unwrap_or(0)))
                .collect();
            let prefix = format!("ComfyUI_temp_{letters}");
            return Ok(Self { folder: Folder::Temp, subfolder: String::new(), prefix });
        }
        let given = call.text("filename_prefix").unwrap_or(default);
        let named = if given.contains('%') {
            dated(&given.replace("%width%", &width.to_string()).replace("%height%", &height.to_string()))
        } else {
            given.to_owned()
        };
        let Some(path) = normalize(&named) else {
            let folder = if named.starts_with('/') { "/tmp" } else { "/srv" };
            return Err(Exception::new(
                "Exception",
                format!(
                    "**** ERROR: Saving image outside the output folder is not allowed.\n full_output_folder: {folder}\n\
                     \x20        output_dir: /srv/ComfyUI/output\n         commonpath: {folder}"
                ),
            ));
        };
        let (subfolder, prefix) = path.rsplit_once('/').unwrap_or(("", &path));
        Ok(Self { folder: Folder::Output, subfolder: subfolder.to_owned(), prefix: prefix.to_owned() })
    }

    fn put(&self, engine: &Engine, prefix: &str, ending: &str, data: Vec<u8>) -> Value {
        let number = engine.store.next_number(self.folder, &self.subfolder, &self.prefix);
        let name = format!("{prefix}_{number:05}_.{ending}");
        let place = Place { folder: self.folder, subfolder: self.subfolder.clone(), name: name.clone() };
        engine.store.put(place, Bytes::from(data));
        python::object([
            ("filename", Value::from(name)),
            ("subfolder", Value::from(self.subfolder.as_str())),
            ("type", Value::from(self.folder.name())),
        ])
    }
}

/// Replaces what stands for the date and the time, in UTC.
fn dated(text: &str) -> String {
    let now =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_secs();
    let (year, month, day) = crate::date::civil(now / 86_400);
    let parts = [
        ("%year%", format!("{year}")),
        ("%month%", format!("{month:02}")),
        ("%day%", format!("{day:02}")),
        ("%hour%", format!("{:02}", now / 3600 % 24)),
        ("%minute%", format!("{:02}", now / 60 % 60)),
        ("%second%", format!("{:02}", now % 60)),
    ];
    parts.iter().fold(text.to_owned(), |text, (token, value)| text.replace(token, value))
}

/// Deletes the files that a node just saved.
pub(crate) fn remove_files(engine: &Engine, ui: Option<&Value>) {
    let lists = ui.and_then(Value::as_object).map(Object::values).into_iter().flatten();
    for item in lists.filter_map(Value::as_array).flatten() {
        let text = |key| item.get(key).and_then(Value::as_str).unwrap_or_default();
        if let Some(folder) = Folder::parse(text("type")) {
            let (subfolder, name) = (text("subfolder").to_owned(), text("filename").to_owned());
            engine.store.remove(&Place { folder, subfolder, name });
        }
    }
}
