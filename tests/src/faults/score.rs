//! What all cases of a test binary came to.

use std::{fmt, time::Duration};

use tokio::sync::watch;

/// Sums over all cases.
#[derive(Debug, Default)]
pub struct Score(watch::Sender<Sums>);

#[derive(Debug, Default)]
struct Sums {
    cases: usize,
    violations: usize,
    calls: usize,
    recovery: (Duration, String),
    call: (Duration, String),
}

impl Score {
    /// Adds a case.
    pub fn add(
        &self,
        case: &str,
        violations: usize,
        calls: usize,
        recovery: Option<Duration>,
        longest: (Duration, String),
    ) {
        self.0.send_modify(|sums| {
            sums.cases += 1;
            sums.violations += violations;
            sums.calls += calls;
            if let Some(recovery) = recovery.filter(|recovery| *recovery > sums.recovery.0) {
                sums.recovery = (recovery, case.to_owned());
            }
            if longest.0 > sums.call.0 {
                sums.call = (longest.0, format!("{} in {case}", longest.1));
            }
        });
    }
}

impl fmt::Display for Score {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sums = self.0.borrow();
        let Sums { cases, violations, calls, recovery, call } = &*sums;
        writeln!(formatter, "{cases} cases, {violations} violations, {calls} calls of the operator")?;
        writeln!(formatter, "longest recovery {:.2} s ({})", recovery.0.as_secs_f64(), recovery.1)?;
        write!(formatter, "longest call {:.2} s ({})", call.0.as_secs_f64(), call.1)
    }
}
