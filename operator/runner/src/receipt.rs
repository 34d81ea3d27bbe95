//! Judges the receipt of a test that passed by its exit code or cells.

use std::{
    fs::File,
    io::{self, Read as _},
    path::Path,
};

use crds::{
    receipt::{Check, MAX_BYTES, Receipt},
    v1alpha1::{ReceiptPolicy, TestReason},
    verdict::{Checks, Verdict},
};

use crate::ansi::one_line;

/// What is at the receipt's path.
#[derive(Debug)]
enum Found {
    Nothing,
    Unreadable(String),
    Receipt(Receipt),
}

/// The verdict with what the receipt says. A receipt never makes a pass of what did not pass.
pub fn judge(verdict: Verdict, policy: ReceiptPolicy, path: &Path) -> Verdict {
    decide(verdict, policy, look(path))
}

/// Reads the receipt.
fn look(path: &Path) -> Found {
    let mut text = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut text));
    match read {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Found::Nothing,
        Err(error) => Found::Unreadable(format!("it cannot be read: {error}")),
        Ok(bytes) if bytes as u64 > MAX_BYTES => {
            Found::Unreadable(format!("it has more than {MAX_BYTES} bytes"))
        }
        Ok(_) => {
            Receipt::parse(&text).map_or_else(|error| Found::Unreadable(error.to_string()), Found::Receipt)
        }
    }
}

/// The verdict, given what was found.
fn decide(verdict: Verdict, policy: ReceiptPolicy, found: Found) -> Verdict {
    let checks = match &found {
        Found::Receipt(receipt) => count(&receipt.checks),
        Found::Nothing | Found::Unreadable(_) => None,
    };
    let verdict = Verdict { checks, ..verdict };
    if !verdict.passed {
        return verdict;
    }
    let required = policy == ReceiptPolicy::Required;
    let (reason, message) = match found {
        Found::Nothing if required => (
            TestReason::NoReceipt,
            "passed, but left no receipt at $E2E_RECEIPT, which is required".to_owned(),
        ),
        Found::Unreadable(why) => {
            (TestReason::NoReceipt, format!("passed, but left a receipt that says nothing: {why}"))
        }
        Found::Receipt(Receipt { checks, .. }) => match checks.iter().find(|check| !check.ok) {
            Some(failed) => (TestReason::ReceiptFailed, sentence(failed)),
            None if checks.is_empty() && required => (
                TestReason::NoReceipt,
                "passed, but its receipt names no check, and one is required".to_owned(),
            ),
            None => return verdict,
        },
        Found::Nothing => return verdict,
    };
    Verdict { checks: verdict.checks, ..Verdict::failed(reason, &message, verdict.cells) }
}

/// How many checks there are, and how many are as they should be.
fn count(checks: &[Check]) -> Option<Checks> {
    let number = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
    let passed = number(checks.iter().filter(|check| check.ok).count());
    (!checks.is_empty()).then(|| Checks { passed, total: number(checks.len()) })
}

/// The sentence about a check that failed.
fn sentence(Check { name, evidence, .. }: &Check) -> String {
    let evidence = if evidence.is_empty() { String::new() } else { format!(": {}", one_line(evidence)) };
    format!("check {:?} of the receipt failed{evidence}", one_line(name))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn judged(policy: ReceiptPolicy, receipt: Option<&str>) -> (Option<TestReason>, String) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("receipt.json");
        if let Some(text) = receipt {
            fs::write(&path, text).unwrap();
        }
        let verdict = judge(Verdict::passed(None), policy, &path);
        assert_eq!(verdict.passed, verdict.reason.is_none());
        (verdict.reason, verdict.message)
    }

    #[test]
    fn a_required_receipt_has_to_name_a_check() {
        for receipt in
            [None, Some(r#"{"checks": []}"#), Some("{"), Some(r#"{"schemaVersion": 9, "checks": []}"#)]
        {
            let (reason, message) = judged(ReceiptPolicy::Required, receipt);
            assert_eq!(reason, Some(TestReason::NoReceipt), "{receipt:?}");
            assert!(message.starts_with("passed, but "), "{message}");
        }
        assert_eq!(
            judged(ReceiptPolicy::Required, Some(r#"{"checks": [{"name": "a", "ok": true}]}"#)).0,
            None
        );
    }

    #[test]
    fn an_optional_receipt_counts_where_there_is_one() {
        assert_eq!(judged(ReceiptPolicy::Optional, None).0, None);
        assert_eq!(judged(ReceiptPolicy::Optional, Some(r#"{"checks": []}"#)).0, None);
        assert_eq!(judged(ReceiptPolicy::Optional, Some("not JSON")).0, Some(TestReason::NoReceipt));
    }

    #[test]
    fn one_check_that_failed_fails_the_test_and_is_named() {
        let receipt = r#"{"checks": [{"name": "a", "ok": true}, {"name": "b", "ok": false, "evidence": "run 7\nfailed"}]}"#;
        for policy in [ReceiptPolicy::Optional, ReceiptPolicy::Required] {
            let (reason, message) = judged(policy, Some(receipt));
            assert_eq!(reason, Some(TestReason::ReceiptFailed));
            assert!(message.starts_with("check \"b\" of the receipt failed: run 7"), "{message}");
        }
    }

    #[test]
    fn a_receipt_makes_no_pass_of_a_failure() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("receipt.json");
        fs::write(&path, r#"{"checks": [{"name": "a", "ok": true}]}"#).unwrap();
        let failed = Verdict::failed(TestReason::NonZeroExit, "exit code 1", None);
        let verdict = judge(failed, ReceiptPolicy::Required, &path);
        assert_eq!((verdict.passed, verdict.reason), (false, Some(TestReason::NonZeroExit)));
        assert_eq!(verdict.checks, Some(Checks { passed: 1, total: 1 }));
    }
}
