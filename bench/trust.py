"""Loading an allow-list of the real size, and looking domains up in it."""

import argparse
import gzip
import random
import statistics
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.row import Row
from vaguemestre import clock, demonstration
from vaguemestre.trust import admission, allowlist
from vaguemestre.trust.publisher import SIGNER_CN, Authority
from vaguemestre.trust.trusted_set import TrustedSet

REAL = Path(__file__).resolve().parents[2] / "shared" / "data" / "allow-list-2025-02-28.xml.gz"
LOOK_UPS = 20_000


def run(arguments: argparse.Namespace) -> Iterator[Row]:
    """Two rows: seconds to verify and load, microseconds to decide whether a domain is listed."""
    now = clock.now()
    with TemporaryDirectory() as folder:
        authority = Authority.create(Path(folder), now - timedelta(days=1))
        signed = authority.sign(_list())
        times = []
        for _ in range(arguments.runs):
            trusted = TrustedSet(authority.authorities, SIGNER_CN)
            start = time.perf_counter()
            loaded = trusted.load(signed, now)
            times.append(time.perf_counter() - start)
    seconds = statistics.median(times)
    entries = len(loaded.in_force.allow_list.entries)
    yield _row(f"verify and load {entries} entries", seconds, "s", 1.0)
    domains = random.Random(1).choices(list(loaded.in_force.allow_list.names), k=LOOK_UPS)
    start = time.perf_counter()
    for domain in domains:
        admission.domain_listed(trusted, domain, now)
    yield _row("decide whether a domain is listed", (time.perf_counter() - start) / LOOK_UPS * 1e6, "µs", 10.0)


def _list() -> bytes:
    if REAL.exists():
        return gzip.decompress(REAL.read_bytes())
    now = clock.now()
    return allowlist.render(demonstration.list_entries(now), now)


def _row(case: str, value: float, unit: str, target: float) -> Row:
    return {
        "bench": "trust",
        "case": case,
        "ours": round(value, 3),
        "peer": None,
        "unit": unit,
        "ratio": None,
        "target": target,
        "met": value < target,
    }
