//! Prints the CustomResourceDefinition, as it stands in `manifests/crd`.

use std::io::Write as _;

use kube::CustomResourceExt as _;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let yaml = serde_saphyr::to_string(&crds::v1alpha1::E2ETest::crd())?;
    std::io::stdout().write_all(yaml.as_bytes())?;
    Ok(())
}
