//! What is drawn again and again in a terminal.

use std::{cell::RefCell, time::Duration};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::Value;

use super::list::percent;
use crate::commands::table::cell;

/// Columns of a bar.
const WIDTH: usize = 24;

/// Whole percents: bars count no fractions.
const WHOLE: u64 = 100;

/// A style that is written down here, and therefore right.
fn style(template: &str) -> ProgressStyle {
    let template = template.replace("{bar}", &format!("{{bar:{WIDTH}.cyan/dim}}"));
    ProgressStyle::with_template(&template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("━━─")
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 100")]
fn whole(percent: f64) -> u64 {
    percent.clamp(0.0, WHOLE as f64) as u64
}

fn screen() -> MultiProgress {
    MultiProgress::with_draw_target(ProgressDrawTarget::stdout())
}

/// A list of jobs that stays where it is, with bars.
#[derive(Debug)]
pub(super) struct Table {
    screen: MultiProgress,
    lines: RefCell<Vec<ProgressBar>>,
}

impl Table {
    pub(super) fn new() -> Self {
        Self { screen: screen(), lines: RefCell::default() }
    }

    /// Draws these jobs in place of those before.
    pub(super) fn draw(&self, jobs: &[Value]) {
        let widths = ["id", "status", "workflow", "engine"].map(|key| {
            jobs.iter().map(|job| cell(job, key).chars().count()).max().unwrap_or(0).max(key.len() + 1)
        });
        let [id, status, workflow, engine] = widths;
        let mut lines = self.lines.borrow_mut();
        while lines.len() > jobs.len() + 1 {
            if let Some(line) = lines.pop() {
                self.screen.remove(&line);
            }
        }
        while lines.len() < jobs.len() + 1 {
            lines.push(self.screen.add(ProgressBar::new(WHOLE)));
        }
        let mut lines = lines.iter();
        if let Some(heading) = lines.next() {
            heading.set_style(style("{wide_msg}"));
            heading.set_message(format!(
                "{:id$}  {:status$}  {:workflow$}  {:engine$}  DONE",
                "JOB", "STATUS", "WORKFLOW", "ENGINE"
            ));
        }
        for (line, job) in lines.zip(jobs) {
            let text = format!(
                "{:id$}  {:status$}  {:workflow$}  {:engine$}",
                cell(job, "id"),
                cell(job, "status"),
                cell(job, "workflow"),
                cell(job, "engine")
            );
            if let Some(percent) = percent(job) {
                line.set_style(style("{prefix}  {bar} {wide_msg}"));
                line.set_position(whole(percent));
                line.set_prefix(text);
                line.set_message(format!("{percent:.0} %"));
            } else {
                let why = job.get("error").map(|error| cell(error, "code")).unwrap_or_default();
                line.set_style(style("{wide_msg}"));
                line.set_message(format!("{text}  {why}"));
            }
        }
    }
}

/// Jobs that are followed, a line each.
#[derive(Debug)]
pub(super) struct Bars(MultiProgress);

impl Bars {
    pub(super) fn new() -> Self {
        Self(screen())
    }

    /// A line for one more job.
    pub(super) fn add(&self, id: &str, workflow: &str) -> ProgressBar {
        let bar = self.0.add(ProgressBar::new(WHOLE));
        bar.set_style(style("{spinner} {prefix}  {bar} {wide_msg}"));
        bar.set_prefix(format!("{id}  {workflow}"));
        bar.enable_steady_tick(Duration::from_millis(200));
        bar
    }
}

/// Shows how far a job is.
pub(super) fn advance(bar: &ProgressBar, percent: Option<f64>, words: String) {
    if let Some(percent) = percent {
        bar.set_position(whole(percent));
    }
    bar.set_message(words);
}

/// Leaves a job's last words standing.
pub(super) fn finish(bar: &ProgressBar, succeeded: bool, words: String) {
    if succeeded {
        bar.set_position(WHOLE);
        bar.finish_with_message(words);
    } else {
        bar.abandon_with_message(words);
    }
}
