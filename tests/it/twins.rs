//! Workflows, compiled in and read from a folder at the same time, do not differ.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Map, Value, json};

use crate::{
    dynamic::serving,
    process::{Comfyport, repository, run},
    project,
};

/// The bundled workflows in a folder of another name.
fn copies() -> tempfile::TempDir {
    copies_of(Path::new(&repository("workflow_templates")))
}

fn copies_of(workflows: &Path) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    copy(workflows, &folder.path().join("copies"));
    if let Ok(definitions) = fs::read(workflows.join("object_info.json")) {
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
fn comparable(answer: &Value, seeds: &[String]) -> String {
    fn drop_chance(value: &mut Value, seeds: &[String]) {
        if let Some(members) = value.as_object_mut() {
            let chance = |name: &str| {
                seeds.iter().any(|seed| seed == name)
                    || ["id", "url", "request_id", "timing", "dynamic", "sha256", "size"].contains(&name)
            };
            members.retain(|name, _| !chance(name));
            members.values_mut().for_each(|member| drop_chance(member, seeds));
        } else if let Some(items) = value.as_array_mut() {
            for item in items {
                drop_chance(item, seeds);
            }
        }
    }
    let mut answer = answer.clone();
    drop_chance(&mut answer, seeds);
    plain(&answer)
}

/// Fails with the first lines that differ: whole answers are long.
fn assert_alike(compiled: &str, copy: &str, context: &str) {
    let differ = compiled.lines().zip(copy.lines()).enumerate().find(|(_, (left, right))| left != right);
    if let Some((line, (left, right))) = differ {
        panic!("{context}, line {line}:\ncompiled: {left}\ncopy:     {right}");
    }
    assert_eq!(compiled.len(), copy.len(), "{context}: one goes on after the other");
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
    assert!(compare_descriptions(&server).await >= 13);
}

/// How many workflows there are, all of which are described alike.
async fn compare_descriptions(server: &Comfyport) -> usize {
    let document = server.read("/openapi.json", 200).await.json();
    let paths = paths(server).await;
    let workflows = paths.len();
    for path in paths {
        for route in [format!("/{path}"), format!("/{path}:check")] {
            let (compiled, copy) =
                (&document["paths"][&route], &document["paths"][format!("/copies{route}")]);
            assert!(compiled.is_object(), "{route}");
            assert_alike(&plain(compiled), &plain(copy), &route);
        }
        let compiled = server.read(&format!("/{path}"), 200).await.json();
        let mut copy = server.read(&format!("/copies/{path}"), 200).await.json();
        assert_eq!(copy["dynamic"], true);
        // Of a compiled one these were the build's.
        let members = copy.as_object_mut().unwrap();
        members.remove("diagnostics");
        assert_eq!(members.remove("file").unwrap(), format!("copies/{path}.json"));
        assert_alike(&comparable(&compiled, &[]), &comparable(&copy, &[]), &path);
    }
    let schemas = document["components"]["schemas"].as_object().unwrap();
    let copies = schemas.keys().filter(|name| name.starts_with("Copies"));
    let mut compared = 0;
    for name in copies {
        assert_alike(&plain(&schemas[&name["Copies".len()..]]), &plain(&schemas[name]), name);
        compared += 1;
    }
    assert!(compared >= 2 * workflows, "{compared}");
    workflows
}

/// Values that suit no field, some field, or every field but by a hair.
fn odd_values() -> Vec<Value> {
    let long = "x".repeat(100_001);
    vec![
        json!(null),
        json!(true),
        json!("nonsense"),
        json!("../../etc/passwd"),
        json!("https://127.0.0.1/x.safetensors?token=a"),
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
        let mut request = example.as_object().cloned().unwrap_or_default();
        request.extend(fill(&|schema| schema.get(key).cloned()));
        requests.push(request.into());
    }
    let mut request = example.as_object().cloned().unwrap_or_default();
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
        let accepted = compare_checks(&server, &document, &path).await;
        assert!(accepted >= 3, "{path}: only {accepted} requests are in order");
        let example = example(&document, &path);
        let compiled = server.call(&format!("/{path}"), example, 200).await;
        let copy = server.call(&format!("/copies/{path}"), example, 200).await;
        let seeds = seeds(schema(&document, &path));
        assert_alike(&comparable(&compiled, &seeds), &comparable(&copy, &seeds), &path);
    }
}

fn body<'d>(document: &'d Value, path: &str) -> &'d Value {
    &document["paths"][format!("/{path}")]["post"]["requestBody"]["content"]["application/json"]
}

fn schema<'d>(document: &'d Value, path: &str) -> &'d Value {
    let reference = body(document, path)["schema"]["$ref"].as_str().unwrap();
    document.pointer(&reference[1..]).unwrap()
}

/// A request with what is required.
fn example<'d>(document: &'d Value, path: &str) -> &'d Value {
    &body(document, path)["examples"]["minimal"]["value"]
}

