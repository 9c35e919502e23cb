//! A PostgreSQL to test against: the one that `COMFYPORT_TEST_POSTGRES` names, or one of our own for as long as the
//! process of the test lives.

use std::{
    io::Write as _,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::OnceLock,
    time::{Duration, Instant},
};

/// The password of a server of our own, over TCP.
pub(crate) const PASSWORD: &str = "open sesame";

/// Where a server may be that is not ours: an address such as `postgres://user:password@host/postgres`.
const VARIABLE: &str = "COMFYPORT_TEST_POSTGRES";

const PROGRAMS: [&str; 3] = ["initdb", "postgres", "pg_isready"];

/// Waits for a word, or until nobody holds the other end of its input, and ends the server. Without the word its folder
/// goes too.
const KEEPER: &str = r#"folder=$1; shift
"$@" </dev/null & pid=$!
read -r word
kill -QUIT $pid 2>/dev/null
wait $pid
[ "$word" = keep ] || rm -rf "$folder""#;

/// A server that was started for a test. It ends with this, or with the process, however that ends.
pub(crate) struct Cluster {
    folder: PathBuf,
    port: u16,
    user: Option<(u32, u32)>,
    binaries: PathBuf,
    keeper: Option<(Child, ChildStdin)>,
}

/// The address of a database `postgres` whose user may create others, without options; or why there is none.
pub(crate) fn address() -> Result<&'static str, &'static str> {
    static SHARED: OnceLock<Result<(String, Option<Cluster>), String>> = OnceLock::new();
    let shared = SHARED.get_or_init(|| {
        if let Ok(address) = std::env::var(VARIABLE) {
            return Ok((address, None));
        }
        let cluster = Cluster::start(&["fsync=off", "full_page_writes=off"])?;
        Ok((cluster.address(), Some(cluster)))
    });
    shared.as_ref().map(|(address, _)| address.as_str()).map_err(String::as_str)
}

impl Cluster {
    /// Starts a server with settings such as `fsync=off`, or says why there can be none here. One that can be but does not
    /// start fails the test.
    pub(crate) fn start(settings: &[&str]) -> Result<Self, String> {
        let binaries = binaries().ok_or_else(|| {
            format!("neither {VARIABLE} is set nor is an installation found in PATH or /usr/lib/postgresql")
        })?;
        let user = unprivileged()?;
        let folder = std::env::temp_dir().join(format!("comfyport-pg-{}", uuid::Uuid::new_v4().simple()));
        std::fs::create_dir(&folder).unwrap();
        let password = folder.join("password");
        std::fs::write(&password, PASSWORD).unwrap();
        if let Some((uid, gid)) = user {
            for path in [&folder, &password] {
                std::os::unix::fs::chown(path, Some(uid), Some(gid)).unwrap();
            }
        }
        let mut cluster = Self { folder, port: free_port(), user, binaries, keeper: None };
        let made = cluster
            .command("initdb")
            .args([
                "--username=comfyport",
                "--encoding=UTF8",
                "--locale=C",
                "--no-sync",
                "--auth-local=trust",
            ])
            .arg("--auth-host=scram-sha-256")
            .arg(format!("--pwfile={}", password.display()))
            .arg(cluster.data())
            .output()
            .unwrap();
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        for setting in settings {
            cluster.set(setting);
        }
        cluster.resume();
        Ok(cluster)
    }

    /// The folder of its files.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Changes a setting from the next start on.
    pub(crate) fn set(&self, setting: &str) {
        let file = self.data().join("postgresql.conf");
        let mut file = std::fs::File::options().append(true).open(file).unwrap();
        writeln!(file, "{setting}").unwrap();
    }

    /// Puts a file into its folder, as PostgreSQL wants its keys.
    pub(crate) fn put(&self, name: &str, content: &str) {
        use std::os::unix::fs::PermissionsExt as _;
        let file = self.data().join(name);
        std::fs::write(&file, content).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        if let Some((uid, gid)) = self.user {
            std::os::unix::fs::chown(&file, Some(uid), Some(gid)).unwrap();
        }
    }

