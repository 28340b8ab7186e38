"""Where the register comes from, and how old that is: a source that stands still says nothing, and must be told.

In summer 2026 the public files stood still for ten days while the directory itself went on.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sa

from vaguemestre import clock
from vaguemestre.directory import register, tables

_MS = 1000
_LAST = 10


@dataclass(frozen=True, slots=True)
class Read:
    """The last file of a kind that was taken in. `at` is when it was made, by its stamp, or when it was taken in (ms)."""

    kind: str
    name: str
    stamp: str
    revision: int
    at: int

    def age(self, now: int) -> float:
        """In seconds, at `now` (ms)."""
        return max(0, now - self.at) / _MS


@dataclass(frozen=True, slots=True)
class Change:
    """A revision: when (ms), whence, and the stamp of the files."""

    id: int
    at: int
    origin: str
    stamp: str


@dataclass(frozen=True, slots=True)
class Standing:
    """Where the register stands: what is active in it, the files it was made of, the last changes (newest first)."""

    edition: str
    counts: dict[str, int]
    files: list[Read]
    changes: list[Change]

    def still(self, after: float) -> list[Read]:
        """The files that are older than that many seconds."""
        now = clock.now_ms()
        return [each for each in self.files if each.age(now) > after]


def standing(connection: sa.Connection) -> Standing:
    """Where the register stands."""
    readings, revisions = tables.readings, tables.revisions
    columns = (readings.c.kind, readings.c.name, readings.c.stamp, readings.c.revision, revisions.c.at)
    read = connection.execute(
        sa.select(*columns).join(revisions, revisions.c.id == readings.c.revision).order_by(readings.c.kind)
    )
    files = [Read(kind, name, stamp, revision, made(stamp) or at) for kind, name, stamp, revision, at in read]
    chosen = sa.select(revisions.c.id, revisions.c.at, revisions.c.origin, revisions.c.stamp)
    last = connection.execute(chosen.order_by(revisions.c.id.desc()).limit(_LAST))
    return Standing(register.edition(connection), register.counts(connection), files, [Change(*each) for each in last])


def made(stamp: str) -> int:
    """When a file was made by its stamp (AAAAMMJJhhmm or AAAAMMJJ, UTC to within two hours), in ms; 0 where it says not."""
    for form in ("%Y%m%d%H%M", "%Y%m%d"):
        try:
            return int(datetime.strptime(stamp, form).replace(tzinfo=UTC).timestamp() * _MS)
        except ValueError:
            continue
    return 0
