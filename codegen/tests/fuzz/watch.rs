//! Cases run by a process that another one watches: a stack that overflows or memory that runs out ends a process,
//! and a case that hangs has to be ended.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    env, fs,
    io::{BufRead, BufReader, Write},
    panic::{self, AssertUnwindSafe},
    process::{Child, Command, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    time::{Duration, Instant},
};

use crate::{case::Case, seeds::Seeds};

/// A case that computes longer than this hangs. Machines are shared, so it is not the time on the wall that counts…
const CASE_LIMIT: Duration = Duration::from_secs(10);
/// …unless a case takes so long that it must be ended.
const WALL_LIMIT: Duration = Duration::from_secs(90);
/// Reading the seeds takes a while.
const START_LIMIT: Duration = Duration::from_mins(2);
/// A process must not ask for more memory, in KiB.
const MEMORY_LIMIT: u32 = 4 << 20;

/// Runs cases in this process; wrong ones are counted and told.
pub(crate) fn a_few(first: u64, count: u64) {
    let seeds = Seeds::load();
    let mut wrong = Vec::new();
    remember_panics();
    for number in first..first + count {
        if let Err(message) = attempt(number, &seeds) {
            wrong.push(format!("case {number}: {message}"));
        }
    }
    drop(panic::take_hook());
    println!("{count} cases, {} of them went wrong", wrong.len());
    assert!(wrong.is_empty(), "{wrong:#?}");
}

thread_local! {
    /// Where the last panic was, and what it said.
    static LAST: RefCell<String> = const { RefCell::new(String::new()) };
}

fn attempt(number: u64, seeds: &Seeds) -> Result<(&'static str, String), String> {
    panic::catch_unwind(AssertUnwindSafe(|| {
        let case = Case::new(number, seeds);
        (case.kind, case.run())
    }))
    .map_err(|_| LAST.take())
}

fn remember_panics() {
    panic::set_hook(Box::new(|panicked| LAST.set(panicked.to_string().replace('\n', " "))));
}

/// Runs cases until it is ended, and says on standard output what it is about to do and how it went.
pub(crate) fn work(first: u64) {
    remember_panics();
    let seeds = Seeds::load();
    let mut out = std::io::stdout().lock();
    for number in first.. {
        writeln!(out, "start {number}").and_then(|()| out.flush()).unwrap();
        let memory = reset_peak();
        let (wall, started) = (Instant::now(), computed());
        let outcome = match attempt(number, &seeds) {
            Ok((kind, outcome)) => format!("{kind} {outcome}"),
            Err(message) => format!("panic {message}"),
        };
        let grown = peak().saturating_sub(memory);
        let time = computed().zip(started).map_or(wall.elapsed(), |(now, before)| now.saturating_sub(before));
        writeln!(out, "end {} {grown} {outcome}", time.as_micros()).unwrap();
    }
}

/// How long this thread has computed, where the system tells.
fn computed() -> Option<Duration> {
    let text = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    Some(Duration::from_nanos(text.split_whitespace().next()?.parse().ok()?))
}

/// The most memory that was resident since [`reset_peak`], in KiB; 0 where the system does not tell.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

fn reset_peak() -> u64 {
    drop(fs::write("/proc/self/clear_refs", "5"));
    peak()
}

/// What happened in all processes.
#[derive(Default)]
struct Tally {
    cases: u64,
    outcomes: BTreeMap<String, u64>,
    wrong: Vec<String>,
    slowest: Vec<(u128, u64)>,
    largest: Vec<(u64, u64)>,
}

impl Tally {
    fn end(&mut self, number: u64, line: &str) {
        let mut words = line.splitn(3, ' ');
        let mut next = || words.next().unwrap_or_default();
        let (micros, grown, outcome) = (next().parse().unwrap_or(0), next().parse().unwrap_or(0), next());
        self.cases += 1;
        keep_most(&mut self.slowest, (micros, number));
        keep_most(&mut self.largest, (grown, number));
        if micros > CASE_LIMIT.as_micros() {
            self.wrong(number, "hangs");
        }
        if let Some(message) = outcome.strip_prefix("panic ") {
            self.wrong(number, &format!("panic: {message:.300}"));
        }
        let outcome = if outcome.starts_with("panic ") { "panic" } else { outcome };
        *self.outcomes.entry(outcome.to_owned()).or_insert(0) += 1;
    }

    fn wrong(&mut self, number: u64, what: &str) {
        println!("case {number}: {what}");
        self.wrong.push(format!("case {number}: {what}"));
    }

    fn print(&self, time: Duration) {
        println!(
            "{} cases in {} seconds, {} of them went wrong",
            self.cases,
            time.as_secs(),
            self.wrong.len()
        );
        for (outcome, count) in &self.outcomes {
            println!("  {count:>9} {outcome}");
        }
        for (micros, number) in &self.slowest {
            println!("  case {number} took {} ms", micros / 1000);
        }
        for (grown, number) in &self.largest {
            println!("  case {number} needed {} MiB", grown / 1024);
        }
    }
}

fn keep_most<T: Ord>(most: &mut Vec<T>, one: T) {
    most.push(one);
    most.sort_unstable_by(|left, right| right.cmp(left));
    most.truncate(5);
}

/// Runs cases in processes of their own for a while; returns how many went wrong.
pub(crate) fn supervise(first: u64, duration: Duration) -> usize {
    let started = Instant::now();
    let mut tally = Tally::default();
    let mut next = first;
    while started.elapsed() < duration {
        let mut child = start(next);
        let lines = lines(&mut child);
        let mut running = None;
        let death = loop {
            let limit = if running.is_some() { WALL_LIMIT } else { START_LIMIT };
            match lines.recv_timeout(limit) {
                Ok(line) => {
                    if let Some(number) = line.strip_prefix("start ").and_then(|number| number.parse().ok()) {
                        running = Some(number);
                        next = number + 1;
                    } else if let (Some(rest), Some(number)) = (line.strip_prefix("end "), running) {
                        tally.end(number, rest);
                    }
                }
                Err(RecvTimeoutError::Timeout) => break "hangs",
                Err(RecvTimeoutError::Disconnected) => break "ends the process",
            }
            if started.elapsed() >= duration {
                break "";
            }
        };
        child.kill().unwrap();
        let status = child.wait().unwrap();
        match (death, running) {
            ("", _) => {}
            (death, Some(number)) => {
                tally.cases += 1;
                tally.wrong(number, &format!("{death} ({status})"));
            }
            (death, None) => panic!("the process {death} before its first case ({status})"),
        }
    }
    tally.print(started.elapsed());
    tally.wrong.len()
}

/// A process that runs cases, with bounded memory where the system can do that.
fn start(first: u64) -> Child {
    let own = env::current_exe().unwrap();
    let mut command = if cfg!(unix) {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("ulimit -v {MEMORY_LIMIT}; exec \"$0\" \"$@\"")]).arg(own);
        shell
    } else {
        Command::new(own)
    };
    command.args(["--work", "--first", &first.to_string()]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

fn lines(child: &mut Child) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    let out = BufReader::new(child.stdout.take().unwrap());
    std::thread::spawn(move || out.lines().map_while(Result::ok).all(|line| sender.send(line).is_ok()));
    receiver
}
