"""What callers send to the Pipelines API, read strictly: bodies' fields, and the options of lists."""

import base64
import binascii
import email
import email.policy
import json
import re

import pipelines_errors as errors

RUN = {
    "experiment_id",
    "run_id",
    "display_name",
    "storage_state",
    "description",
    "pipeline_version_id",
    "pipeline_spec",
    "pipeline_version_reference",
    "runtime_config",
    "service_account",
    "created_at",
    "scheduled_at",
    "finished_at",
    "state",
    "error",
    "run_details",
    "recurring_run_id",
    "state_history",
    "pipeline_root",
    "plugins_input",
    "plugins_output",
}
EXPERIMENT = {
    "experiment_id",
    "display_name",
    "description",
    "created_at",
    "namespace",
    "storage_state",
    "last_run_created_at",
}
PIPELINE = {"pipeline_id", "display_name", "name", "description", "created_at", "namespace", "error", "tags"}
# Fields of these hold messages of their own; all others are taken as they are.
INSIDE = {
    "runtime_config": {"parameters", "pipeline_root"},
    "pipeline_version_reference": {"pipeline_id", "pipeline_version_id"},
}
DEFAULT_PAGE, LARGEST_PAGE = 20, 200
SORTABLE = {
    "Run": {
        "run_id",
        "id",
        "display_name",
        "name",
        "created_at",
        "scheduled_at",
        "finished_at",
        "state",
        "storage_state",
    },
    "Experiment": {"experiment_id", "id", "display_name", "name", "created_at", "last_run_created_at", "storage_state"},
    "Pipeline": {"pipeline_id", "id", "display_name", "name", "created_at"},
    "PipelineVersion": {"pipeline_version_id", "id", "display_name", "name", "created_at"},
}


def message(body, fields, inside=None):
    """A request's body as a dictionary with snake_case names. ApiError 400 for bad JSON and for fields it does not have."""
    text = body.decode("utf-8", "replace")
    try:
        value = json.loads(text or "{}")
    except ValueError as error:
        raise errors.ApiError(errors.INVALID, _syntax(text, error)) from error
    if not isinstance(value, dict):
        raise errors.ApiError(errors.INVALID, f"proto: syntax error (line 1:1): unexpected token {text.strip()[:20]}")
    return _known(value, fields, text, INSIDE if inside is None else inside)


def _syntax(text, error):
    at = text[error.pos] if error.pos < len(text) else ""
    if not at:
        return "unexpected EOF"
    where = "object key string" if "property name" in error.msg else "value"
    return f"invalid character '{at}' looking for beginning of {where}"


def _known(value, fields, text, inside):
    result = {}
    for key, item in value.items():
        name = re.sub("[A-Z]", lambda letter: "_" + letter[0].lower(), key)
        if name not in fields:
            before = text[: max(text.find(json.dumps(key)), 0)]
            line, column = before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1
            raise errors.ApiError(errors.INVALID, f'proto: (line {line}:{column}): unknown field "{key}"')
        if name in inside and isinstance(item, dict):
            item = _known(item, inside[name], text, {})
        if item is not None:
            result[name] = item
    return result


class ListOptions:
    """How one list was asked for. Read before anything else of the request, as the real server does."""

    def __init__(self, query, kind):
        self.kind = kind
        self.size = _page_size(query.get("page_size", ""))
        self.key, self.descending = _sort(query.get("sort_by", ""), kind)
        self.predicates = _predicates(query.get("filter", ""))
        self.start = _page_start(query.get("page_token", ""))

    def page(self, items):
        """(the page's items, the token of the next page or "", how many match in all)."""
        found = [item for item in items if all(predicate(item) for predicate in self.predicates)]
        found.sort(key=lambda item: str(item.get(self.key, "")), reverse=self.descending)
        page = found[self.start : self.start + self.size]
        end = self.start + len(page)
        token = base64.b64encode(json.dumps({"start": end}).encode()).decode() if end < len(found) else ""
        return page, token, len(found)


def _page_size(text):
    try:
        size = int(text) if text else 0
    except ValueError as error:
        why = f'parsing field "page_size": strconv.ParseInt: parsing "{text}": invalid syntax'
        raise errors.ApiError(errors.INVALID, why) from error
    if size < 0:
        raise _options(f"The page size should be greater than 0. Got {size}")
    return min(size or DEFAULT_PAGE, LARGEST_PAGE)


def _page_start(token):
    if not token:
        return 0
    try:
        start = json.loads(base64.b64decode(token, validate=True))["start"]
        if not isinstance(start, int) or start < 0:
            raise ValueError(f"start is {start!r}")
        return start
    except binascii.Error as error:
        why = f"illegal base64 data at input byte {len(token) // 4 * 4}"
        raise _options("Invalid page token", f": {why}", "InvalidInputError") from error
    except (ValueError, KeyError, TypeError) as error:
        raise _options("Invalid page token", f": {error}", "InvalidInputError") from error


def _sort(text, kind):
    words = text.split()
    if not words:
        return "created_at", False
    identity = {
        "Run": "run_id",
        "Experiment": "experiment_id",
        "Pipeline": "pipeline_id",
        "PipelineVersion": "pipeline_version_id",
    }
    if words[0] not in SORTABLE[kind]:
        raise _options(f'Invalid sorting field: "{words[0]}" on listable type {kind}')
    if len(words) > 2 or (len(words) == 2 and words[1] not in ("asc", "desc")):
        raise _options(
            f'Received invalid sort by format "{text}". Supported format: "field_name", "field_name desc", or "field_name asc"'
        )
    field = {"id": identity[kind], "name": "display_name"}.get(words[0], words[0])
    return field, words[1:] == ["desc"]


def _predicates(text):
    if not text:
        return []
    try:
        return [_predicate(each) for each in json.loads(text).get("predicates") or []]
    except (ValueError, AttributeError, TypeError) as error:
        raise _options("Invalid filter", f": {error}", "InvalidInputError") from error


OPERATIONS = {
    "EQUALS": lambda have, want: have == want,
    "NOT_EQUALS": lambda have, want: have != want,
    "IS_SUBSTRING": lambda have, want: want in have,
    "IN": lambda have, want: have in want,
}
NUMBERS = {1: "EQUALS", 2: "NOT_EQUALS", 8: "IN", 9: "IS_SUBSTRING"}


def _predicate(each):
    operation = NUMBERS.get(each.get("operation"), each.get("operation"))
    if operation not in OPERATIONS:
        raise ValueError(f"operation {each.get('operation')!r} is not one that this stand-in knows")
    want = each.get("stringValue", each.get("string_value"))
    if operation == "IN":
        values = each.get("stringValues", each.get("string_values")) or {}
        want = values.get("values", [])
    if want is None:
        raise ValueError("a predicate has no string value")
    key = {"name": "display_name"}.get(each.get("key"), each.get("key"))
    return lambda item: OPERATIONS[operation](str(item.get(key, "")), want)


def _options(detail, after="", kind="Invalid input error"):
    return errors.ApiError(errors.INVALID, f"Failed to create list options: {kind}: {detail}{after}", detail)


def uploaded(call):
    """(file name, content) of the first file of a multipart form."""
    header = f"Content-Type: {call.content_type}\r\n\r\n".encode()
    form = email.message_from_bytes(header + call.body, policy=email.policy.HTTP)
    for part in form.iter_parts() if form.is_multipart() else ():
        if part.get_filename():
            return part.get_filename(), part.get_payload(decode=True)
    raise errors.refused(errors.INVALID, "Failed to read pipeline spec from the request: no file in the form")
