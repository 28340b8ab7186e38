"""Searches of an account of 100,000 letters: a word, a part of one, a phrase; how fast letters are indexed; and searches
right after 10,000 letters were filed, of which none is indexed yet.

Each search is timed once with nothing in memory, then again as the next ones would be; the median of the latter counts,
and the former is told. A word is what people look for, and has a target; so has a part of one, which mail programs send.
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
from typing import Any

from tests.simulators.french_mail import Letters

from bench import operator
from bench.row import Row
from vaguemestre import app as composition
from vaguemestre import config
from vaguemestre.app import Stores
from vaguemestre.documents.headers import split_head, summary
from vaguemestre.mailstore import accounts, concordances, mailboxes, messages, search
from vaguemestre.mailstore.indexer import Indexer
from vaguemestre.mailstore.model import NewMessage, Role
from vaguemestre.mailstore.search import Field

MESSAGES = 100_000
FRESH = 10_000
WORD = "radiographie"
BATCH = 500
READER = f"u1@{operator.SERVER}"
CASES = (
    ("a word of a quarter", Field.TEXT, "panoramique", 50.0),
    ("a word of none", Field.TEXT, "zyxwv", 50.0),
    ("a part of a word", Field.TEXT, "réatini", 50.0),
    ("a word of subjects", Field.SUBJECT, "radiographie", 50.0),
    ("a phrase", Field.TEXT, "compte rendu", 100.0),
    ("a phrase of frequent words", Field.TEXT, "le patient", 100.0),
    ("a phrase, its last word begun", Field.TEXT, "prise en ch", 200.0),
    ("a phrase of two letters", Field.TEXT, "e p", 2000.0),
    ("a letter", Field.TEXT, "é", 1000.0),
)


def run(arguments: argparse.Namespace) -> Iterator[Row]:
    """Fill an account, index it, search it."""
    with tempfile.TemporaryDirectory(prefix="bench-search-") as name, ExitStack() as stack:
        folder = Path(name)
        operator.prepare(folder, 1)
        stores = stack.enter_context(composition.open_stores(config.load(folder / "vaguemestre.toml", {})))
        account_id = stores.database.read(accounts.get, READER).id
        letters = iter(Letters())
        _fill(stores, account_id, letters, FRESH)
        yield _row(
            f"a word of subjects, {FRESH} just filed", _time(stores, account_id, Field.SUBJECT, WORD), "ms", 2_000.0
        )
        yield _row(f"a word, {FRESH} just filed", _first(stores, account_id), "ms", 10_000.0)
        yield _row("the next word after that", _time(stores, account_id, Field.TEXT, WORD), "ms", 100.0)
        _fill(stores, account_id, letters, MESSAGES - FRESH)
        rate = (MESSAGES - FRESH) / _index(stores)
        yield _row(f"letters indexed, of {MESSAGES - FRESH}", rate, "a second", 1_000.0, at_least=True)
        _, entries, size = stores.database.read(concordances.totals, account_id)
        yield _row("octets of index", size / entries, "a letter", 2_000.0)
        for case, field, text, target in CASES:
            concordances.forget_fronts()
            cold = _time(stores, account_id, field, text)
            warm = statistics.median(_time(stores, account_id, field, text) for _ in range(arguments.runs))
            yield {**_row(case, warm, "ms", target), "peer": round(cold, 1)}


def _fill(stores: Stores, account_id: int, letters: Iterator[bytes], count: int) -> None:
    for _ in range(count // BATCH):
        stores.database.write(_deliver, stores, account_id, list(itertools.islice(letters, BATCH)))


def _first(stores: Stores, account_id: int) -> float:
    """Milliseconds of the first search of words, as a mail program's: what waits is caught up with."""
    indexer = Indexer(stores.database, stores.blobs)

    async def search_first() -> float:
        start = time.perf_counter()
        await indexer.catch_up(account_id)
        return 1000 * (time.perf_counter() - start)

    waited = asyncio.run(search_first())
    indexer.close()
    return waited + _time(stores, account_id, Field.TEXT, WORD)


def _deliver(connection: Any, stores: Stores, account_id: int, contents: list[bytes]) -> None:
    inbox = mailboxes.with_role(connection, account_id, Role.INBOX)
    sealed = [stores.blobs.seal(content) for content in contents]
    stores.blobs.insert(connection, sealed)
    new = [
        NewMessage(account_id, inbox.id, each.id, each.size, 1_000, summary(content[: split_head(content)]))
        for each, content in zip(sealed, contents, strict=True)
    ]
    messages.append(connection, new)


def _index(stores: Stores) -> float:
    """Seconds that indexing all took."""
    indexer = Indexer(stores.database, stores.blobs)
    start = time.perf_counter()
    while indexer.work():
        pass
    seconds = time.perf_counter() - start
    indexer.close()
    return seconds


def _time(stores: Stores, account_id: int, field: Field, text: str) -> float:
    """Milliseconds of a search."""
    start = time.perf_counter()
    stores.database.read(search.matching, stores.blobs, account_id, field, text)
    return 1000 * (time.perf_counter() - start)


def _row(case: str, ours: float, unit: str, target: float, *, at_least: bool = False) -> Row:
    met = ours >= target if at_least else ours <= target
    return {
        "bench": "search",
        "case": case,
        "ours": round(ours, 1),
        "peer": None,
        "unit": unit,
        "ratio": None,
        "target": target,
        "met": met,
    }
