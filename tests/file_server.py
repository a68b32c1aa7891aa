"""A file server of this machine, for tests of addresses."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer


class RedirectingHandler(SimpleHTTPRequestHandler):
    """Handler of the files in a folder; `/redirect/<URL>` refers to a URL."""

    def log_message(self, format, *arguments):  # noqa: A002  # the name is the base class's
        pass

    def do_GET(self):
        _, is_redirect, target = self.path.partition("/redirect/")
        if not is_redirect:
            super().do_GET()
            return
        self.send_response(302)
        self.send_header("Location", target)
        self.end_headers()


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # closing the server waits for its threads


@contextmanager
def running_server(handler: Callable[..., SimpleHTTPRequestHandler]) -> Iterator[str]:
    """Run a server; yield its address."""
    with _Server(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
