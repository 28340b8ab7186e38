"""Traces: who did what in which account, when, by which request, and with what outcome (spec clients §1, CONF.17 and 18).

Kept true: a trace holds no content, no subject line and no address but numbers; rows are added and forgotten by age, never
changed. Keeping one costs its caller a look in a dictionary: they wait in memory for a second at most, like ones counted
rather than repeated, and are written together. A crash loses that second; stopping, and a store that fails for a while,
lose nothing until very many wait, and then the loss is logged and counted.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import sqlalchemy as sa

from vaguemestre import ids, log
from vaguemestre.clock import now_ms
from vaguemestre.errors import VaguemestreError
from vaguemestre.identity.tables import persons, traces
from vaguemestre.storage.bulk import BulkInsert
from vaguemestre.storage.database import Database

_PAUSE_S = 1.0
_MOST_TOGETHER = 5_000
_MOST_WAITING = 200_000
_log = log.get("identity.traces")
_COLUMNS = (
    "id", "at", "account_id", "person_id", "session", "protocol", "action", "request", "target", "outcome", "times",
)  # fmt: skip
_INSERT = BulkInsert(traces, *_COLUMNS)

Act = tuple[int, int, int, str, str, str, str, str]
Row = tuple[Act, int, int]  # with when the first of them happened, and how many there were


@dataclass(frozen=True, slots=True)
class Trace:
    """A trace as it is read back; `at` in Unix milliseconds, when the first of `times` like ones happened.

    `national_id` and `name` are the author's, empty for software; `session` numbers the sign-in.
    """

    at: int
    national_id: str
    name: str
    session: int
    protocol: str
    action: str
    request: str
    target: str
    outcome: str
    times: int


class Tracer:
    """Keeps the traces of one process; use from its event loop. `close` it before the database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: dict[Act, list[int]] = {}
        self._writing: set[asyncio.Future[None]] = set()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def waiting(self) -> int:
        """How many wait to be written, like ones counted once."""
        return len(self._waiting)

    def note(
        self,
        account_id: int,
        person_id: int,
        session: int,
        protocol: str,
        action: str,
        outcome: str,
        request: str = "",
        target: str = "",
    ) -> None:
        """Keep a trace. `request` is the command's name; `target` a number in text, such as the message's."""
        act = (account_id, person_id, session, protocol, action, request, target, outcome)
        found = self._waiting.get(act)
        if found is not None:
            found[1] += 1
            return
        if len(self._waiting) >= _MOST_WAITING:
            _log.error("traces lost: the database has not taken them", traces=len(self._waiting))
            self._waiting.clear()
        self._waiting[act] = [now_ms(), 1]
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_PAUSE_S, self._write)

    async def close(self) -> None:
        """Write what waits; returns once it is durable or has failed."""
        if self._timer is not None:
            self._timer.cancel()
            self._write(more=False)
        if self._writing:
            await asyncio.wait(self._writing)

    def _write(self, *, more: bool = True) -> None:
        self._timer = None
        rows = [(act, at, times) for act, (at, times) in self._waiting.items()]
        self._waiting = {}
        for start in range(0, len(rows), _MOST_TOGETHER):
            part = rows[start : start + _MOST_TOGETHER]
            try:
                written = self._database.write_together(append, part)
            except VaguemestreError as error:
                self._keep(part, error, more=more)
                continue
            self._writing.add(written)
            written.add_done_callback(partial(self._settle, part, more))

    def _settle(self, part: list[Row], more: bool, done: "asyncio.Future[None]") -> None:
        self._writing.discard(done)
        error = None if done.cancelled() else done.exception()
        if error is not None:
            self._keep(part, error, more=more)

    def _keep(self, part: list[Row], error: BaseException, *, more: bool) -> None:
        """What could not be written waits for the next time, unless there is none."""
        _log.error("traces could not be written", traces=len(part), error=str(error), lost=not more)
        if not more:
            return
        for act, at, times in part:
            self._waiting.setdefault(act, [at, 0])[1] += times
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_PAUSE_S, self._write)


def append(connection: sa.Connection, parts: Sequence[Sequence[Row]]) -> list[None]:
    """Write rows of traces, part by part."""
    _INSERT.run(connection, [(ids.next_id(), at, *act, times) for part in parts for act, at, times in part])
    return [None] * len(parts)


def of_account(
    connection: sa.Connection, account_id: int, *, since: int = 0, until: int | None = None, limit: int = 1000
) -> list[Trace]:
    """The last traces of an account between two moments (Unix ms, the second not included), oldest first."""
    wanted = (
        sa.select(traces, persons.c.national_id, persons.c.name)
        .join_from(traces, persons, traces.c.person_id == persons.c.id, isouter=True)
        .where(traces.c.account_id == account_id, traces.c.at >= since)
        .order_by(traces.c.at.desc(), traces.c.id.desc())
        .limit(limit)
    )
    if until is not None:
        wanted = wanted.where(traces.c.at < until)
    return [_trace(row) for row in reversed(connection.execute(wanted).all())]


def forget(connection: sa.Connection, before: int, most: int = 5_000) -> int:
    """Forget the oldest traces from before a moment (Unix ms), `most` at a time; returns how many."""
    oldest = sa.select(traces.c.id).where(traces.c.at < before).order_by(traces.c.at).limit(most)
    return connection.execute(sa.delete(traces).where(traces.c.id.in_(oldest))).rowcount


def _trace(row: Any) -> Trace:
    return Trace(
        row.at,
        row.national_id or "",
        row.name or "",
        row.session,
        row.protocol,
        row.action,
        row.request,
        row.target,
        row.outcome,
        row.times,
    )
