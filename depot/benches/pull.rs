//! One large file on loopback: fetched, hashed and brought onto the disk by a depot, beside `curl`, which only fetches
//! it, and `sha256sum`. Prints times, ratios and how much memory the depot took.
//!
//! `PULL_BYTES` is the size (2 GiB), `PULL_DIR` the folder (a temporary one), `PULL_ROUNDS` how often (3); the best
//! round counts, for everybody.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::{
    env, fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use comfyport_depot::{Depot, How, Listener, ModelName, Settings, Trust, Wanted, Ways, testing};

const CHILD: &str = "COMFYPORT_PULL_BENCH";

fn main() {
    match env::var(CHILD).as_deref() {
        Ok("host") => host(),
        Ok(task) => depot(task),
        Err(_) => compare(),
    }
}

fn number(variable: &str, or: u64) -> u64 {
    env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(or)
}

/// Sends the same pseudo-random block over and over, from a process of its own.
fn host() {
    let size = number("PULL_BYTES", 2 << 30);
    let mut random = fastrand::Rng::with_seed(1);
    let block: Vec<u8> = (0..1 << 20).map(|_| random.u8(..)).collect();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    println!("{}", listener.local_addr().unwrap());
    for stream in listener.incoming() {
        // Whoever has enough hangs up.
        let _ = answer(stream.unwrap(), &block, size);
    }
}

fn answer(mut stream: TcpStream, block: &[u8], size: u64) -> std::io::Result<()> {
    let mut head = [0; 4096];
    let _ = stream.read(&mut head)?;
    write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {size}\r\netag: \"1\"\r\nconnection: close\r\n\r\n")?;
    let mut left = size;
    while left > 0 {
        let most = left.min(block.len() as u64);
        stream.write_all(&block[..usize::try_from(most).unwrap()])?;
        left -= most;
    }
    Ok(())
}

/// Fetches the file, and prints how long that took in microseconds, and the peak of memory in KiB.
fn depot(task: &str) {
    let (folder, address) = task.split_once(' ').unwrap();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let tls = rustls::ClientConfig::builder()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let folder = Path::new(folder);
    let mut settings = Settings::new(folder.join("cache"), folder.join("models"));
    settings.reserve = 0;
    let wanted = Wanted {
        name: ModelName::new("unet", "x.gguf").unwrap(),
        sources: vec![address.parse().unwrap()],
        size: None,
        sha256: None,
        trust: Trust::Anybody,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let began = Instant::now();
    let depot = Depot::new(settings, Ways::new(testing::client(tls)).unwrap()).unwrap();
    let pulled = runtime.block_on(depot.pull(&[wanted], &Listener::none())).remove(0).unwrap();
    let took = began.elapsed().as_micros();
    assert!(matches!(pulled.how, How::Fetched { .. }));
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak = peak.trim().trim_end_matches(" kB");
    println!("{took} {peak} {}", pulled.sha256.unwrap());
}

fn compare() {
    let (size, rounds) = (number("PULL_BYTES", 2 << 30), number("PULL_ROUNDS", 3));
    let base = env::var_os("PULL_DIR").map_or_else(env::temp_dir, Into::into);
    let myself = env::current_exe().unwrap();
    let mut server = Command::new(&myself).env(CHILD, "host").stdout(Stdio::piped()).spawn().unwrap();
    let mut address = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut address).unwrap();
    let url = format!("http://{}/x", address.trim());
    let mut best = [Duration::MAX; 4];
    let mut peak = 0;
    for _ in 0..rounds {
        let folder = tempfile::tempdir_in(&base).unwrap();
        let file = folder.path().join("curl");
        let began = Instant::now();
        let done = Command::new("curl").args(["-s", "-o"]).arg(&file).arg(&url).status().unwrap();
        let fetched = began.elapsed();
        fs::File::open(&file).unwrap().sync_all().unwrap();
        let synced = began.elapsed();
        assert!(done.success() && file.metadata().unwrap().len() == size);
        let began = Instant::now();
        let summed = Command::new("sha256sum").arg(&file).output().unwrap();
        let summing = began.elapsed();
        let summed = String::from_utf8(summed.stdout).unwrap();
        fs::remove_file(&file).unwrap();
        let task = format!("{} {url}", folder.path().display());
        let told = Command::new(&myself).env(CHILD, task).output().unwrap();
        let told = String::from_utf8(told.stdout).unwrap();
        let [took, memory, hash] = told.split_whitespace().collect::<Vec<_>>().try_into().unwrap();
        assert!(summed.starts_with(hash), "{summed} {hash}");
        peak = peak.max(memory.parse::<u64>().unwrap());
        let took = Duration::from_micros(took.parse().unwrap());
        for (best, one) in best.iter_mut().zip([fetched, synced, summing, took]) {
            *best = (*best).min(one);
        }
    }
    server.kill().unwrap();
    server.wait().unwrap();
    let [fetched, synced, summing, took] = best.map(|time| time.as_secs_f64());
    let speed = |seconds: f64| size as f64 / 1e6 / seconds;
    println!("file                      {:.2} GiB, best of {rounds}", size as f64 / f64::from(1 << 30));
    println!("curl                      {fetched:.2} s  {:.0} MB/s", speed(fetched));
    println!("curl, on the disk         {synced:.2} s  {:.0} MB/s", speed(synced));
    println!("sha256sum                 {summing:.2} s  {:.0} MB/s", speed(summing));
    println!("depot, hashed, on the disk {took:.2} s  {:.0} MB/s", speed(took));
    println!("depot / curl              {:.2}", fetched / took);
    println!("depot / curl, on the disk {:.2}", synced / took);
    println!("depot / (curl, on the disk, then sha256sum) {:.2}", (synced + summing) / took);
    println!("peak memory               {:.1} MB", peak as f64 * 1024.0 / 1e6);
}
