//! Prints the CustomResourceDefinition, as it stands in `manifests/crd`.

use std::{collections::BTreeMap, io::Write as _};

use kube::CustomResourceExt as _;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut crd = crds::v1alpha1::E2ETest::crd();
    // By it `kfe2e` knows whether the CRD of a cluster is its own.
    let version = (crds::names::label::VERSION.to_owned(), env!("CARGO_PKG_VERSION").to_owned());
    crd.metadata.labels = Some(BTreeMap::from([version]));
    let yaml = serde_saphyr::to_string(&crd)?;
    std::io::stdout().write_all(yaml.as_bytes())?;
    Ok(())
}
