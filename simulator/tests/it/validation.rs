//! Refused prompts.

use std::collections::BTreeMap;

use comfyport_simulator::{Models, Options, Simulator, open_class};
use serde_json::{Value, json};

use crate::{client::post, protocol::txt2img};

fn picture(width: &Value) -> Value {
    json!({
        "1": {"class_type": "EmptyImage", "inputs": {"width": width, "height": 16, "batch_size": 1, "color": 0}},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "v"}},
    })
}

#[tokio::test]
async fn bodies_are_those_of_comfyui() {
    let simulator = Simulator::start(Options::default()).await.unwrap();
    let ask = async |prompt: Value| post(simulator.addr(), "/prompt", &json!({"prompt": prompt})).await;
    let small = ask(picture(&json!(0))).await;
    assert_eq!(small.status, 400);
    assert_eq!(
        small.json(),
        json!({
            "error": {"type": "prompt_outputs_failed_validation", "message": "Prompt outputs failed validation",
                      "details": "", "extra_info": {}},
            "node_errors": {"1": {"errors": [{"type": "value_smaller_than_min", "message": "Value 0 smaller than min of 1",
                "details": "width", "extra_info": {"input_name": "width",
                    "input_config": ["INT", {"default": 512, "min": 1, "max": 16384, "step": 1}], "received_value": 0}}],
                "dependent_outputs": ["2"], "class_type": "EmptyImage"}},
        })
    );
    let cases = [
        (
            picture(&json!("abc")),
            "1",
            "invalid_input_type",
            "width, abc, invalid literal for int() with base 10: 'abc'",
        ),
        (picture(&json!(99_999)), "1", "value_bigger_than_max", "width"),
        (
            json!({"2": {"class_type": "SaveImage", "inputs": {"filename_prefix": "v"}}}),
            "2",
            "required_input_missing",
            "images",
        ),
        (
            json!({"2": {"class_type": "SaveImage", "inputs": {"images": ["77", 0], "filename_prefix": "v"}}}),
            "2",
            "exception_during_validation",
            "'77'",
        ),
        (
            json!({"1": {"class_type": "LoadImage", "inputs": {"image": "missing.png"}},
                "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "v"}}}),
            "1",
            "custom_validation_failed",
            "image - Invalid image file: missing.png",
        ),
        (
            json!({"1": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}},
                "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "v"}}}),
            "2",
            "return_type_mismatch",
            "images, received_type(LATENT) mismatch input_type(IMAGE)",
        ),
    ];
    for (prompt, node, kind, details) in cases {
        let answer = ask(prompt).await;
        let error = answer.json()["node_errors"][node]["errors"][0].clone();
        assert_eq!((answer.status, &error["type"], &error["details"]), (400, &json!(kind), &json!(details)));
    }
    let unknown = ask(json!({"1": {"class_type": "NoSuchNode", "inputs": {}}})).await.json();
    assert_eq!(unknown["error"]["type"], "invalid_prompt");
    assert_eq!(ask(json!({})).await.json()["error"]["type"], "prompt_no_outputs");
    let cycle = ask(json!({
        "1": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "v"}},
    }))
    .await;
    assert_eq!((cycle.status, &cycle.json()["node_errors"]), (400, &json!({})));
    simulator.stop().await;
}

#[tokio::test]
async fn one_good_output_is_enough() {
    let simulator = Simulator::start(Options::default()).await.unwrap();
    let mut prompt = picture(&json!(16));
    prompt["3"] = json!({"class_type": "EmptyImage", "inputs": {"width": 0, "height": 16, "batch_size": 1, "color": 0}});
    prompt["4"] = json!({"class_type": "SaveImage", "inputs": {"images": ["3", 0], "filename_prefix": "v"}});
    let answer = post(simulator.addr(), "/prompt", &json!({"prompt": prompt})).await;
    assert_eq!(
        (answer.status, &answer.json()["node_errors"]["3"]["dependent_outputs"]),
        (200, &json!(["4"]))
    );
    simulator.stop().await;
}

#[tokio::test]
async fn models_and_classes_can_be_limited_and_added() {
    let models =
        Models::Exact(BTreeMap::from([("checkpoints".to_owned(), vec!["only.safetensors".to_owned()])]));
    let extra_classes = vec![open_class("SomeTiler", false)];
    let simulator = Simulator::start(Options { models, extra_classes, ..Options::default() }).await.unwrap();
    let mut prompt = txt2img(1);
    prompt["10"] = json!({"class_type": "SomeTiler", "inputs": {"image": ["8", 0], "tiles": 3}});
    prompt["9"]["inputs"]["images"] = json!(["10", 0]);
    let refused = post(simulator.addr(), "/prompt", &json!({"prompt": prompt})).await;
    let error = refused.json()["node_errors"]["4"]["errors"][0].clone();
    assert_eq!(error["details"], "ckpt_name: 'any.safetensors' not in ['only.safetensors']");
    prompt["4"]["inputs"]["ckpt_name"] = json!("only.safetensors");
    let accepted = post(simulator.addr(), "/prompt", &json!({"prompt": prompt})).await;
    assert_eq!(accepted.status, 200, "{}", accepted.text());
    simulator.stop().await;
}
