//! The document describes the server that serves it.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::process::{Comfyport, repository, run};

/// Routes of workflows, with the operation that runs each.
fn endpoints(document: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let paths = document["paths"].as_object().unwrap().iter();
    paths.filter_map(|(path, item)| {
        let is_workflow = item["post"]["requestBody"]["content"]["multipart/form-data"].is_object();
        (is_workflow && !path.ends_with(":check") && path != "/uploads")
            .then(|| (path.as_str(), &item["post"]))
    })
}

fn examples(operation: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let examples = operation["requestBody"]["content"]["application/json"]["examples"].as_object();
    examples.unwrap().iter().map(|(name, example)| (name.as_str(), &example["value"]))
}

/// What an operation answers with where all went well.
fn answer<'d>(document: &'d Value, path: &str, method: &str) -> &'d Value {
    &document["paths"][path][method]["responses"]["200"]["content"]["application/json"]["schema"]
}

/// Whether a value is what a schema says, and has nothing that the schema does not speak of.
fn assert_described(document: &Value, schema: &Value, value: &Value, place: &str) {
    if let Some(target) = schema["$ref"].as_str() {
        return assert_described(document, document.pointer(&target[1..]).unwrap(), value, place);
    }
    let of_type = match schema["type"].as_str() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("number") => value.is_number(),
        Some("boolean") => value.is_boolean(),
        _ => true,
    };
    assert!(of_type, "{place}: {value} is not {schema}");
    if let Some(options) = schema["enum"].as_array() {
        assert!(options.contains(value), "{place}: {value} is not one of {options:?}");
    }
    if let Some(constant) = schema.get("const") {
        assert_eq!(constant, value, "{place}");
    }
    for name in schema["required"].as_array().into_iter().flatten() {
        assert!(value.get(name.as_str().unwrap()).is_some(), "{place}: no {name} in {value}");
    }
    if let (Some(properties), Some(members)) = (schema["properties"].as_object(), value.as_object()) {
        for (name, member) in members {
            let place = format!("{place}/{name}");
            let property = properties.get(name).unwrap_or_else(|| panic!("{place} is not described"));
            assert_described(document, property, member, &place);
        }
    }
    for item in value.as_array().into_iter().flatten() {
        assert_described(document, &schema["items"], item, place);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_example_runs_and_every_answer_is_what_the_document_says() {
    let server = Comfyport::simulated();
    let document = server.read("/openapi.json", 200).await.json();
    let mut ran = 0;
    for (path, operation) in endpoints(&document) {
        for (name, request) in examples(operation) {
            let result = server.call(path, request, 200).await;
            assert_described(&document, answer(&document, path, "post"), &result, &format!("{path} {name}"));
            ran += 1;
        }
        let check = format!("{path}:check");
        for (name, request) in examples(&document["paths"][&check]["post"]) {
            let verdict = server.call(&check, request, 200).await;
            assert_described(
                &document,
                answer(&document, &check, "post"),
                &verdict,
                &format!("{check} {name}"),
            );
            assert_eq!(verdict["ready"], true, "{check} {name}: {verdict}");
        }
        let described = server.read(path, 200).await.json();
        assert_described(&document, answer(&document, path, "get"), &described, path);
    }
    assert_eq!(ran, endpoints(&document).count() * 2, "each has a minimal example and one with defaults");
    for path in ["/workflows", "/models", "/nodes", "/health", "/ready", "/engines", "/engines/simulator"] {
        let found = server.read(path, 200).await.json();
        assert_described(&document, answer(&document, path, "get"), &found, path);
    }
    let problem = server.call("/sd15/txt2img", &json!({"promt": 1}), 422).await;
    assert_described(&document, &document["components"]["schemas"]["Problem"], &problem, "problem");
}

/// Leaving a value out is the same as giving its documented default: all at once, and each alone.
#[tokio::test(flavor = "multi_thread")]
async fn documented_defaults_are_what_the_server_takes() {
    let server = Comfyport::simulated();
    let document = server.read("/openapi.json", 200).await.json();
    let mut compared = 0;
    for (path, operation) in endpoints(&document) {
        let check = format!("{path}:check");
        let (_, minimal) = examples(operation).find(|(name, _)| *name == "minimal").unwrap();
        let schema = &document["components"]["schemas"]
            [operation["operationId"].as_str().map(|id| format!("{}Request", pascal(id))).unwrap()];
        let with = |name: &str, value: &Value, advanced: bool| {
            let mut request = minimal.clone();
            let place = if advanced { &mut request["advanced"] } else { &mut request };
            place[name] = value.clone();
            request
        };
        // Seeds are drawn anew for each request: they are set, all to one value.
        let of = |properties: &Value| properties.as_object().cloned().unwrap_or_default();
        let (primary, advanced) =
            (of(&schema["properties"]), of(&schema["properties"]["advanced"]["properties"]));
        let mut fixed = minimal.clone();
        for (members, is_advanced) in [(&primary, false), (&advanced, true)] {
            for (name, property) in members.iter().filter(|(_, property)| is_seed(property)) {
                assert!(property.get("default").is_none(), "{path} {name}");
                let place = if is_advanced { &mut fixed["advanced"] } else { &mut fixed };
                place[name] = json!(7);
            }
        }
        let left_out = server.call(&check, &fixed, 200).await["params"].clone();
        for (members, is_advanced) in [(&primary, false), (&advanced, true)] {
            for (name, property) in members {
                let Some(default) = property.get("default") else { continue };
                let mut request = with(name, default, is_advanced);
                merge(&mut request, &fixed);
                let given = server.call(&check, &request, 200).await["params"].clone();
                assert!(is_same(&given, &left_out), "{path} {name} = {default}: {given}, not {left_out}");
                let taken = if is_advanced { &given["advanced"][name] } else { &given[name] };
                assert!(is_same(taken, default), "{path} {name}: {given}");
                compared += 1;
            }
        }
    }
    assert!(compared > 100, "only {compared} defaults");
}

/// `5` and `5.0` are one number in JSON.
fn is_same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left.iter().all(|(name, one)| right.get(name).is_some_and(|other| is_same(one, other)))
        }
        (Value::Number(left), Value::Number(right)) if left.is_f64() || right.is_f64() => {
            left.as_f64() == right.as_f64()
        }
        _ => left == right,
    }
}

