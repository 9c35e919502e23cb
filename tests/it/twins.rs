//! The bundled workflows, compiled in and read from a folder at the same time, do not differ.

use std::{fs, path::Path};

use serde_json::{Map, Value, json};

use crate::{
    dynamic::serving,
    process::{Comfyport, repository},
};

/// The bundled workflows in a folder of another name.
fn copies() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    copy(Path::new(&repository("workflow_templates")), &folder.path().join("copies"));
    if let Ok(definitions) = fs::read(repository("workflow_templates/object_info.json")) {
        fs::write(folder.path().join("object_info.json"), definitions).unwrap();
    }
    folder
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, target) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        if path.is_dir() {
            copy(&path, &target);
        } else if path.file_name().is_some_and(|name| name != "object_info.json") {
            fs::copy(path, target).unwrap();
        }
    }
}

/// Text in which a copy is called what its original is.
fn plain(value: &Value) -> String {
    let text = serde_json::to_string_pretty(value).unwrap();
    text.replace("copies/", "").replace("copies_", "").replace("Copies", "")
}

/// An answer without what differs from run to run, and between the two by design.
fn comparable(answer: &Value) -> String {
    fn drop_chance(value: &mut Value) {
        if let Some(members) = value.as_object_mut() {
            let chance = |name: &str| {
                name.contains("seed")
                    || ["id", "url", "request_id", "timing", "dynamic", "sha256", "size"].contains(&name)
            };
            members.retain(|name, _| !chance(name));
            members.values_mut().for_each(drop_chance);
        } else if let Some(items) = value.as_array_mut() {
            items.iter_mut().for_each(drop_chance);
        }
    }
    let mut answer = answer.clone();
    drop_chance(&mut answer);
    plain(&answer)
}

async fn paths(server: &Comfyport) -> Vec<String> {
    let list = server.read("/workflows", 200).await.json();
    let compiled = list["workflows"].as_array().unwrap().iter().filter(|entry| entry["dynamic"] == false);
    compiled.map(|entry| entry["path"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn they_are_documented_and_described_alike() {
    let folder = copies();
    let server = serving(folder.path());
    let document = server.read("/openapi.json", 200).await.json();
    let paths = paths(&server).await;
    assert!(paths.len() >= 13, "{paths:?}");
    for path in paths {
        for route in [format!("/{path}"), format!("/{path}:check")] {
            let (compiled, copy) =
                (&document["paths"][&route], &document["paths"][format!("/copies{route}")]);
            assert!(compiled.is_object(), "{route}");
            assert_eq!(plain(compiled), plain(copy), "{route}");
        }
        let compiled = server.read(&format!("/{path}"), 200).await.json();
        let mut copy = server.read(&format!("/copies/{path}"), 200).await.json();
        assert_eq!(copy["dynamic"], true);
        let file = copy.as_object_mut().unwrap().remove("file").unwrap();
        assert_eq!(file, format!("copies/{path}.json"));
        assert_eq!(comparable(&compiled), comparable(&copy), "{path}");
    }
    let schemas = document["components"]["schemas"].as_object().unwrap();
    let copies = schemas.keys().filter(|name| name.starts_with("Copies"));
    let mut compared = 0;
    for name in copies {
        assert_eq!(plain(&schemas[&name["Copies".len()..]]), plain(&schemas[name]), "{name}");
        compared += 1;
    }
    assert!(compared >= 39, "{compared}");
}

/// Values that suit no field, some field, or every field but by a hair.
fn odd_values() -> Vec<Value> {
    let long = "x".repeat(100_001);
    vec![
        json!(null),
        json!(true),
        json!("nonsense"),
        json!("../../etc/passwd"),
        json!(""),
        json!(long),
        json!(-1),
        json!(0),
        json!(1.5),
        json!(20.0),
        json!(1e300),
        json!(u64::MAX),
        json!({"url": 1}),
        json!([1]),
    ]
}

/// Requests to an endpoint with this schema: each odd value everywhere, then each bound and default everywhere.
fn requests(schema: &Value, example: &Value) -> Vec<Value> {
    let fill = |value: &dyn Fn(&Value) -> Option<Value>| {
        let object = |schema: &Value| -> Map<String, Value> {
            let all = schema["properties"].as_object().unwrap().iter();
            let own = all.filter(|(name, _)| !matches!(name.as_str(), "advanced" | "options"));
            own.filter_map(|(name, schema)| Some((name.clone(), value(schema)?))).collect()
        };
        let mut request = object(schema);
        if schema["properties"].get("advanced").is_some() {
            request.insert("advanced".to_owned(), object(&schema["properties"]["advanced"]).into());
        }
        request
    };
    let mut requests: Vec<Value> = odd_values()
        .iter()
        .map(|odd| {
            let mut request = fill(&|_| Some(odd.clone()));
            request.insert("prmopt".to_owned(), odd.clone());
            request.insert("options".to_owned(), json!({"inlin": odd}));
            request.into()
        })
        .collect();
    for key in ["default", "minimum", "maximum"] {
        let mut request = example.as_object().unwrap().clone();
        request.extend(fill(&|schema| schema.get(key).cloned()));
        requests.push(request.into());
    }
    let mut request = example.as_object().unwrap().clone();
    request.extend(fill(&|schema| schema["enum"].as_array()?.last().cloned()));
    requests.push(request.into());
    requests.extend([json!({}), json!([])]);
    requests
}

#[tokio::test(flavor = "multi_thread")]
async fn they_answer_alike() {
    let folder = copies();
    let server = serving(folder.path());
    let document = server.read("/openapi.json", 200).await.json();
    for path in paths(&server).await {
        let body =
            &document["paths"][format!("/{path}")]["post"]["requestBody"]["content"]["application/json"];
        let example = body["examples"]["minimal"]["value"].clone();
        let schema = document.pointer(&body["schema"]["$ref"].as_str().unwrap()[1..]).unwrap();
        let mut accepted = 0;
        let documented = body["examples"].as_object().unwrap().values().map(|one| one["value"].clone());
        for request in requests(schema, &example).into_iter().chain(documented) {
            let ask = async |route: String| {
                let answer = server.post(&route).body(request.to_string()).send().await.unwrap();
                (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
            };
            let (status, compiled) = ask(format!("/{path}:check")).await;
            let (twin_status, copy) = ask(format!("/copies/{path}:check")).await;
            assert_eq!(status, twin_status, "{path} {request}");
            assert_eq!(comparable(&compiled), comparable(&copy), "{path} {request}");
            accepted += usize::from(status == 200);
        }
        assert!(accepted >= 3, "{path}: only {accepted} requests are in order");
        let compiled = server.call(&format!("/{path}"), &example, 200).await;
        let copy = server.call(&format!("/copies/{path}"), &example, 200).await;
        assert_eq!(comparable(&compiled), comparable(&copy), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn forms_are_read_alike() {
    let folder = copies();
    let server = serving(folder.path());
    let mut answers = Vec::new();
    for route in ["/image/resize:check", "/copies/image/resize:check"] {
        let form = "--b\r\nContent-Disposition: form-data; name=\"image\"\r\n\r\nAAAA\r\n\
            --b\r\nContent-Disposition: form-data; name=\"width\"\r\n\r\nwide\r\n\
            --b\r\nContent-Disposition: form-data; name=\"advanced.crop\"\r\n\r\ncentre\r\n--b--\r\n";
        let request = server.post(route).header("content-type", "multipart/form-data; boundary=b").body(form);
        answers.push(comparable(&server.expect(request, 415).await.json()));
    }
    assert_eq!(answers[0], answers[1]);
}
