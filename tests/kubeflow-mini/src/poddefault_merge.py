"""What the PodDefault webhook does to a pod, as data: which PodDefaults match, whether they conflict, the pod after them.

Pure: objects are the dictionaries of their JSON, and none that is handed in is changed. The rules are those of the real
webhook: only `containers` get environment and mounts, never init containers; what is there already stays when it is
the same and is a conflict when it is not; injected sidecars get nothing injected themselves.
"""

import copy
import json

PREFIX = "poddefault.admission.kubeflow.org"
MIRROR = "kubernetes.io/config.mirror"
ISTIO_PROXY = "istio-proxy"


class Conflict(Exception):
    """A pod cannot have all the PodDefaults that match it. The message names each conflict."""


def is_exempt(pod):
    """Whether the pod asks to be left alone, or mirrors a file of the node."""
    annotations = pod.get("metadata", {}).get("annotations") or {}
    return annotations.get(f"{PREFIX}/exclude") == "true" or MIRROR in annotations


def matches(selector, labels):
    """Whether a label selector selects `labels`. ValueError where the selector is not valid."""
    for key, value in (selector.get("matchLabels") or {}).items():
        if labels.get(key) != value:
            return False
    for expression in selector.get("matchExpressions") or []:
        key, operator, values = expression.get("key"), expression.get("operator"), expression.get("values") or []
        if operator in ("In", "NotIn") and not values:
            raise ValueError(f"for operator {operator!r} of {key!r} the values must not be empty")
        if operator == "In":
            met = key in labels and labels[key] in values
        elif operator == "NotIn":
            met = labels.get(key) not in values
        elif operator in ("Exists", "DoesNotExist"):
            met = (key in labels) == (operator == "Exists")
        else:
            raise ValueError(f"{operator!r} is not a valid label selector operator")
        if not met:
            return False
    return True


def select(pod_defaults, pod):
    """The PodDefaults that select the pod, in the order given."""
    labels = pod.get("metadata", {}).get("labels") or {}
    return [each for each in pod_defaults if matches(each["spec"].get("selector") or {}, labels)]


def apply(pod, pod_defaults):
    """The pod with all of `pod_defaults` merged in. Conflict where that cannot be."""
    conflicts = []
    merged = copy.deepcopy(pod)
    spec, metadata = merged.setdefault("spec", {}), merged.setdefault("metadata", {})

    _put(spec, "volumes", _merge("volumes", "volumes", spec, pod_defaults, ("name",), conflicts))
    _put(spec, "tolerations", _merge("tolerations", "tolerations", spec, pod_defaults, ("key",), conflicts))
    _put(
        spec,
        "imagePullSecrets",
        _merge("imagePullSecret", "imagePullSecrets", spec, pod_defaults, ("name",), conflicts),
    )
    for container in spec.get("containers") or []:
        _apply_to_container(container, pod_defaults, conflicts)
    for field in ("annotations", "labels"):
        _put(metadata, field, _merge_map(metadata.get(field) or {}, field, pod_defaults, conflicts))
    # Compared with the pod as it came, before its containers were given anything.
    before = pod.get("spec", {})
    _merge("containers", "initContainers", before, pod_defaults, ("name",), conflicts)
    _merge("containers", "containers", before, pod_defaults, ("name",), conflicts, theirs="sidecars")
    if conflicts:
        names = ",".join(each["metadata"]["name"] for each in pod_defaults)
        reasons = conflicts[0] if len(conflicts) == 1 else f"[{', '.join(conflicts)}]"
        name = pod.get("metadata", {}).get("name", "")
        raise Conflict(f"conflict occurred while applying poddefaults: {names} on pod: {name} err: {reasons}")

    _put(spec, "initContainers", _merge("containers", "initContainers", spec, pod_defaults, ("name",), []))
    injected = [sidecar for each in pod_defaults for sidecar in each["spec"].get("sidecars") or []]
    present = {container["name"] for container in spec.get("containers") or []}
    for sidecar in injected:
        if sidecar["name"] not in present:
            present.add(sidecar["name"])
            spec["containers"].append(copy.deepcopy(sidecar))

    for each in pod_defaults:
        own = each["spec"]
        if own.get("automountServiceAccountToken") is not None:
            spec["automountServiceAccountToken"] = own["automountServiceAccountToken"]
        if own.get("serviceAccountName"):
            spec["serviceAccountName"] = own["serviceAccountName"]
        version = each["metadata"].get("resourceVersion", "")
        metadata.setdefault("annotations", {})[f"{PREFIX}/poddefault-{each['metadata']['name']}"] = version
    return merged


