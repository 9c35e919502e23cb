//! What a value means, by the name of its input.

use super::candidate::Candidate;
use crate::endpoint::ParamType;

/// `(input, role)`.
const ROLES: &[(&str, &str)] = &[
    ("steps", "steps"),
    ("cfg", "cfg"),
    ("cfg_scale", "cfg"),
    ("guidance", "guidance"),
    ("guidance_scale", "guidance"),
    ("flux_guidance", "guidance"),
    ("denoise", "denoise"),
    ("denoise_strength", "denoise"),
    ("width", "width"),
    ("height", "height"),
    ("empty_latent_width", "width"),
    ("empty_latent_height", "height"),
    ("length", "length"),
    ("num_frames", "num_frames"),
    ("video_length", "length"),
    ("video_frames", "num_frames"),
    ("fps", "fps"),
    ("frame_rate", "fps"),
    ("seconds", "seconds"),
    ("duration", "duration"),
    ("batch_size", "batch_size"),
    ("sampler_name", "sampler_name"),
    ("scheduler", "scheduler"),
    ("shift", "shift"),
];

pub(super) fn mark(candidates: &mut [Candidate]) {
    for candidate in
        candidates.iter_mut().filter(|candidate| candidate.role.is_none() && !candidate.ty.is_media())
    {
        let input = candidate.input.to_lowercase();
        let text =
            candidate.ty == ParamType::String && !matches!(input.as_str(), "sampler_name" | "scheduler");
        if !text {
            let named = |(name, _): &&(&str, &str)| *name == input;
            let repeats = candidate.class_type == "RepeatLatentBatch" && input == "amount";
            let role =
                if repeats { Some("batch_size") } else { ROLES.iter().find(named).map(|(_, role)| *role) };
            candidate.role = role;
        }
    }
}

/// One sentence for callers, and the unit.
pub(super) fn describe(role: &str) -> Option<(&'static str, Option<&'static str>)> {
    Some(match role {
        "prompt" => ("What to make, in words.", None),
        "negative_prompt" => ("What to keep out, in words.", None),
        "tags" => ("Style tags: genre, instruments, mood, tempo.", None),
        "lyrics" => ("The words to sing; may be empty.", None),
        "segment_prompt" | "detect_prompt" => ("What to find in the picture, in words.", None),
        "qr_text" => ("What the code in the picture says.", None),
        "overlay_text" => ("What is written in the picture.", None),
        "instruction" => ("What a language model in the workflow is told to do.", None),
        "seed" => {
            ("The same seed and parameters give the same result; drawn at random where left out.", None)
        }
        "steps" => ("How many steps the sampler takes.", Some("steps")),
        "cfg" => ("How closely to follow the prompt (classifier-free guidance).", None),
        "guidance" => ("How closely to follow the prompt (distilled guidance).", None),
        "denoise" => ("How far to move away from the input: 0 keeps it, 1 ignores it.", None),
        "width" => ("Width of the result.", Some("pixels")),
        "height" => ("Height of the result.", Some("pixels")),
        "length" | "num_frames" => ("How many frames to make.", Some("frames")),
        "fps" => ("How many frames are shown each second.", Some("frames per second")),
        "seconds" | "duration" => ("How long the result lasts.", Some("seconds")),
        "batch_size" => ("How many results to make at once.", None),
        "sampler_name" => ("The sampling algorithm.", None),
        "scheduler" => ("How noise levels are spread over the steps.", None),
        _ => return None,
    })
}
