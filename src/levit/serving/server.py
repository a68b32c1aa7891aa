"""The server: listens, loads the models, and ends after SIGTERM without losing a request."""

from __future__ import annotations

import asyncio
import errno
import gc
import math
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from types import FrameType

import uvicorn

from levit.errors import ConfigError
from levit.serving.application import create_application
from levit.serving.http_protocol import WRITE_TIMEOUT, HttpProtocol
from levit.serving.lifecycle import State
from levit.serving.options import ServiceOptions
from levit.serving.served_model import NamedModel
from levit.serving.service import Service

_KEEP_ALIVE = 75  # seconds; longer than the 60 of common load balancers, which must be the ones that close
_BACKLOG = 2_048
_OPEN_FILES = 65_536
_COLLECTION_THRESHOLDS = (2_000, 10, 10)  # new objects; the command line, which ends soon, has 50,000


def serve(models: Sequence[NamedModel], options: ServiceOptions, *, on_ready: Callable[[str], None]) -> None:
    """Serve models until SIGTERM or SIGINT; the main thread calls it.

    After SIGTERM, requests are refused with 503 for `options.drain` seconds, in which load balancers notice it; then
    accepted requests are finished. SIGINT leaves out the waiting, and a second signal finishes nothing.

    Args:
        models: the models.
        options: options of the service.
        on_ready: called with the address of the service once all models are loaded.

    Raises:
        ConfigError: the address is not available.
        LevitError: a model cannot be opened, as `levit.Classifier`.
    """
    _allow_many_connections()
    with _listen(options) as listener:
        port = listener.getsockname()[1]
        host = f"[{options.host}]" if ":" in options.host else options.host
        service = _run(models, options, listener, lambda: on_ready(f"http://{host}:{port}"))
        with asyncio.Runner(loop_factory=uvicorn.Config("", loop="auto").get_loop_factory()) as runner:
            runner.run(service)


def _allow_many_connections() -> None:
    """Raise the limit of open files, of which each connection is one, as far as the system allows it."""
    if sys.platform == "win32":  # which has no such limit
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(_OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(ValueError, OSError):  # macOS has a limit of its own
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _listen(options: ServiceOptions) -> socket.socket:
    try:
        family, *_, address = socket.getaddrinfo(options.host, options.port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family, backlog=_BACKLOG)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        reason = reason.partition(" (while attempting")[0]  # `create_server` appends the address
        is_host = isinstance(error, socket.gaierror | UnicodeError) or error.errno == errno.EADDRNOTAVAIL
        name = "host" if is_host else "port"
        reason = f"cannot listen on {options.host}:{options.port} ({reason})"
        raise ConfigError(reason, hint=f"give another `{name}`") from error


async def _run(
    models: Sequence[NamedModel], options: ServiceOptions, listener: socket.socket, on_ready: Callable[[], None]
) -> None:
    service = Service(models, options)
    server = _Server(service)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    loading = asyncio.create_task(service.load_in_thread())
    await asyncio.wait({serving, loading}, return_when=asyncio.FIRST_COMPLETED)
    try:
        if loading.done():
            loading.result()
            if service.lifecycle.is_ready:
                _shorten_collections()
                on_ready()
    finally:
        if loading.done() and loading.exception() is not None:
            server.should_exit = server.force_exit = True
        await serving
        loading.cancel()
        service.close()


def _shorten_collections() -> None:
    """Leave what is loaded out of garbage collections, which stop all threads, and collect little at once."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECTION_THRESHOLDS)


def server_config(service: Service) -> uvicorn.Config:
    """Configuration of the server of a service."""
    return uvicorn.Config(
        create_application(service),
        http=partial(HttpProtocol, service),  # type: ignore[arg-type]  # it is only called
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="critical",  # it would log tracebacks, and requests of port scanners
        access_log=False,
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE,
        # What was accepted is computed and sent within this time, unless its client does not read.
        timeout_graceful_shutdown=math.ceil(service.options.timeout) + WRITE_TIMEOUT,
    )


class _Server(uvicorn.Server):
    """Server that drains before it ends, and then ends with 0."""

    def __init__(self, service: Service) -> None:
        super().__init__(server_config(service))
        self._service = service
        self._drain = service.options.drain

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to drain; a second signal ends at once."""
        lifecycle = self._service.lifecycle
        if lifecycle.state is State.DRAINING:
            self.should_exit = self.force_exit = True
            return
        is_loading = lifecycle.state is State.LOADING
        seconds = 0.0 if sig == signal.SIGINT or is_loading else self._drain
        loop = asyncio.get_event_loop()
        loop.call_soon_threadsafe(lifecycle.drain)
        loop.call_soon_threadsafe(lambda: loop.call_later(seconds, self._end))

    def _end(self) -> None:
        self.should_exit = True  # first, so that no error of a request can keep the server from ending
        self._service.lifecycle.end()
