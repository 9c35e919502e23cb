//! Versions of a workflow beside each other, and what callers of an old one are told.

use std::{collections::BTreeSet, fs};

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    process::{Answer, Comfyport, run},
    project::{Project, own},
};

const NONE: [&str; 0] = [];

fn values<'a>(answer: &'a Answer, name: &str) -> Vec<&'a str> {
    answer.headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
}

fn listed<'a>(list: &'a Value, path: &str) -> Vec<&'a Value> {
    list["workflows"].as_array().unwrap().iter().filter(|one| one["path"] == path).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_run_beside_each_other_and_the_plain_path_runs_the_newest() {
    let server = Comfyport::simulated();
    let first = json!({"width": 20, "height": 30});
    let second = json!({"size": 40});
    for (path, request, workflow) in [
        ("/v1/portrait", &first, "v1/portrait"),
        ("/v2/portrait", &second, "v2/portrait"),
        ("/portrait", &second, "v2/portrait"),
        ("/v1/qwen/edit", &first, "v1/qwen/edit"),
        ("/v3/qwen/edit", &first, "v3/qwen/edit"),
        ("/qwen/edit", &first, "v3/qwen/edit"),
        ("/plain", &first, "plain"),
    ] {
        let result = server.call(path, request, 200).await;
        assert_eq!(
            (&result["workflow"], &result["status"]),
            (&json!(workflow), &json!("succeeded")),
            "{path}"
        );
        let described = server.read(path, 200).await.json();
        assert_eq!(described["path"], workflow, "{path}");
        let verdict = server.call(&format!("{path}:check"), request, 200).await;
        assert_eq!(verdict["workflow"], workflow, "{path}");
    }
    // Each version has fields of its own.
    for (path, request) in [("/portrait", &first), ("/v2/portrait", &first), ("/v1/portrait", &second)] {
        let problem = server.call(path, request, 422).await;
        assert_eq!(problem["code"], "invalid_request", "{path}: {problem}");
    }
    for path in ["/v1/plain", "/v2/qwen/edit", "/v3/portrait", "/portrait@2", "/v2", "/v02/portrait"] {
        server.read(path, 404).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_has_each_version_once() {
    let server = Comfyport::simulated();
    let list = server.read("/workflows", 200).await.json();
    assert_eq!(list["workflows"].as_array().unwrap().len(), 5, "{list}");
    let all = |path: &str| {
        let [one] = listed(&list, path)[..] else { panic!("{path}: {list}") };
        one.clone()
    };
    let first = all("v1/portrait");
    assert_eq!((&first["version"], &first["versions"]), (&json!(1), &json!([1, 2])));
    assert_eq!((&first["latest"], &first["paths"]), (&json!(false), &json!(["v1/portrait"])));
    let told = json!({
        "since": "2026-11-01", "sunset": "2027-05-01T12:00:00Z", "link": "https://example.com/portraits?why=new",
        "note": "The second version takes one size.", "successor": "v2/portrait",
    });
    assert_eq!(first["deprecated"], told);
    let second = all("v2/portrait");
    assert_eq!((&second["version"], &second["latest"]), (&json!(2), &json!(true)));
    assert_eq!(
        (&second["paths"], &second["deprecated"]),
        (&json!(["portrait", "v2/portrait"]), &Value::Null)
    );
    let plain = all("plain");
    assert_eq!((&plain["version"], &plain["paths"]), (&Value::Null, &json!(["plain"])));
    assert_eq!(plain["deprecated"], json!({}));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_of_a_deprecated_endpoint_says_so() {
    let server = Comfyport::simulated();
    let url = |path: &str| format!("{}{path}", server.url());
    let http = reqwest::Client::new();
    let fine = json!({"width": 20}).to_string();
    let requests = [
        (server.post("/v1/portrait").body(fine.clone()), 200),
        (server.post("/v1/portrait").body(fine.clone()).header("accept", "image/png"), 200),
        (server.post("/v1/portrait").body(fine.clone()).header("accept", "text/event-stream"), 200),
        (server.post("/v1/portrait").body(fine.clone()).header("accept", "audio/*"), 406),
        (server.post("/v1/portrait").body("{"), 400),
        (server.post("/v1/portrait").body(r#"{"size": 1}"#), 422),
        (server.post("/v1/portrait").body(fine.clone()).header("host", "evil.example"), 403),
        (server.post("/v1/portrait:check").body(fine.clone()), 200),
        (server.post("/v1/portrait:check").body("[]"), 400),
        (server.get("/v1/portrait"), 200),
        (server.get("/v1/%70ortrait"), 200),
        (http.request(Method::DELETE, url("/v1/portrait")), 405),
    ];
    for (index, (request, status)) in requests.into_iter().enumerate() {
        let answer = server.expect(request, status).await;
        assert_eq!(values(&answer, "deprecation"), ["@1793491200"], "request {index}");
        assert_eq!(values(&answer, "sunset"), ["Sat, 01 May 2027 12:00:00 GMT"], "request {index}");
        let links = [
            r#"<https://example.com/portraits?why=new>; rel="deprecation""#,
            r#"</v2/portrait>; rel="successor-version""#,
        ];
        assert_eq!(values(&answer, "link"), links, "request {index}");
    }
    // Without a date, a moment that has passed; without versions, no successor.
    let answer = server.expect(server.post("/plain").body(fine), 200).await;
    assert_eq!((values(&answer, "deprecation"), values(&answer, "link").len()), (vec!["@0"], 0));
    assert_eq!(values(&answer, "sunset"), NONE);
    for path in ["/v2/portrait", "/portrait", "/v3/qwen/edit", "/workflows"] {
        assert_eq!(values(&server.read(path, 200).await, "deprecation"), NONE, "{path}");
    }
    for path in ["/docs/v1/portrait", "/v9/portrait"] {
        assert_eq!(values(&server.read(path, 404).await, "deprecation"), NONE, "{path}");
    }
}

#[test]
fn openapi_has_every_path_once_and_the_plain_one_points_to_the_newest() {
    let output = run(&["openapi"]);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let paths = document["paths"].as_object().unwrap();
    let mut ids = BTreeSet::new();
    for operation in paths.values().flat_map(|path| path.as_object().unwrap().values()) {
        let id = operation["operationId"].as_str().unwrap();
        assert!(ids.insert(id), "`{id}` is there twice");
    }
    for (path, id) in [
        ("/portrait", "portrait"),
        ("/v1/portrait", "v1_portrait"),
        ("/v2/portrait", "v2_portrait"),
        ("/qwen/edit", "qwen_edit"),
        ("/v3/qwen/edit", "v3_qwen_edit"),
    ] {
        assert_eq!(paths[path]["post"]["operationId"], id);
        assert_eq!(paths[path]["get"]["operationId"], format!("describe_{id}"));
        assert_eq!(paths[&format!("{path}:check")]["post"]["operationId"], format!("check_{id}"));
    }
    let schemas = &document["components"]["schemas"];
    for form in ["Request", "Form", "Response"] {
        let newest = json!({"$ref": format!("#/components/schemas/V2Portrait{form}")});
        assert_eq!(schemas[format!("Portrait{form}")], newest);
    }
    assert_eq!(schemas["V1PortraitResponse"]["properties"]["workflow"]["const"], "v1/portrait");
    let old: Vec<&String> = paths
        .iter()
        .filter(|(_, path)| path.as_object().unwrap().values().any(|one| one["deprecated"] == true))
        .map(|(path, _)| path)
        .collect();
    assert_eq!(
        old,
        [
            "/plain",
            "/plain:batch",
            "/plain:check",
            "/v1/portrait",
            "/v1/portrait:batch",
            "/v1/portrait:check"
        ]
    );
    let described = paths["/v1/portrait"]["post"]["description"].as_str().unwrap();
    assert!(described.contains("deprecated since 2026-11-01, gone on 2027-05-01T12:00:00Z"), "{described}");
}

#[test]
fn check_knows_the_versions_beside_a_file() {
    let report = |name: &str| String::from_utf8(run(&["check", &own(name)]).stdout).unwrap();
    let first = report("portrait.json");
    assert!(first.contains("POST /v1/portrait (version 1 of 1, 2)\n"), "{first}");
    assert!(
        first.contains("deprecated since 2026-11-01, gone on 2027-05-01T12:00:00Z: The second version"),
        "{first}"
    );
    let second = report("portrait@2.json");
    assert!(second.contains("POST /portrait, /v2/portrait (version 2 of 1, 2: the newest)\n"), "{second}");
    assert!(report("plain.json").contains("POST /plain\n"));
    assert!(report("qwen/edit@1.png").contains("POST /v1/qwen/edit (version 1 of 1, 3)\n"));
    let output = run(&["check", "--format", "json", &own("portrait.json")]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let endpoint = &report["endpoints"][0];
    assert_eq!((&endpoint["version"], &endpoint["versions"]), (&json!(1), &json!([1, 2])));
    assert_eq!(
        (&endpoint["path"], &endpoint["deprecated"]["since"]),
        (&json!("v1/portrait"), &json!("2026-11-01"))
    );
}

#[test]
fn files_that_cannot_be_versions_stop_the_build_and_say_why() {
    let graph = fs::read_to_string(own("plain.json")).unwrap();
    for (files, expected) in [
        (&["a.json", "a@1.json"][..], "`a.json` and `a@1.json` are both version 1 of `a`"),
        (&["a.json", "a@2.json", "v1/a.json"], "`v1/a.json` and `a.json` (served at `/v1/a`) would be"),
        (&["a@2.json", "v2/a.json"], "`v2/a.json` and `a@2.json` (served at `/v2/a`) would be"),
        (&["a@02.json"], "`a@02`: after `@` comes the number of a version"),
        (&["a@two.json"], "rename the file to `a@2.json`, or without `@`"),
        (&["docs@2.json"], "`/docs` is a route of the server itself"),
        (&["a@2.json", "a@2.png"], "`a@2.json` and `a@2.png` are both the workflow `a@2`"),
    ] {
        let files: Vec<(&str, &str)> = files.iter().map(|name| (*name, graph.as_str())).collect();
        let built = Project::with(&files).build();
        assert!(!built.ok && built.err.contains(expected), "{expected}: {built:?}");
    }
    let project = Project::with(&[("a.json", &graph), ("a@1.json", &graph)]);
    for name in ["a.json", "a@1.json"] {
        let output = run(&["check", &project.path(name)]);
        let said = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("`a.json` and `a@1.json` are both version 1 of `a`"), "{said}");
    }
}

#[test]
fn a_new_version_leaves_the_names_of_older_ones_alone() {
    let graph = fs::read_to_string(own("plain.json")).unwrap();
    let project = Project::with(&[("a.json", &graph), ("v1/other.json", &graph)]);
    assert!(project.build().ok);
    let unversioned = project.generated("a.openapi.json");
    assert!(unversioned.contains("\"operationId\": \"a\"") && !unversioned.contains("v1"), "{unversioned}");
    project.write("a@2.json", &graph);
    assert!(project.build().ok);
    let (first, second) = (project.generated("v1/a.rs"), project.generated("v2/a.openapi.json"));
    assert!(
        second.contains("\"operationId\": \"a\"") && second.contains("\"operationId\": \"v2_a\""),
        "{second}"
    );
    project.write("a@10.json", &graph);
    assert!(project.build().ok);
    assert_eq!(project.generated("v1/a.rs"), first);
    let newer = project.generated("v2/a.openapi.json");
    assert!(
        !newer.contains("\"operationId\": \"a\"") && newer.contains("\"operationId\": \"v2_a\""),
        "{newer}"
    );
    assert!(project.generated("v10/a.openapi.json").contains("\"operationId\": \"a\""));
    let endpoints = project.generated("endpoints.rs");
    assert!(endpoints.contains("pub mod v10 {") && endpoints.contains("&v1::other::ENDPOINT"), "{endpoints}");
}

#[test]
fn what_cannot_be_told_of_a_deprecation_stops_the_build() {
    let graph = fs::read_to_string(own("plain.json")).unwrap();
    for (sidecar, expected) in [
        ("[deprecated]\nsince = 2026-11-01T10:00:00", "`since = 2026-11-01T10:00:00` is no moment"),
        ("[deprecated]\nsince = 2027-01-01\nsunset = 2026-01-01", "is before `since = 2027-01-01`"),
        ("[deprecated]\nlink = \"ftp://x\"", "`link` is no address"),
        ("[deprecated]\nsunst = 2026-01-01", "did you mean `sunset`?"),
        ("[deprecated]\nsince = 2026-02-30", "line 2"),
        ("deprecated = 1", "`deprecated = true` or a table `[deprecated]`"),
    ] {
        let built = Project::with(&[("a.json", &graph), ("a.toml", sidecar)]).build();
        assert!(!built.ok && built.err.contains(expected), "{sidecar}: {built:?}");
    }
}