fn is_seed(property: &Value) -> bool {
    property["type"] == "integer"
        && property["minimum"] == 0
        && property.get("default").is_none()
        && property["maximum"].as_u64().is_some_and(|max| max >= 1 << 32)
}

fn merge(target: &mut Value, from: &Value) {
    for (name, value) in from.as_object().unwrap() {
        if value.is_object() && target.get(name).is_some_and(Value::is_object) {
            merge(&mut target[name], value);
        } else {
            target[name] = value.clone();
        }
    }
}

/// `sd15_txt2img` is `Sd15Txt2img`.
fn pascal(id: &str) -> String {
    let capital = |word: &str| word[..1].to_uppercase() + &word[1..];
    id.split('_').filter(|word| !word.is_empty()).map(capital).collect()
}

#[test]
fn every_choice_of_texts_has_names_for_its_options() {
    let document: Value = serde_json::from_slice(&run(&["openapi"]).stdout).unwrap();
    let mut choices = 0;
    each_object(&document, "", &mut |place, object| {
        let Some(options) = object.get("enum").and_then(Value::as_array) else { return };
        assert_eq!(object.get("type"), Some(&json!("string")), "{place}");
        let names: Vec<&str> =
            object["x-enum-varnames"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
        assert_eq!(names.len(), options.len(), "{place}");
        let distinct: BTreeSet<String> = names.iter().map(|name| name.to_lowercase()).collect();
        assert_eq!(distinct.len(), names.len(), "{place}: {names:?}");
        for name in &names {
            assert!(name.starts_with(|first: char| first.is_ascii_alphabetic()), "{place}: {name}");
            assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{place}: {name}");
            let taken = ["self", "none", "true", "false", "null", "any", "type", "protocol"];
            assert!(!taken.contains(&name.to_lowercase().as_str()), "{place}: {name}");
        }
        choices += 1;
    });
    assert!(choices > 50, "only {choices} choices");
}

fn each_object(value: &Value, place: &str, visit: &mut impl FnMut(&str, &serde_json::Map<String, Value>)) {
    match value {
        Value::Object(members) => {
            visit(place, members);
            for (name, member) in members {
                each_object(member, &format!("{place}/{name}"), visit);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| each_object(item, place, visit)),
        _ => {}
    }
}

#[test]
fn files_say_what_they_hold() {
    let document: Value = serde_json::from_slice(&run(&["openapi"]).stdout).unwrap();
    let schemas = &document["components"]["schemas"];
    for (name, kind, media) in [("image", "image", "image/*"), ("mask", "mask", "image/*")] {
        for part in ["Request", "Form"] {
            let property = &schemas[format!("Sd15Inpaint{part}")]["properties"][name];
            assert_eq!(
                (&property["x-media-kind"], &property["contentMediaType"]),
                (&json!(kind), &json!(media))
            );
        }
        let form =
            &document["paths"]["/sd15/inpaint"]["post"]["requestBody"]["content"]["multipart/form-data"];
        assert_eq!(form["encoding"][name]["contentType"], media);
    }
    let video = &schemas["WanTxt2videoResponse"]["properties"]["outputs"]["properties"]["video"];
    assert_eq!(video["items"]["x-media-kind"], "video");
}

/// Clients are generated from these: a change is a change of theirs.
#[test]
fn operation_ids_are_unique_and_stay() {
    let document: Value = serde_json::from_slice(&run(&["openapi"]).stdout).unwrap();
    let mut ids = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            ids.push(format!(
                "{} {} {path}",
                operation["operationId"].as_str().unwrap(),
                method.to_uppercase()
            ));
        }
    }
    ids.sort_unstable();
    let distinct: BTreeSet<&str> = ids.iter().map(|id| id.split(' ').next().unwrap()).collect();
    assert_eq!(distinct.len(), ids.len(), "{ids:#?}");
    let found = ids.join("\n") + "\n";
    let golden = repository("tests/it/operation_ids.txt");
    if std::env::var_os("COMFYPORT_BLESS").is_some() {
        std::fs::write(&golden, &found).unwrap();
    }
    assert_eq!(found, std::fs::read_to_string(golden).unwrap_or_default());
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_batches_and_deliveries_are_what_the_document_says() {
    // Nobody listens there: deliveries wait for another try.
    let hook = "http://127.0.0.1:9/hook";
    let server = Comfyport::simulated_with(&[
        ("COMFYPORT_WEBHOOKS_ALLOW", "[\"http://127.0.0.1:9\"]"),
        ("COMFYPORT_WEBHOOKS_SECRETS", "[\"whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz\"]"),
    ]);
    let document = server.read("/openapi.json", 200).await.json();
    let options = json!({
        "inline": false, "previews": false, "timeout_s": 60, "priority": 9, "deadline": "2999-01-01T00:00:00Z",
        "max_attempts": 2, "tags": ["a"], "webhook": {"url": hook, "events": ["job.queued"]}, "metadata": {"a": 1},
        "cancel_on_disconnect": false, "cache": false, "embedded": "strip", "thumbnail": {"width": 32},
        "convert": {"format": "png", "resize": {"width": 32, "fit": "inside", "upscale": false}},
        "store": "results",
    });
    let described = &document["components"]["schemas"]["RunOptions"];
    assert_described(&document, described, &options, "options");
    assert_eq!(described["properties"].as_object().unwrap().len(), options.as_object().unwrap().len());
    // There are no buckets here.
    let mut usable = options.clone();
    usable.as_object_mut().unwrap().remove("store");
    let request = json!({"prompt": "a fox", "steps": 1, "options": usable});
    let job = server.call("/sd15/txt2img", &request, 202).await;
    assert_described(&document, &document["components"]["schemas"]["Job"], &job, "202");
    let id = job["id"].as_str().unwrap();
    server.read(&format!("/jobs/{id}/events"), 200).await;
    let items = json!({"items": [{"seed": 1}, {"seed": 2}], "base": {"prompt": "a fox", "steps": 1}});
    let batch = server.call("/sd15/txt2img:batch", &items, 202).await;
    assert_described(&document, &document["components"]["schemas"]["Batch"], &batch, "batch");
    let batch = batch["id"].as_str().unwrap();
    for template in [
        "/jobs",
        "/jobs/{id}",
        "/jobs/{id}/webhooks",
        "/webhooks",
        "/batches/{id}",
        "/engines",
        "/engines/{name}",
    ] {
        let of = if template.starts_with("/batches") { batch } else { id };
        let path = template.replace("{id}", of).replace("{name}", "simulator");
        let answer = server.read(&path, 200).await.json();
        assert_described(&document, self::answer(&document, template, "get"), &answer, &path);
    }
}
