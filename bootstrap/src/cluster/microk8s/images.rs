//! Loading images into MicroK8s' containerd, which keeps what it already has.

use std::path::Path;

use bootstrap_image::{archive, list, missing_from};

use super::command::Call;
use crate::{
    cluster::Say,
    tool::{Cancel, ToolError},
};

/// Loads those images of a layout that the node does not have under that name and digest.
pub(super) fn load(layout: &Path, cancel: &Cancel, say: Say<'_>) -> Result<(), ToolError> {
    let stored = list(layout).map_err(|error| ToolError::Io {
        line: format!("reading {}", layout.display()),
        reason: error.to_string(),
    })?;
    let missing = missing_from(&Call::images().tool().cancelled_by(cancel).run()?, &stored);
    if missing.is_empty() {
        return Ok(());
    }
    let (from, names) = (layout.to_owned(), missing.clone());
    let import = Call::import().tool().cancelled_by(cancel).stream(move |out| {
        archive(&from, |name| names.iter().any(|missing| missing == name), out)
            .map_err(|error| error.to_string())
    });
    import.run()?;
    for name in missing {
        say(name);
    }
    Ok(())
}
