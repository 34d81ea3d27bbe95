//! What goes wrong, and at which call.

use std::{collections::HashMap, fmt, time::Duration};

use serde_json::{Value, json};

/// What becomes of one call.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// The request never arrives.
    Drop,
    /// The request is served, and its answer is lost.
    LoseAnswer,
    /// The request arrives late.
    Delay(Duration),
    /// The API server says no.
    Answer(Refusal),
    /// The operator is killed.
    Kill(Moment),
    /// A watch breaks off after so many events.
    Cut(usize),
    /// A watch tells every event twice.
    Repeat,
    /// A watch tells every event late.
    Late(Duration),
    /// A list is answered as it was the first time.
    Older,
}

/// When the operator is killed around a write.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Moment {
    /// The API server never hears of it.
    Before,
    /// It is done, and the operator does not know.
    Committed,
    /// The operator has the answer, and does nothing more.
    Answered,
}

impl Moment {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Before, Self::Committed, Self::Answered];
}

/// An answer that says no.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    /// HTTP status.
    pub code: u16,
    /// Reason of the `Status` object.
    pub reason: &'static str,
    /// Seconds of the `Retry-After` header.
    pub retry_after: Option<u32>,
}

impl Refusal {
    /// The token is not, or no longer, good.
    pub const UNAUTHORIZED: Self = Self { code: 401, reason: "Unauthorized", retry_after: None };

    /// Every refusal that the API server may give to any call.
    pub const ALL: [Self; 11] = [
        Self { code: 400, reason: "BadRequest", retry_after: None },
        Self::UNAUTHORIZED,
        Self { code: 403, reason: "Forbidden", retry_after: None },
        Self { code: 404, reason: "NotFound", retry_after: None },
        Self { code: 409, reason: "Conflict", retry_after: None },
        Self { code: 410, reason: "Expired", retry_after: None },
        Self { code: 422, reason: "Invalid", retry_after: None },
        Self { code: 429, reason: "TooManyRequests", retry_after: Some(1) },
        Self { code: 500, reason: "InternalError", retry_after: None },
        Self { code: 503, reason: "ServiceUnavailable", retry_after: Some(1) },
        Self { code: 504, reason: "Timeout", retry_after: Some(1) },
    ];

    /// The body: a `Status` about that object.
    pub fn body(&self, resource: &str, name: Option<&str>) -> Value {
        let kind = resource.split('/').next().unwrap_or_default();
        let message = match self.code {
            403 => format!("{kind} is forbidden: User \"operator\" cannot do this: the script says no"),
            _ => format!("{kind}: the script says {}", self.reason),
        };
        json!({
            "apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Failure", "code": self.code,
            "reason": self.reason, "message": message, "details": { "kind": kind, "name": name },
        })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answer(refusal) => write!(formatter, "{}", refusal.code),
            other => write!(formatter, "{other:?}"),
        }
    }
}

/// A fault at some of the calls of one site.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Which calls, see [`super::Call::site`].
    pub site: String,
    /// The first one, counted from 1.
    pub from: usize,
    /// How many.
    pub times: usize,
    /// What becomes of them.
    pub fault: Fault,
}

impl Rule {
    /// A fault at the `from`-th call and `times - 1` after it.
    pub fn new(site: impl Into<String>, from: usize, times: usize, fault: Fault) -> Self {
        Self { site: site.into(), from, times, fault }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { site, from, times, fault } = self;
        write!(formatter, "{site} #{from} ×{times}: {fault}")
    }
}

/// The rules of one case, and how often each site was called.
#[derive(Debug, Default)]
pub struct Script {
    rules: Vec<Rule>,
    calls: HashMap<String, usize>,
}

impl Script {
    /// These rules, from the first call on.
    pub fn new(rules: Vec<Rule>) -> Self {
        Self { rules, calls: HashMap::new() }
    }

    /// Counts a call; what becomes of it.
    pub fn next(&mut self, site: &str) -> Option<Fault> {
        let nth = self.calls.entry(site.to_owned()).or_default();
        *nth += 1;
        let applies = |rule: &&Rule| {
            rule.site == site && (rule.from..rule.from.saturating_add(rule.times)).contains(nth)
        };
        self.rules.iter().find(applies).map(|rule| rule.fault.clone())
    }
}
