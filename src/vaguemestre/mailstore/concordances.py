"""The concordances of an account: kept in sealed sheets, opened for a question, put in place of smaller ones.

What it keeps true: an account's concordances hold each of its messages once, but for those that wait in `to_index` or are
in `forgotten`; a concordance shows only once it is whole; nothing of another account is ever read.

Rules: one that is large is written in steps, so that the writer is never held for long: it is `coming` until the last,
then `ready` in the transaction that retires those it replaces; these are `gone`, and their sheets deleted in steps. What
a crash leaves, coming or gone, is for `sweep`. Fronts that were opened stay in memory, the latest used, for they never
change; words of patients' letters are in them, as in any program that shows mail.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from vaguemestre import ids
from vaguemestre.documents import compilation
from vaguemestre.documents.concordance import Concordance, Fetch
from vaguemestre.mailstore.tables import concordances
from vaguemestre.storage import sheets
from vaguemestre.storage.bulk import BulkInsert, Statement
from vaguemestre.storage.keys import Keyring
from vaguemestre.storage.sealing import CHUNK, UnsealingFailure
from vaguemestre.storage.sheets import SheetReader, Volume

COMING, READY, GONE = "coming", "ready", "gone"
STEP = 16  # sheets in one transaction: a megabyte

_MOST_FRONTS = 48 * 1024 * 1024
_NEW = BulkInsert(concordances, "id", "account_id", "entries", "size", "key_number", "wrapped_key", "state")
_OF_ACCOUNT = Statement(
    "SELECT id, entries, size, key_number, wrapped_key FROM concordances"
    " WHERE account_id = {value} AND state = 'ready' ORDER BY id"
)
_DROP = Statement("DELETE FROM concordances WHERE id {among} AND state <> 'ready'")
_DROP_SHEETS = Statement("DELETE FROM sheets WHERE volume_id {among}")


class Kept(msgspec.Struct, frozen=True):
    """A concordance that is ready."""

    volume: Volume
    entries: int


class Made(msgspec.Struct, frozen=True):
    """A concordance to be written, sealed already."""

    account_id: int
    volume: Volume
    entries: int
    sheets: list[bytes]

    @property
    def in_steps(self) -> bool:
        """Whether it is too large for one transaction: `begin`, its sheets by STEP, then `show`."""
        return len(self.sheets) > STEP


class _Fronts:
    """Fronts of concordances by identifier, the latest used, within a size."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._size = 0
        self._lock = threading.Lock()
        self._fronts: OrderedDict[int, Concordance] = OrderedDict()

    def get(self, volume_id: int, fetch: Fetch) -> Concordance:
        with self._lock:
            found = self._fronts.get(volume_id)
            if found is not None:
                self._fronts.move_to_end(volume_id)
                return found
        found = Concordance(fetch)
        with self._lock:
            if volume_id not in self._fronts and found.size < self._most:
                self._fronts[volume_id] = found
                self._size += found.size
                while self._size > self._most:
                    self._size -= self._fronts.popitem(last=False)[1].size
        return found

    def clear(self) -> None:
        """Keep none."""
        with self._lock:
            self._fronts.clear()
            self._size = 0


_fronts = _Fronts(_MOST_FRONTS)


def forget_fronts() -> None:
    """Keep nothing in memory of what was opened."""
    _fronts.clear()


def of_account(connection: sa.Connection, account_id: int) -> list[Kept]:
    """The concordances of an account, in the order they were made."""
    return [
        Kept(Volume(volume_id, size, key_number, bytes(wrapped_key)), entries)
        for volume_id, entries, size, key_number, wrapped_key in _OF_ACCOUNT.run(connection, account_id)
    ]


def opened(connection: sa.Connection, ring: Keyring, account_id: int) -> Iterator[tuple[Concordance, Fetch]]:
    """Each concordance of an account, with what reads the rest of it."""
    for kept in of_account(connection, account_id):
        yield open_one(connection, ring, kept)


