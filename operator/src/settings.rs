//! What the operator is told by its environment and its command line, read once at the start.

use std::{ffi::OsString, net::SocketAddr, num::NonZeroUsize};

use lexopt::{Arg::Long, Parser, ValueExt as _};

/// Variable that names the image with the runner; the operator's own, as both are in one.
const IMAGE: &str = "KFE2E_IMAGE";
/// Variable that names where health and metrics are served.
const LISTEN: &str = "KFE2E_LISTEN";
/// Default of [`LISTEN`].
const DEFAULT_LISTEN: &str = "0.0.0.0:8080";

/// Pods that run at once over all runs, unless `--max-running` says otherwise: about as many as one node takes.
const DEFAULT_MAX_RUNNING: usize = 100;

/// The operator's settings.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Settings {
    /// What decisions depend on.
    pub core: operator_core::Settings,
    /// Where health and metrics are served.
    pub listen: SocketAddr,
}

/// A setting that is missing or makes no sense.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The image is not set.
    #[error("{IMAGE} is not set: it names the image that holds the runner")]
    NoImage,
    /// The address makes no sense.
    #[error("{LISTEN} is {value:?}, which is no address such as {DEFAULT_LISTEN}: {source}")]
    Listen {
        /// What it is set to.
        value: String,
        /// What is wrong with it.
        source: std::net::AddrParseError,
    },
    /// The command line makes no sense.
    #[error("{0}: the one option is --max-running N, 0 for any number")]
    CommandLine(#[from] lexopt::Error),
}

impl Settings {
    /// Reads the environment, and the command line without the program's own name.
    ///
    /// # Errors
    /// The setting that is missing or makes no sense.
    pub fn read(words: impl Iterator<Item = OsString>) -> Result<Self, SettingsError> {
        let image =
            std::env::var(IMAGE).ok().filter(|image| !image.is_empty()).ok_or(SettingsError::NoImage)?;
        let listen = std::env::var(LISTEN).unwrap_or_else(|_| DEFAULT_LISTEN.to_owned());
        let listen = listen.parse().map_err(|source| SettingsError::Listen { value: listen, source })?;
        let max_running = max_running(words)?;
        Ok(Self {
            core: operator_core::Settings { max_running, ..operator_core::Settings::with_image(image) },
            listen,
        })
    }
}

/// The cap on pods that run at once; `None` for any number.
fn max_running(words: impl Iterator<Item = OsString>) -> Result<Option<NonZeroUsize>, lexopt::Error> {
    let mut parser = Parser::from_args(words);
    let mut number = DEFAULT_MAX_RUNNING;
    while let Some(word) = parser.next()? {
        match word {
            Long("max-running") => number = parser.value()?.parse()?,
            other => return Err(other.unexpected()),
        }
    }
    Ok(NonZeroUsize::new(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &[&str]) -> Result<Option<usize>, String> {
        let words = words.iter().map(OsString::from);
        max_running(words).map(|cap| cap.map(NonZeroUsize::get)).map_err(|error| error.to_string())
    }

    #[test]
    fn the_cap_has_a_default_and_can_be_lifted() {
        assert_eq!(parsed(&[]), Ok(Some(DEFAULT_MAX_RUNNING)));
        assert_eq!(parsed(&["--max-running", "7"]), Ok(Some(7)));
        assert_eq!(parsed(&["--max-running=0"]), Ok(None));
        for wrong in
            [&["--max-running"][..], &["--max-running", "-1"], &["--max-running", "many"], &["--more"]]
        {
            assert!(parsed(wrong).is_err(), "{wrong:?}");
        }
    }
}
