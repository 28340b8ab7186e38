"""Mail programs at work, everything on, beside Dovecot driven by the same load generator in the same run.

Both servers get the same octets in the same order, which the generator's digest shows, and must find, count and give back
the same. Runs alternate, and the median counts. After a mailbox was filled in seconds, both are left to finish what they
put off, and how long that took is told: mail does not come by the hundred thousand. Where a target is a time or a size,
the peer's is told for comparison. Dovecot keeps its mdbox with its durable defaults, without an index of words, its
sign-in processes serving many connections each (its "high-performance mode"), and it verifies no password worth the name.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from tests.simulators.dovecot import PASSWORD, Dovecot

from bench import operator
from bench.row import Row

SOURCE = Path(__file__).parent / "load"
CLIENTS = 20
LETTERS = 300  # in each client's inbox
FULL = 100_000
SESSIONS = 1_000
HOLDERS = 100  # accounts among which idle sessions are shared out
# Targets of single operations at 100,000 messages, in milliseconds.
SINGLE = (
    ("select", "SELECT", 30.0),
    ("envelopes", "first 50 envelopes", 20.0),
    ("rare word", "search of a word in 100", 50.0),
    ("common word", "search of a word in 10,000", 50.0),
    ("qresync", "QRESYNC of 100 changes", 20.0),
)
_SETTLED_S = 300
_WORKING, _IDLE, _FULL = range(CLIENTS), range(CLIENTS, CLIENTS + HOLDERS), CLIENTS + HOLDERS


@dataclass(frozen=True, slots=True)
class Side:
    """A server under load: where it listens for TLS, who may sign in, its first process."""

    port: int
    ca: Path
    logins: list[tuple[str, str]]
    process: int

    @property
    def memory(self) -> float:
        """What all its processes hold, pages that they share counted once, in megabytes."""
        return sum(each.memory_full_info().pss for each in self._processes()) / 1e6

    def settle(self) -> float:
        """Wait until it does nothing more of what it puts off (indexing words); seconds."""
        start = time.monotonic()
        used = self._used()
        while time.monotonic() - start < _SETTLED_S:
            time.sleep(1)
            before, used = used, self._used()
            if used - before < 0.05:
                return time.monotonic() - start
        raise RuntimeError(f"the server is still at work after {_SETTLED_S} s")

    def _used(self) -> float:
        """Seconds of processor that its processes have had."""
        times = (each.cpu_times() for each in self._processes())
        return sum(each.user + each.system for each in times)

    def _processes(self) -> list[psutil.Process]:
        first = psutil.Process(self.process)
        return [first, *first.children(recursive=True)]


class Load:
    """The load generator, built."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._binary = folder / "imapload"
        go = Path(sys.executable).with_name("go")
        subprocess.run([go, "build", "-o", self._binary, "."], cwd=SOURCE, check=True, timeout=300)

    def run(self, side: Side, users: range, mode: str, *words: object) -> dict[str, Any]:
        """One run to its end. Raises RuntimeError where a command was refused or not answered in full."""
        done = subprocess.run(self._command(side, users, mode, *words), capture_output=True, text=True, check=False)
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1]) if done.stdout else {"error": done.stderr}
        if done.returncode:
            raise RuntimeError(f"{mode} failed: {found.get('error')}")
        return found

    @contextmanager
    def idling(self, side: Side, users: range, sessions: int, rounds: int) -> Iterator["subprocess.Popen[str]"]:
        """Sessions that idle; a line to its standard input starts the letters."""
        command = self._command(side, users, "idle", "-sessions", sessions, "-rounds", rounds)
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            first = json.loads(process.stdout.readline())
            if "idling" not in first:
                raise RuntimeError(f"the sessions do not idle: {first}")
            yield process
        finally:
            process.kill()
            process.communicate()

    def _command(self, side: Side, users: range, mode: str, *words: object) -> list[str]:
        logins = self._folder / "logins"
        logins.write_text("".join(f"{user} {secret}\n" for user, secret in side.logins[users.start : users.stop]))
        head = [self._binary, "-addr", f"127.0.0.1:{side.port}", "-ca", side.ca, "-logins", logins]
        return [str(word) for word in (*head, mode, *words)]


def run(arguments: argparse.Namespace) -> Iterator[Row]:
    """Measure every case, ours and the peer's alternating."""
    with tempfile.TemporaryDirectory(prefix="bench-imap-") as name:
        folder = Path(name)
        load = Load(folder)
        with ours(folder / "ours") as own, theirs(folder / "ours") as peer:
            yield from compare(load, own, peer, arguments.runs)


