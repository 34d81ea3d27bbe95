//! An attempt that cannot be seen, because the target namespace cannot be read. That may change, so it is waited for:
//! until the start is due, or the run's end where there is a Job already.

use std::time::Duration;

use crds::v1alpha1::{TestReason, TestStatus};

use super::{Context, Ending, Step, going_on, over, start_deadline, waiting};
use crate::{
    clock::{after, spoken},
    observed::Unreadable,
};

/// How long an error that may pass by itself must last before it counts. One answer that is lost must neither end an
/// attempt whose verdict is there to be read, nor cost a write.
const LASTS: Duration = Duration::from_secs(10);

/// How a message about an error that may pass by itself begins.
const CANNOT_BE_READ: &str = "the target namespace cannot be read: ";

/// Takes an attempt that cannot be seen one step further.
pub(super) fn advance(context: Context<'_>, entry: &TestStatus, unreadable: &Unreadable) -> Step {
    let counts = unreadable.since.is_none_or(|since| after(since, LASTS) <= context.now);
    let wake = Some(waiting::try_again(context.now));
    if !counts {
        return going_on(entry.clone(), entry.message.clone(), wake);
    }
    let why = sentence(entry, unreadable);
    if context.end.passed(context.now) {
        let mut ending = Ending::by_the_runs_end(context, entry.job.is_some());
        ending.message = format!("{}: {why}", ending.message);
        return over(context, entry, &ending, None);
    }
    if entry.job.is_none() && context.now >= start_deadline(context, entry) {
        let message = format!("{why} (tried for {})", spoken(context.test.start_timeout));
        return over(context, entry, &Ending::because(TestReason::PodCreationRefused, message), None);
    }
    going_on(entry.clone(), Some(why), wake)
}

/// What the status says. Of errors that follow each other the first is kept: lost connections and time-outs take turns,
/// and a status that tells each would be written with every try.
fn sentence(entry: &TestStatus, unreadable: &Unreadable) -> String {
    if unreadable.since.is_none() {
        return unreadable.why.clone();
    }
    let known = entry.message.as_ref().filter(|known| known.starts_with(CANNOT_BE_READ));
    known.cloned().unwrap_or_else(|| format!("{CANNOT_BE_READ}{}", unreadable.why))
}
