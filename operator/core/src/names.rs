//! Names of the run's children: the same in every pass, so that two operators or a restarted one make nothing twice.
//!
//! A test's name has at most 40 characters; with the UID's first 8 and the attempt every name stays below 63, and with
//! the suffix that the Job controller gives a pod as well.

/// Characters of the UID that go into names.
const SHORT_UID: usize = 8;

/// The first characters of a UID.
fn short(uid: &str) -> String {
    uid.chars().filter(char::is_ascii_alphanumeric).take(SHORT_UID).collect()
}

/// The Job of one attempt of one test.
pub fn job(test: &str, run_uid: &str, attempt: i32) -> String {
    format!("{test}-{}-{attempt}", short(run_uid))
}

/// The ConfigMap of a test's inline source.
pub fn config_map(test: &str, run_uid: &str) -> String {
    format!("{test}-{}-source", short(run_uid))
}

/// The run's PodDefault. The webhook appends the name to an annotation's name, which leaves 52 characters for it.
pub fn pod_default(run_uid: &str) -> String {
    format!("kubeflow-e2e-{}", short(run_uid))
}

#[cfg(test)]
mod tests {
    use super::*;

    const UID: &str = "0f5e4a5c-19cd-4f6d-8d5e-3a3f6f0b8f11";

    #[test]
    fn names_are_the_same_every_time() {
        assert_eq!(job("notebook", UID, 1), "notebook-0f5e4a5c-1");
        assert_eq!(config_map("notebook", UID), "notebook-0f5e4a5c-source");
        assert_eq!(pod_default(UID), "kubeflow-e2e-0f5e4a5c");
    }

    #[test]
    fn the_longest_names_leave_room_for_a_pods_suffix() {
        let longest = "x".repeat(40);
        assert!(job(&longest, UID, 99).len() + "-abcde".len() <= 63);
        assert!(config_map(&longest, UID).len() <= 63);
        assert!(pod_default(UID).len() <= 52);
    }
}
