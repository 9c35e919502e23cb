//! Whether the time of a refusal tells how much of a key was right.

use std::time::Instant;

use crate::process::Process;

/// Of each kind, in turn.
const TRIES: usize = 50_000;

pub(crate) async fn run() {
    let engine = Process::simulator();
    let (server, keys) = Process::server_with_keys(&engine.url, &["ann"]);
    let key = &keys[0];
    let http = crate::client();
    let at = key.rfind('_').unwrap() + 1;
    // Known to the server but for one character: the first of what is secret, or the last but one, whose bits all count.
    let kinds = [changed(key, at), changed(key, key.len() - 2)];
    let mut sums = [Sum::default(), Sum::default()];
    for round in 0..2 * TRIES {
        let kind = round % 2;
        let request = http.get(format!("{}/jobs", server.url)).bearer_auth(&kinds[kind]);
        let began = Instant::now();
        let answer = request.send().await.unwrap();
        let took = began.elapsed().as_secs_f64() * 1e6;
        assert_eq!(answer.status(), 401);
        answer.bytes().await.unwrap();
        // Pauses of the machine hide what is looked for.
        if took < 2000.0 {
            sums[kind].add(took);
        }
    }
    let [first, last] = &sums;
    let t = (first.mean - last.mean) / (first.variance() / first.count + last.variance() / last.count).sqrt();
    println!("401, wrong at once            {:>9.2} µs of {:.0}", first.mean, first.count);
    println!("401, wrong at the end         {:>9.2} µs of {:.0}", last.mean, last.count);
    println!("Welch's t (below 4.5)         {t:>9.2}");
}

/// Another letter at a place.
fn changed(key: &str, at: usize) -> String {
    let letter = if &key[at..=at] == "A" { "B" } else { "A" };
    format!("{}{letter}{}", &key[..at], &key[at + 1..])
}

/// By Welford.
#[derive(Default)]
struct Sum {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Sum {
    fn add(&mut self, value: f64) {
        self.count += 1.0;
        let away = value - self.mean;
        self.mean += away / self.count;
        self.squares += away * (value - self.mean);
    }

    fn variance(&self) -> f64 {
        self.squares / (self.count - 1.0)
    }
}
