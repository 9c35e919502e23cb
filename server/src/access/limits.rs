//! How often: each key by its own rate, and whoever tries keys out by his address.

use std::{
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU32,
    time::Duration,
};

use governor::{
    DefaultDirectRateLimiter, DefaultKeyedRateLimiter, Quota, RateLimiter,
    clock::{Clock as _, DefaultClock},
    middleware::StateInformationMiddleware,
};

/// What is left of a key's rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Left {
    /// Requests in a minute.
    pub(super) per_minute: u32,
    /// Requests that may be sent at once.
    pub(super) remaining: u32,
    /// How long to wait for the next one, if there is none left.
    pub(super) wait: Option<Duration>,
}

/// The rate of one key.
#[derive(Debug)]
pub(super) struct Rate {
    per_minute: NonZeroU32,
    limiter: RateLimiter<
        governor::state::NotKeyed,
        governor::state::InMemoryState,
        DefaultClock,
        StateInformationMiddleware,
    >,
}

impl Rate {
    /// So many in a minute, all of them at once if need be.
    pub(super) fn per_minute(per_minute: u32) -> Option<Self> {
        let per_minute = NonZeroU32::new(per_minute)?;
        let limiter = DefaultDirectRateLimiter::direct(Quota::per_minute(per_minute)).with_middleware();
        Some(Self { per_minute, limiter })
    }

    /// Whether it is still this rate.
    pub(super) fn is(&self, per_minute: Option<u32>) -> bool {
        per_minute == Some(self.per_minute.get())
    }

    /// Counts a request.
    pub(super) fn take(&self) -> Left {
        let per_minute = self.per_minute.get();
        match self.limiter.check() {
            Ok(state) => Left { per_minute, remaining: state.remaining_burst_capacity(), wait: None },
            Err(not_yet) => {
                let wait = not_yet.wait_time_from(DefaultClock::default().now());
                Left { per_minute, remaining: 0, wait: Some(wait) }
            }
        }
    }
}

/// Addresses that sent keys which are none.
#[derive(Debug)]
pub(super) struct Strangers {
    limiter: DefaultKeyedRateLimiter<IpAddr>,
}

/// Addresses that are remembered before those that rested are let go of.
const REMEMBERED: usize = 10_000;

impl Strangers {
    /// So many wrong keys in a minute from one address.
    pub(super) fn new(per_minute: u32) -> Self {
        let per_minute = NonZeroU32::new(per_minute).unwrap_or(NonZeroU32::MIN);
        Self { limiter: RateLimiter::keyed(Quota::per_minute(per_minute)) }
    }

    /// Counts a wrong key. How long to wait, if there were too many.
    pub(super) fn tried(&self, address: IpAddr) -> Option<Duration> {
        if self.limiter.len() > REMEMBERED {
            self.limiter.retain_recent();
            self.limiter.shrink_to_fit();
        }
        let refused = self.limiter.check_key(&neighbourhood(address)).err();
        refused.map(|not_yet| not_yet.wait_time_from(DefaultClock::default().now()))
    }
}

/// Who has one address of IPv6 has a network of them.
fn neighbourhood(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_run_out() {
        let rate = Rate::per_minute(3).unwrap();
        let left = [(); 3].map(|()| rate.take().remaining);
        assert_eq!(left, [2, 1, 0]);
        let refused = rate.take().wait.unwrap();
        assert!(refused > Duration::from_secs(15) && refused <= Duration::from_secs(20), "{refused:?}");
        assert!(rate.is(Some(3)) && !rate.is(Some(4)) && !rate.is(None));
        assert!(Rate::per_minute(0).is_none());
    }

    #[test]
    fn strangers_are_told_apart_by_where_they_are() {
        let strangers = Strangers::new(2);
        let tries = |text: &str| strangers.tried(text.parse().unwrap()).is_some();
        assert_eq!([tries("192.0.2.1"), tries("192.0.2.1"), tries("192.0.2.1")], [false, false, true]);
        assert!(!tries("192.0.2.2"));
        assert_eq!([tries("2001:db8::1"), tries("2001:db8::2"), tries("2001:db8::3")], [false, false, true]);
    }
}
