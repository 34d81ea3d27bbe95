"""Runs of pipelines: each in a process group of its own, followed to its end, ended when told to or when it takes too long."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import threading

CHILD = pathlib.Path(__file__).with_name("pipelines_child.py")
AT_ONCE = 2
DEADLINE_SECONDS = 1800
GRACE_SECONDS = 5


class Executor:
    """Starts runs, a few at once; the others wait and stay PENDING."""

    def __init__(self, command=(sys.executable, str(CHILD)), deadline=DEADLINE_SECONDS):
        self._command, self._deadline = list(command), deadline
        self._places = threading.Semaphore(AT_ONCE)

    def start(self, spec, arguments, on_state):
        """Begins a run and returns it. `on_state` is told RUNNING, and SUCCEEDED or FAILED at the end."""
        execution = Execution(self._command, self._deadline)
        threading.Thread(target=execution.follow, args=(self._places, spec, arguments, on_state), daemon=True).start()
        return execution


class Execution:
    """One run's process."""

    def __init__(self, command, deadline):
        self._command, self._deadline = command, deadline
        self._stop = threading.Event()
        self._happened = {}

    def happened(self):
        """task → {"started", "ended", "ok"}, as far as it has come."""
        return dict(self._happened)

    def terminate(self):
        """Ends the run; it will be FAILED."""
        self._stop.set()

    def follow(self, places, spec, arguments, on_state):
        """Waits for a place, runs to the end, and tells the outcome whatever happens."""
        outcome = "FAILED"
        try:
            with places:
                if not self._stop.is_set():
                    on_state("RUNNING")
                    outcome = self._run(spec, arguments)
        except (OSError, ValueError) as error:
            print(f"a run could not be executed: {error}", file=sys.stderr)
        finally:
            on_state(outcome)

    def _run(self, spec, arguments):
        folder = pathlib.Path(tempfile.mkdtemp(prefix="run-"))
        try:
            (folder / "spec.json").write_text(json.dumps(spec), encoding="utf-8")
            (folder / "arguments.json").write_text(json.dumps(arguments), encoding="utf-8")
            # Steps get none of this pod's own environment, so that nothing of the stand-in is taken for theirs.
            kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
            process = subprocess.Popen(
                [*self._command, str(folder)],
                cwd=folder,
                env={**kept, "PYTHONUNBUFFERED": "1"},
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
            return "SUCCEEDED" if self._wait(process, folder) == 0 else "FAILED"
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _wait(self, process, folder):
        waited = 0.0
        while True:
            try:
                code = process.wait(timeout=0.2)
                self._read(folder)
                return code
            except subprocess.TimeoutExpired:
                waited += 0.2
                self._read(folder)
            if waited > self._deadline:
                print(f"a run took longer than {self._deadline} s and is ended", file=sys.stderr)
                self._stop.set()
            if self._stop.is_set():
                return self._end(process)

    def _end(self, process):
        """Ends the process and all that it started: first asked, then made to."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(process.pid, number)
            except ProcessLookupError:
                break
            try:
                process.wait(timeout=GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                continue
        process.wait()
        # Steps may have outlived the process that led them.
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        return -1

    def _read(self, folder):
        path = folder / "events.jsonl"
        if not path.exists():
            return
        happened = {}
        for line in path.read_text(encoding="utf-8").splitlines():
            event = json.loads(line)
            task = happened.setdefault(event["task"], {"started": event["time"], "ended": None, "ok": False})
            if event["what"] != "started":
                task["ended"], task["ok"] = event["time"], event["what"] == "succeeded"
        self._happened = happened
