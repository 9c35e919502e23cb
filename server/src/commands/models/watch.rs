//! What is seen while models are fetched: bars in a terminal, lines in a pipe. Both on standard error.

use std::{
    io::IsTerminal,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use comfyport_depot::{Event, Listener, Progress, Step, Wanted};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::show::bytes;
use crate::say;

/// In a pipe, bytes of one model are told of this often.
const EVERY: Duration = Duration::from_secs(10);

/// Somebody who watches.
#[derive(Clone)]
pub(super) enum Watch {
    Bars(Arc<Bars>),
    Lines(Arc<Mutex<Vec<Instant>>>),
}

pub(super) struct Bars {
    screen: MultiProgress,
    /// One for each model, from when its turn comes.
    bars: Mutex<Vec<Option<ProgressBar>>>,
}

impl Watch {
    pub(super) fn new(wanted: &[Wanted]) -> Self {
        if std::io::stderr().is_terminal() {
            let screen = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
            return Self::Bars(Arc::new(Bars { screen, bars: Mutex::new(vec![None; wanted.len()]) }));
        }
        Self::Lines(Arc::new(Mutex::new(vec![Instant::now(); wanted.len()])))
    }

    pub(super) fn listener(&self) -> Listener {
        let watch = self.clone();
        Listener::new(move |event| match &watch {
            Self::Bars(bars) => bars.draw(&event),
            Self::Lines(told) => tell(told, &event),
        })
    }

    /// Takes bars away; lines stay.
    pub(super) fn end(&self) {
        if let Self::Bars(bars) = self {
            // What is left of it would be in the way of what is printed next.
            let _ = bars.screen.clear();
        }
    }
}

impl Bars {
    fn draw(&self, event: &Event<'_>) {
        let mut bars = self.bars.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(slot) = bars.get_mut(event.item) else { return };
        let bar = slot.get_or_insert_with(|| {
            let bar = self.screen.add(ProgressBar::new(1));
            bar.set_prefix(event.name.to_string());
            bar
        });
        bar.set_style(style("{prefix}  {wide_msg}"));
        match &event.step {
            Step::Bytes(progress) => {
                bar.set_style(style("{prefix}  {bar:24.cyan/dim}  {wide_msg}"));
                bar.set_length(progress.total.unwrap_or(0));
                bar.set_position(progress.done);
                bar.set_message(words(progress));
            }
            Step::Done(_) | Step::Failed(_) => {
                bar.finish_and_clear();
                *slot = None;
            }
            step => bar.set_message(doing(step).unwrap_or_default()),
        }
    }
}

/// A style that is written down here, and therefore right.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("━━─")
}

fn tell(told: &Mutex<Vec<Instant>>, event: &Event<'_>) {
    let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(last) = told.get_mut(event.item) else { return };
    let text = match &event.step {
        Step::Bytes(_) if last.elapsed() < EVERY => return,
        Step::Bytes(progress) => {
            *last = Instant::now();
            words(progress)
        }
        // What came of it is printed at the end.
        step => match doing(step) {
            Some(text) => text,
            None => return,
        },
    };
    say::line(format_args!("{}: {text}", event.name));
}

/// What happens, in words, if it is not the end.
fn doing(step: &Step<'_>) -> Option<String> {
    Some(match step {
        Step::Asking { source } => format!("asking {source}"),
        Step::Waiting => "somebody else fetches it: waiting".to_owned(),
        Step::Rereading { bytes: count } => format!("{} are here from before: reading them", bytes(*count)),
        Step::Again { why, pause } => format!("{why}; again in {:.0} s", pause.as_secs_f64()),
        Step::Checking => "checking".to_owned(),
        _ => return None,
    })
}

fn words(progress: &Progress) -> String {
    let total = progress.total.map(|total| format!(" of {}", bytes(total))).unwrap_or_default();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "for people, and never negative"
    )]
    let speed = bytes(progress.speed as u64);
    let left = progress.left.map(|left| format!(", {} left", time(left))).unwrap_or_default();
    format!("{}{total}, {speed}/s{left}", bytes(progress.done))
}

fn time(left: Duration) -> String {
    let seconds = left.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{}:{:02} min", seconds / 60, seconds % 60),
        _ => format!("{}:{:02} h", seconds / 3600, seconds / 60 % 60),
    }
}
