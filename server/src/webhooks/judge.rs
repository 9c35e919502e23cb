//! What an answer means, and when a delivery is tried again.

use std::time::Duration;

use comfyport_store::deliveries::{Attempt, DeliveryState};

use super::post::Answer;

/// Tries are up to this part of a pause earlier or later, so that receivers that come back are not overrun.
const JITTER: f64 = 0.2;

/// The longest that receivers can ask to be left alone.
const LONGEST: Duration = Duration::from_hours(24);

/// The pauses between tries. After the last one's try a delivery is given up.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule(Vec<Duration>);

impl Schedule {
    /// Pauses in seconds, after the first try, the second…
    pub fn of(seconds: &[f64]) -> Self {
        Self(seconds.iter().filter_map(|one| Duration::try_from_secs_f64(*one).ok()).collect())
    }

    /// As people read it: `at once, 5 s, 30 s, 2 min, 10 min, 30 min, 2 h, 5 h, 10 h`.
    pub fn words(&self) -> String {
        let word = |pause: &Duration| {
            let seconds = pause.as_secs_f64();
            if seconds >= 3600.0 && seconds % 3600.0 == 0.0 {
                format!("{} h", seconds / 3600.0)
            } else if seconds >= 60.0 && seconds % 60.0 == 0.0 {
                format!("{} min", seconds / 60.0)
            } else {
                format!("{seconds} s")
            }
        };
        std::iter::once("at once".to_owned()).chain(self.0.iter().map(word)).collect::<Vec<_>>().join(", ")
    }

    /// What becomes of a delivery after so many tries, the present one included, at a time in milliseconds since 1970.
    pub(super) fn judge(&self, answer: &Answer, attempts: u32, now: i64) -> Attempt {
        self.judge_with(answer, attempts, now, fastrand::f64())
    }

    /// `luck` is from 0 to 1.
    fn judge_with(&self, answer: &Answer, attempts: u32, now: i64, luck: f64) -> Attempt {
        let status = match answer {
            Answer::Status { code, .. } => Some(*code),
            Answer::Nothing(_) | Answer::Forbidden => None,
        };
        let over = |state, said: Option<String>, disable: Option<String>| Attempt {
            state,
            due_at: now,
            status,
            said,
            disable,
        };
        let said = match answer {
            Answer::Status { code: 200..=299, .. } => return over(DeliveryState::Delivered, None, None),
            Answer::Status { code: 410, .. } => {
                let gone = "the receiver answered 410: nothing more is sent to this address".to_owned();
                return over(DeliveryState::Dead, Some(gone.clone()), Some(gone));
            }
            Answer::Forbidden => {
                let why = "this address is not sent to: it is not public, and not one that the operator allows \
                           (`webhooks.allow`)";
                return over(DeliveryState::Dead, Some(why.to_owned()), None);
            }
            Answer::Status { code: code @ 300..=399, .. } => {
                format!("the receiver answered {code}; redirects are not followed")
            }
            Answer::Status { code, .. } => format!("the receiver answered {code}"),
            Answer::Nothing(why) => why.clone(),
        };
        let last = usize::try_from(attempts).unwrap_or(usize::MAX).saturating_sub(1);
        let Some(pause) = self.0.get(last) else { return over(DeliveryState::Dead, Some(said), None) };
        let pause = pause.mul_f64(1.0 - JITTER + 2.0 * JITTER * luck);
        // Whoever asks for time gets all of it.
        let asked = match answer {
            Answer::Status { code: 429 | 503, retry_after: Some(asked) } => {
                (*asked).min(LONGEST).mul_f64(1.0 + JITTER * luck).min(LONGEST)
            }
            _ => Duration::ZERO,
        };
        let pause = i64::try_from(pause.max(asked).as_millis()).unwrap_or(i64::MAX);
        Attempt {
            state: DeliveryState::Pending,
            due_at: now.saturating_add(pause),
            ..over(DeliveryState::Pending, Some(said), None)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1000;

    fn said(code: u16, retry_after: Option<u64>) -> Answer {
        Answer::Status { code, retry_after: retry_after.map(Duration::from_secs) }
    }

    #[test]
    fn answers_mean_what_the_documentation_says() {
        let schedule = Schedule::of(&[10.0, 100.0]);
        let judge = |answer: &Answer, attempts| {
            let attempt = schedule.judge_with(answer, attempts, 0, 0.5);
            (attempt.state, attempt.due_at / SECOND, attempt.disable.is_some())
        };
        for code in [200, 204, 299] {
            assert_eq!(judge(&said(code, None), 1), (DeliveryState::Delivered, 0, false), "{code}");
        }
        for code in [301, 307, 400, 404, 429, 500, 502, 503, 504] {
            assert_eq!(judge(&said(code, None), 1), (DeliveryState::Pending, 10, false), "{code}");
            assert_eq!(judge(&said(code, None), 2), (DeliveryState::Pending, 100, false), "{code}");
            assert_eq!(judge(&said(code, None), 3), (DeliveryState::Dead, 0, false), "{code}");
        }
        assert_eq!(judge(&Answer::Nothing("gone".to_owned()), 1), (DeliveryState::Pending, 10, false));
        assert_eq!(judge(&said(410, None), 1), (DeliveryState::Dead, 0, true));
        assert_eq!(judge(&Answer::Forbidden, 1), (DeliveryState::Dead, 0, false));
    }

    #[test]
    fn receivers_may_ask_for_time_and_tries_are_spread() {
        let schedule = Schedule::of(&[10.0]);
        let due = |answer: &Answer, luck| schedule.judge_with(answer, 1, 0, luck).due_at / SECOND;
        assert_eq!((due(&said(500, None), 0.0), due(&said(500, None), 1.0)), (8, 12));
        assert_eq!((due(&said(429, Some(60)), 0.0), due(&said(429, Some(60)), 1.0)), (60, 72));
        assert_eq!((due(&said(503, Some(3)), 0.5), due(&said(500, Some(60)), 0.5)), (10, 10));
        assert_eq!(due(&said(429, Some(u64::MAX)), 1.0), 24 * 3600);
    }

    #[test]
    fn the_schedule_reads_well() {
        let words = Schedule::of(&[5.0, 30.0, 120.0, 7200.0, 0.5, 90.0]).words();
        assert_eq!(words, "at once, 5 s, 30 s, 2 min, 2 h, 0.5 s, 90 s");
    }

    #[test]
    fn the_documentation_has_the_schedule_of_the_settings() {
        let defaults: toml::Table = crate::config::DEFAULT.parse().unwrap();
        let seconds: Vec<f64> = defaults["webhooks"]["schedule_s"].clone().try_into().unwrap();
        let page = include_str!("../../../docs/webhooks.md").replace('\n', " ");
        let words = Schedule::of(&seconds).words();
        assert!(page.contains(&format!("A delivery is tried {words} after the one before")), "{words}");
    }
}
