"""Throughput of mail in, everything on, beside Postfix + Dovecot driven by the same load generator in the same run.

A message counts once a reader sees it: the generator asks the peer's IMAP server; ours has it visible before it answers
250, and the count in the inboxes is checked after each run. Runs alternate, and the median counts.
"""

import argparse
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import operator
from bench.operator import Measured
from bench.row import Row

YARDSTICK = Path(__file__).resolve().parents[2] / "shared" / "bench"
USERS = 20
CONNECTIONS = 20


@dataclass(frozen=True, slots=True)
class Case:
    """A load: messages of `size` octets, `per` a connection; `target` is the ratio to reach."""

    name: str
    size: int
    per: int
    messages: int
    target: float


CASES = (
    Case("5 kB, 50 a connection", 5_000, 50, 3_000, 5.0),
    Case("100 kB, 50 a connection", 100_000, 50, 1_200, 3.0),
    Case("5 kB, 1 a connection", 5_000, 1, 600, 1.8),
    Case("100 kB, 1 a connection", 100_000, 1, 500, 1.8),
)


def run(arguments: argparse.Namespace) -> Iterator[Row]:
    """Measure every case, ours and the peer's alternating."""
    if not YARDSTICK.exists():
        sys.exit(f"The yardstick is not there: {YARDSTICK}")
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # the peer's daemons run as users of their own
        load = _build(folder)
        (folder / "ours").mkdir()
        operator.prepare(folder / "ours", USERS)
        with _peer(folder / "peer") as peer, operator.running(folder / "ours") as ours:
            for case in CASES:
                pairs = [(_ours(load, ours, case), _theirs(load, peer, case)) for _ in range(arguments.runs)]
                own, other = (statistics.median(side) for side in zip(*pairs, strict=True))
                ratio = own / other
                yield {
                    "bench": "smtp",
                    "case": case.name,
                    "ours": round(own, 1),
                    "peer": round(other, 1),
                    "unit": "msg/s visible",
                    "ratio": round(ratio, 2),
                    "target": case.target,
                    "met": ratio >= case.target,
                }


def _ours(load: Path, ours: Measured, case: Case) -> float:
    before = ours.delivered(USERS)
    rate = _drive(load, case, f"127.0.0.1:{ours.port}", ours.ca, ours.certificate, ours.key, "accepted", [])
    visible = ours.delivered(USERS) - before
    if visible != case.messages:
        raise RuntimeError(f"{case.messages} accepted, {visible} visible")
    return rate


def _theirs(load: Path, peer: Path, case: Case) -> float:
    pki = peer / "pki"
    imap = ["-imap", "127.0.0.1:3143", "-imapuser", "u%d"]
    return _drive(load, case, "127.0.0.1:3525", pki / "ca.pem", pki / "client.pem", pki / "client.key", "visible", imap)


def _drive(
    load: Path, case: Case, address: str, ca: Path, certificate: Path, key: Path, wanted: str, more: list[str]
) -> float:
    """Messages a second. Raises RuntimeError when a message failed."""
    command = [str(load), "-addr", address, "-ca", str(ca), "-cert", str(certificate), "-key", str(key)]
    command += ["-to", f"u%d@{operator.SERVER}", "-users", str(USERS), "-n", str(case.messages)]
    command += ["-c", str(CONNECTIONS), "-per", str(case.per), "-size", str(case.size), *more]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    found = re.search(rf"{wanted} {case.messages}\b.*?= (\d+) msg/s", done.stdout)
    if found is None or "failed 0 " not in done.stdout:
        raise RuntimeError(f"the load failed: {done.stdout} {done.stderr}")
    return float(found[1])


def _build(folder: Path) -> Path:
    source, binary = folder / "source", folder / "smtpload"
    source.mkdir()
    for name in ("go.mod", "smtpload.go"):
        shutil.copyfile(YARDSTICK / name, source / name)
    go = Path(sys.executable).with_name("go")
    subprocess.run([go, "build", "-o", binary, "."], cwd=source, check=True, timeout=300)
    return binary


@contextmanager
def _peer(folder: Path) -> Iterator[Path]:
    script = YARDSTICK / "peer-postfix-dovecot"
    with (folder.parent / "peer.log").open("wb") as output:
        subprocess.run([script, "start", folder], check=True, timeout=60, stdout=output, stderr=output)
        try:
            yield folder
        finally:
            subprocess.run([script, "stop", folder], check=False, timeout=60, stdout=output, stderr=output)