    /// By its socket.
    pub(crate) fn address(&self) -> String {
        format!("postgres://comfyport@/postgres?host={}&port={}", self.folder.display(), self.port)
    }

    /// By TCP on the loopback interface, with the password.
    pub(crate) fn tcp_address(&self) -> String {
        format!("postgres://comfyport:open%20sesame@localhost:{}/postgres", self.port)
    }

    /// Ends the server at once, as if its machine went away.
    pub(crate) fn stop(&mut self) {
        if let Some((keeper, mut held)) = self.keeper.take() {
            writeln!(held, "keep").unwrap();
            end((keeper, held));
        }
    }

    /// Starts it again.
    pub(crate) fn resume(&mut self) {
        self.stop();
        let log = std::fs::File::create(self.folder.join("log")).unwrap();
        let mut keeper = Command::new("sh");
        keeper.args(["-c", KEEPER, "keeper"]).arg(&self.folder).arg(self.binaries.join("postgres"));
        keeper.arg("-D").arg(self.data()).arg("-k").arg(&self.folder).args(["-p", &self.port.to_string()]);
        keeper.args(["-c", "listen_addresses=127.0.0.1", "-c", "max_connections=200"]);
        keeper.current_dir(&self.folder).process_group(0);
        if let Some((uid, gid)) = self.user {
            keeper.uid(uid).gid(gid);
        }
        let mut keeper = keeper.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let held = keeper.stdin.take().unwrap();
        self.keeper = Some((keeper, held));
        let began = Instant::now();
        while !self.is_ready() {
            let log = || std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            assert!(began.elapsed() < Duration::from_mins(1), "PostgreSQL did not start: {}", log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(self.binaries.join(name));
        command.current_dir(&self.folder).stdout(Stdio::null()).stderr(Stdio::piped());
        if let Some((uid, gid)) = self.user {
            command.uid(uid).gid(gid);
        }
        command
    }

    fn is_ready(&self) -> bool {
        let mut ask = self.command("pg_isready");
        ask.args(["-q", "-d", "postgres", "-h"]).arg(&self.folder).args(["-p", &self.port.to_string()]);
        ask.output().unwrap().status.success()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.keeper.take().into_iter().for_each(end);
        // One that was stopped has left it there.
        std::fs::remove_dir_all(&self.folder).ok();
    }
}

fn end((mut keeper, held): (Child, ChildStdin)) {
    drop(held);
    keeper.wait().ok();
}

/// Where PostgreSQL's programs are.
fn binaries() -> Option<PathBuf> {
    let whole = |folder: &Path| PROGRAMS.iter().all(|program| folder.join(program).is_file());
    let path = std::env::var_os("PATH").unwrap_or_default();
    let debian = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut debian: Vec<_> = debian.map(|entry| entry.path().join("bin")).collect();
    debian.sort();
    // Links may lead to some of them only.
    let home = |folder: PathBuf| folder.join("initdb").canonicalize().ok()?.parent().map(Path::to_owned);
    let folders = std::env::split_paths(&path).chain(debian.into_iter().rev());
    folders.filter_map(home).find(|folder| whole(folder))
}

/// PostgreSQL refuses to run as root: then somebody else it is.
fn unprivileged() -> Result<Option<(u32, u32)>, String> {
    use std::os::unix::fs::MetadataExt as _;
    let own = std::fs::metadata("/proc/self").map_err(|error| error.to_string())?.uid();
    if own != 0 {
        return Ok(None);
    }
    let known = std::fs::read_to_string("/etc/passwd").map_err(|error| error.to_string())?;
    let find = |name: &str| {
        let line = known.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    let user = find("postgres").or_else(|| find("nobody"));
    user.map(Some)
        .ok_or_else(|| "it does not run as root, and there is neither postgres nor nobody".to_owned())
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap().port()
}
