"""Taking extraction files into the register.

What it keeps true: readers see the register from before or the one after; a run that stops anywhere, killed or refused,
has changed nothing that is read, and the next one goes on or begins again by itself.
"""

import contextlib
import fcntl
import gc
import shutil
import tempfile
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import sqlalchemy as sa

from vaguemestre import clock
from vaguemestre.directory import bearers, extracts, passages, register, snapshots, spellings, tables
from vaguemestre.directory.bearers import AddressBuilder, AddressReconciler
from vaguemestre.directory.building import Builder, Tally
from vaguemestre.directory.dossiers import MOST_LINES, WANTED, Reader
from vaguemestre.directory.extracts import Extract, Refusals, Stream
from vaguemestre.directory.model import Origin
from vaguemestre.directory.passages import KEY_COLUMN, Difference
from vaguemestre.directory.reconciliation import Reconciler
from vaguemestre.directory.register import Place
from vaguemestre.documents.extraction import Kind
from vaguemestre.errors import ConfigurationError, VaguemestreError
from vaguemestre.storage.database import Database

_MOST_KEYS = 50_000  # people or addresses that are looked up one by one; for more, everything is compared
_BATCH = 5000  # lines read before what they say is written
_PEOPLE = (Kind.ACTIVITIES, Kind.KNOW_HOW, Kind.DIPLOMAS, Kind.CARDS)


class Watch(Protocol):
    """Who watches a run: told of each part of the work and of its size, then of each step of it."""

    def begin(self, part: str, total: int) -> None:
        """A part begins: `order`, `people`, `addresses`, `indexes`, `difference`; `total` is in octets, or in steps."""

    def advance(self, steps: int) -> None:
        """So much more is done."""


class Unwatched:
    """Nobody watches."""

    def begin(self, part: str, total: int) -> None:
        """Nothing to show."""

    def advance(self, steps: int) -> None:
        """Nothing to show."""


@dataclass(slots=True)
class Summary:
    """What an import did: `full` where the register was written for the first time."""

    files: list[Extract]
    full: bool = False
    revision: int = 0
    stamp: str = ""
    tally: Tally = field(default_factory=Tally)
    refusals: Refusals = field(default_factory=Refusals)
    passed_over: list[str] = field(default_factory=list)


class WithdrawalsError(VaguemestreError):
    """The import would withdraw more than may be by mistake; nothing was changed."""

    rule = "too-many-withdrawals"


@dataclass(frozen=True, slots=True)
class Terms:
    """How files are taken in.

    `rebuild`: everything is compared with the register, whatever was noted of the files before. `withdrawal_limit`: the
    share of people, activities or addresses beyond which withdrawals stop it, unless they are accepted.
    """

    rebuild: bool = False
    withdrawal_limit: float = 0.05
    accept_withdrawals: bool = False


def run(place: Place, paths: Sequence[Path], watch: Watch | None = None, terms: Terms | None = None) -> Summary:
    """Take these files in.

    Raises ExtractionError, WithdrawalsError, ConfigurationError (another import is under way), StorageFailure, OSError.
    """
    with _alone(place.folder), _scratch(place.folder) as scratch, _without_collection():
        summary = Summary([])
        summary.files = extracts.open_extracts(paths, scratch, summary.passed_over)
        summary.stamp = max(each.stamp for each in summary.files)
        files = {each.kind: each for each in summary.files}
        work = _Work(files, scratch, summary, watch or Unwatched(), terms or Terms())
        if place.exists():
            _change(place, work)
        else:
            _build(place, work)
        for file in summary.files:
            summary.refusals.number(file)
        return summary


