//! What each kind of object has to be, to be ready; and what is said of it otherwise.

use serde_json::{Value, json};

use super::gate_support::{Gated, object};

/// One object of its own inventory; what blocks it, without its name.
fn blocked(object: &Value) -> Option<String> {
    blocked_beside(object, &[])
}

/// The same, with other objects in the cluster that no inventory names.
fn blocked_beside(object: &Value, others: &[Value]) -> Option<String> {
    let mut gated = Gated::inventory(std::slice::from_ref(object));
    for other in others {
        gated.put(other);
    }
    let readiness = gated.readiness();
    assert_eq!(readiness.total, 1);
    assert_eq!(readiness.is_ready(), gated.blocking().is_none());
    gated.blocking().map(|sentence| sentence.split_once(": ").unwrap().1.to_owned())
}

/// Objects of one kind with this metadata, each with the rest of it and what blocks it.
fn check(api_version: &str, kind: &str, metadata: &str, table: &[(&str, Option<&str>)]) {
    for (rest, expected) in table {
        let object = object(api_version, kind, &format!("{{metadata: {{name: x, {metadata}}}, {rest}}}"));
        assert_eq!(blocked(&object).as_deref(), *expected, "{kind} {rest}");
    }
}

#[test]
fn deployments_are_rolled_out() {
    let spec = "spec: {replicas: 2, selector: {}, template: {}}";
    let rest = |status: &str| format!("{spec}, status: {status}");
    let table = [
        ("{observedGeneration: 2, replicas: 2, updatedReplicas: 2, availableReplicas: 2}", None),
        ("{}", Some("its newest spec has not been observed yet")),
        (
            "{observedGeneration: 1, replicas: 2, updatedReplicas: 2, availableReplicas: 2}",
            Some("its newest spec has not been observed yet"),
        ),
        (
            "{observedGeneration: 2, replicas: 2, updatedReplicas: 1, availableReplicas: 2}",
            Some("1 of 2 replicas are of the newest spec"),
        ),
        (
            "{observedGeneration: 2, replicas: 3, updatedReplicas: 2, availableReplicas: 2}",
            Some("1 replicas of an older spec are still there"),
        ),
        (
            "{observedGeneration: 2, conditions: [{type: ReplicaFailure, status: 'True', message: quota exceeded}]}",
            Some("quota exceeded"),
        ),
    ];
    for (status, expected) in table {
        check("apps/v1", "Deployment", "namespace: kf, generation: 2", &[(&rest(status), expected)]);
    }
    let full = rest("{observedGeneration: 2, replicas: 2, updatedReplicas: 2, availableReplicas: 2}");
    let going = "namespace: kf, generation: 2, deletionTimestamp: '2026-01-01T00:00:00Z'";
    check("apps/v1", "Deployment", going, &[(&full, Some("is being deleted"))]);
}

#[test]
fn other_workloads_are_rolled_out_as_their_strategy_says() {
    let part = "status: {observedGeneration: 1, replicas: 3, updatedReplicas: 1, availableReplicas: 3}";
    let set = |strategy: &str| format!("spec: {{replicas: 3, selector: {{}}{strategy}}}, {part}");
    let metadata = "namespace: kf, generation: 1";
    check(
        "apps/v1",
        "StatefulSet",
        metadata,
        &[
            (&set(""), Some("1 of 3 replicas are of the newest spec")),
            (&set(", updateStrategy: {type: RollingUpdate, rollingUpdate: {partition: 2}}"), None),
            (&set(", updateStrategy: {type: OnDelete}"), None),
        ],
    );
    let counts = "currentNumberScheduled: 2, numberMisscheduled: 0, numberReady: 2, observedGeneration: 1, desiredNumberScheduled: 2";
    check(
        "apps/v1",
        "DaemonSet",
        metadata,
        &[
            (&format!("status: {{{counts}, updatedNumberScheduled: 2, numberAvailable: 2}}"), None),
            (
                &format!("status: {{{counts}, updatedNumberScheduled: 2, numberAvailable: 1}}"),
                Some("1 of 2 replicas are available"),
            ),
        ],
    );
    check(
        "apps/v1",
        "ReplicaSet",
        metadata,
        &[
            ("spec: {replicas: 1}, status: {observedGeneration: 1, replicas: 1, availableReplicas: 1}", None),
            (
                "spec: {replicas: 1}, status: {observedGeneration: 1, replicas: 1}",
                Some("0 of 1 replicas are available"),
            ),
        ],
    );
}

