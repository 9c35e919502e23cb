//! What tells siblings apart: the word that people put before a name they have used already.
//!
//! A picture and a strength on the way to the same control get the same word, what belongs to a later sampler gets the
//! word of that sampler, and a picture that lands somewhere is called after the place.

use std::{
    cell::{OnceCell, RefCell},
    collections::{BTreeMap, BTreeSet},
};

use super::{Context, candidate::Candidate, sampling::is_sampler};
use crate::{
    endpoint::ParamType,
    graph::{Consumer, Node},
};

mod passes;
mod words;

pub(super) use passes::FIRST_PASS;
pub(super) use words::{class_word, input_word};
use words::{control_word, model_word, words_of_node};

/// How far a walk goes: nodes that are looked at for one value.
const FARTHEST: usize = 200;

/// Words of classes that hand on a picture, whatever they do to it.
const PASSES: &[&str] = &[
    "resize",
    "scale",
    "crop",
    "pad",
    "reroute",
    "preprocessor",
    "canny",
    "lineart",
    "depthanything",
    "midas",
    "openpose",
    "pidinet",
    "prepimage",
    "imageinvert",
    "imageblur",
    "imagesharpen",
    "imagequantize",
    "rembg",
    "removebackground",
    "repeatimagebatch",
    "clipvisionencode",
];

/// The stage, the node and the input by which a value comes to be used.
pub(super) type Turn = (usize, usize, usize);

/// What tells one value from its siblings.
pub(super) struct Siblings<'c, 'a> {
    context: &'c Context<'a>,
    row: OnceCell<passes::Row>,
    /// What the names of classes say, which is asked again and again.
    classes: RefCell<BTreeMap<&'a str, ClassWords>>,
}

/// What the name of a class says.
#[derive(Clone, Copy)]
struct ClassWords {
    control: Option<&'static str>,
    /// Whether it hands on a picture.
    passes: bool,
}

impl<'c, 'a> Siblings<'c, 'a> {
    pub(super) fn new(context: &'c Context<'a>) -> Self {
        Self { context, row: OnceCell::new(), classes: RefCell::default() }
    }

    fn words_of_class(&self, class_type: &'a str) -> ClassWords {
        *self.classes.borrow_mut().entry(class_type).or_insert_with(|| {
            let class = class_type.to_lowercase();
            let passes = PASSES.iter().any(|word| class.contains(word));
            ClassWords { control: control_word(class_type), passes }
        })
    }

