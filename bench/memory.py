"""Memory and promptness of the server under heavy content, measured from outside its process.

Resident memory is the kernel's own high-water mark (VmHWM, reset before each case). A third process asks NOOP every
10 ms during the load: the worst answer bounds how long the loop was held, the machine's scheduling noise included.
There is no peer: the targets are absolute.
"""

import argparse
import asyncio
import itertools
import multiprocessing
import socket
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench import operator
from bench.operator import Measured
from bench.row import Row
from tests.simulators.load import Letter, Tally, press
from vaguemestre.protocols import tls

MEGABYTE = 1_000_000
PEERS = 50
USERS = 10
_PAUSE_S = 0.01


@dataclass(frozen=True, slots=True)
class Case:
    """A load: `peers` connections at once, one message of `size` octets each."""

    name: str
    peers: int
    size: int
    chunking: bool = True


@dataclass(frozen=True, slots=True)
class Seen:
    """What was measured: megabytes resident at the start and at most, NOOP answers in milliseconds, seconds in all."""

    before: float
    most: float
    answers: tuple[float, ...]
    seconds: float


MANY = (
    Case("50 peers, 25 MB each, BDAT", PEERS, 25 * MEGABYTE),
    Case("50 peers, 25 MB each, DATA", PEERS, 25 * MEGABYTE, False),
)
ONE = Case("one message of 700 MB", 1, 700 * MEGABYTE)


def run(arguments: argparse.Namespace) -> Iterator[Row]:
    """Measure every case on a fresh operator."""
    del arguments  # a high-water mark needs no repetition
    with tempfile.TemporaryDirectory(prefix="bench-memory-") as name:
        folder = Path(name)
        operator.prepare(folder, USERS)
        path = folder / "vaguemestre.toml"
        path.write_text(path.read_text("utf-8").replace("[smtp]\n", "[smtp]\nmessage_size = 1000000000\n"), "utf-8")
        for case in MANY:
            with operator.running(folder) as ours:
                seen = _measure(ours, case)
            yield _row(case.name, "most memory", seen.most, "MB resident", 300)
            yield _row(case.name, "longest wait for NOOP", max(seen.answers), "ms", 50)
        with operator.running(folder) as ours:
            seen = _measure(ours, ONE)
        yield _row(ONE.name, "memory added", seen.most - seen.before, "MB resident", 100)
        yield _row(ONE.name, "longest wait for NOOP", max(seen.answers), "ms", 50)


def _row(case: str, what: str, value: float, unit: str, target: float) -> Row:
    return {
        "bench": "memory",
        "case": f"{case}: {what}",
        "ours": round(value, 1),
        "peer": None,
        "unit": unit,
        "ratio": None,
        "target": target,
        "met": value < target,
    }


def _measure(ours: Measured, case: Case) -> Seen:
    before = _resident(ours.process, "VmRSS")
    Path(f"/proc/{ours.process}/clear_refs").write_text("5", "ascii")  # the high-water mark starts anew
    context = multiprocessing.get_context("spawn")
    load = context.Process(target=_load, args=(ours, case))
    answers: list[float] = []
    stop = threading.Event()
    asking = threading.Thread(target=_ask, args=(ours.port, stop, answers))
    start = time.monotonic()
    load.start()
    asking.start()
    load.join(600)
    seconds = time.monotonic() - start
    stop.set()
    asking.join()
    if load.exitcode != 0:
        raise RuntimeError("the load failed")
    return Seen(before, _resident(ours.process, "VmHWM"), tuple(answers), seconds)


def _load(ours: Measured, case: Case) -> None:
    tally = Tally()
    letters = (
        Letter(
            f"memory-{time.time_ns()}",
            f"sender@{operator.CLIENT}",
            f"u{number % USERS + 1}@{operator.SERVER}",
            case.size,
        )
        for number in range(case.peers)
    )
    context = tls.client_context(ours.certificate, ours.key)
    asyncio.run(press(ours.port, context, tally, case.peers, letters, chunking=case.chunking))
    if len(tally.accepted) != case.peers:
        raise RuntimeError(f"{len(tally.accepted)} of {case.peers} were accepted: {tally.refused[:1]}")


def _ask(port: int, stop: threading.Event, answers: list[float]) -> None:
    """Note how long each NOOP waits, in milliseconds."""
    with socket.create_connection(("127.0.0.1", port), 30) as line:
        line.recv(1024)
        line.sendall(b"EHLO probe.test\r\n")
        line.recv(4096)
        while not stop.wait(_PAUSE_S):
            asked = time.monotonic()
            line.sendall(b"NOOP\r\n")
            line.recv(1024)
            answers.append(1000 * (time.monotonic() - asked))


def _resident(process: int, field: str) -> float:
    """Megabytes."""
    for line in Path(f"/proc/{process}/status").read_text("ascii").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024 / MEGABYTE
    raise RuntimeError(f"no {field}")
