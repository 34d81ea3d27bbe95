//! What the API server writes down of its users' requests, where that is asked for.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::{ClusterName, Error, Roots, config::Layout};

/// Size in MiB at which a log is put aside; one that was put aside is kept beside it.
const MAX_MEBIBYTES: u32 = 64;
const KEPT: u32 = 1;

/// Where a cluster's API server writes down the requests of [`ClusterConfig::audited`](crate::ClusterConfig::audited), one
/// JSON object a line. A log that was put aside for its size lies beside it.
pub fn audit_log(roots: &Roots, name: &str) -> Result<PathBuf, Error> {
    Ok(Layout::new(roots, &ClusterName::new(name)?)?.audit_log())
}

/// The API server's flags for a log of these users' requests; none where nobody is named.
pub(crate) fn flags(layout: &Layout, users: &[String]) -> Vec<String> {
    if users.is_empty() {
        return Vec::new();
    }
    vec![
        format!("--audit-policy-file={}", policy_file(layout).display()),
        format!("--audit-log-path={}", layout.audit_log().display()),
        format!("--audit-log-maxsize={MAX_MEBIBYTES}"),
        format!("--audit-log-maxbackup={KEPT}"),
    ]
}

/// Who asked for what, and by which right; never what was sent or answered.
pub(crate) fn policy(users: &[String]) -> Value {
    json!({
        "apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"],
        "rules": [{ "level": "Metadata", "users": users }, { "level": "None" }],
    })
}

pub(crate) fn policy_file(layout: &Layout) -> PathBuf {
    layout.config().join("audit-policy.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_named_users_are_written_down_in_the_clusters_own_folder_and_within_bounds() {
        let layout = Layout::new(&Roots::default(), &ClusterName::new("a").unwrap()).unwrap();
        assert!(flags(&layout, &[]).is_empty());
        let users = ["system:serviceaccount:a:b".to_owned()];
        let flags = flags(&layout, &users);
        assert!(flags.contains(&"--audit-log-path=/var/lib/kfe2e/a/logs/audit.log".to_owned()));
        assert!(flags.iter().any(|flag| flag.starts_with("--audit-log-maxsize=")));
        assert!(flags.iter().any(|flag| flag.starts_with("--audit-log-maxbackup=")));
        let policy = policy(&users);
        assert_eq!(policy["rules"][0]["users"], json!(users));
        assert_eq!(policy["rules"][1], json!({ "level": "None" }));
    }
}
