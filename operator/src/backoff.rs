//! How long a watch that broke waits before it is opened again.

use std::time::Duration;

use kube::runtime::utils::Backoff;

/// The longest wait.
const LONGEST: Duration = Duration::from_secs(1);
/// The first wait.
const SHORTEST: Duration = Duration::from_millis(50);

/// Doubles from [`SHORTEST`] to [`LONGEST`]; the library's own goes on to half a minute, for which a run would then stand
/// still.
#[derive(Debug)]
pub struct Doubling {
    next: Duration,
}

impl Default for Doubling {
    fn default() -> Self {
        Self { next: SHORTEST }
    }
}

impl Doubling {
    /// The next wait.
    pub(crate) fn wait(&mut self) -> Duration {
        let now = self.next;
        self.next = (now * 2).min(LONGEST);
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
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn watches_come_back_within_a_second() {
        let mut backoff = Doubling::default();
        assert_eq!(backoff.next(), Some(SHORTEST));
        assert!((0..20).all(|_| backoff.next().is_some_and(|wait| wait <= LONGEST)));
        backoff.reset();
        assert_eq!(backoff.next(), Some(SHORTEST));
    }
}
