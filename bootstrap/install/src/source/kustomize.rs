//! Rendering is kustomize's job: the one inside kubectl.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::{process::Command, time::timeout};

use super::SourceError;

/// The kustomization file of a folder, under any of its three names.
pub(super) fn kustomization(folder: &Path) -> Option<PathBuf> {
    ["kustomization.yaml", "kustomization.yml", "Kustomization"]
        .into_iter()
        .map(|name| folder.join(name))
        .find(|file| file.is_file())
}

/// What `kubectl kustomize` prints for the folder.
pub(super) async fn render(folder: &Path, kubectl: &Path, limit: Duration) -> Result<String, SourceError> {
    let output =
        Command::new(kubectl).arg("kustomize").arg(folder).stdin(Stdio::null()).kill_on_drop(true).output();
    let output = timeout(limit, output)
        .await
        .map_err(|_| SourceError::KustomizeTimeout { path: folder.into(), limit })?
        .map_err(|source| SourceError::Kubectl { kubectl: kubectl.into(), path: folder.into(), source })?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(SourceError::Kustomize { path: folder.into(), sentence: sentence(&said) });
    }
    String::from_utf8(output.stdout).map_err(|_| SourceError::NotText { path: folder.into() })
}

/// The lines that say what is wrong, as one; warnings and the prefix are left out.
fn sentence(said: &str) -> String {
    let lines: Vec<&str> = said
        .lines()
        .map(|line| line.trim().trim_start_matches("error: "))
        .filter(|line| !line.is_empty() && !line.starts_with('#') && !line.starts_with("Warning:"))
        .collect();
    if lines.is_empty() { "it gives no reason".into() } else { lines.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::sentence;

    #[test]
    fn the_reason_is_one_line() {
        assert_eq!(
            sentence(
                "# Warning: 'commonLabels' is deprecated\nerror: accumulating resources:\n  no such file\n"
            ),
            "accumulating resources: no such file"
        );
        assert_eq!(sentence("\n"), "it gives no reason");
    }
}
