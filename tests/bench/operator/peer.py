"""The same work on kopf, for the comparison: for each test of an E2ETest a ConfigMap and a Job, and conditions that say how it ended.

It does less than the operator: no gate, no timeouts, no retries, no reasons. It follows kopf's own documentation: async handlers,
owner references and labels by kopf's toolkits, Jobs as indexed children by label, status through the patch of the handler.
"""

import json
from datetime import datetime, timezone

import kopf
from kubernetes_asyncio import client, config

KIND = ("e2e.kubeflow.org", "v1alpha1", "e2etests")
RUN = "e2e.kubeflow.org/run"
cluster = {}


@kopf.on.startup()
async def connect(**_):
    await config.load_kube_config()
    api = client.ApiClient()
    cluster.update(core=client.CoreV1Api(api), batch=client.BatchV1Api(api), custom=client.CustomObjectsApi(api))


def condition(kind, status, reason, message):
    now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": now}


@kopf.on.create(*KIND)
async def create(spec, name, uid, patch, **_):
    namespace = spec["targetNamespace"]
    for test in spec["tests"]:
        child = f"{test['name']}-{uid[:8]}"
        source = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": f"{child}-source"},
            "data": {"script": test["script"]["source"]["inline"]},
        }
        container = {
            "name": "test",
            "image": test["image"],
            "command": ["python3", "/source/script"],
            "volumeMounts": [{"name": "source", "mountPath": "/source", "readOnly": True}],
        }
        pod = {
            "restartPolicy": "Never",
            "serviceAccountName": spec["serviceAccountName"],
            "automountServiceAccountToken": False,
            "containers": [container],
            "volumes": [{"name": "source", "configMap": {"name": f"{child}-source"}}],
        }
        job = {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": f"{child}-1"},
            "spec": {"backoffLimit": 0, "template": {"metadata": {}, "spec": pod}},
        }
        for child_object in (source, job):
            kopf.append_owner_reference(child_object)
            kopf.label(child_object, {RUN: name}, nested=["spec.template"])
        await cluster["core"].create_namespaced_config_map(namespace, source)
        await cluster["batch"].create_namespaced_job(namespace, job)
    patch.status["conditions"] = [
        condition("Finished", "False", "Running", "the tests run"),
        condition("Succeeded", "Unknown", "Running", "the tests run"),
    ]


@kopf.on.event("batch", "v1", "jobs", labels={RUN: kopf.PRESENT})
async def job_changed(name, namespace, labels, status, **_):
    ended = {c["type"] for c in status.get("conditions", ()) if c["status"] == "True"} & {"Complete", "Failed"}
    if not ended:
        return
    pods = await cluster["core"].list_namespaced_pod(namespace, label_selector=f"batch.kubernetes.io/job-name={name}")
    states = [s.state.terminated for pod in pods.items for s in pod.status.container_statuses or () if s.name == "test"]
    passed = "Complete" in ended and any(s and json.loads(s.message or "{}").get("passed") for s in states)
    reason = "TestsPassed" if passed else "TestsFailed"
    conditions = [
        condition("Finished", "True", reason, "all tests ended"),
        condition("Succeeded", str(passed), reason, "all tests ended"),
    ]
    await cluster["custom"].patch_cluster_custom_object_status(
        *KIND, labels[RUN], {"status": {"conditions": conditions}}, _content_type="application/merge-patch+json"
    )
