//! Pure decisions of the operator: what it saw and what time it is, in; what to do and what to say, out.
//!
//! There is no client, no clock, no environment and no randomness here, so every decision is a table in a test. The one
//! door is [`decide`]; [`Wanted`] says what has to be read for it, and [`Plan::settle`] what to say once the plan's
//! effects were tried.

#![deny(clippy::wildcard_enum_match_arm, clippy::indexing_slicing, clippy::float_arithmetic)]

mod attempt;
mod build;
mod cause;
mod clock;
mod conditions;
mod decide;
pub mod effect;
mod ending;
pub mod event;
mod expiry;
pub mod gate;
pub mod names;
pub mod observed;
mod plan;
pub mod settings;
pub mod share;
mod validate;
mod verdict;

#[cfg(test)]
pub(crate) use attempt::state_of as attempt_state;
pub use attempt::{runs_in, wants_warnings_of};
pub use build::pod_default::resource as pod_default_resource;
pub use decide::{decide, is_finished, lags, no_room};
pub use effect::{Acted, Batch, Effect, Outcome};
pub use event::EventDraft;
pub use expiry::{Expired, expires_at};
pub use observed::{AttemptFacts, Observed, Unreadable, Wanted, WantedAttempt};
pub use plan::{Plan, Report, Requeue};
pub use settings::Settings;
pub use share::{Claim, shares};

#[cfg(test)]
mod tests;
