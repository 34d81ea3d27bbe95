//! What the operator is told once, at its start.

use std::{num::NonZeroUsize, time::Duration};

/// Settings that decisions depend on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Settings {
    /// The image that holds the runner: of the init container and of the sidecar.
    pub image: String,
    /// How much longer than its test a pod may live: for the runner to end the test by itself and to write its verdict.
    pub grace: Duration,
    /// How many pods may run at once over all runs; `None` for any number.
    pub max_running: Option<NonZeroUsize>,
}

impl Settings {
    /// The defaults, with this image.
    pub fn with_image(image: impl Into<String>) -> Self {
        Self { image: image.into(), grace: Duration::from_mins(1), max_running: None }
    }
}
