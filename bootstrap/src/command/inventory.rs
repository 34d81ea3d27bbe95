//! `kfe2e inventory`: what a gate over any rendered manifests needs in the cluster, for people who use kubectl alone.

use std::{
    io::{Read as _, stdin},
    path::Path,
    time::Duration,
};

use bootstrap_install::{GateManifests, Object, gate_manifests, source};
use crds::ExitCode;

use crate::failure::Failure;

/// How long rendering a kustomize folder may take; remote bases are fetched meanwhile.
const RENDER_WITHIN: Duration = Duration::from_mins(5);

/// Prints the manifests.
pub async fn inventory(from: &Path, name: &str) -> Result<ExitCode, Failure> {
    if !is_config_map_name(name) {
        return Err(Failure::usage(format!(
            "--name {name}: a ConfigMap has this name, so it must be of small letters, digits, `-` and `.`, begin and end \
             with a letter or digit, and have at most 253 characters"
        )));
    }
    let objects = if from == Path::new("-") { standard_input()? } else { read(from).await? };
    let manifests = gate_manifests(name, &objects).map_err(|error| Failure::usage(error.to_string()))?;
    print(&manifests)?;
    Ok(ExitCode::Succeeded)
}

/// Whether a ConfigMap may have this name: as the CRD's pattern of `spec.kubeflow.inventory`.
fn is_config_map_name(name: &str) -> bool {
    let outer = |character: char| character.is_ascii_lowercase() || character.is_ascii_digit();
    let inner = |character: char| outer(character) || matches!(character, '-' | '.');
    name.len() <= 253 && name.starts_with(outer) && name.ends_with(outer) && name.chars().all(inner)
}

/// The objects of a file or folder.
async fn read(from: &Path) -> Result<Vec<Object>, Failure> {
    let loaded = bootstrap_install::load(from, Path::new("kubectl"), RENDER_WITHIN).await;
    loaded.map_err(|error| Failure::usage(error.to_string()))
}

/// The objects that are piped in.
fn standard_input() -> Result<Vec<Object>, Failure> {
    let fails = |why: String| Failure::usage(format!("standard input: {why}"));
    let mut text = String::new();
    let limited = stdin().lock().take(source::MAX_BYTES + 1).read_to_string(&mut text);
    let size = limited.map_err(|error| fails(error.to_string()))?;
    if u64::try_from(size).is_ok_and(|size| size > source::MAX_BYTES) {
        return Err(fails(format!("has more than {} MiB", source::MAX_BYTES >> 20)));
    }
    let objects = source::parse(&text).map_err(|error| fails(error.to_string()))?;
    if objects.is_empty() {
        return Err(fails("holds no Kubernetes object".to_owned()));
    }
    Ok(objects.into_iter().map(|(_, object)| object).collect())
}

/// YAML for kubectl on standard output, what is missing in it on standard error.
#[allow(clippy::print_stdout, clippy::print_stderr, reason = "the result of the command")]
fn print(manifests: &GateManifests) -> Result<(), Failure> {
    for object in &manifests.objects {
        let text = serde_saphyr::to_string(object.manifest());
        let text = text.map_err(|error| Failure::infrastructure(format!("writing YAML: {error}")))?;
        println!("---\n{}", text.trim_end());
    }
    for object in &manifests.unknown {
        eprintln!(
            "kfe2e: {object}: how {} is read is not known without its CRD: add the CRD to the input, or a rule to the ClusterRole",
            object.api_version()
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_name_that_no_object_can_have_is_a_wrong_flag() {
        let nowhere = Path::new("/nowhere");
        for name in ["Bad_N", "", "-a", "a.", "a/b", &"a".repeat(254)] {
            let refused = inventory(nowhere, name).await.unwrap_err();
            assert_eq!(refused.code, ExitCode::Usage);
            assert!(refused.message.starts_with(&format!("--name {name}: ")), "{refused}");
        }
        let read = inventory(nowhere, "my.kubeflow-2").await.unwrap_err();
        assert!(read.message.contains("/nowhere"), "{read}");
    }
}