def compare(load: Load, own: Side, peer: Side, runs: int) -> Iterator[Row]:
    """Every row of two sides that run and are still empty."""
    yield from _idle(load, own)
    for side in (own, peer):
        load.run(side, _WORKING, "fill", "-messages", LETTERS, "-least", 5_000, "-most", 50_000)
    _settle(own, peer)
    yield _mixed(load, own, peer, runs)
    for side in (own, peer):
        load.run(side, range(_FULL, _FULL + 1), "fill", "-messages", FULL, "-least", 2_000, "-most", 2_000)
    _settle(own, peer)
    yield from _single(load, own, peer, runs)


def _settle(*sides: Side) -> None:
    own, peer = (side.settle() for side in sides)
    print(f"    at rest after {own:.0f} s, the peer after {peer:.0f} s", file=sys.stderr)


@contextmanager
def ours(folder: Path) -> Iterator[Side]:
    """Our server, everything on, with an app password for each account."""
    folder.mkdir()
    port = operator.free_port()
    settings = f"""
[identity]
app_passwords = true
[imap]
listen = "127.0.0.1:{operator.free_port()}"
listen_tls = "127.0.0.1:{port}"
connections_per_address = 2000
"""
    operator.prepare(folder, CLIENTS + HOLDERS + 1, settings)
    logins = operator.passwords(folder, CLIENTS + HOLDERS + 1)
    with operator.running(folder, also=[port]) as measured:
        yield Side(port, measured.ca, logins, measured.process)


@contextmanager
def theirs(space: Path) -> Iterator[Side]:
    """Dovecot, with the certificate of our server."""
    server = Dovecot(space / "server.pem", space / "server.key")
    try:
        server.start()
        users = [(f"u{user}@{operator.SERVER}", PASSWORD) for user in range(1, CLIENTS + HOLDERS + 2)]
        yield Side(server.tls_port, space / "authority" / "authorities.pem", users, server.process_id)
    finally:
        server.close()


def _mixed(load: Load, own: Side, peer: Side, runs: int) -> Row:
    pairs = []
    for number in range(runs):
        words = ("-rounds", 10, "-run", number)
        pair = [load.run(side, _WORKING, "mixed", *words) for side in (own, peer)]
        for fact in ("sent", "commands", "fetched", "found", "octets"):
            if pair[0][fact] != pair[1][fact]:
                raise RuntimeError(f"{fact} differ: {pair[0][fact]} and {pair[1][fact]}")
        pairs.append(pair)
    _tell_kinds(pairs[-1])
    rate, other = (statistics.median(each["per_second"] for each in side) for side in zip(*pairs, strict=True))
    return {
        "bench": "imap",
        "case": f"mixed load, {CLIENTS} clients",
        "ours": round(rate, 1),
        "peer": round(other, 1),
        "unit": "commands/s",
        "ratio": round(rate / other, 2),
        "target": 1.0,
        "met": rate >= other,
    }


def _tell_kinds(pair: list[dict[str, Any]]) -> None:
    """What each kind of command took in the last run, for who looks for what to mend; not a result."""
    for kind in sorted(pair[0]["kinds"]):
        own, other = (side["kinds"][kind] for side in pair)
        times = "  ".join(f"{name} {own[name]:7.1f} {other[name]:7.1f}" for name in ("p50", "p99"))
        print(f"    {kind:<18} {own['count']:>6}  ours and peer, ms: {times}", file=sys.stderr)


def _single(load: Load, own: Side, peer: Side, runs: int) -> Iterator[Row]:
    users = range(_FULL, _FULL + 1)
    found, other = (load.run(side, users, "single", "-rounds", max(3, runs)) for side in (own, peer))
    print(f"    the first SELECT took {found['first_select']:.1f} ms", file=sys.stderr)
    for key, what, target in SINGLE:
        yield _row(f"{FULL} messages: {what}", found[key]["p50"], other[key]["p50"], "ms", target)


def _idle(load: Load, own: Side) -> Iterator[Row]:
    """No peer: Dovecot has a process a session, and tells them after half a second, by design."""
    resting = own.memory
    for users in (_IDLE, _IDLE[:1]):
        where = f"{SESSIONS} idle sessions on {len(users)} account{'s' * (len(users) > 1)}"
        with load.idling(own, users, SESSIONS, rounds=20) as process:
            added = own.memory - resting
            said, _ = process.communicate("\n", timeout=300)
        found = json.loads(said.splitlines()[-1])
        if "error" in found:
            raise RuntimeError(found["error"])
        yield _row(f"{where}: memory added", added, None, "MB", 150.0)
        yield _row(f"{where}: last told after", found["told"]["most"], None, "ms", 50.0)


def _row(case: str, value: float, other: float | None, unit: str, target: float) -> Row:
    return {
        "bench": "imap",
        "case": case,
        "ours": round(value, 2),
        "peer": None if other is None else round(other, 2),
        "unit": unit,
        "ratio": None,
        "target": target,
        "met": value < target,
    }
