"""The pretend Pro Santé Connect as a process beside this one: started with what it is to know, ended with its user."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from vaguemestre.errors import ConfigurationError

_READY_S = 30.0


@contextlib.asynccontextmanager
async def running(
    file: Path, *, realm: int, wallet: int, client: str, secret: str, redirect: str, people: Sequence[dict[str, Any]]
) -> AsyncIterator[None]:
    """Run it on two ports of this machine, for one client and these people. Raises ConfigurationError where it can't.

    What it is to know stands in `file`, which only its owner reads.
    """
    known = {
        "clients": [{"name": client, "secret": secret, "redirects": [redirect]}],
        "people": list(people),
        "realm": realm,
        "wallet": wallet,
        "ends_with_input": True,  # killed, this process takes it along
    }
    await asyncio.to_thread(_write, file, msgspec.json.encode(known))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "vaguemestre.pretend",
        str(file),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is for this process, which ends it in turn
    )
    assert process.stdout is not None  # noqa: S101 - asked for above
    try:
        async with asyncio.timeout(_READY_S):
            ready = await process.stdout.readline()
        if not ready:
            raise ConfigurationError(
                f"The pretend Pro Santé Connect did not start on ports {realm} and {wallet}: are they taken?",
                f"Le Pro Santé Connect fictif n'a pas démarré sur les ports {realm} et {wallet} : sont-ils pris ?",
            )
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        if process.stdin is not None:
            process.stdin.close()  # what it waits for, beside the signal
        await process.wait()


def _write(file: Path, content: bytes) -> None:
    file.touch(mode=0o600)
    file.write_bytes(content)
