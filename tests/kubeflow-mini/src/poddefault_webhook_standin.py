"""Stand-in for Kubeflow's PodDefault admission webhook: merges a namespace's PodDefaults into pods that they select.

Serves /apply-poddefault over TLS. Where the real one gets its certificate from cert-manager, this one makes an authority
and a certificate at start and writes the authority into its own MutatingWebhookConfiguration, which it then keeps so,
as cert-manager's injector would. Like the real one it has no probes and needs no readiness of its own.
"""

import argparse
import base64
import datetime
import http.server
import json
import ssl
import sys
import tempfile
import threading

import poddefault_merge
import serving_certificate
from json_server import JsonHandler, serve_until_stopped
from kubernetes_api import KubernetesApi, KubernetesError

KEEP_EVERY_SECONDS = 5


def review(request, list_pod_defaults):
    """The response to one admission request; `list_pod_defaults` gives those of a namespace."""
    resource = request.get("resource") or {}
    if (resource.get("group", ""), resource.get("version"), resource.get("resource")) != ("", "v1", "pods"):
        return denied(request, f"only pods are reviewed here, not {resource}")
    pod = request.get("object") or {}
    if poddefault_merge.is_exempt(pod):
        return allowed(request)
    namespace = pod.get("metadata", {}).get("namespace") or request.get("namespace", "")
    try:
        chosen = poddefault_merge.select(list_pod_defaults(namespace), pod)
        if not chosen:
            return allowed(request)
        return allowed(request, poddefault_merge.patch(pod, poddefault_merge.apply(pod, chosen)))
    except (KubernetesError, poddefault_merge.Conflict) as error:
        return denied(request, str(error))
    except ValueError as error:
        return denied(request, f"label selector conversion failed: {error}")


def allowed(request, patch=None):
    """Allows a request, with a JSON patch where there is one."""
    response = {"uid": request.get("uid", ""), "allowed": True}
    if patch:
        response["patch"] = base64.b64encode(json.dumps(patch).encode()).decode()
        response["patchType"] = "JSONPatch"
    return response


def denied(request, why):
    """Refuses a request with a sentence, which the API server hands to whoever creates the pod."""
    return {"uid": request.get("uid", ""), "allowed": False, "status": {"message": why}}


def handler(list_pod_defaults):
    """The request handler of the webhook."""

    class Webhook(JsonHandler):
        """Answers the API server's admission reviews."""

        def do_POST(self):  # noqa: N802  the name is the base class's
            """Reviews one request."""
            try:
                sent = json.loads(self.body())
                request = sent["request"]
            except (ValueError, KeyError, TypeError) as error:
                self.answer(400, f"not an AdmissionReview: {error}")
                return
            if self.path.split("?")[0] != "/apply-poddefault":
                self.answer(404, "only /apply-poddefault is served")
                return
            response = review(request, list_pod_defaults)
            outcome = (
                "patched"
                if "patch" in response
                else "left as it is"
                if response["allowed"]
                else response["status"]["message"]
            )
            print(f"pod of {request.get('namespace')}: {outcome}", file=sys.stderr)
            self.answer(200, {"apiVersion": sent.get("apiVersion"), "kind": sent.get("kind"), "response": response})

    return Webhook


def keep_authority(api, path, authority, stopped):
    """Sees to it that every webhook of the configuration at `path` trusts `authority`, now and after it is replaced."""
    bundle = base64.b64encode(authority).decode()
    said = None
    while not stopped.is_set():
        try:
            webhooks = api.get(path).get("webhooks") or []
            stale = [each["name"] for each in webhooks if each.get("clientConfig", {}).get("caBundle") != bundle]
            if stale:
                api.merge(path, {"webhooks": [{"name": name, "clientConfig": {"caBundle": bundle}} for name in stale]})
            now = f"{path} trusts this webhook's authority"
        except KubernetesError as error:
            now = f"trying again every {KEEP_EVERY_SECONDS} s: {error}"
        if now != said:
            print(now, file=sys.stderr)
            said = now
        stopped.wait(KEEP_EVERY_SECONDS)


def tls_context(certificate, key):
    """A server's context with a certificate that exists in memory; the file that the library needs is gone at once."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    with tempfile.NamedTemporaryFile() as file:
        file.write(key + certificate)
        file.flush()
        context.load_cert_chain(file.name)
    return context


class TlsServer(http.server.ThreadingHTTPServer):
    """Shakes hands in each connection's own thread, so that a slow client does not hold up the others."""

    def __init__(self, address, handle, context):
        self._context = context
        super().__init__(address, handle)

    def finish_request(self, request, client_address):
        """Handles one connection."""
        request.settimeout(10)
        try:
            request = self._context.wrap_socket(request, server_side=True)
        except OSError as error:
            # The API server drops connections made with the bundle of an earlier start; it tries again.
            print(f"no TLS connection from {client_address[0]}: {error}", file=sys.stderr)
            return
        self.RequestHandlerClass(request, client_address, self)
        request.close()


def main():
    """Serves until the pod ends."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--service", default="admission-webhook-service")
    parser.add_argument("--namespace", default="kubeflow")
    parser.add_argument("--configuration", default="admission-webhook-mutating-webhook-configuration")
    parser.add_argument("--port", type=int, default=4443)
    options = parser.parse_args()

    host = f"{options.service}.{options.namespace}.svc"
    now = datetime.datetime.now(datetime.timezone.utc)
    authority, certificate, key = serving_certificate.make([host, f"{host}.cluster.local"], now)
    api = KubernetesApi.in_cluster()

    def list_pod_defaults(namespace):
        return api.get(f"/apis/kubeflow.org/v1alpha1/namespaces/{namespace}/poddefaults")["items"]

    server = TlsServer(("", options.port), handler(list_pod_defaults), tls_context(certificate, key))
    path = f"/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/{options.configuration}"
    stopped = threading.Event()
    threading.Thread(target=keep_authority, args=(api, path, authority, stopped), daemon=True).start()
    print(f"listening on {options.port} as {host}", file=sys.stderr)
    serve_until_stopped(server)
    stopped.set()


if __name__ == "__main__":
    main()
