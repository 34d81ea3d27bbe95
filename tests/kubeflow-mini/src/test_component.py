"""The stand-in of a component: what a probe gets, and an end when told to."""

import pathlib
import signal
import socket
import subprocess
import sys
import time
import unittest
import urllib.error
import urllib.request

import component_standin


class Readiness(unittest.TestCase):
    def test_when_a_component_is_ready(self):
        cases = [
            ((0, False, 100, 100), 200),
            ((5, False, 100, 104), 503),
            ((5, False, 100, 105), 200),
            ((0, True, 100, 9999), 503),
        ]
        for arguments, status in cases:
            self.assertEqual(component_standin.readiness(*arguments)[0], status, arguments)


class Program(unittest.TestCase):
    def test_it_answers_on_its_paths_and_ends_on_sigterm(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        program = pathlib.Path(component_standin.__file__)
        process = subprocess.Popen(
            [sys.executable, str(program), "--name", "dashboard", "--port", str(port), "--path", "/readyz"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.addCleanup(process.kill)
        self.assertEqual(process.stdout.readline(), f"dashboard: listening on {port}\n")
        process.stdout.close()
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            self.assertEqual((answer.status, answer.read()), (200, b"ok"))
        with self.assertRaises(urllib.error.HTTPError) as raised:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5)
        self.addCleanup(raised.exception.close)
        self.assertEqual(raised.exception.code, 404)
        before = time.monotonic()
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(10), 0)
        self.assertLess(time.monotonic() - before, 5)


if __name__ == "__main__":
    unittest.main()
