"""An ASGI application on a port of loopback, in a thread of its own, for programs that ask it over HTTP."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from vaguemestre.servers.http import HttpServer


@contextmanager
def served(app: Any, tls: Any = None) -> Iterator[int]:
    """The port at which `app` is served, until the end of the block."""
    begun, end = threading.Event(), threading.Event()
    ports: list[int] = []

    async def serve() -> None:
        server = HttpServer(app, "127.0.0.1", 0, tls)
        ports.append(await server.start())
        begun.set()
        await asyncio.to_thread(end.wait)
        await server.stop()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    begun.wait(10)
    try:
        yield ports[0]
    finally:
        end.set()
        thread.join(10)
