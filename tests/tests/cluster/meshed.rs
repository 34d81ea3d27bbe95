//! A sidecar that a mesh injects beside the test, as Istio does where native sidecars are on.

use std::{sync::Arc, time::Duration};

use crds::names::label;
use e2e_tests::{
    cluster::{Cluster, Shared, eventually},
    objects::{TARGET, conditions, dump, e2etest, run_to_end, script},
    program::test_image,
};
use k8s_openapi::{api::core::v1::Pod, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::{
    Api,
    api::{ListParams, PostParams},
};
use serde_json::json;

/// The run whose pods get the sidecar.
const RUN: &str = "meshed";
/// The sidecar: it ends when it is told to, and not before.
const PROXY: &str = "istio-proxy";
/// How long a policy may take until it counts.
const PATIENCE: Duration = Duration::from_secs(60);

/// Kubernetes ends a native sidecar once the test has ended: the Job completes, and the run passes.
pub(super) async fn passes(shared: Arc<Shared>) {
    let cluster = super::cluster(shared).await;
    inject(&cluster).await;
    let ended = run_to_end(&cluster, &e2etest(RUN, vec![script("only", "print(6 * 7)")])).await;
    assert_eq!(conditions(&ended)[2], "True TestsPassed", "{}", dump(&cluster, RUN));
    let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), TARGET);
    let pod = pods.list(&ListParams::default().labels(&format!("{}={RUN}", label::RUN))).await.unwrap();
    let status = pod.items[0].status.clone().unwrap();
    let proxy = status.init_container_statuses.iter().flatten().find(|status| status.name == PROXY);
    let ended = proxy.and_then(|proxy| proxy.state.clone()?.terminated).expect("the sidecar has ended");
    assert_eq!((ended.exit_code, ended.message.as_deref()), (0, Some("told to end")), "{ended:?}");
}

/// Has the API server put the sidecar into each pod of the run.
async fn inject(cluster: &Cluster) {
    let program = "import signal, sys\n\
        def end(*_):\n    open('/dev/termination-log', 'w').write('told to end')\n    sys.exit(0)\n\
        signal.signal(signal.SIGTERM, end)\nwhile True: signal.pause()";
    let container = "Object.spec.initContainers";
    let sidecar = format!(
        "{container}{{name: '{PROXY}', image: '{}', restartPolicy: 'Always', command: ['python3', '-c', {program:?}],
            securityContext: {container}.securityContext{{allowPrivilegeEscalation: false, runAsNonRoot: true, runAsUser: 1000,
                capabilities: {container}.securityContext.capabilities{{drop: ['ALL']}},
                seccompProfile: {container}.securityContext.seccompProfile{{type: 'RuntimeDefault'}}}}}}",
        test_image()
    );
    let version = "admissionregistration.k8s.io/v1";
    cluster.apply(&json!({
        "apiVersion": version, "kind": "MutatingAdmissionPolicy", "metadata": { "name": "mesh" },
        "spec": {
            "matchConstraints": {
                "objectSelector": { "matchLabels": { label::RUN: RUN } },
                "resourceRules": [{ "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"] }],
            },
            "reinvocationPolicy": "Never", "failurePolicy": "Fail",
            "mutations": [{ "patchType": "JSONPatch", "jsonPatch": {
                "expression": format!("[JSONPatch{{op: 'add', path: '/spec/initContainers/-', value: {sidecar}}}]"),
            }}],
        },
    }));
    cluster.apply(&json!({
        "apiVersion": version, "kind": "MutatingAdmissionPolicyBinding", "metadata": { "name": "mesh" },
        "spec": { "policyName": "mesh" },
    }));
    let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), TARGET);
    let asked = Pod {
        metadata: ObjectMeta {
            name: Some("probe".into()),
            labels: Some([(label::RUN.to_owned(), RUN.to_owned())].into()),
            ..ObjectMeta::default()
        },
        spec: serde_json::from_value(json!({
            "initContainers": [{ "name": "first", "image": "any" }], "containers": [{ "name": "any", "image": "any" }],
        }))
        .unwrap(),
        ..Pod::default()
    };
    let injected = || async {
        let dry = PostParams { dry_run: true, ..PostParams::default() };
        // Until its binding counts too, the answer may be any.
        let spec = pods.create(&dry, &asked).await.ok()?.spec?;
        spec.init_containers?.iter().any(|container| container.name == PROXY).then_some(())
    };
    eventually("the mesh to inject its sidecar", PATIENCE, injected).await;
}
