"""The methods of the Pipelines API: routes, and for each what is checked in which order and what is answered."""

import re

import pipelines_errors as errors
import pipelines_identity as identity
import pipelines_requests as requests
import pipelines_specs as specs

HEALTH = {"commit_sha": "unknown", "tag_name": "unknown", "multi_user": True, "pipeline_store": "database"}
ID = "([^/:]+)"


class Call:
    """One request: who makes it and what was sent."""

    def __init__(self, authorization, query, body, content_type):
        self.authorization, self.query, self.body, self.content_type = authorization, query, body, content_type


class PipelinesApi:
    """The API's methods. Each returns the JSON of its answer or raises ApiError."""

    def __init__(self, store, kubernetes):
        self._store, self._kubernetes = store, kubernetes
        self._routes = [
            (method, re.compile(f"/apis/v2beta1/{path}"), function)
            for method, path, function in (
                ("POST", "experiments", self.create_experiment),
                ("GET", "experiments", self.list_experiments),
                ("GET", f"experiments/{ID}", self.get_experiment),
                ("DELETE", f"experiments/{ID}", self.delete_experiment),
                ("POST", f"experiments/{ID}:(archive|unarchive)", self.archive_experiment),
                ("POST", "pipelines/upload", self.upload_pipeline),
                ("POST", "pipelines/upload_version", self.upload_version),
                ("GET", "pipelines", self.list_pipelines),
                ("GET", f"pipelines/{ID}", self.get_pipeline),
                ("DELETE", f"pipelines/{ID}", self.delete_pipeline),
                ("GET", f"pipelines/{ID}/versions", self.list_versions),
                ("GET", f"pipelines/{ID}/versions/{ID}", self.get_version),
                ("DELETE", f"pipelines/{ID}/versions/{ID}", self.delete_version),
                ("POST", "runs", self.create_run),
                ("GET", "runs", self.list_runs),
                ("GET", f"runs/{ID}", self.get_run),
                ("DELETE", f"runs/{ID}", self.delete_run),
                ("POST", f"runs/{ID}:terminate", self.terminate_run),
            )
        ]

    def handle(self, method, path, call):
        """The answer to one request."""
        if path in ("/apis/v2beta1/healthz", "/apis/v1beta1/healthz"):
            return HEALTH
        known = False
        for of, pattern, function in self._routes:
            found = pattern.fullmatch(path)
            if found and of == method:
                return function(call, *found.groups())
            known = known or bool(found)
        if known:
            raise errors.ApiError(errors.UNIMPLEMENTED, "Method Not Allowed")
        raise errors.ApiError(errors.NOT_FOUND, "Not Found")

    # Experiments

    def create_experiment(self, call):
        """POST experiments."""
        sent = requests.message(call.body, requests.EXPERIMENT)
        return self._within("Failed to create a experiment", lambda: self._create_experiment(call, sent))

    def _create_experiment(self, call, sent):
        namespace = sent.get("namespace", "")
        self._may(call, namespace, "create", "experiments", sent.get("display_name", ""), needs="An experiment")
        if not sent.get("display_name"):
            raise errors.refused(errors.INVALID, "Experiment name is empty. Please specify a valid experiment name")
        return self._store.create_experiment({**sent, "namespace": namespace})

    def list_experiments(self, call):
        """GET experiments."""
        options, namespace = requests.ListOptions(call.query, "Experiment"), call.query.get("namespace", "")
        context = "Failed to list experiments"
        self._within(context, lambda: self._may(call, namespace, "list", "experiments", needs="An experiment"))
        return self._page(options, self._store.experiments_in(namespace), "experiments")

    def get_experiment(self, call, experiment_id):
        """GET experiments/ID."""
        return self._within("Failed to get an experiment", lambda: self._experiment(call, experiment_id, "get"))

    def delete_experiment(self, call, experiment_id):
        """DELETE experiments/ID."""
        self._within("Failed to delete an experiment", lambda: self._experiment(call, experiment_id, "delete"))
        del self._store.experiments[experiment_id]
        return {}

    def archive_experiment(self, call, experiment_id, verb):
        """POST experiments/ID:archive and :unarchive."""
        self._within(f"Failed to {verb} an experiment", lambda: self._experiment(call, experiment_id, verb))
        self._store.experiments[experiment_id]["storage_state"] = "ARCHIVED" if verb == "archive" else "AVAILABLE"
        return {}

    def _experiment(self, call, experiment_id, verb):
        found = self._found(self._store.experiments, "Experiment", experiment_id)
        self._may(call, found["namespace"], verb, "experiments", found["display_name"])
        return dict(found)

    # Pipelines

    def upload_pipeline(self, call):
        """POST pipelines/upload: a package as a form's file."""
        name, namespace = call.query.get("name", ""), call.query.get("namespace", "")
        context = "Failed to upload a pipeline"
        self._within(context, lambda: self._may(call, namespace, "create", "pipelines", name))
        filename, data = self._within(context, lambda: requests.uploaded(call))
        document = self._within(context, lambda: specs.from_package(filename, data))
        name = call.query.get("display_name") or name or filename
        pipeline = self._within(
            context, lambda: self._store.create_pipeline(name, namespace, call.query.get("description"))
        )
        self._store.create_version(pipeline["pipeline_id"], name, call.query.get("description"), document)
        return pipeline

    def upload_version(self, call):
        """POST pipelines/upload_version?pipelineid=ID."""
        context = "Failed to upload a pipeline version"
        pipeline = self._within(context, lambda: self._pipeline(call, call.query.get("pipelineid", ""), "create"))
        filename, data = self._within(context, lambda: requests.uploaded(call))
        document = self._within(context, lambda: specs.from_package(filename, data))
        name = call.query.get("display_name") or call.query.get("name") or filename
        return self._store.create_version(pipeline["pipeline_id"], name, call.query.get("description"), document)

    def list_pipelines(self, call):
        """GET pipelines."""
        options, namespace = requests.ListOptions(call.query, "Pipeline"), call.query.get("namespace", "")
        self._within("Failed to list pipelines", lambda: self._may(call, namespace, "list", "pipelines"))
        return self._page(options, self._store.pipelines_in(namespace), "pipelines")

    def get_pipeline(self, call, pipeline_id):
        """GET pipelines/ID."""
        return self._within("Failed to get pipeline", lambda: self._pipeline(call, pipeline_id, "get"))

    def delete_pipeline(self, call, pipeline_id):
        """DELETE pipelines/ID: refused while it has versions, unless cascade=true."""
        context = f"Failed to delete pipeline {pipeline_id}. Check error stack"
        self._within(context, lambda: self._pipeline(call, pipeline_id, "delete"))
        versions = self._store.versions_of(pipeline_id)
        if versions and call.query.get("cascade") != "true":
            raise errors.refused(
                errors.INVALID,
                (
                    f"Failed to delete pipeline with id {pipeline_id} as it has existing pipeline versions (e.g. "
                    f"{versions[0]['pipeline_version_id']}). Set cascade=true to delete all versions"
                ),
            ).within(context)
        for version in versions:
            del self._store.versions[version["pipeline_version_id"]]
        del self._store.pipelines[pipeline_id]
        return {}

    def list_versions(self, call, pipeline_id):
        """GET pipelines/ID/versions."""
        options = requests.ListOptions(call.query, "PipelineVersion")
        self._within("Failed to list pipeline versions", lambda: self._pipeline(call, pipeline_id, "list"))
        return self._page(options, self._store.versions_of(pipeline_id), "pipeline_versions")

    def get_version(self, call, pipeline_id, version_id):
        """GET pipelines/ID/versions/ID."""
        self._within("Failed to get a pipeline version", lambda: self._pipeline(call, pipeline_id, "get"))
        return dict(self._found(self._store.versions, "PipelineVersion", version_id))

    def delete_version(self, call, pipeline_id, version_id):
        """DELETE pipelines/ID/versions/ID."""
        self._within("Failed to delete a pipeline version", lambda: self._pipeline(call, pipeline_id, "delete"))
        self._found(self._store.versions, "PipelineVersion", version_id)
        del self._store.versions[version_id]
        return {}

    def _pipeline(self, call, pipeline_id, verb):
        found = self._found(self._store.pipelines, "Pipeline", pipeline_id)
        self._may(call, found.get("namespace", ""), verb, "pipelines", found["name"])
        return dict(found)

    # Runs

    def create_run(self, call):
        """POST runs: a specification in the request, or a version uploaded before."""
        sent = requests.message(call.body, requests.RUN)
        experiment_id = sent.get("experiment_id") or call.query.get("experiment_id", "")
        if not experiment_id:
            invalid = errors.refused(errors.INVALID, "Experiment id can not be empty in multi-user mode")
            raise invalid.within("Failed to create a run due to invalid experimentId and namespace combination").within(
                "Failed to create a new run"
            )
        context = "Failed to create a new run"
        experiment = self._within(context, lambda: self._found(self._store.experiments, "Experiment", experiment_id))
        self._within(
            context, lambda: self._may(call, experiment["namespace"], "create", "runs", sent.get("display_name", ""))
        )
        if not sent.get("display_name"):
            raise errors.conversion("CreateJob(job.ToV2())Failed to create a run", "Run name cannot be empty")
        document = self._document(sent)
        defect = specs.defect(document)
        if defect:
            raise errors.conversion("Failed to create a new run: Failed to create a run", defect)
        parameters = (sent.get("runtime_config") or {}).get("parameters") or {}
        self._within(context, lambda: specs.check_parameters(document, parameters))
        return self._store.create_run({**sent, "experiment_id": experiment_id}, document)

    def _document(self, sent):
        reference = sent.get("pipeline_version_reference")
        if not reference:
            return sent.get("pipeline_spec")
        version_id = reference.get("pipeline_version_id")
        if not version_id:
            pipeline_id = reference.get("pipeline_id", "")
            versions = self._store.versions_of(pipeline_id)
            if not versions:
                raise errors.refused(errors.NOT_FOUND, f"Pipeline {pipeline_id} not found").within(
                    "Failed to create a new run"
                )
            version_id = versions[-1]["pipeline_version_id"]
        return self._found(self._store.versions, "PipelineVersion", version_id)["pipeline_spec"]

    def list_runs(self, call):
        """GET runs, of a namespace or of an experiment."""
        options, namespace = requests.ListOptions(call.query, "Run"), call.query.get("namespace", "")
        experiment_id = call.query.get("experiment_id", "")
        if experiment_id:
            namespace = self._store.namespace_of(experiment_id)
        context = (
            "Failed to list runs: Failed to list runs due to authorization error. "
            f"Check if you have permission to access namespace {namespace}"
        )
        self._within(context, lambda: self._may(call, namespace, "list", "runs", needs="A run"))
        owned = [each["experiment_id"] for each in self._store.experiments_in(namespace)]
        return self._page(options, self._store.runs_of([experiment_id] if experiment_id else owned), "runs")

    def get_run(self, call, run_id):
        """GET runs/ID."""
        self._run(call, run_id, "get", "Failed to get a run")
        return self._store.run(run_id)

    def delete_run(self, call, run_id):
        """DELETE runs/ID."""
        self._run(call, run_id, "delete", "Failed to delete a run")
        self._store.delete_run(run_id)
        return {}

    def terminate_run(self, call, run_id):
        """POST runs/ID:terminate."""
        self._run(call, run_id, "terminate", "Failed to terminate a run")
        self._store.terminate_run(run_id)
        return {}

    def _run(self, call, run_id, verb, context):
        context = f"{context}: Failed to authorize the request: Failed to authorize with the run ID {run_id}"
        try:
            run = self._found(self._store.runs, "Run", run_id)
        except errors.ApiError as error:
            raise error.within(f"Failed to fetch run {run_id}").within(context) from error
        namespace = self._store.namespace_of(run["experiment_id"])
        self._within(context, lambda: self._may(call, namespace, verb, "runs", run["display_name"]))

    # Shared

    def _may(self, call, namespace, verb, resource, name="", needs=None):
        """ApiError unless the caller may do this; `needs` names what must have a namespace, where that may lack."""
        if needs and not namespace:
            empty = f"{needs} cannot have an empty namespace in multi-user mode"
            if resource == "runs":
                raise errors.refused(errors.INVALID, empty)
            raise errors.refused(errors.INVALID, empty).within("Failed to authorize the request")
        kind = {"runs": "run", "experiments": "experiment", "pipelines": "pipeline"}[resource]
        try:
            user = identity.authenticate(self._kubernetes, call.authorization)
            # A pipeline of no namespace is everybody's who is somebody.
            if namespace or resource != "pipelines":
                identity.authorize(self._kubernetes, user, namespace, verb, resource, name)
        except errors.ApiError as error:
            raise error.within(
                f"Failed to access {kind} {name}. Check if you have access to namespace {namespace}"
            ) from error

    @staticmethod
    def _within(context, function):
        try:
            return function()
        except errors.ApiError as error:
            raise error.within(context) from error

    @staticmethod
    def _found(among, kind, key):
        if key not in among:
            raise errors.refused(errors.NOT_FOUND, f"{kind} {key} not found")
        return among[key]

    @staticmethod
    def _page(options, items, key):
        page, token, total = options.page(items)
        answer = {key: page} if page else {}
        if total:
            answer["total_size"] = total
        if token:
            answer["next_page_token"] = token
        return answer
