//! A registry that has what a test puts into it.

use std::{
    collections::BTreeMap,
    io::{Cursor, Write},
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Bytes,
    http::{StatusCode, Uri},
    response::IntoResponse,
};
use serde_json::{Value, json};
use zip::{ZipWriter, write::SimpleFileOptions};

use super::Server;

/// A server that answers as the Comfy Registry does, and keeps the archives that it names.
#[derive(Debug)]
pub struct FakeRegistry {
    /// Where it is.
    pub server: Server,
    answers: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl FakeRegistry {
    /// One that has nothing.
    pub async fn start() -> Self {
        let answers = Arc::<Mutex<BTreeMap<String, Vec<u8>>>>::default();
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let (shelf, noted) = (Arc::clone(&answers), Arc::clone(&asked));
        let answer = move |uri: Uri| async move {
            let path = uri.path_and_query().unwrap().to_string();
            noted.lock().unwrap().push(path.clone());
            match shelf.lock().unwrap().get(&path) {
                Some(body) => Bytes::from(body.clone()).into_response(),
                None => (StatusCode::NOT_FOUND, r#"{"error":"","message":"not found"}"#).into_response(),
            }
        };
        let server = Server::new(Router::new().fallback(answer)).await;
        Self { server, answers, asked }
    }

    /// Answers a path with this.
    pub fn put(&self, path: &str, body: impl Into<Vec<u8>>) {
        self.answers.lock().unwrap().insert(path.to_owned(), body.into());
    }

    /// What is answered to a path.
    pub fn answer(&self, path: &str) -> Vec<u8> {
        self.answers.lock().unwrap()[path].clone()
    }

    /// Knows a pack, with its newest version.
    pub fn put_pack(&self, id: &str, repository: &str, newest: &str) {
        let pack = json!({"id": id, "repository": repository, "latest_version": {"version": newest}});
        self.put(&format!("/nodes/{id}"), pack.to_string());
    }

    /// Knows which pack has a class.
    pub fn put_class(&self, class: &str, id: &str, repository: &str, newest: &str) {
        let pack = json!({"id": id, "repository": repository, "latest_version": {"version": newest}});
        self.put(&format!("/comfy-nodes/{class}/node"), pack.to_string());
    }

    /// Has a version of a pack, with these files in its archive.
    pub fn put_version(&self, id: &str, version: &str, status: &str, files: &[(&str, &str)]) {
        self.put_requiring(id, version, status, &[], files);
    }

    /// The same, with what it asks of Python.
    pub fn put_requiring(
        &self,
        id: &str,
        version: &str,
        status: &str,
        dependencies: &[&str],
        files: &[(&str, &str)],
    ) {
        let path = format!("/cdn/{id}/{version}/node.zip");
        let told: Value = json!({
            "id": "x", "node_id": id, "version": version, "status": format!("NodeVersionStatus{status}"),
            "deprecated": false, "dependencies": dependencies,
            "downloadUrl": format!("{}{path}", self.server.url()),
        });
        self.put(&path, archive(files));
        self.put(&format!("/nodes/{id}/versions/{version}"), told.to_string());
    }

    /// Whether somebody asked for something like this.
    pub fn was_asked(&self, path: &str) -> bool {
        self.asked.lock().unwrap().iter().any(|asked| asked.contains(path))
    }
}

fn archive(files: &[(&str, &str)]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, text) in files {
        writer.start_file(*name, SimpleFileOptions::default()).unwrap();
        writer.write_all(text.as_bytes()).unwrap();
    }
    writer.finish().unwrap().into_inner()
}
