//! What a test runs, and where its text comes from.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::text_map::Parameters;

/// Where a notebook or script comes from: exactly one of the fields.
#[derive(Clone, Debug, Default, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("[has(self.configMap), has(self.inline), has(self.bundled)].exists_one(x, x)").message("give exactly one of configMap, inline and bundled"))]
pub struct Source {
    /// A key of a ConfigMap in `targetNamespace`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "ConfigMapKey")]
    pub config_map: Option<ConfigMapKey>,
    /// The text itself. All inline sources of a run together have at most 262144 characters, parameters, arguments, variables and
    /// requirements included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 1, max = 262_144))]
    pub inline: Option<String>,
    /// Name of a test that comes with the operator, such as `mnist`. Such a test must leave a receipt unless `receipt` says otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        with = "String",
        length(min = 1, max = 63),
        regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
    )]
    pub bundled: Option<String>,
}

impl Source {
    /// The text itself.
    pub fn inline(text: impl Into<String>) -> Self {
        Self { inline: Some(text.into()), ..Self::default() }
    }
}

/// A key of a ConfigMap.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub struct ConfigMapKey {
    /// Name of the ConfigMap.
    #[schemars(length(max = 253), regex(pattern = "^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// Key in its data.
    #[schemars(length(max = 253), regex(pattern = "^[-._a-zA-Z0-9]+$"))]
    pub key: String,
}

/// A Jupyter notebook, run cell by cell on the kernel that it names.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub struct Notebook {
    /// The notebook.
    pub source: Source,
    /// Values for the notebook's parameters: assigned in a cell of their own right after the cell that is tagged `parameters`,
    /// or before the first one where no cell is. What reads as JSON is passed as that (a number, `true`, a list), all else as text.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "Parameters")]
    pub parameters: BTreeMap<String, String>,
}

/// A script.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub struct Script {
    /// The script.
    pub source: Source,
    /// The program that runs it, with its own arguments before the script's path; found in the image's PATH.
    #[serde(default = "python3")]
    #[schemars(length(min = 1, max = 8), inner(length(min = 1, max = 256)))]
    pub interpreter: Vec<String>,
    /// Arguments after the script's path.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 4096)))]
    pub args: Vec<String>,
}

/// A program of the test's own image.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub struct ImageProgram {
    /// The program with its first arguments; found in the image's PATH. The image's own entry point is not used.
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 4096)))]
    pub command: Vec<String>,
    /// Further arguments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 4096)))]
    pub args: Vec<String>,
}

impl Script {
    /// A Python script without arguments.
    pub fn python(source: Source) -> Self {
        Self { source, interpreter: python3(), args: Vec::new() }
    }
}

/// The interpreter of a script that names none.
fn python3() -> Vec<String> {
    vec!["python3".into()]
}
