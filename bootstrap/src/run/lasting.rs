//! What a run asks of a cluster that was there before, and stays: it makes only what it must.

use std::time::Duration;

use bootstrap_install::{Object, found, inventory};
use crds::{
    inventory::{InventoryObject, State},
    names::{self, label},
    v1alpha1::E2ETest,
};
use k8s_openapi::{
    api::apps::v1::Deployment,
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{Api, Client, CustomResourceExt as _, ResourceExt as _};
use tokio::time::timeout;

use super::plan::{KubeflowSource, Plan};
use crate::failure::Failure;

/// How long one question may take.
const ANSWERS_WITHIN: Duration = Duration::from_secs(30);

/// The CRD by which a Kubeflow is known.
const PROFILES: &str = "profiles.kubeflow.org";

/// The CRD by which pods get their Pipelines token.
const POD_DEFAULTS: &str = "poddefaults.kubeflow.org";

/// Refuses a cluster in which somebody else's Kubeflow would be overwritten, or another run would be disturbed.
pub async fn check(client: &Client, plan: &Plan) -> Result<(), Failure> {
    let run = plan.name();
    let held = inventory::read(client).await.map_err(|error| Failure::infrastructure(error.to_string()))?;
    let left = match held {
        Some(held) if held.inventory.state != State::Left => {
            return Err(if held.inventory.is_deployment() { deployed() } else { taken() });
        }
        held => held.map(|held| held.inventory.objects).unwrap_or_default(),
    };
    if plan.kubeflow != KubeflowSource::None
        && let Some(profiles) = crd(client, PROFILES).await?
    {
        return Err(Failure::usage(has_kubeflow(&profiles, &left)));
    }
    operator(client, plan.operator_image(), Vec::new()).await?;
    if get(&Api::<E2ETest>::all(client.clone()), run).await?.is_some() {
        return Err(Failure::usage(format!(
            "the cluster has an E2ETest {run} already, with the verdict of another run: remove it with \
             `kubectl delete e2etest {run}`, or give yours another metadata.name with -f"
        )));
    }
    Ok(())
}

/// Why a cluster with this CRD gets no Kubeflow: it has one, or the CRD stayed of one for somebody's sake, which is `left`.
fn has_kubeflow(profiles: &CustomResourceDefinition, left: &[InventoryObject]) -> String {
    // One that was made anew since is somebody else's.
    let is_it = |object: &&InventoryObject| {
        object.kind == "CustomResourceDefinition" && object.name == PROFILES && object.uid == profiles.uid()
    };
    match left.iter().find(is_it).and_then(|crd| crd.needed_by.as_ref()) {
        Some(other) => format!(
            "of a Kubeflow that kfe2e removed from this cluster, the CRD {PROFILES} stayed, as {other} needs it: once that \
             is gone, `kfe2e down` with the flags that name this cluster removes the CRD; or name another cluster"
        ),
        None => format!(
            "this cluster has a Kubeflow that kfe2e did not install (CRD {PROFILES}): give `--kubeflow none` to \
             test that one, or name another cluster"
        ),
    }
}

/// That the cluster holds what another invocation made.
pub fn taken() -> Failure {
    Failure::infrastructure(
        "this cluster holds what another run of kfe2e made, which goes on, was kept or was killed: wait for its end, or \
         remove it with `kfe2e down` and the flags that name this cluster",
    )
}

/// That the operator of the cluster was put there for good.
fn deployed() -> Failure {
    Failure::infrastructure(
        "this cluster has the operator that `kfe2e deploy` put there, which a run would replace: create your E2ETest with \
         kubectl, or remove that operator first, with `kfe2e down` and the flags that name this cluster",
    )
}

/// Whether pods of this cluster can get their Pipelines token by a PodDefault.
pub async fn serves_pod_defaults(client: &Client) -> Result<bool, Failure> {
    crd(client, POD_DEFAULTS).await.map(|found| found.is_some())
}

/// The objects of the operator that this cluster lacks. One of the same version that runs here is used as it is.
pub async fn operator(client: &Client, image: &str, objects: Vec<Object>) -> Result<Vec<Object>, Failure> {
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), names::SYSTEM_NAMESPACE);
    let version =
        |crd: CustomResourceDefinition| crd.labels().get(label::VERSION).cloned().unwrap_or_default();
    let seen = Seen {
        crd: crd(client, E2ETest::crd_name()).await?.map(version),
        image: get(&deployments, names::OPERATOR).await?.map(|deployment| image_of(&deployment)),
    };
    needed(objects, image, &seen).map_err(Failure::usage)
}

