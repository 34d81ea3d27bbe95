"""What the PodDefault webhook's stand-in does to pods, without a cluster."""

import base64
import contextlib
import copy
import datetime
import http.client
import importlib.util
import io
import json
import ssl
import threading
import unittest

import poddefault_merge as merge
import poddefault_webhook_standin as webhook
from kubernetes_api import KubernetesError

TOKEN = {
    "metadata": {"name": "access-ml-pipeline", "namespace": "user", "resourceVersion": "71"},
    "spec": {
        "desc": "access to pipelines",
        "selector": {"matchLabels": {"access-ml-pipeline": "true"}},
        "env": [{"name": "KF_PIPELINES_SA_TOKEN_PATH", "value": "/var/run/secrets/kubeflow/pipelines/token"}],
        "volumes": [
            {
                "name": "volume-kf-pipeline-token",
                "projected": {
                    "sources": [
                        {
                            "serviceAccountToken": {
                                "path": "token",
                                "expirationSeconds": 7200,
                                "audience": "pipelines.kubeflow.org",
                            }
                        }
                    ]
                },
            }
        ],
        "volumeMounts": [
            {"name": "volume-kf-pipeline-token", "mountPath": "/var/run/secrets/kubeflow/pipelines", "readOnly": True}
        ],
    },
}
POD = {
    "metadata": {"name": "test", "namespace": "user", "labels": {"access-ml-pipeline": "true"}},
    "spec": {
        "serviceAccountName": "default-editor",
        "initContainers": [{"name": "runner"}],
        "containers": [
            {"name": "main", "image": "x"},
            {"name": "results", "image": "y", "env": [{"name": "A", "value": "1"}]},
        ],
    },
}


def pod_default(name="other", **spec):
    return {"metadata": {"name": name, "resourceVersion": "5"}, "spec": {"selector": {}, **spec}}


def apply_patch(document, operations):
    """Applies the operations that `merge.patch` makes."""
    result = copy.deepcopy(document)
    for operation in operations:
        *parents, last = [part.replace("~1", "/").replace("~0", "~") for part in operation["path"].split("/")[1:]]
        owner = result
        for part in parents:
            owner = owner[part]
        if operation["op"] == "remove":
            del owner[last]
        else:
            owner[last] = operation["value"]
    return result


