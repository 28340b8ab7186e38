"""Whether a full account takes its next message as fast as an empty one.

A hundred thousand messages of 2 kB go into one account, in batches as the writer commits them (durable each, everything
on but the network); the median time of the last batches is compared with that of the first ones. There is no peer.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import sqlalchemy as sa
from tests.simulators.load import Letter

from bench import operator
from bench.row import Row
from vaguemestre import app as composition
from vaguemestre import config
from vaguemestre.mailstore import accounts
from vaguemestre.mailstore.model import Destination
from vaguemestre.transport.envelope import Envelope, Recipient
from vaguemestre.transport.reception import Arrival, Peer, Reception

MESSAGES = 100_000
BATCH = 20
COMPARED = 2_000
SIZE = 2_000
AUTHOR, READER = f"sender@{operator.CLIENT}", f"u1@{operator.SERVER}"
_PEER = Peer("CN=localhost", "0" * 64, "2026-03-01T12:00:00+00:00", "TLSv1.3 TLS_AES_256_GCM_SHA384", "127.0.0.1", "x")


def run(arguments: argparse.Namespace) -> Iterator[Row]:
    """Fill the account once: each batch is a run."""
    del arguments
    with tempfile.TemporaryDirectory(prefix="bench-growth-") as name:
        folder = Path(name)
        operator.prepare(folder, 1)
        loaded = config.load(folder / "vaguemestre.toml", {})
        with composition.open_stores(loaded) as stores:
            reception = Reception(stores.database, stores.blobs, composition.notifier(loaded, stores), loaded.hostname)
            destination = stores.database.read(accounts.destination, READER)
            assert destination is not None
            times = []
            for first in range(0, MESSAGES, BATCH):
                arrivals = [_arrival(reception, destination, number) for number in range(first, first + BATCH)]
                start = time.perf_counter()
                stores.database.write(_deliver, reception, arrivals)
                times.append(time.perf_counter() - start)
            kept = stores.database.read(accounts.get, READER).messages
            if kept != MESSAGES:
                raise RuntimeError(f"{MESSAGES} delivered, {kept} visible")
    batches = COMPARED // BATCH
    first_ms, last_ms = (1000 * statistics.median(part) for part in (times[:batches], times[-batches:]))
    yield {
        "bench": "growth",
        "case": f"the last {COMPARED} of {MESSAGES} messages to the first",
        "ours": round(last_ms / first_ms, 3),
        "peer": None,
        "unit": f"times the {first_ms:.1f} ms of a first batch of {BATCH}",
        "ratio": None,
        "target": 1.10,
        "met": last_ms / first_ms <= 1.10,
    }


def _deliver(connection: sa.Connection, reception: Reception, arrivals: list[Arrival]) -> None:
    reception.deliver(connection, arrivals)


def _arrival(reception: Reception, destination: Destination, number: int) -> Arrival:
    incoming = reception.begin(_PEER, Envelope(AUTHOR, (Recipient(READER),)), (destination,))
    incoming.write(Letter(f"growth-{number}", AUTHOR, READER, SIZE).content())
    return incoming.finish()