#[test]
fn jobs_are_complete_and_say_why_they_are_not() {
    check(
        "batch/v1",
        "Job",
        "namespace: kf",
        &[
            ("status: {succeeded: 1, conditions: [{type: Complete, status: 'True'}]}", None),
            ("spec: {completions: 3}, status: {succeeded: 1}", Some("1 of 3 pods have completed")),
            ("spec: {suspend: true}", Some("is suspended")),
            (
                "status: {conditions: [{type: Failed, status: 'True', reason: BackoffLimitExceeded, message: too often}]}",
                Some("BackoffLimitExceeded: too often"),
            ),
        ],
    );
    let job = object(
        "batch/v1",
        "Job",
        "{metadata: {name: x, namespace: kf}, spec: {selector: {matchLabels: {job: x}}}}",
    );
    let pod = "{metadata: {name: p, namespace: kf, labels: {job: x}}, spec: {containers: []}, status: {phase: Pending, \
               containerStatuses: [{name: main, image: gone:1, imageID: '', ready: false, restartCount: 0, \
               state: {waiting: {reason: ErrImagePull, message: manifest unknown}}}]}}";
    let told = blocked_beside(&job, &[object("v1", "Pod", pod)]);
    assert_eq!(told.as_deref(), Some("ErrImagePull: image gone:1 of container main: manifest unknown"));
}

#[test]
fn claims_are_bound() {
    check(
        "v1",
        "PersistentVolumeClaim",
        "namespace: kf",
        &[
            ("status: {phase: Bound}", None),
            ("status: {phase: Lost}", Some("its volume is gone")),
            (
                "spec: {storageClassName: fast}, status: {phase: Pending}",
                Some("is not bound to a volume of storage class fast"),
            ),
            (
                "spec: {}",
                Some(
                    "is not bound to a volume: it names no storage class, and the cluster has given it none",
                ),
            ),
        ],
    );
}

#[test]
fn definitions_are_established_and_aggregated_apis_available() {
    check(
        "apiextensions.k8s.io/v1",
        "CustomResourceDefinition",
        "",
        &[
            (
                "status: {conditions: [{type: NamesAccepted, status: 'True'}, {type: Established, status: 'True'}]}",
                None,
            ),
            ("spec: {}", Some("is not established yet")),
            (
                "status: {conditions: [{type: NamesAccepted, status: 'False', reason: PluralConflict, message: taken}, {type: Established, \
             status: 'True'}]}",
                Some("NamesAccepted is False: PluralConflict: taken"),
            ),
        ],
    );
    check(
        "apiregistration.k8s.io/v1",
        "APIService",
        "",
        &[
            ("status: {conditions: [{type: Available, status: 'True'}]}", None),
            ("spec: {}", Some("is not available yet")),
            (
                "status: {conditions: [{type: Available, status: 'False', reason: MissingEndpoints, message: none}]}",
                Some("Available is False: MissingEndpoints: none"),
            ),
        ],
    );
}

#[test]
fn custom_resources_are_judged_by_what_their_status_says() {
    let conditions = |list: &str| format!("status: {{conditions: [{list}]}}");
    check(
        "example.org/v1",
        "Thing",
        "namespace: kf, generation: 3",
        &[
            ("spec: {}", None),
            ("status: {}", None),
            ("status: a word", None),
            ("status: {observedGeneration: 2}", Some("its newest spec has not been observed yet")),
            ("status: {observedGeneration: 3}", None),
            (&conditions("{type: Ready, status: 'True'}"), None),
            (
                &conditions("{type: Ready, status: 'False', reason: Broken, message: no disk}"),
                Some("Ready is False: Broken: no disk"),
            ),
            (&conditions("{type: Ready, status: Unknown}"), Some("Ready is Unknown")),
            (&conditions("{type: Available, status: 'False'}"), Some("Available is False")),
            (&conditions("{type: Available, status: 'False'}, {type: Ready, status: 'True'}"), None),
            (
                &conditions("{type: Ready, status: 'True'}, {type: Stalled, status: 'True', message: stuck}"),
                Some("Stalled is True: stuck"),
            ),
            (
                &conditions("{type: Ready, status: 'True'}, {type: Reconciling, status: 'True'}"),
                Some("Reconciling is True"),
            ),
            (
                &conditions("{type: Ready, status: 'True', observedGeneration: 2}"),
                Some("its condition Ready speaks of an older spec"),
            ),
            (&conditions("{type: Progressing, status: 'True'}"), None),
        ],
    );
    check(
        "cert-manager.io/v1",
        "Certificate",
        "namespace: kf",
        &[
            ("spec: {}", Some("has no condition Ready yet: nobody has looked at it")),
            (
                &conditions("{type: Issuing, status: 'True'}"),
                Some("has no condition Ready yet: nobody has looked at it"),
            ),
            (&conditions("{type: Ready, status: 'True'}"), None),
        ],
    );
}

