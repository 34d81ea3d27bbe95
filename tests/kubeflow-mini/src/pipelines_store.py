"""What the Pipelines API knows: experiments, pipelines with their versions, and runs. In memory, as long as the pod lives.

Objects are kept as the dictionaries that the API answers with, in its order of fields and without empty ones.
"""

import datetime
import random
import string
import threading
import uuid

import pipelines_errors as errors
import pipelines_specs
import pipelines_task_details
from pipelines_task_details import UNFINISHED

# The real server's default configuration adds this to every run, those that succeed too: whoever judges a run by it is wrong.
PLUGINS = {
    "mlflow": {
        "entries": {"experiment_name": {"value": "KFP-Default"}},
        "state": "PLUGIN_FAILED",
        "state_message": "no MLflow is configured in this stand-in, as in the default configuration of the real server",
    }
}


def now():
    """The present time as the API writes it."""
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def filled(**fields):
    """A dictionary without its empty fields."""
    return {key: value for key, value in fields.items() if value not in (None, "", {}, [])}


class Store:
    """All state, behind one lock."""

    def __init__(self, executor):
        self._executor = executor
        self._lock = threading.RLock()
        self.experiments, self.pipelines, self.versions, self.runs = {}, {}, {}, {}
        self._executions, self._specs = {}, {}

    def create_experiment(self, sent):
        """A new experiment; its name is unique in its namespace."""
        with self._lock:
            name = sent["display_name"]
            self._unique(self.experiments, name, sent["namespace"], "experiment")
            return self._keep(
                self.experiments,
                "experiment_id",
                filled(
                    experiment_id=str(uuid.uuid4()),
                    display_name=name,
                    description=sent.get("description"),
                    created_at=now(),
                    namespace=sent["namespace"],
                    storage_state="AVAILABLE",
                    last_run_created_at=UNFINISHED,
                ),
            )

    def create_pipeline(self, name, namespace, description):
        """A new pipeline, without a version yet."""
        with self._lock:
            self._unique(self.pipelines, name, namespace, "pipeline")
            return self._keep(
                self.pipelines,
                "pipeline_id",
                filled(
                    pipeline_id=str(uuid.uuid4()),
                    display_name=name,
                    name=name,
                    description=description,
                    created_at=now(),
                    namespace=namespace,
                ),
            )

    def create_version(self, pipeline_id, name, description, document):
        """A new version of a pipeline."""
        with self._lock:
            return self._keep(
                self.versions,
                "pipeline_version_id",
                filled(
                    pipeline_id=pipeline_id,
                    pipeline_version_id=str(uuid.uuid4()),
                    display_name=name,
                    name=name,
                    description=description,
                    created_at=now(),
                    pipeline_spec=document,
                ),
            )

    def experiments_in(self, namespace):
        """The experiments of a namespace."""
        with self._lock:
            return [dict(each) for each in self.experiments.values() if each["namespace"] == namespace]

    def pipelines_in(self, namespace):
        """The pipelines of a namespace."""
        with self._lock:
            return [dict(each) for each in self.pipelines.values() if each.get("namespace", "") == namespace]

    def versions_of(self, pipeline_id):
        """A pipeline's versions, the oldest first."""
        with self._lock:
            return [version for version in self.versions.values() if version["pipeline_id"] == pipeline_id]

    def create_run(self, sent, document):
        """A new run of the specification in `document`, which begins at once."""
        spec, created, run_id = pipelines_specs.flat(document), now(), str(uuid.uuid4())
        reference = sent.get("pipeline_version_reference")
        with self._lock:
            run = filled(
                experiment_id=sent["experiment_id"],
                run_id=run_id,
                display_name=sent["display_name"],
                storage_state="AVAILABLE",
                description=sent.get("description"),
                pipeline_spec=None if reference else document,
                pipeline_version_reference=reference,
                runtime_config=filled(**sent.get("runtime_config") or {}),
                service_account=sent.get("service_account") or "default-editor",
                created_at=created,
                scheduled_at=created,
            )
            run.update(
                finished_at=UNFINISHED, state="PENDING", state_history=[{"update_time": created, "state": "PENDING"}]
            )
            suffix = "".join(random.choices(string.ascii_lowercase + string.digits, k=5))
            self._specs[run_id] = (f"{spec['pipelineInfo']['name']}-{suffix}", pipelines_specs.steps(document))
            self.experiments[sent["experiment_id"]]["last_run_created_at"] = created
            self.runs[run_id] = run
            parameters = (sent.get("runtime_config") or {}).get("parameters") or {}
            self._executions[run_id] = self._executor.start(
                spec, parameters, lambda state: self._reached(run_id, state)
            )
            return self.run(run_id)

    def run(self, run_id):
        """A run as it is now."""
        with self._lock:
            run, result = self.runs[run_id], {}
            for key, value in run.items():
                result[key] = value
                if key == "state" and run["state"] != "PENDING":
                    workflow, tasks = self._specs[run_id]
                    ended = None if run["finished_at"] == UNFINISHED else run["finished_at"]
                    happened = self._executions[run_id].happened()
                    result["run_details"] = {
                        "task_details": pipelines_task_details.details(
                            run_id, workflow, tasks, happened, run["created_at"], ended, run["state"]
                        )
                    }
            return {**result, "plugins_output": PLUGINS}

    def terminate_run(self, run_id):
        """Ends a run that is not over. It is CANCELING, then FAILED."""
        with self._lock:
            if self.runs[run_id]["state"] in ("PENDING", "RUNNING"):
                self._reached(run_id, "CANCELING")
                self._executions[run_id].terminate()

    def delete_run(self, run_id):
        """Forgets a run and ends what it executes."""
        with self._lock:
            self._executions.pop(run_id).terminate()
            del self.runs[run_id], self._specs[run_id]

    def runs_of(self, experiment_ids):
        """All runs of these experiments."""
        with self._lock:
            return [self.run(run_id) for run_id, run in self.runs.items() if run["experiment_id"] in experiment_ids]

    def namespace_of(self, experiment_id):
        """The namespace of an experiment, or "" where there is none."""
        with self._lock:
            return self.experiments.get(experiment_id, {}).get("namespace", "")

    def _reached(self, run_id, state):
        with self._lock:
            run = self.runs.get(run_id)
            # A run that is being cancelled stays so until it has ended, and a deleted one has no state.
            if run is None or (state == "RUNNING" and run["state"] != "PENDING"):
                return
            run["state"] = state
            run["state_history"] = [*run["state_history"], {"update_time": now(), "state": state}]
            if state in ("SUCCEEDED", "FAILED"):
                run["finished_at"] = now()

    def _unique(self, among, name, namespace, kind):
        if any(each["display_name"] == name and each.get("namespace", "") == namespace for each in among.values()):
            detail = f"Failed to create a new {kind}. The name {name} already exists. Please specify a new name"
            raise errors.refused(errors.EXISTS, detail)

    @staticmethod
    def _keep(among, key, value):
        among[value[key]] = value
        return dict(value)
