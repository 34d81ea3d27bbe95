"""The few calls that the stand-ins make to the Kubernetes API server, with the rights of their pod.

Standard library only. Every call has a deadline and every failure names the call and what the server said.
"""

import json
import os
import ssl
import urllib.error
import urllib.request

SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"


class KubernetesError(Exception):
    """A call that did not succeed: `status` is the HTTP status, or 0 where there was no answer."""

    def __init__(self, message, status=0):
        super().__init__(message)
        self.status = status


class KubernetesApi:
    """A client of one API server. The token is read for every call, since the kubelet replaces it."""

    def __init__(self, server, token_file, context=None, timeout=10):
        self._server = server.rstrip("/")
        self._token_file = token_file
        self._context = context
        self._timeout = timeout

    @classmethod
    def in_cluster(cls, environment=os.environ, folder=SERVICE_ACCOUNT):
        """The client for the pod that this runs in."""
        host = environment.get("KUBERNETES_SERVICE_HOST")
        if not host:
            raise KubernetesError("not in a pod: KUBERNETES_SERVICE_HOST is not set")
        host = f"[{host}]" if ":" in host else host
        port = environment.get("KUBERNETES_SERVICE_PORT", "443")
        context = ssl.create_default_context(cafile=f"{folder}/ca.crt")
        return cls(f"https://{host}:{port}", f"{folder}/token", context)

    def get(self, path):
        """What GET answers, read as JSON."""
        return self._call("GET", path, None, None)

    def create(self, path, body):
        """What POST answers; used for reviews, which nothing stores."""
        return self._call("POST", path, body, "application/json")

    def merge(self, path, body):
        """What a strategic merge patch answers: lists of objects are merged by their key."""
        return self._call("PATCH", path, body, "application/strategic-merge-patch+json")

    def _call(self, method, path, body, content_type):
        with open(self._token_file, encoding="utf-8") as file:
            headers = {"Authorization": f"Bearer {file.read().strip()}", "Accept": "application/json"}
        if content_type:
            headers["Content-Type"] = content_type
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._server + path, data=data, headers=headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=self._timeout, context=self._context) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            said = error.read().decode("utf-8", "replace")[:2000]
            raise KubernetesError(f"{method} {path}: {error.code}: {message_of(said)}", error.code) from error
        except (OSError, ValueError) as error:
            raise KubernetesError(f"{method} {path}: {error}") from error


def message_of(body):
    """The message of a Kubernetes Status, or the body itself where it is none."""
    try:
        status = json.loads(body)
    except ValueError:
        return body
    return status.get("message", body) if isinstance(status, dict) else body