@dataclass(frozen=True, slots=True)
class _Work:
    files: Mapping[Kind, Extract]
    scratch: Path
    summary: Summary
    watch: Watch
    terms: Terms

    @contextlib.contextmanager
    def streams(
        self,
        kinds: Iterable[Kind],
        places: Mapping[Kind, Sequence[tuple[int, int]]] | None = None,
        keys: Set[str] = frozenset(),
    ) -> Iterator[dict[Kind, Stream]]:
        """The lines of files by key; with places, those alone of these keys that stand there."""
        found: dict[Kind, Stream] = {}
        with contextlib.ExitStack() as stack:
            for kind in kinds:
                wanted = bearers.WANTED if kind is Kind.ADDRESSES else WANTED[kind]
                found[kind] = stream = Stream(
                    self.files[kind],
                    KEY_COLUMN[kind],
                    wanted,
                    self.scratch,
                    self.summary.refusals,
                    most=MOST_LINES,
                    advance=None if places else self.watch.advance,
                )
                stack.callback(stream.close)
                if places is None:
                    stream.open()
                else:
                    stream.open_at(places[kind], keys)
            yield found


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the folder's lock file, which ends with the process. Raises ConfigurationError."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (folder / "import.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ConfigurationError(
                "Another import is under way. Wait for its end, or stop it.",
                "Un autre import est en cours. Attendez sa fin, ou arrêtez-le.",
            ) from error
        for left in folder.glob("scratch-*"):
            shutil.rmtree(left, ignore_errors=True)
        yield


