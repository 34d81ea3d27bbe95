"""The Pipelines API's stand-in: the same answers as a real server gave, identity, lists, and runs with a fake executor."""

import contextlib
import http.client
import http.server
import io
import json
import pathlib
import threading
import unittest

import pipelines_api_standin as standin
import pipelines_identity as identity
import pipelines_requests as requests
import pipelines_specs as specs
import pipelines_task_details as task_details
from kubernetes_api import KubernetesError
from pipelines_api import PipelinesApi
from pipelines_errors import ApiError
from pipelines_store import Store

RECORDED = pathlib.Path(__file__).with_name("testdata")
USER = "system:serviceaccount:user1:default-editor"
SPEC = {
    "pipelineInfo": {"name": "two-step"},
    "schemaVersion": "2.1.0",
    "components": {"comp-train": {}, "comp-check": {}},
    "root": {
        "dag": {
            "tasks": {
                "train": {"componentRef": {"name": "comp-train"}},
                "check": {"componentRef": {"name": "comp-check"}},
            }
        },
        "inputDefinitions": {
            "parameters": {"n": {"parameterType": "NUMBER_INTEGER", "defaultValue": 3.0, "isOptional": True}}
        },
    },
}


def names_of(run):
    """The names of a run's tasks, but for what differs from run to run."""
    return sorted(each["display_name"].split("-")[0] for each in run["run_details"]["task_details"])


def states_of(run):
    """The states of a run's tasks."""
    return sorted(each.get("state", "-") for each in run["run_details"]["task_details"])


class FakeKubernetes:
    """Knows one token of the right audience, and one user who may do everything in namespace user1."""

    def __init__(self):
        self.reviews = []

    def create(self, path, body):
        spec = body["spec"]
        self.reviews.append(spec)
        if path.endswith("/tokenreviews"):
            if spec["token"] == "good":
                return {"status": {"authenticated": True, "audiences": spec["audiences"], "user": {"username": USER}}}
            if spec["token"] == "of-no-audience":
                return {"status": {"authenticated": True, "user": {"username": USER}}}
            return {"status": {"error": "invalid bearer token"}}
        attributes = spec["resourceAttributes"]
        return {"status": {"allowed": spec["user"] == USER and attributes.get("namespace") == "user1"}}


class FakeExecutor:
    """Executes nothing; a test says what happens."""

    def start(self, spec, arguments, on_state):
        self.arguments, self.on_state, self.tasks, self.terminated = arguments, on_state, {}, False
        return self

    def happened(self):
        return self.tasks

    def terminate(self):
        self.terminated = True


class Served(unittest.TestCase):
    """A server on a port of the loopback interface, with one experiment."""

    def setUp(self):
        quiet = contextlib.redirect_stderr(io.StringIO())
        quiet.__enter__()
        self.addCleanup(quiet.__exit__, None, None, None)
        self.executor, self.kubernetes = FakeExecutor(), FakeKubernetes()
        self.store = Store(self.executor)
        handle = standin.handler(PipelinesApi(self.store, self.kubernetes))
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handle)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        self.connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=10)
        self.addCleanup(self.connection.close)

    def call(self, method, path, body=None, authorization="Bearer good"):
        headers = {"Authorization": authorization} if authorization else {}
        data = body if body is None or isinstance(body, str) else json.dumps(body)
        self.connection.request(method, path, data, headers)
        answer = self.connection.getresponse()
        self.headers = answer.headers
        return answer.status, json.load(answer)

    def experiment(self):
        return self.call("POST", "/apis/v2beta1/experiments", {"displayName": "e", "namespace": "user1"})[1][
            "experiment_id"
        ]

    def run_of(self, experiment, **more):
        return self.call(
            "POST",
            "/apis/v2beta1/runs",
            {"display_name": "r", "experiment_id": experiment, "pipeline_spec": SPEC, **more},
        )