#[test]
fn a_profile_has_its_namespace_and_service_account() {
    let profile = object("kubeflow.org/v1", "Profile", "{metadata: {name: ann}, status: {}}");
    let namespace = object("v1", "Namespace", "{metadata: {name: ann}, status: {phase: Active}}");
    let account = object("v1", "ServiceAccount", "{metadata: {name: default-editor, namespace: ann}}");
    let told = |others: &[Value]| blocked_beside(&profile, others);
    assert_eq!(told(&[]).as_deref(), Some("its Namespace ann: does not exist"));
    assert_eq!(
        told(std::slice::from_ref(&namespace)).as_deref(),
        Some("its ServiceAccount ann/default-editor: does not exist")
    );
    assert_eq!(told(&[namespace.clone(), account.clone()]), None);
    let mut failed = profile.clone();
    failed["status"] = json!({"conditions": [{"type": "Failed", "message": "namespace already exists"}]});
    let told = blocked_beside(&failed, &[namespace, account]);
    assert_eq!(told.as_deref(), Some("Failed is set: namespace already exists"));
}

#[test]
fn webhooks_can_be_called() {
    let configuration = |client: &str| {
        object(
            "admissionregistration.k8s.io/v1",
            "ValidatingWebhookConfiguration",
            &format!("{{metadata: {{name: x}}, webhooks: [{{name: v.x.io, clientConfig: {{{client}}}}}]}}"),
        )
    };
    let slice = |ready: &str| {
        object(
            "discovery.k8s.io/v1",
            "EndpointSlice",
            &format!(
                "{{metadata: {{name: hook-1, namespace: kf, labels: {{kubernetes.io/service-name: hook}}}}, endpoints: [{{addresses: [10.0.0.1]{ready}}}]}}"
            ),
        )
    };
    let service = "service: {namespace: kf, name: hook}";
    let with_ca = configuration(&format!("caBundle: eA==, {service}"));
    let no_endpoint = Some("webhook v.x.io: Service kf/hook has no ready endpoint");
    assert_eq!(
        blocked_beside(&configuration(service), &[slice("")]).as_deref(),
        Some("webhook v.x.io has no CA bundle: nobody has given it the certificate of Service kf/hook")
    );
    assert_eq!(blocked(&with_ca).as_deref(), no_endpoint);
    assert_eq!(blocked_beside(&with_ca, &[slice(", conditions: {ready: false}")]).as_deref(), no_endpoint);
    assert_eq!(blocked_beside(&with_ca, &[slice(", conditions: {ready: true}")]), None);
    assert_eq!(blocked_beside(&with_ca, &[slice("")]), None);
    assert_eq!(blocked(&configuration("url: 'https://example.org/hook'")), None);
}

#[test]
fn plain_objects_exist_and_namespaces_are_not_on_their_way_out() {
    check("v1", "ConfigMap", "namespace: kf", &[("data: {}", None)]);
    check("rbac.authorization.k8s.io/v1", "ClusterRole", "", &[("rules: []", None)]);
    check(
        "v1",
        "Namespace",
        "",
        &[("status: {phase: Active}", None), ("status: {phase: Terminating}", Some("is Terminating"))],
    );
    let map = object("v1", "ConfigMap", "{metadata: {name: x, namespace: kf}}");
    let mut gone = Gated::inventory(std::slice::from_ref(&map));
    gone.remove(&map);
    assert_eq!(gone.blocking().as_deref(), Some("ConfigMap kf/x: does not exist"));
    let homeless = object("v1", "ConfigMap", "{metadata: {name: x}}");
    let mut gated = Gated::inventory(&[homeless]);
    gated.put(&object("v1", "ConfigMap", "{metadata: {name: x, namespace: default}}"));
    assert!(gated.readiness().is_ready(), "an object that names no namespace is in `default`");
}