@contextlib.contextmanager
def _without_collection() -> Iterator[None]:
    """Rows by the million hold no cycles: looking for some would take a fifth of the time."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


@contextlib.contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(dir=folder, prefix="scratch-"))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _build(place: Place, work: _Work) -> None:
    summary = work.summary
    summary.full = True
    place.abandon()
    built = place.next()
    try:
        summary.revision = built.write(register.begin, Origin.EXTRACTION, summary.stamp)
        _build_people(built, work)
        if Kind.ADDRESSES in work.files:
            _build_addresses(built, work)
        built.write(spellings.refresh, 0)
        work.watch.begin("passages", sum(file.size for file in summary.files))
        for file in summary.files:
            built.write(passages.note_all, file, work.watch.advance)
        built.write(_link_parents, summary.revision)
        work.watch.begin("indexes", 1)
    except BaseException:
        built.close()
        raise
    place.replace(built)


def _build_people(built: Database, work: _Work) -> None:
    kinds = [kind for kind in _PEOPLE if kind in work.files]
    work.watch.begin("people", sum(work.files[kind].size for kind in kinds))
    reader = Reader(kinds)
    builder = Builder(work.summary.revision, work.summary.tally)
    with work.streams(kinds) as streams:
        for _, lines in extracts.batches(streams, _BATCH):
            built.write(builder.write, reader.read(lines))
    built.write(_put_labels, reader.labels)


def _build_addresses(built: Database, work: _Work) -> None:
    file = work.files[Kind.ADDRESSES]
    built.write(_index_bearers)
    work.watch.begin("addresses", file.size)
    builder = built.write(AddressBuilder, work.summary.revision, work.summary.tally)
    for lines in extracts.rows(file, bearers.WANTED, work.summary.refusals, work.watch.advance):
        built.write(builder.write, lines)


def _index_bearers(connection: sa.Connection) -> None:
    for index in tables.BEARERS:
        connection.execute(sa.schema.CreateIndex(index, if_not_exists=True))


def _put_labels(connection: sa.Connection, labels: Mapping[tuple[str, str], str]) -> None:
    for (system, code), label in sorted(labels.items()):
        place = (tables.labels.c.system == system, tables.labels.c.code == code)
        if connection.execute(sa.select(tables.labels.c.label).where(*place)).scalar() != label:
            connection.execute(tables.labels.delete().where(*place))
            connection.execute(tables.labels.insert().values(system=system, code=code, label=label))


def _link_parents(connection: sa.Connection, revision: int) -> None:
    """Give structures changed at this revision the legal entity that the register has for them."""
    below, above = tables.organizations, tables.organizations.alias("above")
    entity = (
        sa.select(sa.func.min(above.c.id))
        .where(above.c.finess == below.c.legal_finess, above.c.id != below.c.id)
        .scalar_subquery()
    )
    connection.execute(
        below.update()
        .where(below.c.revision == revision, below.c.legal_finess != "", below.c.legal_finess != below.c.finess)
        .values(parent_id=entity)
    )


def _change(place: Place, work: _Work) -> None:
    opened = place.open()
    try:
        work.watch.begin("compare", sum(file.size for file in work.files.values()))
        differences = {}
        for kind, file in work.files.items():
            differences[kind] = opened.read(passages.compare, file, _MOST_KEYS, work.watch.advance)
        work.summary.revision = opened.write(_apply, work, differences)
    finally:
        opened.close()


def _apply(connection: sa.Connection, work: _Work, differences: Mapping[Kind, Difference]) -> int:
    summary = work.summary
    before = _standing(connection)
    summary.tally = Tally()
    revision = register.begin(connection, Origin.EXTRACTION, summary.stamp)
    kinds = [kind for kind in _PEOPLE if kind in work.files]
    known = Kind.KNOW_HOW in kinds or passages.is_known(connection, Kind.KNOW_HOW)
    change = Reconciler(connection, revision, summary.tally, know_how_known=known)
    reader = Reader(kinds)
    some = {kind: differences[kind] for kind in kinds}
    for keys, lines in _walk(connection, work, kinds, some, tables.practitioners.c.national_id):
        change.people(connection, reader.read(lines), keys)
    _put_labels(connection, reader.labels)
    if Kind.ADDRESSES in work.files:
        boxes = AddressReconciler(connection, change)
        kinds, some = [Kind.ADDRESSES], {Kind.ADDRESSES: differences[Kind.ADDRESSES]}
        for keys, lines in _walk(connection, work, kinds, some, tables.addresses.c.address_key):
            boxes.write(connection, lines[Kind.ADDRESSES], keys)
        boxes.end(connection)
    change.end(connection)
    _link_parents(connection, revision)
    spellings.refresh(connection, revision - 1)
    for kind, file in work.files.items():
        if differences[kind].known:
            passages.note(connection, file, differences[kind])
        else:
            passages.note_all(connection, file)
    snapshots.forget(connection, clock.now_ms() - snapshots.KEPT_MS)
    _check_withdrawals(before, summary.tally, work.terms)
    return revision


def _walk(
    connection: sa.Connection,
    work: _Work,
    kinds: Sequence[Kind],
    differences: Mapping[Kind, Difference],
    column: "sa.Column[str]",
) -> Iterator[tuple[list[str], dict[Kind, list[tuple[str, ...]]]]]:
    """Keys whose lines may have changed, some at a time, with all their lines in these files.

    `column` holds the keys in the register. Where nothing is known of a file, or too much of it has changed, these are
    all keys of the files and of the register.
    """
    keys = {key for each in differences.values() for key in each.keys}
    whole = work.terms.rebuild or len(keys) > _MOST_KEYS or any(not each.known for each in differences.values())
    ordered, places = sorted(keys), None
    if whole:
        work.watch.begin("difference", sum(work.files[kind].size for kind in kinds))
    else:
        work.watch.begin("difference", len(keys))
        places = {kind: each.lines_of(connection, kind, keys) for kind, each in differences.items()}
    with work.streams(kinds, places, keys) as streams:
        after = ""
        for bound, lines in extracts.batches(streams, _BATCH):
            if whole:
                chosen = sa.select(column).where(column >= after)
                chosen = chosen if bound is None else chosen.where(column < bound)
                now = list(connection.execute(chosen.distinct()).scalars())
            else:
                end = len(ordered) if bound is None else bisect_left(ordered, bound)
                now = ordered[bisect_left(ordered, after) : end]
                work.watch.advance(len(now))
            yield now, lines
            after = bound or ""


def _standing(connection: sa.Connection) -> dict[str, int]:
    """How many of each thing are active."""
    things = (tables.practitioners, tables.activities, tables.addresses)
    counted = {table.name: sa.select(sa.func.count()).select_from(table).where(table.c.active) for table in things}
    return {name: int(connection.execute(count).scalar_one()) for name, count in counted.items()}


def _check_withdrawals(before: Mapping[str, int], tally: Tally, terms: Terms) -> None:
    for name, counts in tally.named():
        if name not in before or terms.accept_withdrawals:
            continue
        if counts.withdrawn > terms.withdrawal_limit * before[name]:
            share = 100 * counts.withdrawn / max(before[name], 1)
            raise WithdrawalsError(
                f"This would withdraw {counts.withdrawn} of {before[name]} {name} ({share:.1f} %): more than the limit. "
                "Nothing was changed. Look at the files; if they are right, add --accept-withdrawals.",
                f"Cela retirerait {counts.withdrawn} {_FRENCH[name]} sur {before[name]} ({share:.1f} %) : plus que la "
                "limite. Rien n'a été changé. Regardez les fichiers ; s'ils sont bons, ajoutez --accept-withdrawals.",
            )


_FRENCH = {"practitioners": "personnes", "activities": "activités", "addresses": "adresses"}
