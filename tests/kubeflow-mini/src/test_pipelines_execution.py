"""Runs as processes: their states, their ends, and a real pipeline where the SDK is installed."""

import importlib.util
import json
import pathlib
import sys
import tempfile
import threading
import time
import unittest

from pipelines_execution import Executor


class States:
    """Collects a run's states; the last one can be waited for."""

    def __init__(self):
        self.seen, self._ended = [], threading.Event()

    def __call__(self, state):
        self.seen.append(state)
        if state in ("SUCCEEDED", "FAILED"):
            self._ended.set()

    def wait(self, seconds=30):
        if not self._ended.wait(seconds):
            raise AssertionError(f"the run did not end in {seconds} s; its states: {self.seen}")
        return self.seen


def program(text):
    """A command that runs a Python program in place of the SDK's runner."""
    return (sys.executable, "-c", text)


class Processes(unittest.TestCase):
    def test_the_exit_code_decides(self):
        for code, state in ((0, "SUCCEEDED"), (1, "FAILED"), (-9, "FAILED")):
            states = States()
            text = f"import os, sys; os.kill(os.getpid(), 9) if {code} < 0 else sys.exit({code})"
            Executor(program(text)).start({}, {}, states)
            self.assertEqual(states.wait(), ["RUNNING", state])

    def test_what_is_handed_over_and_what_is_told_of_tasks(self):
        text = (
            "import json, os, sys; folder = sys.argv[1]\n"
            "assert json.load(open(f'{folder}/spec.json')) == {'a': 1} and json.load(open(f'{folder}/arguments.json')) == {'n': 2}\n"
            "assert not [name for name in os.environ if name.startswith('KUBERNETES_')], os.environ\n"
            "for what in ('started', 'failed'):\n"
            "    print(json.dumps({'task': 't', 'what': what, 'time': what}), file=open(f'{folder}/events.jsonl', 'a'))\n"
        )
        states = States()
        execution = Executor(program(text)).start({"a": 1}, {"n": 2}, states)
        self.assertEqual(states.wait()[-1], "SUCCEEDED")
        self.assertEqual(execution.happened(), {"t": {"started": "started", "ended": "failed", "ok": False}})

    def test_terminating_ends_every_process_of_the_run(self):
        with tempfile.TemporaryDirectory() as folder:
            alive = pathlib.Path(folder) / "alive"
            step = f"import time\nwhile True: open({str(alive)!r}, 'w').write(str(time.time())); time.sleep(0.05)"
            text = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {step!r}])"
            states = States()
            execution = Executor(program(text)).start({}, {}, states)
            self.wait_for(alive.exists)
            execution.terminate()
            self.assertEqual(states.wait(), ["RUNNING", "FAILED"])
            last = alive.read_text(encoding="utf-8")
            time.sleep(0.3)
            self.assertEqual(alive.read_text(encoding="utf-8"), last, "the step still runs")

    def test_a_run_that_takes_too_long_is_ended(self):
        states = States()
        Executor(program("import time; time.sleep(60)"), deadline=0.3).start({}, {}, states)
        self.assertEqual(states.wait(), ["RUNNING", "FAILED"])

    def test_a_run_terminated_while_it_waits_never_runs(self):
        executor, others = Executor(program("import time; time.sleep(60)")), []
        for _ in range(2):
            others.append(executor.start({}, {}, States()))
        states = States()
        waiting = executor.start({}, {}, states)
        self.assertEqual(states.seen, [])
        waiting.terminate()
        for other in others:
            other.terminate()
        self.assertEqual(states.wait(), ["FAILED"])

    def wait_for(self, condition):
        end = time.monotonic() + 10
        while not condition():
            self.assertLess(time.monotonic(), end, "the step did not start in 10 s")
            time.sleep(0.02)


@unittest.skipUnless(importlib.util.find_spec("kfp"), "the kfp SDK is not installed here; it is in the image")
class RealPipelines(unittest.TestCase):
    def test_steps_pass_values_and_a_wrong_one_fails_the_run(self):
        import yaml
        from kfp import compiler, dsl

        @dsl.component(base_image="python:3", install_kfp_package=False)
        def square(number: int) -> int:
            return number * number

        @dsl.component(base_image="python:3", install_kfp_package=False)
        def expect(number: int, wanted: int):
            if number != wanted:
                raise ValueError(f"{number} is not {wanted}")

        # Named like one of its steps, and with a default, which JSON knows only as a number with a fraction.
        @dsl.pipeline(name="square")
        def squares(wanted: int, number: int = 7):
            expect(number=square(number=number).output, wanted=wanted)

        with tempfile.TemporaryDirectory() as folder:
            compiler.Compiler().compile(squares, f"{folder}/p.yaml")
            spec = json.loads(json.dumps(yaml.safe_load(pathlib.Path(f"{folder}/p.yaml").read_text(encoding="utf-8"))))
        for wanted, state in ((49, "SUCCEEDED"), (50, "FAILED")):
            states = States()
            execution = Executor().start(spec, {"wanted": wanted}, states)
            self.assertEqual(states.wait(120), ["RUNNING", state])
            happened = execution.happened()
            self.assertEqual(
                {task: each["ok"] for task, each in happened.items()}, {"square": True, "expect": wanted == 49}
            )


if __name__ == "__main__":
    unittest.main()
