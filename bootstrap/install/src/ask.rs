//! One question to the API server: asked again while it is refused for a passing reason, until a deadline.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use crate::apply::{Judgement, Refusal, judge_question};

/// How long one request may take.
pub(crate) const REQUEST_WITHIN: Duration = Duration::from_secs(30);

/// How long a question is asked that has no other deadline: an API server that is restarted answers again within this.
const WITHIN: Duration = Duration::from_mins(2);

/// First pause before a request is made again: a fresh CRD serves within tens of milliseconds.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// Longest pause: what was waited for is seen this soon after it came.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Longest pause that a server may ask for.
const LONGEST_ASKED_PAUSE: Duration = Duration::from_secs(10);

/// The pause before attempt `attempt + 1`, at least as long as the server asks for.
pub(crate) fn backoff(attempt: u32, asked: Option<Duration>) -> Duration {
    let grown = FIRST_PAUSE.saturating_mul(1 << (attempt / 2).min(10)).min(LONGEST_PAUSE);
    grown.max(asked.unwrap_or_default().min(LONGEST_ASKED_PAUSE))
}

/// How long a question is asked.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// When its answer is no longer waited for.
    pub deadline: Instant,
    /// How long one request may take.
    pub request: Duration,
}

impl Patience {
    /// That of a question whose answer is needed by `deadline`.
    pub const fn until(deadline: Instant) -> Self {
        Self { deadline, request: REQUEST_WITHIN }
    }

    /// That of a question which outlasts a restart of the API server.
    pub fn of_a_restart() -> Self {
        Self::until(Instant::now() + WITHIN)
    }

    /// The same, but by `deadline` at the latest.
    #[must_use]
    pub fn by(self, deadline: Instant) -> Self {
        Self { deadline: self.deadline.min(deadline), ..self }
    }
}

/// Why a question has no answer.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Unanswered {
    /// Asking again would not help.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The deadline passed.
    #[error("{reason} (asked for {} s)", asked.as_secs())]
    Deadline {
        /// What kept it from being answered, last.
        reason: String,
        /// For how long it was asked.
        asked: Duration,
    },
}

/// Asks until there is an answer. The request must be one that may be repeated: the answer to an earlier one may have been
/// lost after it was obeyed.
///
/// # Errors
/// The API server refuses it for good, or the deadline passes.
pub async fn ask<T, F>(patience: Patience, request: impl Fn() -> F) -> Result<T, Unanswered>
where
    F: Future<Output = kube::Result<T>>,
{
    ask_aloud(patience, request, |_| ()).await
}

/// As [`ask`], and tells why it asks again; once for each reason in a row.
///
/// # Errors
/// As [`ask`].
pub async fn ask_aloud<T, F>(
    patience: Patience,
    request: impl Fn() -> F,
    mut tell: impl FnMut(&str),
) -> Result<T, Unanswered>
where
    F: Future<Output = kube::Result<T>>,
{
    let begin = Instant::now();
    let (mut attempt, mut told) = (0, String::new());
    loop {
        let until = patience.deadline.min(Instant::now() + patience.request);
        let (reason, after) = match timeout_at(until, request()).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => match judge_question(&error) {
                Judgement::Passing { reason, after } => (reason, after),
                Judgement::Final(refusal) => return Err(refusal.into()),
            },
            Err(_) => ("the API server did not answer".to_owned(), None),
        };
        let pause = backoff(attempt, after);
        if Instant::now() + pause >= patience.deadline {
            return Err(Unanswered::Deadline { reason, asked: begin.elapsed() });
        }
        if reason != told {
            tell(&reason);
            told = reason;
        }
        sleep(pause).await;
        attempt += 1;
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, future::pending};

    use super::*;

    fn status(code: u16) -> kube::Error {
        let status = serde_json::json!({"code": code, "message": "no", "reason": "Any"});
        kube::Error::Api(Box::new(serde_json::from_value(status).unwrap()))
    }

    /// Asks for at most ten seconds what is answered so; how often it was asked, and what came of it.
    async fn asked(answers: &[Option<u16>]) -> (usize, Result<(), Unanswered>) {
        let (count, _, outcome) = told(answers).await;
        (count, outcome)
    }

    /// The same, with what was told meanwhile.
    async fn told(answers: &[Option<u16>]) -> (usize, Vec<String>, Result<(), Unanswered>) {
        let mut told = Vec::new();
        let count = Cell::new(0);
        let patience =
            Patience { deadline: Instant::now() + Duration::from_secs(10), request: Duration::from_secs(4) };
        let request = || async {
            let nth = count.replace(count.get() + 1);
            match answers.get(nth).or_else(|| answers.last()).copied().flatten() {
                None => pending().await,
                Some(200) => Ok(()),
                Some(code) => Err(status(code)),
            }
        };
        let outcome = ask_aloud(patience, request, |reason| told.push(reason.to_owned())).await;
        (count.get(), told, outcome)
    }

    #[tokio::test(start_paused = true)]
    async fn what_passes_is_asked_again_and_what_does_not_is_not() {
        assert_eq!(asked(&[Some(503), Some(429), None, Some(200)]).await, (4, Ok(())));
        for code in [401, 403, 404, 409, 422] {
            let refused = Err(Unanswered::Refused(Refusal::Other("no".into())));
            assert_eq!(asked(&[Some(500), Some(code), Some(200)]).await, (2, refused));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn each_reason_is_told_once_in_a_row() {
        let (count, told, _) = told(&[Some(503), Some(503), None, Some(503), Some(200)]).await;
        assert_eq!((count, told), (5, ["no", "the API server did not answer", "no"].map(Into::into).into()));
    }

    #[tokio::test(start_paused = true)]
    async fn the_deadline_ends_it_with_the_last_reason() {
        for (answers, why) in [
            ([Some(503), None], "the API server did not answer (asked for 10 s)"),
            ([None, Some(429)], "the API server is busy: no (asked for 9 s)"),
        ] {
            assert_eq!(asked(&answers).await.1.unwrap_err().to_string(), why);
        }
    }

    #[test]
    fn pauses_grow_to_a_second_and_heed_the_server() {
        let pauses: Vec<u128> = (0..12).map(|attempt| backoff(attempt, None).as_millis()).collect();
        assert_eq!(pauses, [50, 50, 100, 100, 200, 200, 400, 400, 800, 800, 1000, 1000]);
        assert_eq!(backoff(0, Some(Duration::from_secs(3))), Duration::from_secs(3));
        assert_eq!(backoff(0, Some(Duration::from_hours(1))), Duration::from_secs(10));
        assert_eq!(backoff(u32::MAX, None), Duration::from_secs(1));
    }
}
