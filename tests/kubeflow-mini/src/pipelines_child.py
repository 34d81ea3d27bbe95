"""Executes one compiled pipeline for real, in a process of its own: the SDK's local runner, a process per step.

    python3 pipelines_child.py FOLDER

FOLDER holds `spec.json` and `arguments.json`; each task's start and end is appended to `events.jsonl` there. What steps
print goes to standard output. Exit code 0 if every task succeeded, 1 if one did not.
"""

import datetime
import json
import pathlib
import sys

from google.protobuf import json_format
from kfp import local
from kfp.local import pipeline_orchestrator, status
from kfp.local.orchestrator import task_executor
from kfp.pipeline_spec import pipeline_spec_pb2


def report_tasks(events):
    """Has the runner tell `events` of each task. It has no hook for that, so its one function for a task is wrapped."""
    execute = task_executor.execute_single_task

    def reported(*positional, **named):
        task = named["task_name"] if "task_name" in named else positional[0]
        events(task, "started")
        outcome = status.Status.FAILURE
        try:
            outputs, outcome = execute(*positional, **named)
            return outputs, outcome
        finally:
            events(task, "succeeded" if outcome == status.Status.SUCCESS else "failed")

    task_executor.execute_single_task = reported


def main(folder):
    """Runs the pipeline in `folder`."""

    def events(task, what):
        now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        with open(folder / "events.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps({"task": task, "what": what, "time": now}) + "\n")

    report_tasks(events)
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(folder / "root"), raise_on_error=True)
    arguments = json.loads((folder / "arguments.json").read_text(encoding="utf-8"))
    # Not `components.load_component_from_file`: it takes a pipeline for its step of the same name.
    spec = json_format.Parse((folder / "spec.json").read_text(encoding="utf-8"), pipeline_spec_pb2.PipelineSpec())
    try:
        pipeline_orchestrator.run_local_pipeline(pipeline_spec=spec, arguments=arguments)
    except RuntimeError as error:
        # A step's own failure, whose traceback it has printed itself.
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1])))
