"""Whether a full account takes its next message as fast as an empty one.

A hundred thousand messages of 2 kB go into one account through the reception, everything on but the network. Then the
next messages are timed there and in an empty account of another store in turn, so that the
disk and the neighbours weigh on both alike; `peer` is the empty one. From sealed to durable and visible.

A target holds for the next message alone. Twenty in one commit take a fifth more in a full store: each brings three
random keys (its fingerprint, its Message-ID, its subject), whose pages twenty messages hardly share any more. That part
stops growing at one page a key, and is hidden behind the peers' own processes while mail comes in.
"""

import argparse
import asyncio
import itertools
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from tests.simulators.load import Letter

from bench import operator
from bench.row import Row
from vaguemestre import app as composition
from vaguemestre import config
from vaguemestre.mailstore import accounts
from vaguemestre.mailstore.model import Destination
from vaguemestre.transport.envelope import Envelope, Recipient
from vaguemestre.transport.intake import Arrival, Intake, Peer
from vaguemestre.transport.reception import Reception

MESSAGES = 100_000
BATCH = 20
COMPARED = 1_000
SIZE = 2_000
AUTHOR, READER = f"sender@{operator.CLIENT}", f"u1@{operator.SERVER}"
_numbers = itertools.count()
_PEER = Peer("CN=localhost", "0" * 64, "2026-03-01T12:00:00+00:00", "TLSv1.3 TLS_AES_256_GCM_SHA384", "127.0.0.1", "x")


def run(arguments: argparse.Namespace) -> Iterator[Row]:
    """Fill an account once, then compare."""
    del arguments
    with tempfile.TemporaryDirectory(prefix="bench-growth-") as name, ExitStack() as stack:
        full, empty = (_Store(Path(name) / folder, stack) for folder in ("full", "empty"))
        ours, other = asyncio.run(_compare(full, empty))
        if full.kept < MESSAGES:
            raise RuntimeError(f"{full.kept} messages are visible")
    own_ms, other_ms = 1000 * statistics.median(ours), 1000 * statistics.median(other)
    yield {
        "bench": "growth",
        "case": f"the next message, after {MESSAGES}",
        "ours": round(own_ms, 2),
        "peer": round(other_ms, 2),
        "unit": "ms",
        "ratio": round(own_ms / other_ms, 3),
        "target": 1.10,
        "met": own_ms / other_ms <= 1.10,
    }


class _Store:
    """An operator's store with one account, and the way into it."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        folder.mkdir()
        operator.prepare(folder, 1)
        loaded = config.load(folder / "vaguemestre.toml", {})
        stores = stack.enter_context(composition.open_stores(loaded))
        self._database = stores.database
        self._reception = Reception(stores.database, stores.blobs, composition.notifier(loaded, stores))
        self._intake = Intake(self._reception, stores.blobs, loaded.hostname)

    @property
    def kept(self) -> int:
        """Messages of the account."""
        return self._database.read(accounts.get, READER).messages

    async def deliver(self, size: int) -> float:
        """Seconds that some messages took together, from sealed to durable and visible."""
        destination = await self._intake.destination(READER)
        assert destination is not None
        arrivals = [_arrival(self._intake, destination, next(_numbers)) for _ in range(size)]
        start = time.perf_counter()
        await asyncio.gather(*(self._reception.accept(arrival) for arrival in arrivals))
        return time.perf_counter() - start


async def _compare(full: _Store, empty: _Store) -> tuple[list[float], list[float]]:
    """Seconds of each delivery to the full account, once it is, and to the empty one."""
    for _ in range(MESSAGES // BATCH):
        await full.deliver(BATCH)
    pairs = [(await full.deliver(1), await empty.deliver(1)) for _ in range(COMPARED)]
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


def _arrival(intake: Intake, destination: Destination, number: int) -> Arrival:
    incoming = intake.begin(_PEER, Envelope(AUTHOR, (Recipient(READER),)), (destination,))
    incoming.write(Letter(f"growth-{number}", AUTHOR, READER, SIZE).content())
    return incoming.finish()
