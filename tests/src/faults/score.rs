//! What all cases of a test binary came to.

use std::{cmp::Reverse, fmt, time::Duration};

use tokio::sync::watch;

/// Recoveries that are shown.
const SHOWN: usize = 5;

/// Sums over all cases.
#[derive(Debug, Default)]
pub struct Score(watch::Sender<Sums>);

#[derive(Debug, Default)]
struct Sums {
    cases: usize,
    violations: usize,
    calls: usize,
    /// The longest, longest first.
    recoveries: Vec<(Duration, String)>,
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
            sums.recoveries.extend(recovery.map(|recovery| (recovery, case.to_owned())));
            sums.recoveries.sort_by_key(|(recovery, _)| Reverse(*recovery));
            sums.recoveries.truncate(SHOWN);
            if longest.0 > sums.call.0 {
                sums.call = (longest.0, format!("{} in {case}", longest.1));
            }
        });
    }
}

impl fmt::Display for Score {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sums = self.0.borrow();
        let Sums { cases, violations, calls, recoveries, call } = &*sums;
        writeln!(
            formatter,
            "{cases} cases, {violations} violations (goal 0), {calls} calls of the operator"
        )?;
        writeln!(formatter, "longest recoveries after a fault (goal 2 s):")?;
        for (recovery, case) in recoveries {
            writeln!(formatter, "  {:.2} s: {case}", recovery.as_secs_f64())?;
        }
        write!(formatter, "longest call (goal 10 s): {:.2} s: {}", call.0.as_secs_f64(), call.1)
    }
}