def _apply_to_container(container, pod_defaults, conflicts):
    _put(container, "env", _merge("env", "env", container, pod_defaults, ("name",), conflicts))
    mounts = _merge("volume mounts", "volumeMounts", container, pod_defaults, ("name", "mountPath"), conflicts)
    _put(container, "volumeMounts", mounts)
    sources = [copy.deepcopy(source) for each in pod_defaults for source in each["spec"].get("envFrom") or []]
    _put(container, "envFrom", (container.get("envFrom") or []) + sources)
    if container["name"] == ISTIO_PROXY:
        return
    for field in ("command", "args"):
        for each in pod_defaults:
            # What the pod says wins, an empty list too; of several PodDefaults, the first.
            if container.get(field) is None and each["spec"].get(field) is not None:
                container[field] = list(each["spec"][field])


def _merge(what, field, owner, pod_defaults, keys, conflicts, theirs=None):
    """`owner[field]` and after it what the PodDefaults add; an item is known by the first of `keys`, and must be unique by all."""
    result = list(owner.get(field) or [])
    known = {key: {item.get(key): item for item in result} for key in keys}
    for each in pod_defaults:
        for item in each["spec"].get(theirs or field) or []:
            new = item.get(keys[0]) not in known[keys[0]]
            for key in keys:
                found = known[key].setdefault(item.get(key), item)
                if not same(found, item):
                    conflicts.append(_conflict(what, each, item.get(key), item, found))
            if new:
                result.append(copy.deepcopy(item))
    return result


def _merge_map(present, field, pod_defaults, conflicts):
    result = dict(present)
    for each in pod_defaults:
        for key, value in (each["spec"].get(field) or {}).items():
            if result.setdefault(key, value) != value:
                conflicts.append(_conflict(field, each, key, value, result[key]))
    return result


def _conflict(what, pod_default, key, ours, theirs):
    name = pod_default["metadata"]["name"]
    return f"merging {what} for {name} has a conflict on {key}: {json.dumps(ours)} does not match {json.dumps(theirs)} in the pod"


def same(one, other):
    """Whether two values are equal as Kubernetes sees them: a field that is empty equals one that is absent."""
    return _without_empty(one) == _without_empty(other)


def _without_empty(value):
    if isinstance(value, dict):
        kept = {key: _without_empty(item) for key, item in value.items()}
        return {
            key: item
            for key, item in kept.items()
            if item not in (None, "", False) or (item is False and key == "optional")
        }
    if isinstance(value, list):
        return [_without_empty(item) for item in value]
    return value


def _put(owner, field, value):
    """Sets a field, leaving an absent one absent where the value is empty."""
    if value or owner.get(field):
        owner[field] = value


def patch(before, after, path=""):
    """A JSON patch (RFC 6902) from one object to another. Lists that differ are replaced as a whole."""
    operations = []
    for key in sorted(before.keys() | after.keys()):
        where = f"{path}/{key.replace('~', '~0').replace('/', '~1')}"
        if key not in after:
            operations.append({"op": "remove", "path": where})
        elif key not in before:
            operations.append({"op": "add", "path": where, "value": after[key]})
        elif isinstance(before[key], dict) and isinstance(after[key], dict):
            operations += patch(before[key], after[key], where)
        elif before[key] != after[key]:
            operations.append({"op": "replace", "path": where, "value": after[key]})
    return operations