/// Whole numbers that are drawn where they are left out: large ones, neither required nor with a default.
fn seeds(schema: &Value) -> Vec<String> {
    let is_required = |name: &String| {
        schema["required"].as_array().is_some_and(|required| required.iter().any(|one| one == name))
    };
    let (own, advanced) = (&schema["properties"], &schema["properties"]["advanced"]["properties"]);
    let all = [own, advanced].into_iter().filter_map(Value::as_object).flatten();
    let drawn = all.filter(|(name, schema)| {
        schema["type"] == "integer"
            && schema.get("default").is_none()
            && !is_required(name)
            && schema["maximum"].as_u64().is_none_or(|most| most > u64::from(u16::MAX))
    });
    drawn.map(|(name, _)| name.clone()).collect()
}

/// How many requests both accept, of a table that both answer alike.
async fn compare_checks(server: &Comfyport, document: &Value, path: &str) -> usize {
    let (schema, example) = (schema(document, path), example(document, path));
    let seeds = seeds(schema);
    let mut accepted = 0;
    let documented = body(document, path)["examples"].as_object().into_iter().flatten();
    let documented = documented.map(|(_, one)| one["value"].clone());
    for request in requests(schema, example).into_iter().chain(documented) {
        let ask = async |route: String| {
            let answer = server.post(&route).body(request.to_string()).send().await.unwrap();
            let status = answer.status().as_u16();
            // Numbers may have more digits than this reader takes; then both answers must have.
            (status, answer.json::<Value>().await.unwrap_or_default())
        };
        let (status, compiled) = ask(format!("/{path}:check")).await;
        let (twin_status, copy) = ask(format!("/copies/{path}:check")).await;
        assert_eq!(status, twin_status, "{path} {request}");
        let context = format!("{path} {request}");
        assert_alike(&comparable(&compiled, &seeds), &comparable(&copy, &seeds), &context);
        accepted += usize::from(status == 200);
    }
    accepted
}

/// Files that make endpoints: one for each odd thing that a workflow can hold, and real ones where
/// `WORKFLOW_CORPUS` says where they are.
fn odd_and_real() -> Vec<PathBuf> {
    let folder = repository("codegen/tests/clashes");
    let real = std::env::var_os("WORKFLOW_CORPUS").map(|corpus| PathBuf::from(corpus).join("api"));
    let folders = [PathBuf::from(&folder)].into_iter().chain(real);
    let mut files: Vec<PathBuf> = folders
        .flat_map(|folder| fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()))
        .filter(|path| path.extension().is_some_and(|ending| ending == "json"))
        .filter(|path| path.file_name().is_some_and(|name| name != "object_info.json"))
        .collect();
    files.sort();
    let names = files.iter().map(|file| file.to_str().unwrap());
    let arguments: Vec<&str> = ["check", "--format", "json"].into_iter().chain(names).collect();
    let report: Value = serde_json::from_slice(&run(&arguments).stdout).unwrap();
    let checked = report["endpoints"].as_array().unwrap().iter();
    let is_sound = |endpoint: &Value| {
        endpoint["diagnostics"].as_array().unwrap().iter().all(|found| found["severity"] != "error")
    };
    files.into_iter().zip(checked).filter(|(_, endpoint)| is_sound(endpoint)).map(|(file, _)| file).collect()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "compiles hundreds of workflows; `.ci/run` asks for it"]
async fn odd_and_real_workflows_do_not_differ_either() {
    let parent = tempfile::tempdir().unwrap();
    let own = parent.path().join("own-twins");
    let made = run(&["new", own.to_str().unwrap(), "--path", &repository("")]);
    assert!(made.status.success());
    let templates = own.join("workflow_templates");
    fs::copy(repository("codegen/tests/clashes/object_info.json"), templates.join("object_info.json"))
        .unwrap();
    for example in ["txt2img.json", "txt2img.toml"] {
        fs::remove_file(templates.join(example)).unwrap();
    }
    fs::create_dir(templates.join("all")).unwrap();
    let files = odd_and_real();
    for (number, file) in files.iter().enumerate() {
        let target = templates.join(format!("all/w{number}.json"));
        fs::copy(file, &target).unwrap();
        if let Ok(sidecar) = fs::read(file.with_extension("toml")) {
            fs::write(target.with_extension("toml"), sidecar).unwrap();
        }
    }
    let folder = copies_of(&templates);
    let settings = [("COMFYPORT_WORKFLOWS_DIR", folder.path().to_str().unwrap())];
    let server = Comfyport::simulated_of(&project::build(&own), &settings);
    assert!(compare_descriptions(&server).await >= files.len());
    let document = server.read("/openapi.json", 200).await.json();
    let mut accepted = 0;
    for path in paths(&server).await {
        accepted += compare_checks(&server, &document, &path).await;
    }
    assert!(accepted >= files.len(), "{accepted} requests are in order for {} workflows", files.len());
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
        answers.push(comparable(&server.expect(request, 415).await.json(), &[]));
    }
    assert_eq!(answers[0], answers[1]);
}