class Recorded(Served):
    def test_errors_are_those_of_the_real_server(self):
        experiment, pipeline = "74e9b0c0-53d2-4a60-ad18-94210c13112e", "b7739a78-626f-489b-a404-ea80b3f25537"
        version, run = "d19e75c7-c148-429b-bce3-e3ac3fd5c40e", "50fdf785-8d03-4ccb-a80e-0b10e9e62ad4"
        self.store.experiments[experiment] = {
            "experiment_id": experiment,
            "display_name": "rec-exp",
            "namespace": "user1",
        }
        self.store.pipelines[pipeline] = {
            "pipeline_id": pipeline,
            "name": "rec-pipe",
            "display_name": "rec-pipe",
            "namespace": "user1",
        }
        self.store.versions[version] = {"pipeline_id": pipeline, "pipeline_version_id": version}
        self.store.runs[run] = {"run_id": run, "display_name": "r", "experiment_id": experiment, "state": "FAILED"}
        self.store._executions[run], self.store._specs[run] = self.executor, ()
        exchanges = json.loads((RECORDED / "recorded_errors.json").read_text(encoding="utf-8"))
        self.assertGreaterEqual(len(exchanges), 17)
        for exchange in exchanges:
            asked, expected = exchange["request"], exchange["response"]
            with self.subTest(f"{asked['method']} {asked['path']} {asked['body']}"):
                status, body = self.call(asked["method"], asked["path"], asked["body"], asked["authorization"])
                self.assertEqual((status, body), (expected["status"], expected["body"]))
                self.assertEqual(self.headers.get("Www-Authenticate"), expected["www_authenticate"])

    def test_runs_have_the_shape_of_the_real_servers(self):
        recorded = json.loads((RECORDED / "recorded_runs.json").read_text(encoding="utf-8"))
        _, run = self.run_of(self.experiment(), runtime_config={"parameters": {"n": 4}})
        self.compare(run, recorded["pending"])
        self.executor.on_state("RUNNING")
        self.compare(self.fetch(run), recorded["running"])
        for task in ("train", "check"):
            self.executor.tasks[task] = {"started": "2026-11-23T10:47:24Z", "ended": "2026-11-23T10:47:30Z", "ok": True}
        self.executor.on_state("SUCCEEDED")
        done = self.fetch(run)
        self.compare(done, recorded["succeeded"])
        self.assertEqual(names_of(done), names_of(recorded["succeeded"]))
        self.assertEqual(len(done["run_details"]["task_details"]), 18)

    def test_a_failed_run_names_no_error_and_has_tasks_without_a_state(self):
        recorded = json.loads((RECORDED / "recorded_runs.json").read_text(encoding="utf-8"))["failed"]
        _, run = self.run_of(self.experiment())
        self.executor.on_state("RUNNING")
        self.executor.tasks["train"] = {"started": "2026-11-23T10:47:24Z", "ended": "2026-11-23T10:47:30Z", "ok": False}
        self.executor.on_state("FAILED")
        failed = self.fetch(run)
        self.compare(failed, {**recorded, "runtime_config": {}} if "runtime_config" in failed else recorded)
        self.assertEqual(states_of(failed), states_of(recorded))

    def fetch(self, run):
        return self.call("GET", f"/apis/v2beta1/runs/{run['run_id']}")[1]

    def compare(self, ours, theirs):
        """The same fields in the same order, of the same types."""
        self.assertEqual(list(ours), list(theirs))
        self.assertEqual([type(value) for value in ours.values()], [type(value) for value in theirs.values()])
        self.assertEqual(
            [each["state"] for each in ours["state_history"]], [each["state"] for each in theirs["state_history"]]
        )
        self.assertEqual(ours["finished_at"].startswith("1970"), theirs["finished_at"].startswith("1970"))
        for part in ("run_details", "plugins_output"):
            self.assertEqual(part in ours, part in theirs)
        ours_fields = {key for each in ours.get("run_details", {}).get("task_details", []) for key in each}
        theirs_fields = {key for each in theirs.get("run_details", {}).get("task_details", []) for key in each}
        self.assertEqual(ours_fields, theirs_fields)


