//! Servers on ports of this machine.

use std::{path::Path, process::Stdio};

use axum::{
    Router,
    body::{Bytes, to_bytes},
    extract::Request,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::any,
};
use tokio::{io::AsyncWriteExt, net::TcpListener, process::Command, task::JoinHandle};

/// A server that goes with the test.
#[derive(Debug)]
pub struct Server {
    /// Its port.
    pub port: u16,
    task: JoinHandle<()>,
}

impl Server {
    /// Serves these routes.
    pub async fn new(routes: Router) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let task = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { port, task }
    }
}

impl Server {
    /// Its address.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The repositories in a folder, by git's own server.
pub async fn git_server(folder: &Path) -> Server {
    let folder = folder.canonicalize().unwrap();
    let answer = move |request: Request| {
        let folder = folder.clone();
        async move { backend(&folder, request).await }
    };
    Server::new(Router::new().fallback(any(answer))).await
}

async fn backend(folder: &Path, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = to_bytes(body, 64 << 20).await.unwrap();
    let told = |name: header::HeaderName| {
        head.headers.get(name).map_or("", |value| value.to_str().unwrap()).to_owned()
    };
    let mut command = Command::new("git");
    command
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", folder)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("PATH_INFO", head.uri.path())
        .env("QUERY_STRING", head.uri.query().unwrap_or_default())
        .env("REQUEST_METHOD", head.method.as_str())
        .env("CONTENT_TYPE", told(header::CONTENT_TYPE))
        .env("HTTP_CONTENT_ENCODING", told(header::CONTENT_ENCODING))
        .env("GIT_PROTOCOL", told(header::HeaderName::from_static("git-protocol")))
        .env("CONTENT_LENGTH", body.len().to_string());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    tokio::spawn(async move { stdin.write_all(&body).await });
    let said = child.wait_with_output().await.unwrap().stdout;
    let end = said.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let mut status = StatusCode::OK;
    let mut answer = Bytes::copy_from_slice(&said[end + 4..]).into_response();
    for line in std::str::from_utf8(&said[..end]).unwrap().lines() {
        let (name, value) = line.split_once(':').unwrap();
        if name.eq_ignore_ascii_case("status") {
            status = value.trim()[..3].parse().unwrap();
        } else {
            let name: header::HeaderName = name.parse().unwrap();
            answer.headers_mut().insert(name, value.trim().parse().unwrap());
        }
    }
    *answer.status_mut() = status;
    answer
}