#[test]
fn objects_are_grouped_by_the_first_label_that_names_a_part() {
    let labelled = |name: &str, namespace: &str, labels: &str| {
        object("v1", "ConfigMap", &format!("{{metadata: {{name: {name}, {namespace}labels: {{{labels}}}}}}}"))
    };
    let kf = "namespace: kf, ";
    let objects = [
        labelled("a", kf, "app.kubernetes.io/part-of: istio, app.kubernetes.io/name: istiod"),
        labelled("b", kf, "app.kubernetes.io/part-of: kubeflow, app.kubernetes.io/name: trainer"),
        labelled("c", kf, "application-crd-id: kubeflow-pipelines, app: mysql"),
        labelled("d", kf, "kustomize.component: jupyter-web-app"),
        labelled("e", kf, "app.kubernetes.io/name: configmap"),
        labelled("f", kf, "app: dex"),
        object("v1", "Namespace", "{metadata: {name: auth}}"),
        object("rbac.authorization.k8s.io/v1", "ClusterRole", "{metadata: {name: all}}"),
    ];
    let components = Gated::inventory(&objects).readiness().components;
    let names: Vec<(&str, i32)> =
        components.iter().map(|component| (component.name.as_str(), component.total)).collect();
    assert_eq!(
        names,
        [
            ("auth", 1),
            ("cluster", 1),
            ("istio", 1),
            ("jupyter-web-app", 1),
            ("kf", 2),
            ("kubeflow-pipelines", 1),
            ("trainer", 1)
        ]
    );
}

#[test]
fn the_most_telling_cause_of_a_component_is_told() {
    let deployment = |name: &str| {
        object(
            "apps/v1",
            "Deployment",
            &format!(
                "{{metadata: {{name: {name}, namespace: kf}}, spec: {{selector: {{matchLabels: {{app: {name}}}}}}}}}"
            ),
        )
    };
    let claim = object("v1", "PersistentVolumeClaim", "{metadata: {name: disk, namespace: kf}}");
    let missing = object("v1", "ConfigMap", "{metadata: {name: later, namespace: kf}}");
    let hook = object(
        "admissionregistration.k8s.io/v1",
        "MutatingWebhookConfiguration",
        "{metadata: {name: hook, labels: {app.kubernetes.io/name: kf}}, webhooks: [{name: m.x.io, clientConfig: {service: {namespace: kf, name: hook}}}]}",
    );
    let pod = |app: &str, status: &str| {
        object(
            "v1",
            "Pod",
            &format!(
                "{{metadata: {{name: {app}-1, namespace: kf, labels: {{app: {app}}}}}, spec: {{containers: []}}, status: {{{status}}}}}"
            ),
        )
    };
    let mut gated =
        Gated::inventory(&[deployment("a"), deployment("b"), deployment("c"), claim, missing.clone(), hook]);
    gated.remove(&missing);
    let mut told = |more: Option<Value>| {
        if let Some(object) = more {
            gated.put(&object);
        }
        gated.blocking().unwrap()
    };
    assert!(told(None).starts_with("PersistentVolumeClaim kf/disk: is not bound"));
    let crash = "phase: Running, containerStatuses: [{name: c, image: i, imageID: '', ready: false, restartCount: 2, \
                 state: {waiting: {reason: CrashLoopBackOff}}, lastState: {terminated: {exitCode: 3, message: no database}}}]";
    assert_eq!(
        told(Some(pod("a", crash))),
        "Deployment kf/a: CrashLoopBackOff: container c exited with code 3: no database"
    );
    let unplaced = "phase: Pending, conditions: [{type: PodScheduled, status: 'False', reason: Unschedulable, message: 0/1 nodes are available}]";
    assert_eq!(told(Some(pod("b", unplaced))), "Deployment kf/b: Unschedulable: 0/1 nodes are available");
    let image = "phase: Pending, containerStatuses: [{name: c, image: gone:1, imageID: '', ready: false, restartCount: 0, \
                 state: {waiting: {reason: ImagePullBackOff, message: no such host}}}]";
    assert_eq!(
        told(Some(pod("c", image))),
        "Deployment kf/c: ImagePullBackOff: image gone:1 of container c: no such host"
    );
}
