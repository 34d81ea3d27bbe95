"""Stand-in for the Kubeflow Pipelines API server (v2beta1, multi-user), as far as the `kfp` SDK's client needs it.

It is as strict as the real one about who calls and what is sent, and a run is executed for real by the SDK's own local
runner. It differs in that steps run as processes in this pod, whatever their image is, not as pods in the profile
namespace: only lightweight Python components work, and their packages must be in this image.
"""

import argparse
import http.server
import sys
import urllib.parse

import pipelines_errors as errors
from json_server import JsonHandler, serve_until_stopped
from kubernetes_api import KubernetesApi
from pipelines_api import Call, PipelinesApi
from pipelines_execution import Executor
from pipelines_store import Store


def handler(api):
    """The request handler of the server."""

    class Pipelines(JsonHandler):
        """Hands each request to the API and writes what it answers."""

        def _answer(self):
            where = urllib.parse.urlsplit(self.path)
            query = dict(urllib.parse.parse_qsl(where.query, keep_blank_values=True))
            try:
                call = Call(self.headers.get("Authorization"), query, self.body(), self.headers.get("Content-Type", ""))
                self.answer(200, api.handle(self.command, urllib.parse.unquote(where.path), call))
            except errors.ApiError as error:
                print(f"{self.command} {where.path}: {error.message}", file=sys.stderr)
                self.answer(error.status, error.body(), error.headers())
            except ValueError as error:
                refusal = errors.ApiError(errors.INVALID, str(error))
                self.answer(refusal.status, refusal.body())

        do_GET = do_POST = do_DELETE = do_PUT = do_PATCH = _answer

    return Pipelines


def main():
    """Serves until the pod ends."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=8888)
    options = parser.parse_args()
    api = PipelinesApi(Store(Executor()), KubernetesApi.in_cluster())
    server = http.server.ThreadingHTTPServer(("", options.port), handler(api))
    print(f"listening on {options.port}", file=sys.stderr)
    serve_until_stopped(server)


if __name__ == "__main__":
    main()
