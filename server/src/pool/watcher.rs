//! Looking at an engine now and then.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

use super::{Place, State};

/// Looks at an engine until told to stop: at its queue often while it matters, at what it says about itself rarely.
pub(super) async fn keep_watching(place: Arc<Place>, stop: CancellationToken) {
    let mut stats_at: Option<Instant> = None;
    loop {
        let looked = async {
            let was = place.state();
            place.look().await;
            tell_orphans(&place);
            let state = place.state();
            if state == State::Down {
                return;
            }
            let is_due = stats_at.is_none_or(|at| at.elapsed() >= place.shared.settings.idle_poll);
            if is_due || was == State::Down {
                stats_at = Some(Instant::now());
                place.ask_about_itself().await;
            }
            if place.readiness.refresh().await {
                place.shared.changed();
            }
        };
        if stop.run_until_cancelled(looked).await.is_none() {
            return;
        }
        let until = Instant::now();
        loop {
            let pause = pause(&place, until);
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => break,
                () = place.wake.notified() => tell_orphans(&place),
            }
        }
    }
}

/// How long nothing need be looked at, counted from now, when the last look was at `since`.
fn pause(place: &Place, since: Instant) -> Duration {
    let settings = &place.shared.settings;
    let now = Instant::now();
    let is_calm = matches!(place.state(), State::Up | State::Drained);
    let busy = place.outstanding() > 0 || place.prompts.has_orphans() || !is_calm;
    let every = if busy { settings.poll } else { settings.idle_poll };
    let next = (since + every).saturating_duration_since(now);
    // An ejection ends without anybody telling.
    let change = place.shared.table().next_change(place.index, now);
    change.map_or(next, |at| next.min(at.saturating_duration_since(now)))
}

/// Has prompts cancelled that must not go on, without waiting for it: a node that does not look up takes its time.
fn tell_orphans(place: &Arc<Place>) {
    for id in place.prompts.to_tell(Instant::now()) {
        let place = Arc::clone(place);
        tokio::spawn(async move {
            if let Err(error) = place.engine.cancel(id).await {
                tracing::debug!(engine = place.name(), prompt = %id, %error, "a prompt is not cancelled yet");
                place.prompts.not_told(id);
            }
        });
    }
}
