//! What the operator is told by its environment, read once at the start.

use std::net::SocketAddr;

/// Variable that names the image with the runner; the operator's own, as both are in one.
const IMAGE: &str = "KFE2E_IMAGE";
/// Variable that names where health and metrics are served.
const LISTEN: &str = "KFE2E_LISTEN";
/// Default of [`LISTEN`].
const DEFAULT_LISTEN: &str = "0.0.0.0:8080";

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
}

impl Settings {
    /// Reads the environment.
    pub fn from_environment() -> Result<Self, SettingsError> {
        let image =
            std::env::var(IMAGE).ok().filter(|image| !image.is_empty()).ok_or(SettingsError::NoImage)?;
        let listen = std::env::var(LISTEN).unwrap_or_else(|_| DEFAULT_LISTEN.to_owned());
        let listen = listen.parse().map_err(|source| SettingsError::Listen { value: listen, source })?;
        Ok(Self { core: operator_core::Settings::with_image(image), listen })
    }
}
