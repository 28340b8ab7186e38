"""Memory and promptness of the server under heavy content, measured from outside its processes.

Memory is what all the operator's processes hold, pages that they share counted once (PSS), sampled ten times a second.
The loop: a NOOP is asked every 10 ms during the load. What counts is how long the loop's thread ran between question and
answer, as the kernel counts it: the time the machine gave to others is no fault of ours. The longest wait is told too.
There is no peer: the targets are absolute.
"""

import argparse
import asyncio
import multiprocessing
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.simulators.load import Letter, Tally, press

from bench import operator
from bench.operator import Measured
from bench.row import Row
from vaguemestre.protocols import tls

MEGABYTE = 1_000_000
PEERS = 50
USERS = 10
_PAUSE_S = 0.01
_WEIGHED_EVERY_S = 0.1
_READ_S = 5.0  # what arrived is read for search, or begins to be


@dataclass(frozen=True, slots=True)
class Case:
    """A load: `peers` connections at once, one message of `size` octets each."""

    name: str
    peers: int
    size: int
    chunking: bool = True


@dataclass(slots=True)
class Seen:
    """What was measured: megabytes before and at most, milliseconds that a NOOP waited and that the loop was held."""

    before: float
    most: float
    waited: float = 0.0
    held: float = 0.0


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
        operator.prepare(folder, USERS, "message_size = 1000000000")
        for case in (*MANY, ONE):
            with operator.running(folder) as ours:
                _await_ready(folder)
                seen = _measure(ours, case)
            if case is ONE:
                yield _row(case.name, "memory added", seen.most - seen.before, "MB", 100)
            else:
                yield _row(case.name, "memory", seen.most, "MB", 300)
            yield _row(case.name, f"loop held, of {seen.waited:.0f} ms waited", seen.held, "ms", 50)


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
    processes = _family(ours.process)
    start = _resident(processes)
    seen, stop = Seen(start, start), threading.Event()
    watching = [
        threading.Thread(target=_weigh, args=(ours.process, stop, seen)),
        threading.Thread(target=_ask, args=(ours.port, processes[1:] or processes, stop, seen)),
    ]
    load = multiprocessing.get_context("spawn").Process(target=_load, args=(ours, case))
    load.start()
    for thread in watching:
        thread.start()
    load.join(600)
    time.sleep(_READ_S)
    stop.set()
    for thread in watching:
        thread.join()
    if load.exitcode != 0:
        raise RuntimeError("the load failed")
    return seen


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


def _weigh(process: int, stop: threading.Event, seen: Seen) -> None:
    """Weigh the process and its children, those too that come meanwhile to read messages for search."""
    while not stop.wait(_WEIGHED_EVERY_S):
        seen.most = max(seen.most, _resident(_family(process)))


def _family(process: int) -> list[int]:
    """A process and its children, from any of its threads."""
    found = [process]
    for thread in Path(f"/proc/{process}/task").iterdir():
        with suppress(OSError):
            found += map(int, (thread / "children").read_text("ascii").split())
    return found


def _ask(port: int, fronts: list[int], stop: threading.Event, seen: Seen) -> None:
    """Note how long each NOOP waits, and how long a loop ran meanwhile."""
    with socket.create_connection(("127.0.0.1", port), 30) as line:
        line.recv(1024)
        line.sendall(b"EHLO probe.test\r\n")
        line.recv(4096)
        while not stop.wait(_PAUSE_S):
            ran, asked = [_ran(front) for front in fronts], time.monotonic()
            line.sendall(b"NOOP\r\n")
            line.recv(1024)
            waited = 1000 * (time.monotonic() - asked)
            held = max(_ran(front) - before for front, before in zip(fronts, ran, strict=True))
            seen.waited, seen.held = max(seen.waited, waited), max(seen.held, min(waited, held))


def _ran(process: int) -> float:
    """Milliseconds that a process's main thread, its loop's, has run."""
    return int(Path(f"/proc/{process}/task/{process}/schedstat").read_text("ascii").split()[0]) / 1e6


def _resident(processes: list[int]) -> float:
    """Megabytes."""
    total = 0
    for process in processes:
        with suppress(OSError):  # one that has ended
            for line in Path(f"/proc/{process}/smaps_rollup").read_text("ascii").splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
    return total / MEGABYTE


def _await_ready(folder: Path) -> None:
    while b"ready (" not in (folder / "serve.log").read_bytes():
        time.sleep(0.05)
