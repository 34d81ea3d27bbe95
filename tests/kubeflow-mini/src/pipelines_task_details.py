"""A run's `task_details`, which in the real server mirror the nodes of an Argo Workflow: eighteen for two steps.

Pure: made anew from what happened to each task.
"""

import uuid
import zlib

NEVER = "0001-01-01T00:00:00Z"
UNFINISHED = "1970-01-01T00:00:00Z"


def details(run_id, workflow, tasks, happened, created, ended, state):
    """The nodes in the order of their ids.

    `tasks` is task → its steps; `happened` is step → {"started": time, "ended": time or None, "ok": bool}; `ended` is the
    run's end or None.
    """
    run = _Nodes(run_id, workflow, created)
    for name in (workflow, f"{workflow}(0)", "root", "root(0)"):
        run.add(name, name, created, ended, state if ended else "RUNNING")
    for name in ("root-driver", "root-driver(0)"):
        run.add(name, name, created, created, "SUCCEEDED")
    for task, steps in tasks.items():
        reached = [step for step in steps if step in happened]
        for step in reached:
            _add_step(run, step, happened[step], ended)
        if task not in steps and reached:
            _add_group(run, task, [happened[step] for step in reached], ended)
        elif not reached and ended:
            # What was not reached has no state after a failure, and was skipped otherwise (a false condition).
            for name in (f"{task}-driver", task):
                run.add(name, name, ended, ended, "SKIPPED" if state == "SUCCEEDED" else None, leaf=name == task)
    return sorted(run.nodes, key=lambda node: node["task_id"])


def _add_step(run, step, done, ended):
    for name in (f"{step}-driver", f"{step}-driver(0)"):
        run.add(name, name, done["started"], done["started"], "SUCCEEDED")
    end = done["ended"] or ended
    outcome = ("SUCCEEDED" if done["ok"] else "FAILED") if end else "RUNNING"
    for name in (step, f"{step}(0)", "executor", "executor(0)"):
        # Executors of all steps have one name; the step makes their ids differ.
        run.add(name, f"{step}/{name}", done["started"], end, outcome, leaf=name == "executor(0)")


def _add_group(run, task, done, ended):
    start = min(each["started"] for each in done)
    end = ended or (None if any(each["ended"] is None for each in done) else max(each["ended"] for each in done))
    outcome = ("SUCCEEDED" if all(each["ok"] for each in done) else "FAILED") if end else "RUNNING"
    run.add(f"{task}-driver", f"{task}-driver", start, start, "SUCCEEDED")
    run.add(task, task, start, end, outcome)


class _Nodes:
    def __init__(self, run_id, workflow, created):
        self.run_id, self.workflow, self.created, self.nodes = run_id, workflow, created, []

    def add(self, name, identity, start, end, state, leaf=False):
        """One node; a missing state is left out, as the real server does."""
        node = {
            "run_id": self.run_id,
            "task_id": str(uuid.uuid5(uuid.UUID(self.run_id), identity)),
            "display_name": name,
            "create_time": self.created,
            "start_time": start,
            "end_time": end or NEVER,
        }
        if state:
            node["state"] = state
        history = [{"update_time": start, "state": "RUNNING"}] if state and end else []
        node["state_history"] = history + [{"update_time": end or start, **({"state": state} if state else {})}]
        if not leaf:
            # The real server names Argo's node here, not the pod.
            node["child_tasks"] = [{"pod_name": f"{self.workflow}-{zlib.crc32(identity.encode())}"}]
        self.nodes.append(node)