class Identity(Served):
    def test_health_is_open_and_nothing_else(self):
        self.assertEqual(self.call("GET", "/apis/v2beta1/healthz", authorization=None)[1]["multi_user"], True)
        self.assertEqual(self.kubernetes.reviews, [])
        for authorization in (None, "Bearer ", "Bearer garbage", "Basic good", "Bearer of-no-audience"):
            for path in ("runs", "experiments", "pipelines"):
                status, body = self.call("GET", f"/apis/v2beta1/{path}?namespace=user1", authorization=authorization)
                self.assertEqual((status, body["code"]), (401, 16), f"{path} with {authorization}")

    def test_the_user_header_is_no_identity(self):
        self.connection.request(
            "GET", "/apis/v2beta1/runs?namespace=user1", headers={"kubeflow-userid": "user@example.com"}
        )
        answer = self.connection.getresponse()
        answer.read()
        self.assertEqual(answer.status, 401)

    def test_what_the_api_server_is_asked(self):
        self.run_of(self.experiment())
        token, access = self.kubernetes.reviews[-2:]
        self.assertEqual(token, {"token": "good", "audiences": ["pipelines.kubeflow.org"]})
        self.assertEqual(
            access,
            {
                "user": USER,
                "resourceAttributes": {
                    "namespace": "user1",
                    "verb": "create",
                    "group": "pipelines.kubeflow.org",
                    "version": "v1beta1",
                    "resource": "runs",
                    "name": "r",
                },
            },
        )

    def test_pipelines_of_no_namespace_are_shared_by_all_who_are_known(self):
        self.assertEqual(self.call("GET", "/apis/v2beta1/pipelines"), (200, {}))
        self.assertEqual(self.call("GET", "/apis/v2beta1/pipelines", authorization=None)[0], 401)
        self.assertEqual(self.call("GET", "/apis/v2beta1/pipelines?namespace=other")[0], 403)

    def test_an_api_server_that_does_not_answer_is_an_internal_error(self):
        class Broken:
            def create(self, path, body):
                raise KubernetesError("POST tokenreviews: timed out")

        with self.assertRaises(ApiError) as raised:
            identity.authenticate(Broken(), "Bearer good")
        self.assertEqual(raised.exception.status, 500)