/// What of an operator that is not ours is in the cluster.
#[derive(Debug, Default)]
struct Seen {
    /// Version of the E2ETest CRD; empty if it does not say one.
    crd: Option<String>,
    /// Image of the operator's Deployment.
    image: Option<String>,
}

/// The objects that are to be applied, or why none can be.
fn needed(mut objects: Vec<Object>, image: &str, seen: &Seen) -> Result<Vec<Object>, String> {
    let version = env!("CARGO_PKG_VERSION");
    if let Some(found) = &seen.crd {
        if found != version {
            let found =
                if found.is_empty() { "an unknown version".to_owned() } else { format!("version {found}") };
            return Err(format!(
                "the cluster has the CRD {} of {found}, and this is kfe2e {version}: use the kfe2e of that version, \
                 or upgrade the operator there",
                E2ETest::crd_name()
            ));
        }
        objects.retain(|object| object.identity().kind != "CustomResourceDefinition");
    }
    if let Some(found) = &seen.image {
        if found != image {
            return Err(format!(
                "the cluster runs the operator {found}, and this run asks for {image}: if that is kfe2e {version} too, name \
                 it with --operator-image; else upgrade or remove the operator there"
            ));
        }
        objects.clear();
    }
    Ok(objects)
}

fn image_of(deployment: &Deployment) -> String {
    let pod = deployment.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
    pod.and_then(|pod| pod.containers.first()?.image.clone()).unwrap_or_default()
}

async fn crd(client: &Client, name: &str) -> Result<Option<CustomResourceDefinition>, Failure> {
    get(&Api::all(client.clone()), name).await
}

/// An object, if it is there.
async fn get<K>(api: &Api<K>, name: &str) -> Result<Option<K>, Failure>
where
    K: Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    let answer = timeout(ANSWERS_WITHIN, api.get(name)).await;
    let fails = |why: String| Failure::infrastructure(format!("reading {name}: {why}"));
    let answer = answer.map_err(|_| fails("the API server did not answer".into()))?;
    found(answer).map_err(|error| fails(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifests;

    fn seen(crd: Option<&str>, image: Option<&str>) -> Seen {
        Seen { crd: crd.map(Into::into), image: image.map(Into::into) }
    }

    #[test]
    fn what_is_there_in_the_same_version_is_used() {
        let version = env!("CARGO_PKG_VERSION");
        let image = manifests::released_image();
        let all = manifests::operator(&image).unwrap();
        assert_eq!(needed(all.clone(), &image, &Seen::default()).unwrap(), all);
        let without_crd = needed(all.clone(), &image, &seen(Some(version), None)).unwrap();
        assert_eq!(without_crd.len(), all.len() - 1);
        assert!(needed(all.clone(), &image, &seen(Some(version), Some(&image))).unwrap().is_empty());
        let own = "registry.example.org/e2e:1";
        assert!(needed(all, own, &seen(Some(version), Some(own))).unwrap().is_empty());
    }

    #[test]
    fn whose_sake_keeps_a_kubeflow_away_is_said() {
        let uid = |uid: &str| Some(uid.to_owned());
        let mut crd = CustomResourceDefinition::default();
        crd.metadata.uid = uid("1");
        let left = |uid: Option<String>| InventoryObject {
            api_version: "apiextensions.k8s.io/v1".into(),
            kind: "CustomResourceDefinition".into(),
            namespace: None,
            name: PROFILES.into(),
            uid,
            made: true,
            needed_by: Some("Profile theirs".into()),
        };
        let said = has_kubeflow(&crd, &[left(uid("1"))]);
        assert!(
            said.contains("stayed, as Profile theirs needs it: once that is gone, `kfe2e down`"),
            "{said}"
        );
        for left in [vec![], vec![left(uid("2"))], vec![left(None)]] {
            assert!(
                has_kubeflow(&crd, &left)
                    .starts_with("this cluster has a Kubeflow that kfe2e did not install")
            );
        }
    }

    #[test]
    fn another_version_is_refused() {
        let image = manifests::released_image();
        let all = manifests::operator(&image).unwrap();
        assert!(
            needed(all.clone(), &image, &seen(Some("9.0.0"), None)).unwrap_err().contains("of version 9.0.0")
        );
        assert!(
            needed(all.clone(), &image, &seen(Some(""), None)).unwrap_err().contains("an unknown version")
        );
        assert!(
            needed(all, &image, &seen(None, Some("other:1")))
                .unwrap_err()
                .contains("runs the operator other:1")
        );
    }
}
