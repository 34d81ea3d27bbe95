//! How long a watch that broke waits before it is opened again. The library's own backoff goes on to half a minute, for which
//! a run would then stand still.

use std::time::Duration;

use kube::runtime::utils::Backoff;

/// The first wait.
const SHORTEST: Duration = Duration::from_millis(50);

/// Doubles from 50 ms to its longest wait.
#[derive(Clone, Debug)]
pub struct Doubling {
    next: Duration,
    longest: Duration,
}

impl Doubling {
    /// For watches that take turns at one wait: an API server that comes back refuses each of them twice, while it learns
    /// of roles and for versions that it has forgotten.
    pub const fn of_all_watches() -> Self {
        Self { next: SHORTEST, longest: Duration::from_millis(100) }
    }

    /// For a watch that waits by itself, beside many others that do the same.
    pub const fn of_one_watch() -> Self {
        Self { next: SHORTEST, longest: Duration::from_secs(1) }
    }

    /// The next wait.
    pub(crate) fn wait(&mut self) -> Duration {
        let now = self.next;
        self.next = (now * 2).min(self.longest);
        now
    }
}

impl Iterator for Doubling {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        Some(self.wait())
    }
}

impl Backoff for Doubling {
    fn reset(&mut self) {
        self.next = SHORTEST;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn watches_come_back_soon() {
        for mut backoff in [Doubling::of_all_watches(), Doubling::of_one_watch()] {
            let longest = backoff.longest;
            assert_eq!(backoff.next(), Some(SHORTEST));
            assert!((0..20).all(|_| backoff.next().is_some_and(|wait| wait <= longest)));
            assert_eq!(backoff.next(), Some(longest));
            backoff.reset();
            assert_eq!(backoff.next(), Some(SHORTEST));
        }
    }
}