def open_one(connection: sa.Connection, ring: Keyring, kept: Kept) -> tuple[Concordance, Fetch]:
    """A concordance, with what reads the rest of it."""
    reader = SheetReader(ring, kept.volume)

    def fetch(ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        return reader.read(connection, ranges)

    return _fronts.get(kept.volume.id, fetch), fetch


def whole(connection: sa.Connection, ring: Keyring, kept: Kept) -> bytes:
    """All octets of a concordance."""
    return SheetReader(ring, kept.volume).read(connection, [(0, kept.volume.size)])[0]


def owners(connection: sa.Connection, ring: Keyring, kept: Kept) -> Sequence[int]:
    """The messages of a concordance."""
    return open_one(connection, ring, kept)[0].owners


def is_small(kept: Sequence[Kept]) -> bool:
    """Whether these may be deleted in one transaction."""
    return sum(each.volume.size for each in kept) <= STEP * CHUNK


def seal(ring: Keyring, account_id: int, content: bytes) -> Made:
    """A concordance to be written, with an identifier of its own."""
    volume, sealed = sheets.seal(ring, ids.next_id(), content)
    return Made(account_id, volume, compilation.entries(content), sealed)


def insert(connection: sa.Connection, made: Sequence[Made]) -> None:
    """Write concordances whole, and have them searched."""
    _NEW.run(connection, [_row(each, READY) for each in made])
    for each in made:
        sheets.insert(connection, each.volume.id, each.sheets)


def begin(connection: sa.Connection, made: Made) -> None:
    """Write the row of a concordance whose sheets follow."""
    _NEW.run(connection, [_row(made, COMING)])


def show(connection: sa.Connection, volume_id: int) -> None:
    """Have a `coming` concordance that is whole searched."""
    connection.execute(sa.update(concordances).where(concordances.c.id == volume_id).values(state=READY))


def retire(connection: sa.Connection, volume_ids: Sequence[int]) -> bool:
    """Search these no more; whether all of them still were."""
    wanted = sa.update(concordances).where(concordances.c.id.in_(volume_ids), concordances.c.state == READY)
    return connection.execute(wanted.values(state=GONE)).rowcount == len(volume_ids)


def retire_all(connection: sa.Connection, account_id: int | None = None) -> None:
    """Search none of an account's any more, or none at all."""
    wanted = sa.update(concordances).where(concordances.c.state == READY)
    if account_id is not None:
        wanted = wanted.where(concordances.c.account_id == account_id)
    connection.execute(wanted.values(state=GONE))


def to_sweep(connection: sa.Connection, abandoned_before: float) -> list[int]:
    """Concordances that are gone, or were coming before this moment (Unix seconds) and never came."""
    wanted = sa.select(concordances.c.id, concordances.c.state).where(concordances.c.state != READY)
    return [
        volume_id
        for volume_id, state in connection.execute(wanted)
        if state == GONE or ids.made_at(volume_id) < abandoned_before
    ]


def drop(connection: sa.Connection, volume_ids: Sequence[int]) -> None:
    """Delete small concordances that are not searched any more."""
    _DROP_SHEETS.run(connection, list(volume_ids))
    _DROP.run(connection, list(volume_ids))


def sweep(connection: sa.Connection, volume_id: int) -> bool:
    """Delete some sheets of a concordance that is not searched, then its row; whether it is done."""
    done = sheets.delete(connection, volume_id, STEP)
    if done:
        _DROP.run(connection, [volume_id])
    return done


def check(connection: sa.Connection, ring: Keyring) -> list[str]:
    """What is wrong with concordances; nothing is lost that way but the time to make them anew."""
    found = []
    for account_id in connection.execute(sa.select(concordances.c.account_id).distinct()).scalars().all():
        for kept in of_account(connection, account_id):
            try:
                whole(connection, ring, kept)
            except UnsealingFailure:
                found.append(
                    f"account {ids.to_text(account_id)}: what is searched is damaged; run: vaguemestre db reindex"
                )
                break
    return found


def _row(made: Made, state: str) -> tuple[int | bytes | str, ...]:
    volume = made.volume
    return volume.id, made.account_id, made.entries, volume.size, volume.key_number, volume.wrapped_key, state


def totals(connection: sa.Connection, account_id: int) -> tuple[int, int, int]:
    """How many concordances an account has, of how many entries and octets."""
    wanted = sa.select(sa.func.count(), sa.func.sum(concordances.c.entries), sa.func.sum(concordances.c.size)).where(
        concordances.c.account_id == account_id, concordances.c.state == READY
    )
    row: Any = connection.execute(wanted).one()
    return row[0], int(row[1] or 0), int(row[2] or 0)
