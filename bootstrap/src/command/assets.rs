//! `kfe2e assets`.

use bootstrap_embedded::{AssetSource, Cancel, KubernetesVersion, fetch_assets};
use crds::{ExitCode, run_event::Stage};

use crate::{
    cluster::tell,
    failure::Failure,
    progress::{Output, Progress},
};

/// Fetches or builds the binaries of the embedded cluster, and prints the folders that hold them.
#[allow(clippy::print_stdout, reason = "the result of the command")]
pub fn assets(version: Option<&str>) -> Result<ExitCode, Failure> {
    let version = version.map(str::parse::<KubernetesVersion>).transpose();
    let version = version.map_err(|error| Failure::usage(format!("--kubernetes-version: {error}")))?;
    let (progress, drawing) = Progress::start(Output::Text);
    progress.started(Stage::Up);
    let say = &mut |line| progress.say(Stage::Up, line);
    let source = AssetSource::from_env();
    let folders = fetch_assets(version.unwrap_or_default(), &source, &Cancel::default(), &mut |event| {
        tell(&event, say);
    });
    drop(progress);
    drawing.finish();
    for folder in folders.map_err(|error| Failure::infrastructure(error.to_string()))? {
        println!("{}", folder.display());
    }
    Ok(ExitCode::Succeeded)
}
