//! What a person can do about a pod that cannot start, where Kubernetes' own sentence does not say it.

use super::Context;
use crate::validate::ValidSource;

/// The sentence with what to do, where that is known.
pub(super) fn with_advice(context: Context<'_>, sentence: String) -> String {
    match advice(context, &sentence) {
        Some(advice) => format!("{sentence}: {advice}"),
        None => sentence,
    }
}

/// What to do about it.
fn advice(context: Context<'_>, sentence: &str) -> Option<String> {
    let namespace = &context.run.namespace;
    if let Some(ValidSource::ConfigMap(source)) = context.test.program.source() {
        if sentence.contains(&format!("configmap \"{}\" not found", source.name)) {
            let key = &source.key;
            return Some(format!("create ConfigMap {namespace}/{} with the key {key}", source.name));
        }
        if sentence.contains("references non-existent config key") {
            return Some(format!("add the key {} to ConfigMap {namespace}/{}", source.key, source.name));
        }
    }
    if sentence.contains("error looking up service account") {
        let account = &context.run.service_account;
        return Some(format!(
            "create ServiceAccount {namespace}/{account}, or name another in serviceAccountName"
        ));
    }
    None
}
