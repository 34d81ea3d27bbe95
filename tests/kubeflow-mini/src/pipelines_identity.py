"""Who calls the Pipelines API, and whether they may: a TokenReview, then a SubjectAccessReview, by the API server.

Only a token of the audience `pipelines.kubeflow.org` counts. The real server also believes a `kubeflow-userid` header,
which in a whole Kubeflow the service mesh lets nobody inside the cluster send; there is no mesh here, so it is ignored.
"""

import pipelines_errors as errors
from kubernetes_api import KubernetesError

AUDIENCE = "pipelines.kubeflow.org"
GROUP, VERSION = "pipelines.kubeflow.org", "v1beta1"
NO_HEADER = "Request header error: there is no user identity header."
NO_IDENTITY = "Failed to check authorization. User identity is empty in the request header"


def authenticate(api, authorization):
    """The user name that the request's Authorization header stands for. ApiError 401 where it stands for none."""
    no_header = f"Unauthenticated: {NO_HEADER}: {NO_HEADER}"
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise errors.refused(errors.UNAUTHENTICATED, NO_IDENTITY, f": {no_header}")
    review = _review(
        api,
        "/apis/authentication.k8s.io/v1/tokenreviews",
        {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": token.strip(), "audiences": [AUDIENCE]},
        },
    )
    if not review.get("authenticated"):
        why = f"Review.Status.Authenticated is false. Error {review.get('error', '')}".rstrip()
    elif AUDIENCE not in (review.get("audiences") or []):
        # An authenticator that knows nothing of audiences would let any token pass.
        why = f"Review.Status.Audiences {review.get('audiences')} lacks {AUDIENCE}"
    else:
        return review["user"]["username"]
    failure = f"Authentication failure: Unauthenticated: {why}: Failed to authenticate token review"
    raise errors.refused(errors.UNAUTHENTICATED, NO_IDENTITY, f": [{no_header}, {failure}]")


def authorize(api, user, namespace, verb, resource, name=""):
    """ApiError 403 unless `user` may do this."""
    attributes = {
        "namespace": namespace,
        "verb": verb,
        "group": GROUP,
        "version": VERSION,
        "resource": resource,
        "name": name,
    }
    review = _review(
        api,
        "/apis/authorization.k8s.io/v1/subjectaccessreviews",
        {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {"user": user, "resourceAttributes": {key: value for key, value in attributes.items() if value}},
        },
    )
    if review.get("allowed"):
        return
    asked = (
        f"&ResourceAttributes{{Namespace:{namespace},Verb:{verb},Group:{GROUP},Version:{VERSION},Resource:{resource},"
        f"Subresource:,Name:{name},FieldSelector:nil,LabelSelector:nil,}}"
    )
    reason = review.get("reason", "")
    detail = f"User '{user}' is not authorized with reason: {reason} (request: {asked})"
    raise errors.refused(errors.FORBIDDEN, detail, ": Unauthorized access")


def _review(api, path, body):
    try:
        return api.create(path, body).get("status") or {}
    except KubernetesError as error:
        raise errors.refused(errors.INTERNAL, f"Failed to create a review: {error}") from error
