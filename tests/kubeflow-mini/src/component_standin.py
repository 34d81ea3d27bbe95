"""Stand-in for a Kubeflow component whose work no test needs: it runs, listens and answers its probes.

    python3 component_standin.py --name NAME --port PORT [--port PORT]... [--path PATH]... [--ready-after SECONDS | --never-ready]

Answers 200 on every PATH (default /healthz). Until it is ready, 503: so a gate that waits for a slow component, or for
one that never comes up, can be tried by changing one argument.
"""

import argparse
import http.server
import time

from json_server import JsonHandler, serve_until_stopped


def readiness(ready_after, never, started, now):
    """(HTTP status, sentence) that a probe gets at the time `now`."""
    if never:
        return 503, "never ready, as asked for by --never-ready"
    missing = started + ready_after - now
    if missing > 0:
        return 503, f"ready in {missing:.0f} s, as asked for by --ready-after"
    return 200, "ok"


def handler(name, paths, probe):
    """The request handler of the component `name`; `probe` gives the present readiness."""

    class Component(JsonHandler):
        """Health on the paths of the real component, 404 elsewhere."""

        def do_GET(self):  # noqa: N802  the name is the base class's
            """Answers a probe."""
            if self.path.split("?")[0] in paths:
                self.answer(*probe())
            else:
                self.answer(404, f"{name} is a stand-in and serves only {', '.join(paths)}")

    return Component


def main():
    """Serves every port until the pod ends."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--name", required=True)
    parser.add_argument("--port", type=int, action="append", required=True, help="may be given more than once")
    parser.add_argument("--path", action="append", help="may be given more than once")
    when = parser.add_mutually_exclusive_group()
    when.add_argument("--ready-after", type=float, default=0.0)
    when.add_argument("--never-ready", action="store_true")
    options = parser.parse_args()

    started = time.monotonic()

    def probe():
        return readiness(options.ready_after, options.never_ready, started, time.monotonic())

    handle = handler(options.name, options.path or ["/healthz"], probe)
    servers = [http.server.ThreadingHTTPServer(("", port), handle) for port in options.port]
    print(f"{options.name}: listening on {', '.join(map(str, options.port))}", flush=True)
    serve_until_stopped(*servers)


if __name__ == "__main__":
    main()