class Runs(Served):
    def test_requests_that_are_refused(self):
        experiment = self.experiment()
        cases = [
            ({"pipeline_spec": None}, 500, 13),
            ({"pipeline_spec": {}}, 500, 13),
            ({"pipeline_spec": {"schemaVersion": "2"}}, 500, 13),
            ({"runtime_config": {"parameters": {"n": "4"}}}, 400, 3),
            ({"runtime_config": {"parameters": {"n": True}}}, 400, 3),
            ({"runtime_config": {"parameters": {"m": 4}}}, 400, 3),
            ({"runtime_config": {"nope": 4}}, 400, 3),
            ({"experiment_id": "gone"}, 404, 5),
        ]
        for more, status, code in cases:
            with self.subTest(more):
                answer = self.run_of(experiment, **more)
                self.assertEqual((answer[0], answer[1]["code"]), (status, code))
        self.assertEqual(self.call("GET", f"/apis/v2beta1/runs?experiment_id={experiment}"), (200, {}))

    def test_camel_case_is_understood_and_snake_case_answered(self):
        sent = {
            "displayName": "r",
            "experimentId": self.experiment(),
            "pipelineSpec": SPEC,
            "runtimeConfig": {"pipelineRoot": "x"},
        }
        status, run = self.call("POST", "/apis/v2beta1/runs", sent)
        self.assertEqual((status, run["display_name"], run["runtime_config"]), (200, "r", {"pipeline_root": "x"}))

    def test_terminating_cancels_and_then_fails(self):
        _, run = self.run_of(self.experiment())
        path = f"/apis/v2beta1/runs/{run['run_id']}"
        self.executor.on_state("RUNNING")
        self.assertEqual(self.call("POST", f"{path}:terminate"), (200, {}))
        self.assertTrue(self.executor.terminated)
        self.assertEqual(self.call("GET", path)[1]["state"], "CANCELING")
        self.executor.on_state("FAILED")
        run = self.call("GET", path)[1]
        self.assertEqual(
            [each["state"] for each in run["state_history"]], ["PENDING", "RUNNING", "CANCELING", "FAILED"]
        )
        self.assertEqual(self.call("DELETE", path), (200, {}))
        self.assertEqual(self.call("GET", path)[0], 404)

    def test_pages(self):
        experiment = self.experiment()
        for _ in range(23):
            self.run_of(experiment)
        where = f"/apis/v2beta1/runs?experiment_id={experiment}"
        first = self.call("GET", where)[1]
        self.assertEqual((len(first["runs"]), first["total_size"]), (20, 23))
        second = self.call("GET", f"{where}&page_token={first['next_page_token']}")[1]
        self.assertEqual((len(second["runs"]), second["total_size"], "next_page_token" in second), (3, 23, False))

    def test_unknown_methods(self):
        self.assertEqual(self.call("PUT", "/apis/v2beta1/runs")[0], 501)
        self.assertEqual(self.call("GET", "/apis/v1beta1/runs")[0], 404)


class Details(unittest.TestCase):
    def test_a_condition_is_reached_by_its_steps_or_skipped(self):
        tasks = {"train": ["train"], "condition-1": ["deploy", "notify"], "condition-2": ["complain"]}
        document = {
            "components": {
                "leaf": {},
                "c1": {"dag": {"tasks": {"deploy": {}, "notify": {}}}},
                "c2": {"dag": {"tasks": {"complain": {}}}},
            },
            "root": {
                "dag": {
                    "tasks": {
                        name: {"componentRef": {"name": of}}
                        for name, of in (("train", "leaf"), ("condition-1", "c1"), ("condition-2", "c2"))
                    }
                }
            },
        }
        self.assertEqual(specs.steps(document), tasks)
        done = {"started": "1", "ended": "2", "ok": True}
        happened = {"train": done, "deploy": done, "notify": done}
        for ended, expected in (("3", "SKIPPED"), (None, "absent")):
            nodes = task_details.details("0" * 32, "w", tasks, happened, "0", ended, "SUCCEEDED")
            states = {node["display_name"]: node.get("state") for node in nodes}
            self.assertEqual((states["condition-1"], states["deploy"]), ("SUCCEEDED", "SUCCEEDED"))
            self.assertEqual(states.get("condition-2", "absent"), expected)


class Lists(unittest.TestCase):
    def test_filters_and_sorting(self):
        items = [{"display_name": name, "created_at": at} for name, at in (("b", "2"), ("a", "1"), ("c", "3"))]
        predicate = {"predicates": [{"operation": 1, "key": "display_name", "stringValue": "b"}]}
        self.assertEqual(
            requests.ListOptions({"filter": json.dumps(predicate)}, "Experiment").page(items), ([items[0]], "", 1)
        )
        found = requests.ListOptions({"sort_by": "name desc"}, "Experiment").page(items)[0]
        self.assertEqual([each["display_name"] for each in found], ["c", "b", "a"])
        for query in (
            {"filter": "{"},
            {"filter": '{"predicates": [{"operation": 77}]}'},
            {"page_size": "-1"},
            {"sort_by": "name up"},
        ):
            with self.subTest(query), self.assertRaises(ApiError) as raised:
                requests.ListOptions(query, "Experiment")
            self.assertEqual(raised.exception.status, 400)


if __name__ == "__main__":
    unittest.main()