class Selecting(unittest.TestCase):
    def test_selectors(self):
        cases = [
            ({}, {}, True),
            ({"matchLabels": {"a": "1"}}, {"a": "1", "b": "2"}, True),
            ({"matchLabels": {"a": "1"}}, {"a": "2"}, False),
            ({"matchExpressions": [{"key": "a", "operator": "In", "values": ["1", "2"]}]}, {"a": "2"}, True),
            ({"matchExpressions": [{"key": "a", "operator": "In", "values": ["1"]}]}, {}, False),
            ({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["1"]}]}, {}, True),
            ({"matchExpressions": [{"key": "a", "operator": "Exists"}]}, {"a": ""}, True),
            ({"matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]}, {"a": ""}, False),
        ]
        for selector, labels, expected in cases:
            with self.subTest(selector=selector, labels=labels):
                self.assertEqual(merge.matches(selector, labels), expected)

    def test_an_unknown_operator_is_no_match_of_anything(self):
        with self.assertRaisesRegex(ValueError, "Near"):
            merge.matches({"matchExpressions": [{"key": "a", "operator": "Near"}]}, {})

    def test_excluded_and_mirror_pods(self):
        for annotation, exempt in ((f"{merge.PREFIX}/exclude", True), (merge.MIRROR, True), ("other", False)):
            self.assertEqual(merge.is_exempt({"metadata": {"annotations": {annotation: "true"}}}), exempt)
        self.assertFalse(merge.is_exempt({"metadata": {"annotations": {f"{merge.PREFIX}/exclude": "false"}}}))


class Merging(unittest.TestCase):
    def test_the_token_goes_into_containers_only(self):
        before = copy.deepcopy(POD)
        after = merge.apply(POD, [TOKEN])
        self.assertEqual(POD, before, "the pod handed in is not changed")
        for container in after["spec"]["containers"]:
            self.assertIn(TOKEN["spec"]["env"][0], container["env"])
            self.assertEqual(container["volumeMounts"], TOKEN["spec"]["volumeMounts"])
        self.assertEqual(after["spec"]["initContainers"], [{"name": "runner"}])
        self.assertEqual(after["spec"]["volumes"], TOKEN["spec"]["volumes"])
        self.assertEqual(after["metadata"]["annotations"], {f"{merge.PREFIX}/poddefault-access-ml-pipeline": "71"})
        self.assertEqual(apply_patch(POD, merge.patch(POD, after)), after)

    def test_everything_else_that_a_poddefault_can_hold(self):
        other = pod_default(
            envFrom=[{"configMapRef": {"name": "c"}}],
            tolerations=[{"key": "gpu", "operator": "Exists"}],
            labels={"l": "1"},
            annotations={"n": "2"},
            imagePullSecrets=[{"name": "s"}],
            initContainers=[{"name": "first"}],
            sidecars=[{"name": "side"}],
            serviceAccountName="else",
            automountServiceAccountToken=False,
            command=["run"],
            args=["fast"],
        )
        pod = copy.deepcopy(POD)
        pod["spec"]["containers"][1]["command"] = []
        spec = merge.apply(pod, [other, TOKEN])["spec"]
        self.assertEqual([each["name"] for each in spec["containers"]], ["main", "results", "side"])
        self.assertNotIn("env", spec["containers"][2], "an injected sidecar is given nothing")
        self.assertEqual([each["name"] for each in spec["initContainers"]], ["runner", "first"])
        self.assertEqual((spec["containers"][0]["command"], spec["containers"][0]["args"]), (["run"], ["fast"]))
        self.assertEqual(spec["containers"][1]["command"], [], "an empty list is a command of its own")
        self.assertEqual(spec["containers"][0]["envFrom"], [{"configMapRef": {"name": "c"}}])
        self.assertEqual((spec["serviceAccountName"], spec["automountServiceAccountToken"]), ("else", False))
        self.assertEqual((spec["tolerations"][0]["key"], spec["imagePullSecrets"]), ("gpu", [{"name": "s"}]))

    def test_what_is_there_already_and_the_same_stays_once(self):
        pod = copy.deepcopy(POD)
        pod["spec"]["containers"][0]["env"] = [{"name": "X", "value": ""}]
        after = merge.apply(pod, [pod_default(env=[{"name": "X"}])])
        self.assertEqual(after["spec"]["containers"][0]["env"], [{"name": "X", "value": ""}])

    def test_conflicts(self):
        cases = {
            "env": {"env": [{"name": "A", "value": "2"}]},
            "volume mounts": {"volumeMounts": [{"name": "new", "mountPath": "/data"}]},
            "volumes": {"volumes": [{"name": "v", "emptyDir": {}}]},
            "tolerations": {"tolerations": [{"key": "k", "value": "2"}]},
            "labels": {"labels": {"access-ml-pipeline": "false"}},
            "annotations": {"annotations": {"n": "2"}},
            "containers": {"sidecars": [{"name": "main", "image": "z"}]},
        }
        pod = copy.deepcopy(POD)
        pod["metadata"]["annotations"] = {"n": "1"}
        pod["spec"]["volumes"] = [{"name": "v", "configMap": {"name": "c"}}]
        pod["spec"]["tolerations"] = [{"key": "k", "value": "1"}]
        pod["spec"]["containers"][1]["volumeMounts"] = [{"name": "v", "mountPath": "/data"}]
        for what, spec in cases.items():
            with (
                self.subTest(what),
                self.assertRaisesRegex(merge.Conflict, f"applying poddefaults: other on pod: test err: .*{what}"),
            ):
                merge.apply(pod, [pod_default(**spec)])

    def test_two_poddefaults_can_conflict_with_each_other(self):
        two = [pod_default("a", env=[{"name": "N", "value": "1"}]), pod_default("b", env=[{"name": "N", "value": "2"}])]
        with self.assertRaisesRegex(merge.Conflict, "poddefaults: a,b .*merging env for b has a conflict on N"):
            merge.apply(POD, two)


class Quiet(unittest.TestCase):
    """Keeps what the servers log out of the tests' output."""

    def setUp(self):
        quiet = contextlib.redirect_stderr(io.StringIO())
        quiet.__enter__()
        self.addCleanup(quiet.__exit__, None, None, None)


class Reviewing(Quiet):
    def review(self, pod, pod_defaults):
        request = {
            "uid": "u",
            "namespace": "user",
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "object": pod,
        }
        return webhook.review(request, pod_defaults)

    def test_outcomes(self):
        patched = self.review(POD, lambda namespace: [TOKEN])
        self.assertTrue(patched["allowed"])
        self.assertIn("metadata", json.loads(base64.b64decode(patched["patch"]))[0]["path"])
        self.assertEqual(self.review(POD, lambda namespace: []), {"uid": "u", "allowed": True})
        conflict = self.review(POD, lambda namespace: [pod_default(env=[{"name": "A", "value": "9"}])])
        self.assertFalse(conflict["allowed"])
        self.assertIn("conflict on A", conflict["status"]["message"])

    def test_an_api_server_that_does_not_answer_refuses_the_pod(self):
        def unavailable(namespace):
            raise KubernetesError("GET poddefaults: 403: forbidden", 403)

        self.assertEqual(self.review(POD, unavailable)["status"]["message"], "GET poddefaults: 403: forbidden")

    def test_the_authority_is_written_once_and_again_after_it_was_lost(self):
        class Api:
            bundles, merged, reads = [None, None], [], 0

            def get(self, path):
                self.reads += 1
                return {
                    "webhooks": [
                        {"name": "w", "clientConfig": {"caBundle": self.bundles[-1]} if self.bundles[-1] else {}}
                    ]
                }

            def merge(self, path, body):
                self.merged.append(body)
                self.bundles.append(body["webhooks"][0]["clientConfig"]["caBundle"])

        class Stopped:
            """Lets the loop turn three times, and loses the bundle before the third."""

            turns = 0

            def is_set(self):
                return self.turns == 3

            def wait(self, seconds):
                self.turns += 1
                if self.turns == 2:
                    api.bundles.append(None)

        api = Api()
        webhook.keep_authority(api, "/configuration", b"authority", Stopped())
        self.assertEqual([each["webhooks"][0]["clientConfig"]["caBundle"] for each in api.merged], ["YXV0aG9yaXR5"] * 2)
        self.assertEqual(api.reads, 3)


@unittest.skipUnless(importlib.util.find_spec("cryptography"), "cryptography is not installed here; it is in the image")
class OverTls(Quiet):
    def test_a_client_that_trusts_the_authority_is_answered(self):
        import serving_certificate

        now = datetime.datetime.now(datetime.timezone.utc)
        authority, certificate, key = serving_certificate.make(["localhost"], now)
        server = webhook.TlsServer(
            ("127.0.0.1", 0), webhook.handler(lambda namespace: [TOKEN]), webhook.tls_context(certificate, key)
        )
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        context = ssl.create_default_context(cadata=authority.decode())
        connection = http.client.HTTPSConnection("localhost", server.server_address[1], context=context, timeout=10)
        resource = {"group": "", "version": "v1", "resource": "pods"}
        review = {
            "apiVersion": "admission.k8s.io/v1",
            "kind": "AdmissionReview",
            "request": {"uid": "u", "namespace": "user", "resource": resource, "object": POD},
        }
        for _ in range(2):
            connection.request(
                "POST", "/apply-poddefault?timeout=10s", json.dumps(review), {"Content-Type": "application/json"}
            )
            answer = json.load(connection.getresponse())
            self.assertEqual(answer["apiVersion"], "admission.k8s.io/v1")
            self.assertEqual((answer["response"]["uid"], answer["response"]["patchType"]), ("u", "JSONPatch"))
        connection.close()
        with self.assertRaises(ssl.SSLCertVerificationError):
            stranger = http.client.HTTPSConnection("localhost", server.server_address[1], timeout=10)
            stranger.request("GET", "/")


if __name__ == "__main__":
    unittest.main()
