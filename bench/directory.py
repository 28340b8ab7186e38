"""The register taken in: all of it, then a day's difference. Time on the wall and of processors, memory, size on disk.

Targets are those of the nation, 2,000,000 people, on two cores that nobody else uses (`--people 2000000`); for fewer people
they shrink alike, but for memory and what starting costs. Memory is what this process and its children hold, pages that
they share counted once (PSS), sampled ten times a second; that of a PostgreSQL server is not counted. With
`VAGUEMESTRE_BENCH_POSTGRESQL=postgresql+psycopg://…` the cases run on that (empty) database too.
"""

import argparse
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.row import Row
from vaguemestre.directory import importation
from vaguemestre.directory.fictitious import files
from vaguemestre.directory.fictitious.population import Fiction
from vaguemestre.directory.intake import Terms
from vaguemestre.directory.register import Place

NATION = 2_000_000
IMPORT_S, DIFFERENCE_S, MEGABYTES, GIGABYTES = 300.0, 10.0, 500.0, 4.0
STARTING_S = 3.0
_EVERY_S = 0.1
_POSTGRESQL = "VAGUEMESTRE_BENCH_POSTGRESQL"


@dataclass(slots=True)
class Cost:
    """Seconds on the wall, seconds of processors, megabytes at most."""

    wall: float = 0.0
    processors: float = 0.0
    most: float = 0.0


def run(arguments: argparse.Namespace) -> Iterator[Row]:
    """Make the files of two days, take in the first, then the second; on each store."""
    share = min(1.0, arguments.people / NATION)
    with tempfile.TemporaryDirectory(prefix="bench-directory-") as name:
        folder = Path(name)
        days = [
            files.write(folder / f"day-{day}", Fiction(arguments.people, day=day, lone=1.0)).files for day in (0, 1)
        ]
        for place in _places(folder):
            store = "PostgreSQL" if place.url else "SQLCipher"
            cost = _take(place, days[0])
            yield from _rows(f"{arguments.people} people, {store}", cost, STARTING_S + IMPORT_S * share)
            cost = _take(place, days[1])
            yield from _rows(f"a day's difference, {store}", cost, STARTING_S + DIFFERENCE_S * share)
            if not place.url:
                size = sum(each.stat().st_size for each in place.folder.glob("register-*")) / 1e9
                yield _row(f"{arguments.people} people, {store}: size", size, "GB", GIGABYTES * share)
            shutil.rmtree(place.folder, ignore_errors=True)


def _places(folder: Path) -> Iterator[Place]:
    yield Place(folder / "sqlcipher", bytes(range(32)))
    if url := os.environ.get(_POSTGRESQL):
        yield Place(folder / "postgresql", b"", url)


def _take(place: Place, paths: "list[Path] | tuple[Path, ...]") -> Cost:
    cost, ended = Cost(), threading.Event()
    watching = threading.Thread(target=_weigh, args=(ended, cost))
    watching.start()
    start, before = time.perf_counter(), sum(os.times()[:4])
    importation.run(place, paths, terms=Terms(accept_withdrawals=True))
    cost.wall, cost.processors = time.perf_counter() - start, sum(os.times()[:4]) - before
    ended.set()
    watching.join()
    return cost


def _weigh(ended: threading.Event, cost: Cost) -> None:
    while not ended.wait(_EVERY_S):
        processes = [os.getpid(), *_children(os.getpid())]
        cost.most = max(cost.most, sum(map(_held, processes)))


def _children(process: int) -> list[int]:
    found = []
    for thread in Path(f"/proc/{process}/task").iterdir():
        found += [int(each) for each in (thread / "children").read_text("ascii").split()]
    return [*found, *(each for child in found for each in _children(child))]


def _held(process: int) -> float:
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text("ascii").splitlines()
    except OSError:  # it has just ended
        return 0.0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")) / 1e6


def _rows(case: str, cost: Cost, seconds: float) -> Iterator[Row]:
    yield _row(f"{case} ({cost.processors:.0f} s of processors)", cost.wall, "s", seconds)
    yield _row(f"{case}: memory", cost.most, "MB", MEGABYTES)


def _row(case: str, ours: float, unit: str, target: float) -> Row:
    return {
        "bench": "directory",
        "case": case,
        "ours": round(ours, 2),
        "peer": None,
        "unit": unit,
        "ratio": None,
        "target": round(target, 2),
        "met": ours <= target,
    }
