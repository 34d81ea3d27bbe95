//! Receipts: what a test says that it checked, as JSON at `$E2E_RECEIPT`.
//!
//! An exit code says that nothing raised; a receipt says what was looked at. People write it by hand in any language, so
//! nothing in it is required but the checks.

use serde::{Deserialize, Serialize};

/// Version of [`Receipt`]'s format.
pub const SCHEMA_VERSION: i32 = 1;

/// Bytes of a receipt that are read at most.
pub const MAX_BYTES: u64 = 1024 * 1024;

/// What a test checked.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Receipt {
    /// [`SCHEMA_VERSION`]; left out, it is 1.
    #[serde(default = "first_version")]
    pub schema_version: i32,
    /// The checks, in any order.
    pub checks: Vec<Check>,
}

/// One thing that a test looked at.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Check {
    /// What was looked at, such as `pipeline-succeeded`.
    pub name: String,
    /// Whether it was as it should be.
    pub ok: bool,
    /// What was seen, such as the run's ID.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub evidence: String,
}

/// The version of a receipt that names none.
const fn first_version() -> i32 {
    SCHEMA_VERSION
}

/// Why a file is no receipt.
#[derive(Debug, thiserror::Error)]
pub enum ReceiptError {
    /// Not the JSON of a receipt.
    #[error("it is no receipt: {0}")]
    Malformed(#[from] serde_json::Error),
    /// Written for another version.
    #[error("it has schema version {0}, and only {SCHEMA_VERSION} is known")]
    UnknownVersion(i32),
}

impl Receipt {
    /// Reads a receipt.
    ///
    /// # Errors
    /// It is none, or one of a version that is not known.
    pub fn parse(text: &[u8]) -> Result<Self, ReceiptError> {
        let receipt: Self = serde_json::from_slice(text)?;
        if receipt.schema_version != SCHEMA_VERSION {
            return Err(ReceiptError::UnknownVersion(receipt.schema_version));
        }
        Ok(receipt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_what_people_write_and_what_it_wrote() {
        let receipt = Receipt::parse(
            br#"{"checks": [{"name": "a", "ok": true, "evidence": "run 7"}, {"name": "b", "ok": false}]}"#,
        )
        .unwrap();
        assert_eq!((receipt.schema_version, receipt.checks.len()), (1, 2));
        assert_eq!(Receipt::parse(&serde_json::to_vec(&receipt).unwrap()).unwrap(), receipt);
    }

    #[test]
    fn anything_else_is_refused_with_a_sentence() {
        for (text, sentence) in [
            (r#"{"schemaVersion": 2, "checks": []}"#, "it has schema version 2, and only 1 is known"),
            ("{}", "it is no receipt: missing field `checks`"),
            (
                r#"{"checks": [{"name": "a", "ok": "yes"}]}"#,
                "it is no receipt: invalid type: string \"yes\", expected a boolean",
            ),
            ("", "it is no receipt: EOF while parsing"),
        ] {
            let refusal = Receipt::parse(text.as_bytes()).unwrap_err().to_string();
            assert!(refusal.starts_with(sentence), "{refusal}");
        }
    }
}
