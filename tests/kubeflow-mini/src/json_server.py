"""What the stand-ins' servers share: a request handler for JSON, and serving until the pod is told to end."""

import http.server
import json
import signal
import sys
import threading

MAXIMUM_BODY = 32 * 1024 * 1024


class JsonHandler(http.server.BaseHTTPRequestHandler):
    """Reads bodies in full, answers with a length, logs a line a request. Connections stay open, as clients expect."""

    protocol_version = "HTTP/1.1"
    # A client that goes silent must not hold a thread for ever.
    timeout = 120
    # An answer leaves in one piece at once, not its head now and its body after the other side's delayed acknowledgement.
    wbufsize = -1
    disable_nagle_algorithm = True

    def body(self):
        """The request's body. It is read even where nobody looks at it, or the next request would start inside it."""
        length = int(self.headers.get("Content-Length") or 0)
        if length > MAXIMUM_BODY:
            self.close_connection = True
            raise ValueError(f"the body has {length} bytes, more than {MAXIMUM_BODY}")
        return self.rfile.read(length)

    def answer(self, status, value, headers=()):
        """Sends one JSON value, or plain text where it is a string."""
        plain = isinstance(value, str)
        data = value.encode() if plain else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8" if plain else "application/json")
        self.send_header("Content-Length", str(len(data)))
        for name, content in headers:
            self.send_header(name, content)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format, *args):  # noqa: A002  the name is the base class's
        """One line on standard error; the kubelet's probes would drown the rest and are left out."""
        if not str(self.headers.get("User-Agent", "") if hasattr(self, "headers") else "").startswith("kube-probe"):
            sys.stderr.write(f"{self.address_string()} {format % args}\n")


def serve_until_stopped(*servers):
    """Serves all of them until SIGTERM, which Python as a container's first process would ignore otherwise."""
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    signal.signal(signal.SIGINT, lambda *_: stopped.set())
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    stopped.wait()
    for server in servers:
        server.shutdown()
