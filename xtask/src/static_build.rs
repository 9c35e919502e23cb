//! The static release build, and the proof that the file runs with nothing beside it.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use crate::{Outcome, cargo};

/// Builds with `.cargo/static.toml`, then checks the linkage and serves from an empty root file system.
///
/// `profile` is cargo's: `release` where nobody says; `dev` links the same in a fraction of the time.
pub(crate) fn build_and_check(profile: Option<&str>) -> Outcome {
    let profile = profile.unwrap_or("release");
    cargo(&["build", "--profile", profile, "--config", ".cargo/static.toml"], &[])?;
    let binary = find_binary(profile)?;
    check_linkage(&binary)?;
    check_bare_root(&binary)?;
    let megabytes = fs::metadata(&binary).map_or(0, |data| data.len()) as f64 / 1e6;
    eprintln!("{}: static, {megabytes:.1} MB, serves from an empty root", binary.display());
    Ok(())
}

fn find_binary(profile: &str) -> Result<PathBuf, String> {
    let file = format!("{}/comfyport", if profile == "dev" { "debug" } else { profile });
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    let newest = fs::read_dir(&target)
        .map_err(|error| format!("{}: {error}", target.display()))?
        .filter_map(Result::ok)
        .map(|entry| entry.path().join(&file))
        .filter(|path| path.is_file())
        .max_by_key(|path| path.metadata().and_then(|data| data.modified()).ok());
    newest.ok_or_else(|| format!("no `<target>/{file}` under {}", target.display()))
}

fn check_linkage(binary: &Path) -> Outcome {
    let output = Command::new("ldd").arg(binary).output().map_err(|error| format!("ldd: {error}"))?;
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    if text.contains("statically linked") || text.contains("not a dynamic executable") {
        return Ok(());
    }
    Err(format!("{} is not static:\n{text}", binary.display()))
}

/// `chroot` needs root or a user namespace; without either the check says so and fails.
fn check_bare_root(binary: &Path) -> Outcome {
    let root = std::env::temp_dir().join(format!("comfyport-bare-root-{}", std::process::id()));
    fs::create_dir_all(&root).map_err(|error| format!("{}: {error}", root.display()))?;
    let checked = copy_and_serve(binary, &root);
    fs::remove_dir_all(&root).ok();
    checked
}

fn copy_and_serve(binary: &Path, root: &Path) -> Outcome {
    fs::copy(binary, root.join("comfyport")).map_err(|error| format!("copying the binary: {error}"))?;
    let mut server = Command::new("unshare")
        .args(["--user", "--map-root-user", "chroot"])
        .arg(root)
        .args(["/comfyport", "serve", "--simulate", "--listen", "127.0.0.1:0", "--data-dir", "/data"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("unshare: {error}"))?;
    let checked = ask(&mut server);
    server.kill().ok();
    server.wait().ok();
    checked
}

fn ask(server: &mut Child) -> Outcome {
    let stderr = server.stderr.take().ok_or("no standard error")?;
    let mut said = String::new();
    let mut lines = BufReader::new(stderr).lines();
    let address = lines.by_ref().map_while(Result::ok).find_map(|line| {
        said.push_str(&line);
        said.push('\n');
        Some(line.split_once("listening on http://")?.1.trim().to_owned())
    });
    let Some(address) = address else { return Err(format!("the server did not start:\n{said}")) };
    // The pipe stays drained so that the server never blocks on its log.
    std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
    for path in ["/health", "/docs/", "/openapi.json"] {
        let status = get(&address, path).map_err(|error| format!("GET {path}: {error}"))?;
        if status != 200 {
            return Err(format!("GET {path} answered {status} in the bare root"));
        }
    }
    Ok(())
}

fn get(address: &str, path: &str) -> std::io::Result<u16> {
    let mut stream = TcpStream::connect(address)?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let head = String::from_utf8_lossy(&answer);
    Ok(head.split_whitespace().nth(1).and_then(|status| status.parse().ok()).unwrap_or(0))
}
