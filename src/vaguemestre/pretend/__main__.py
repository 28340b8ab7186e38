"""`python -m vaguemestre.pretend`: run a pretend Pro Santé Connect on loopback until told to stop.

Prints one line of JSON once both ports answer: the issuer, and where people are sent. Configured by a JSON file:
`{"realm": port, "wallet": port, "clients": [{"name", "secret", "redirects"}], "people": [userinfo…]}`; port 0 takes a free one.
"""

import asyncio
import contextlib
import signal
import socket
import sys
import threading
from pathlib import Path
from typing import Any

import msgspec

from vaguemestre import log
from vaguemestre.pretend import pages
from vaguemestre.pretend.provider import Client, PretendProvider
from vaguemestre.servers.http import HttpServer


class Wanted(msgspec.Struct, forbid_unknown_fields=True):
    """What to run."""

    clients: list[Client]
    people: list[dict[str, Any]]
    realm: int = 0
    wallet: int = 0
    ends_with_input: bool = False


async def run(wanted: Wanted) -> None:
    """Serve until SIGTERM or SIGINT."""
    realm, wallet = wanted.realm or _free(), wanted.wallet or _free()
    provider = PretendProvider(f"http://127.0.0.1:{realm}{pages.REALM}", wanted.clients, wanted.people)
    authorize = f"http://127.0.0.1:{wallet}/auth"
    servers = [
        HttpServer(pages.realm(provider, authorize), "127.0.0.1", realm),
        HttpServer(pages.wallet(provider), "127.0.0.1", wallet),
    ]
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    for server in servers:
        await server.start()
    print(msgspec.json.encode({"issuer": provider.issuer, "authorize": authorize}).decode(), flush=True)  # noqa: T201
    if wanted.ends_with_input:
        _at_end_of_input(stop)
    await stop.wait()
    for server in servers:
        await server.stop()


def _at_end_of_input(stop: asyncio.Event) -> None:
    """Stop when nobody holds the other end of standard input any more. A thread that nothing waits for: it may never end."""
    loop = asyncio.get_running_loop()

    def wait() -> None:
        sys.stdin.read()
        with contextlib.suppress(RuntimeError):  # stopped already
            loop.call_soon_threadsafe(stop.set)

    threading.Thread(target=wait, daemon=True).start()


def _free() -> int:
    with socket.socket() as tried:
        tried.bind(("127.0.0.1", 0))
        return int(tried.getsockname()[1])


if __name__ == "__main__":
    log.configure("WARNING")
    asyncio.run(run(msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Wanted)))
