//! The report of `microk8s inspect`: services, their logs, arguments, network, objects.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};

use super::command::Call;

/// Makes a report and copies its tarball into `folder`, which is made when absent. A run that was interrupted has its
/// evidence too, so nothing ends this before its time.
pub(super) fn copy(folder: &Path) -> anyhow::Result<()> {
    // It exits with 1 when a service does not run: then the report is wanted most.
    let ended = Call::inspect().tool().ended()?;
    let Some(report) = report(&ended.stdout) else {
        ended.expect_success()?;
        bail!("`microk8s inspect` does not say where its report is");
    };
    let name = report.file_name().context("the report of `microk8s inspect` has no name")?;
    fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    fs::copy(&report, folder.join(name))
        .with_context(|| format!("copying {} to {}", report.display(), folder.display()))?;
    Ok(())
}

/// Where the report is, from what is printed.
fn report(said: &str) -> Option<PathBuf> {
    let place = said.lines().rev().find_map(|line| line.trim().strip_prefix("Report tarball is at "))?;
    Some(place.trim().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_is_where_the_last_line_says() {
        let said = "Inspecting system\nBuilding the report tarball\n  Report tarball is at \
                    /var/snap/microk8s/7731/inspection-report-20250317_182852.tar.gz\n";
        let place = "/var/snap/microk8s/7731/inspection-report-20250317_182852.tar.gz";
        assert_eq!(report(said).unwrap(), Path::new(place));
        assert_eq!(report("Inspecting system\n"), None);
    }
}