    /// The control that a value belongs to: `depth`.
    pub(super) fn control(&self, candidate: &Candidate) -> Option<&'static str> {
        let node = self.context.graph.node(&candidate.node)?;
        self.control_of(node)
    }

    fn control_of(&self, node: &'a Node) -> Option<&'static str> {
        let own = self.words_of_class(&node.class_type).control;
        if is_control(node) {
            return self.controlled_by(node);
        }
        if own.is_some() && !is_loader(node) {
            return own;
        }
        let words: BTreeSet<&'static str> = self
            .landings(node)
            .iter()
            .filter_map(|landing| {
                let lands = is_control(landing.node) && takes_picture(landing.input);
                let by_model = if lands { self.controlled_by(landing.node) } else { None };
                by_model.or_else(|| control_word(landing.input)).or(landing.drawn)
            })
            .collect();
        only(words)
    }

    /// What a control net works with: its model says so, else what draws its picture.
    fn controlled_by(&self, node: &'a Node) -> Option<&'static str> {
        let upstream = |input: &str, inputs: &[&str]| {
            let start = self.context.graph.node(&node.link(input)?.node)?;
            only(self.upstream(start, inputs).into_iter().filter_map(words_of_node).collect())
        };
        let nets = ["control_net", "controlnet", "model_patch"];
        nets.into_iter().find_map(|input| upstream(input, &["control_net", "controlnet", "model"])).or_else(
            || {
                ["image", "control_image", "images"]
                    .into_iter()
                    .find_map(|input| upstream(input, &["image", "images", "pixels"]))
            },
        )
    }

    /// The nodes before this one and itself, by inputs of these names.
    fn upstream(&self, start: &'a Node, inputs: &[&str]) -> Vec<&'a Node> {
        let (mut found, mut open, mut seen) = (Vec::new(), vec![start], BTreeSet::new());
        while let Some(node) = open.pop().filter(|_| seen.len() < FARTHEST) {
            if !seen.insert(node.id.as_str()) {
                continue;
            }
            found.push(node);
            let links = node.links().filter(|(name, _)| inputs.contains(name));
            open.extend(links.filter_map(|(_, link)| self.context.graph.node(&link.node)));
        }
        found
    }

    /// Where a picture ends up, past whatever changes only its looks.
    fn landings(&self, node: &'a Node) -> Vec<Landing<'a>> {
        let start = node;
        let (mut found, mut open, mut seen) = (Vec::new(), vec![(node, None)], BTreeSet::new());
        while let Some((node, drawn)) = open.pop().filter(|_| seen.len() < FARTHEST) {
            if !seen.insert(node.id.as_str()) {
                continue;
            }
            // The second output of a loader is its mask.
            let taken =
                self.context.fed_by(&node.id).iter().filter(|one| one.slot == 0 || node.id != start.id);
            for Consumer { node: next, input, .. } in taken {
                let class = self.words_of_class(&next.class_type);
                if takes_picture(input) && class.passes && !is_control(next) {
                    open.push((*next, class.control.or(drawn)));
                } else {
                    found.push(Landing { node: next, input, drawn });
                }
            }
        }
        found.sort_by_key(|landing| (self.context.rank(&landing.node.id), landing.input));
        found
    }

    /// Whether a picture is there to control another one: it ends in a control net, or what is drawn of it does in what
    /// conditions a sampler.
    pub(super) fn is_control_picture(&self, node: &'a Node) -> bool {
        self.landings(node).iter().any(|landing| {
            let conditions = landing.node.class_type.to_lowercase().contains("conditioning");
            takes_picture(landing.input)
                && (is_control(landing.node) || (landing.drawn.is_some() && conditions))
        })
    }

    /// The place where a picture, film or sound ends up: `start`, `reference`, `face`.
    pub(super) fn place(&self, candidate: &Candidate) -> Option<String> {
        let node = self.context.graph.node(&candidate.node)?;
        if candidate.ty.is_media() {
            let places: BTreeSet<String> =
                self.landings(node).iter().filter_map(|landing| landing.place(candidate.ty)).collect();
            return only(places);
        }
        let consumers = self.context.fed_by(&node.id);
        let areas =
            consumers.iter().all(|consumer| consumer.node.class_type.to_lowercase().contains("setarea"));
        (areas && !consumers.is_empty()).then(|| "area".to_owned())
    }

    /// The sampler that a value belongs to, by its model: `refiner`, `high_noise`.
    pub(super) fn model(&self, candidate: &Candidate) -> Option<&'static str> {
        let samplers = self.samplers(self.context.graph.node(&candidate.node)?);
        let words: BTreeSet<Option<&'static str>> = samplers
            .into_iter()
            .map(|sampler| {
                let before = self.upstream(sampler, &["model", "guider", "unet", "sigmas"]);
                only(before.into_iter().filter_map(model_word).collect())
            })
            .collect();
        only(words).flatten()
    }

    /// The samplers that a node is or feeds first.
    fn samplers(&self, node: &'a Node) -> Vec<&'a Node> {
        let (mut found, mut open, mut seen) = (Vec::new(), vec![node], BTreeSet::new());
        while let Some(node) = open.pop().filter(|_| seen.len() < FARTHEST) {
            if !seen.insert(node.id.as_str()) {
                continue;
            }
            if is_sampler(node) {
                found.push(node);
            } else {
                open.extend(self.context.fed_by(&node.id).iter().map(|consumer| consumer.node));
            }
        }
        found
    }

    /// Where a value takes part, so that what belongs together is numbered alike.
    pub(super) fn turn(&self, candidate: &Candidate) -> Turn {
        let own = self.context.rank(&candidate.node);
        let stage = self.context.sampling.of(&candidate.node);
        let Some(node) = self.context.graph.node(&candidate.node).filter(|_| candidate.ty.is_media()) else {
            return (stage, own, 0);
        };
        let landings = self.landings(node);
        let Some(landing) = landings.first() else { return (stage, own, 0) };
        let input = landing.node.inputs.get_index_of(landing.input).unwrap_or_default();
        (stage, self.context.rank(&landing.node.id), input)
    }
}

/// An input that a picture comes to.
struct Landing<'a> {
    node: &'a Node,
    input: &'a str,
    /// What was drawn of it on the way.
    drawn: Option<&'static str>,
}

impl Landing<'_> {
    fn place(&self, ty: ParamType) -> Option<String> {
        let input = self.input.to_lowercase();
        let class = self.node.class_type.to_lowercase();
        let says = |words: &[&str]| words.iter().any(|word| class.contains(word));
        let word = match input.as_str() {
            "first_frame" | "start_frame" | "first_image" => "start",
            "last_frame" | "end_frame" | "last_image" => "end",
            "ref_image" | "ref_images" | "reference" => "reference",
            "mask" | "masks" => "mask",
            "clip_vision_output" | "image" | "images" => {
                if is_control(self.node) {
                    "control"
                } else if says(&["faceid", "instantid", "pulid", "faceswap", "reactor"]) {
                    "face"
                } else if says(&["ipadapter", "stylemodel", "redux", "unclip"]) {
                    "reference"
                } else {
                    return None;
                }
            }
            _ => {
                let word = input.strip_suffix("_image").or_else(|| input.strip_prefix("image_"))?;
                let plain = ["input", "init", "output", "optional", "load", "the", "new", "base"];
                let named = word.len() > 1 && word.bytes().all(|one| one.is_ascii_lowercase() || one == b'_');
                return (named && !plain.contains(&word) && ty == ParamType::Image).then(|| word.to_owned());
            }
        };
        Some(word.to_owned())
    }
}

fn is_control(node: &Node) -> bool {
    let class = node.class_type.to_lowercase();
    class.contains("controlnet")
        && node.links().any(|(name, _)| takes_picture(name))
        && node.links().any(|(name, _)| {
            matches!(name, "control_net" | "controlnet" | "positive" | "conditioning" | "model_patch")
        })
}

fn is_loader(node: &Node) -> bool {
    node.links().next().is_none()
}

fn takes_picture(input: &str) -> bool {
    matches!(input, "image" | "images" | "pixels" | "control_image" | "image1" | "video" | "any" | "")
}

/// The one word, where there is one.
fn only<T: Ord>(words: BTreeSet<T>) -> Option<T> {
    let mut words = words.into_iter();
    words.next().filter(|_| words.next().is_none())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{class_word, control_word, input_word};
    use crate::{Catalog, Options, Tier, endpoint};

    fn node(class: &str, inputs: Value) -> Value {
        json!({"class_type": class, "inputs": inputs})
    }

    fn sampler(model: &str, positive: &Value, latent: &Value, rest: &Value) -> Value {
        let mut sampler = node(
            "KSampler",
            json!({
                "seed": 1, "steps": 20, "cfg": 7, "sampler_name": "euler", "scheduler": "normal", "denoise": 1,
                "model": [model, 0], "positive": positive, "negative": ["90", 0], "latent_image": latent,
            }),
        );
        for (name, value) in rest.as_object().unwrap() {
            sampler["inputs"][name] = value.clone();
        }
        sampler
    }

    fn painting() -> Value {
        json!({
            "1": node("CheckpointLoaderSimple", json!({"ckpt_name": "a.safetensors"})),
            "2": node("CLIPTextEncode", json!({"text": "a hill", "clip": ["1", 1]})),
            "90": node("CLIPTextEncode", json!({"text": "fog", "clip": ["1", 1]})),
            "4": node("EmptyLatentImage", json!({"width": 512, "height": 768, "batch_size": 1})),
            "5": sampler("1", &json!(["2", 0]), &json!(["4", 0]), &json!({})),
            "80": node("VAEDecode", json!({"samples": ["5", 0], "vae": ["1", 2]})),
            "81": node("SaveImage", json!({"images": ["80", 0], "filename_prefix": "a"})),
        })
    }

    /// `node.input name` of the values of these inputs.
    fn names(graph: &Value, inputs: &[&str]) -> Vec<String> {
        let options =
            Options { file: "a.json", path: "a", catalog: Catalog::core(), sidecar: None, lock: None };
        let endpoint = endpoint(graph.to_string().as_bytes(), &options).unwrap();
        let mut names: Vec<String> = endpoint
            .params
            .iter()
            .filter(|param| matches!(param.tier, Tier::Primary | Tier::Advanced))
            .flat_map(|param| param.sets().iter().map(move |set| (set, param)))
            .filter(|(set, _)| inputs.contains(&set.input.as_str()))
            .map(|(set, param)| format!("{}.{} {}", set.node, set.input, param.name))
            .collect();
        names.sort();
        names
    }

    /// Two controls one after the other, with these models and whatever draws their pictures.
    fn controlled(nets: [&str; 2], draws: [Option<&str>; 2]) -> Value {
        let mut graph = painting();
        let mut before = json!(["2", 0]);
        for (index, (net, draw)) in nets.into_iter().zip(draws).enumerate() {
            let id = |kind: usize| (10 * (index + 1) + kind).to_string();
            graph[id(0)] = node("LoadImage", json!({"image": format!("{index}.png")}));
            graph[id(1)] = node("ControlNetLoader", json!({"control_net_name": net}));
            let mut picture = json!([id(0), 0]);
            if let Some(class) = draw {
                graph[id(2)] = node(class, json!({"image": picture}));
                picture = json!([id(2), 0]);
            }
            graph[id(3)] = node(
                "ControlNetApply",
                json!({"conditioning": before, "control_net": [id(1), 0], "image": picture, "strength": 0.5 + index as f64}),
            );
            before = json!([id(3), 0]);
        }
        graph["5"]["inputs"]["positive"] = before;
        graph
    }

    #[test]
    fn a_picture_and_its_strength_are_called_after_the_control() {
        let inputs = ["image", "strength"];
        let graph = controlled(["x_depth.safetensors", "openpose-v2.pth"], [None, None]);
        let expected = [
            "10.image depth_image",
            "13.strength depth_strength",
            "20.image pose_image",
            "23.strength pose_strength",
        ];
        assert_eq!(names(&graph, &inputs), expected);
        // A model for everything says nothing, but what draws the picture does.
        let graph =
            controlled(["union.safetensors"; 2], [Some("PackHEDPreprocessor"), Some("PackTilePreprocessor")]);
        let expected = [
            "10.image softedge_image",
            "13.strength softedge_strength",
            "20.image tile_image",
            "23.strength tile_strength",
        ];
        assert_eq!(names(&graph, &inputs), expected);
        // Where nothing tells them apart, both are numbered along the chain.
        let graph = controlled(["union.safetensors"; 2], [None, None]);
        let expected = [
            "10.image control_image",
            "13.strength strength",
            "20.image control_image_2",
            "23.strength strength_2",
        ];
        assert_eq!(names(&graph, &inputs), expected);
    }

    #[test]
    fn later_samplers_give_their_values_a_word() {
        let inputs = ["steps", "text"];
        let mut graph = painting();
        graph["6"] = node("LatentUpscale", json!({"samples": ["5", 0], "width": 1024, "height": 1536}));
        graph["7"] = node("CLIPTextEncode", json!({"text": "a sharp hill", "clip": ["1", 1]}));
        graph["8"] = sampler("1", &json!(["7", 0]), &json!(["6", 0]), &json!({"steps": 9, "denoise": 0.5}));
        graph["80"]["inputs"]["samples"] = json!(["8", 0]);
        let hires = [
            "2.text prompt",
            "5.steps steps",
            "7.text hires_prompt",
            "8.steps hires_steps",
            "90.text negative_prompt",
        ];
        assert_eq!(names(&graph, &inputs), hires);
        // What callers see first is what decides how the picture changes; the other one is the first pass.
        assert_eq!(names(&graph, &["denoise"]), ["5.denoise first_pass_denoise", "8.denoise denoise"]);
        graph["8"]["inputs"]["latent_image"] = json!(["5", 0]);
        let second = hires.map(|name| name.replace("hires", "second_pass"));
        assert_eq!(names(&graph, &inputs), second);
        graph["9"] = node("CheckpointLoaderSimple", json!({"ckpt_name": "b_refiner.safetensors"}));
        graph["8"]["inputs"]["model"] = json!(["9", 0]);
        assert_eq!(names(&graph, &inputs), hires.map(|name| name.replace("hires", "refiner")));
        graph["1"]["inputs"]["ckpt_name"] = json!("film_high_noise.safetensors");
        graph["9"]["inputs"]["ckpt_name"] = json!("film_low_noise.safetensors");
        assert_eq!(names(&graph, &inputs), hires.map(|name| name.replace("hires", "low_noise")));
    }

    #[test]
    fn equal_samplers_are_numbered_in_order() {
        let mut graph = painting();
        graph["6"] = sampler("1", &json!(["2", 0]), &json!(["4", 0]), &json!({"seed": 2}));
        graph["82"] = node("VAEDecode", json!({"samples": ["6", 0], "vae": ["1", 2]}));
        graph["83"] = node("ImageInvert", json!({"image": ["82", 0]}));
        graph["84"] = node("SaveImage", json!({"images": ["83", 0], "filename_prefix": "a"}));
        assert_eq!(names(&graph, &["seed"]), ["5.seed seed", "6.seed seed_2"]);
    }

    #[test]
    fn files_are_called_after_the_place_where_they_end_up() {
        let graph = json!({
            "1": node("LoadImage", json!({"image": "a.png"})),
            "2": node("LoadImage", json!({"image": "b.png"})),
            "3": node("PackResize", json!({"image": ["1", 0]})),
            "4": node("PackResize", json!({"image": ["2", 0]})),
            "5": node("PackFilm", json!({"first_frame": ["4", 0], "end_image": ["3", 0]})),
            "6": node("SaveImage", json!({"images": ["5", 0], "filename_prefix": "a"})),
        });
        assert_eq!(names(&graph, &["image"]), ["1.image end_image", "2.image start_image"]);
    }

    #[test]
    fn words_are_those_that_say_something() {
        for (name, expected) in [
            ("control_v11p_sd15_lineart.pth", Some("lineart")),
            ("DWPreprocessor", Some("pose")),
            ("DepthAnythingV2Preprocessor", Some("depth")),
            ("soft-edge.safetensors", Some("softedge")),
            ("shed.safetensors", None),
            ("ImageScale", None),
        ] {
            assert_eq!(control_word(name), expected, "{name}");
        }
        for (class, base, expected) in [
            ("KSampler", "seed", None),
            ("CLIPTextEncode", "prompt", None),
            ("KSampler Pack (Eff.)", "seed", Some("pack")),
            ("GLIGENTextBoxApply", "prompt", Some("gligen_box")),
            ("ControlNetApplyAdvanced", "strength", Some("controlnet")),
            ("ConditioningSetArea", "width", Some("area")),
        ] {
            assert_eq!(class_word(class, base).as_deref(), expected, "{class}");
        }
        assert_eq!(input_word("variation_seed", "seed").as_deref(), Some("variation"));
        assert_eq!(input_word("noise_seed", "seed"), None);
    }
}
