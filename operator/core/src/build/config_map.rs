//! The ConfigMap that holds a test's inline source.

use k8s_openapi::api::core::v1::ConfigMap;

use super::{metadata, pod, test_labels};
use crate::{
    names,
    validate::{Run, ValidTest},
};

/// The ConfigMap of this content, under the file name that the pod sees.
pub(crate) fn build(run: &Run, test: &ValidTest, content: &str) -> ConfigMap {
    ConfigMap {
        metadata: metadata(run, names::config_map(&test.name, &run.uid), test_labels(run, test)),
        data: Some([(pod::file_name(&test.program).to_owned(), content.to_owned())].into()),
        ..ConfigMap::default()
    }
}
