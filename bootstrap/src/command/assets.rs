//! `kfe2e assets`.

use std::path::PathBuf;

use bootstrap_embedded::{AssetSource, Cancel, KubernetesVersion, fetch_assets, fetch_kind};
use crds::{ExitCode, run_event::Stage};

use crate::{
    cluster::tell,
    failure::Failure,
    progress::{Output, Progress},
};

/// Fetches or builds the binaries of the embedded cluster and prints the folders that hold them, or else those of `kind`.
#[allow(clippy::print_stdout, reason = "the result of the command")]
pub fn assets(kind: bool, version: Option<&str>) -> Result<ExitCode, Failure> {
    let version = version.map(str::parse::<KubernetesVersion>).transpose();
    let version = version.map_err(|error| Failure::usage(format!("--kubernetes-version: {error}")))?;
    let (progress, drawing) = Progress::start(Output::Text);
    progress.started(Stage::Up);
    let say = &mut |line| progress.say(Stage::Up, line);
    let source = AssetSource::from_env();
    let (cancel, tell) = (Cancel::default(), &mut |event| tell(&event, say));
    let folders = if kind {
        fetch_kind(&source, &cancel, tell)
            .map(|program| program.parent().map(Into::into).into_iter().collect())
    } else {
        fetch_assets(version.unwrap_or_default(), &source, &cancel, tell)
    };
    drop(progress);
    drawing.finish();
    let folders: Vec<PathBuf> = folders.map_err(|error| Failure::infrastructure(error.to_string()))?;
    for folder in folders {
        println!("{}", folder.display());
    }
    Ok(ExitCode::Succeeded)
}
