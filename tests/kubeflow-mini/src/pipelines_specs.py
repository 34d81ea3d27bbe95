"""Pipeline specifications: what of them the API checks before it accepts a run, and reading them from a package."""

import io
import zipfile

import pipelines_errors as errors

# Types by what JSON gives: a number that is a boolean in Python is none in JSON.
TYPES = {
    "NUMBER_INTEGER": (int, float),
    "NUMBER_DOUBLE": (int, float),
    "STRING": (str,),
    "BOOLEAN": (bool,),
    "LIST": (list,),
    "STRUCT": (dict,),
}
SAID = {
    "NUMBER_INTEGER": "number",
    "NUMBER_DOUBLE": "number",
    "STRING": "string",
    "BOOLEAN": "bool",
    "LIST": "list",
    "STRUCT": "struct",
}


def flat(document):
    """The specification itself; the SDK wraps it with what a platform adds, where there is such."""
    return document["pipeline_spec"] if isinstance(document.get("pipeline_spec"), dict) else document


def defect(document):
    """What makes a document no runnable pipeline specification, in words, or None."""
    if not isinstance(document, dict) or not document:
        return "the pipeline specification is empty"
    spec = flat(document)
    name = (spec.get("pipelineInfo") or {}).get("name")
    tasks = ((spec.get("root") or {}).get("dag") or {}).get("tasks")
    components = spec.get("components") or {}
    if not isinstance(spec.get("schemaVersion"), str):
        return "unknown template format: schemaVersion is missing"
    if not name:
        return "pipelineInfo.name is missing"
    if not isinstance(tasks, dict) or not tasks:
        return "root.dag has no tasks"
    for task, body in sorted(tasks.items()):
        component = (body.get("componentRef") or {}).get("name")
        if component not in components:
            return f"task {task} refers to the component {component}, which is not among the components"
    return None


def steps(document):
    """The pipeline's tasks, each with the steps in it: itself, or those of the conditions and loops that it stands for."""
    spec = flat(document)
    return {task: _steps(spec, task, body) for task, body in spec["root"]["dag"]["tasks"].items()}


def _steps(spec, task, body):
    component = spec["components"].get((body.get("componentRef") or {}).get("name"), {})
    inside = (component.get("dag") or {}).get("tasks")
    if not inside:
        return [task]
    return [step for name, each in inside.items() for step in _steps(spec, name, each)]


def check_parameters(document, values):
    """ApiError 400 unless `values` fit the pipeline's inputs: known, of their type, and none missing."""
    inputs = ((flat(document).get("root") or {}).get("inputDefinitions") or {}).get("parameters") or {}
    for name, declared in sorted(inputs.items()):
        if name not in values:
            if not declared.get("isOptional") and "defaultValue" not in declared:
                raise _input(f"parameter {name} is not optional, yet has neither default value nor user provided value")
            continue
        kind, value = declared.get("parameterType"), values[name]
        numeric = kind in ("NUMBER_INTEGER", "NUMBER_DOUBLE")
        if kind in TYPES and (not isinstance(value, TYPES[kind]) or (numeric and isinstance(value, bool))):
            wanted = SAID[kind]
            raise _input(
                f"input parameter {name} requires type {wanted}, but the parameter value is not of {wanted} value type"
            )
    extra = sorted(values.keys() - inputs.keys())
    if extra:
        raise _input(f"parameter(s) provided are not required by pipeline: {', '.join(extra)}")


def _input(detail):
    return errors.refused(errors.INVALID, detail)


def from_package(name, data):
    """The specification in an uploaded package: YAML, alone or in a zip file."""
    import yaml  # comes with the SDK, which is in the image; the rest of this module needs the standard library only

    try:
        if name.endswith(".zip"):
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                data = archive.read(next(each for each in archive.namelist() if each.endswith((".yaml", ".yml"))))
        documents = [each for each in yaml.safe_load_all(data) if each]
    except (yaml.YAMLError, zipfile.BadZipFile, StopIteration) as error:
        raise _input(f"Failed to read pipeline spec file {name}: {error or 'no YAML file in it'}") from error
    document = {}
    if documents:
        document = (
            documents[0] if len(documents) == 1 else {"pipeline_spec": documents[0], "platform_spec": documents[1]}
        )
    wrong = defect(document)
    if wrong:
        raise _input(f"Failed to parse the pipeline spec: {wrong}")
    return document
